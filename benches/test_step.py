"""A training update beside PyTorch and plain NumPy in the same run, in float32 and in 16 bits: tokens/s and the share
of this run's sgemm rate, which bfloat16 may exceed.

pytest benches/test_step.py --benchmark-columns=median,rounds
"""

import numpy as np
import pytest
from findings import record
from rivals import BY_DTYPE, SHAPES, batch_of, config_of, finding_of, flops_per_token, pairs

ROUNDS = {"S": 10, "M": 5, "L": 3}


@pytest.mark.parametrize(("dtype", "rival"), pairs("float32", "bfloat16", "float16"))
@pytest.mark.parametrize("shape", SHAPES)
def test_step(benchmark, sgemm_gflops, needs, shape, dtype, rival):
    needs(rival)
    config, (x, y) = config_of(shape), batch_of(shape)
    step = BY_DTYPE[dtype][rival](config)
    assert step(x, y) == pytest.approx(np.log(config.vocab_size), rel=0.05)  # untrained: no token likelier than another
    benchmark.group = finding_of("step", shape, dtype)
    benchmark.pedantic(step, (x, y), rounds=ROUNDS[shape], warmup_rounds=1)
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    seconds = benchmark.stats.stats.median
    gflops = flops_per_token(config, x.shape[1]) * x.size / seconds / 1e9
    benchmark.extra_info.update(
        tokens=x.size, tokens_per_second=x.size / seconds, gflops=gflops, sgemm_gflops=sgemm_gflops,
        share_of_sgemm=gflops / sgemm_gflops,
    )  # fmt: skip
    ceiling = sgemm_gflops * 1e9 / flops_per_token(config, x.shape[1])  # tokens/s
    record(benchmark, finding_of("step", shape, dtype), rival, x.size / seconds, share_of={"sgemm": ceiling})
