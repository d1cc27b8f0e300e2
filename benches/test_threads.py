"""The update S on one thread, two, and all usable: how much faster, and what more would bring.

pytest benches/test_threads.py --benchmark-columns=median,rounds
"""

import functools

import pytest
from findings import MORE_THREADS, amdahl, record, serial_share
from rivals import batch_of, build_rgz, build_torch, config_of

import rgz

ALL = rgz.info()["n_threads"]
COUNTS = sorted({1, min(2, ALL), ALL})
medians: dict[tuple[str, int], float] = {}  # of the rivals and counts that have run


@functools.cache
def first_losses(n_threads):
    """Of three updates, from the same weights."""
    step, (x, y) = build_rgz(config_of("S"), n_threads=n_threads), batch_of("S")
    return [step(x, y) for _ in range(3)]


def build(rival, count, request):
    config = config_of("S")
    if rival == "rgz":
        assert first_losses(count) == first_losses(1)  # the same bits for any number of threads
        return build_rgz(config, n_threads=count)
    request.getfixturevalue("torch_threads")(count)
    return build_torch(config)


@pytest.mark.skipif(ALL == 1, reason="one usable core, or built without OpenMP: nothing to compare")
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("rival", ["rgz", "torch"])
def test_threads(benchmark, request, rival, count):
    step, (x, y) = build(rival, count, request), batch_of("S")
    benchmark.group = f"threads {rival}"
    benchmark.pedantic(step, (x, y), rounds=7, warmup_rounds=2)
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    medians[rival, count] = benchmark.stats.stats.median
    benchmark.extra_info.update(n_threads=count, tokens_per_second=x.size / medians[rival, count])
    if count == 1 or (rival, 1) not in medians:
        return
    speed_up = medians[rival, 1] / medians[rival, count]
    share = serial_share(speed_up, count)
    model = {n: amdahl(share, n) for n in MORE_THREADS if n > count}
    benchmark.extra_info.update(speed_up=speed_up, serial_share=share, model_of_more=model)
    if count == ALL:
        record(benchmark, "threads", rival, speed_up, serial_share=share, n_threads=count)
