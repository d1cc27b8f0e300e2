"""Peak memory of a whole training process, and of attention over a long sequence, each in a process of its own.

pytest benches/test_memory.py --benchmark-columns=median
"""

import functools

import numpy as np
import pytest
from findings import record
from one_process import in_a_process
from rivals import SHAPES, config_of, finding_of, pairs

UPDATES = {"S": 3, "M": 3, "L": 2}
LONG = 32_768
T_BY_T_MB = LONG**2 * 4 / 1e6  # of one head's scores


measured = functools.cache(in_a_process)


@pytest.mark.parametrize(("dtype", "rival"), pairs("float32", "bfloat16", "smallest"))
@pytest.mark.parametrize("shape", SHAPES)
def test_peak_memory_of_a_step(benchmark, needs, shape, dtype, rival):
    needs(rival)
    found = benchmark.pedantic(measured, ("step", shape, dtype, rival, UPDATES[shape]), rounds=1)
    first, *_, last = found["losses"]
    assert first == pytest.approx(np.log(config_of(shape).vocab_size), rel=0.05)
    assert last < first  # it did learn: gradients and moments were there
    ratio = measured("step", shape, dtype, "rgz", UPDATES[shape])["peak_mb"] / found["peak_mb"]
    benchmark.extra_info.update(peak_mb=found["peak_mb"], rgz_to_this=ratio)
    record(benchmark, finding_of("memory", shape, dtype), rival, found["peak_mb"])


@pytest.mark.parametrize("rival", ["rgz", "torch"])
def test_memory_of_long_attention(benchmark, needs, rival):
    needs(rival)
    found = benchmark.pedantic(measured, ("attention", LONG, rival), rounds=1)
    assert found["error"] < 1e-5
    assert found["beyond_mb"] < 300 < T_BY_T_MB
    benchmark.extra_info.update(beyond_mb=found["beyond_mb"])
    record(benchmark, "attention memory", rival, found["beyond_mb"])
