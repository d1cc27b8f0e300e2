"""Cores that are awake: those of a virtual machine that have slept take some ms to come back."""

import time
from collections.abc import Callable


def wake(work: Callable[[], object], seconds: float = 0.5) -> int:
    """Do the work until so many seconds are over; how often it was done."""
    end, times = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        work()
        times += 1
    return times
