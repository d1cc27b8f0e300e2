"""A training update beside PyTorch and plain NumPy in the same run, in float32 and in 16 bits, each rival in a process
of its own: tokens/s and the share of this run's sgemm rate, which bfloat16 may exceed.

pytest benches/test_step.py --benchmark-columns=median,rounds
"""

import numpy as np
import pytest
from findings import record
from one_process import updates_in_a_process
from rivals import SHAPES, batch_of, config_of, finding_of, flops_per_token, pairs

ROUNDS = {"S": 20, "M": 10, "L": 10}


@pytest.mark.parametrize(("dtype", "rival"), pairs("float32", "bfloat16", "float16", "smallest"))
@pytest.mark.parametrize("shape", SHAPES)
def test_step(benchmark, sgemm_gflops, needs, shape, dtype, rival):
    needs(rival)
    config, (x, _) = config_of(shape), batch_of(shape)
    benchmark.group = finding_of("step", shape, dtype)
    with updates_in_a_process(shape, dtype, rival) as update:
        losses = [update()]
        benchmark.pedantic(lambda: losses.append(update()), rounds=ROUNDS[shape], warmup_rounds=1)
    assert losses[0] == pytest.approx(np.log(config.vocab_size), rel=0.05)  # untrained: no token likelier than another
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    assert losses[-1] < losses[0]
    seconds = benchmark.stats.stats.median
    gflops = flops_per_token(config, x.shape[1]) * x.size / seconds / 1e9
    benchmark.extra_info.update(
        tokens=x.size, tokens_per_second=x.size / seconds, gflops=gflops, sgemm_gflops=sgemm_gflops,
        share_of_sgemm=gflops / sgemm_gflops,
    )  # fmt: skip
    ceiling = sgemm_gflops * 1e9 / flops_per_token(config, x.shape[1])  # tokens/s
    record(benchmark, finding_of("step", shape, dtype), rival, x.size / seconds, share_of={"sgemm": ceiling})
