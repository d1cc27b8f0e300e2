"""Which cores a team of threads should have: kinds of cores, the affinity mask, the quotas of containers.

Read from Linux's /sys and /proc; a system without them (macOS, Windows, a bare container) leaves the logical CPUs.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SYSTEM, PROCESS = Path("/sys"), Path("/proc/self")

# A team waits for its slowest member, so smaller cores take part only if they come near the strongest. By the kernel's
# own measure: half of it (Cortex-A55 beside A76: 0.39; A78 beside X1: 0.85).
_NEAR_CAPACITY = 0.5
# By frequency alone, which does not show how narrow a small core is (A55 beside A76: 0.75; A78 beside X1: 0.85).
_NEAR_FREQUENCY = 0.8
_LIKE = 0.95  # speeds that differ by less are one kind: chips are binned core by core


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind.

    cpus : their logical CPUs, ascending. cores : physical ones behind those.
    capacity : the kernel's measure of one, 1024 for the strongest of the machine. mhz : the highest frequency of one.
    None where the system does not tell.
    """

    cpus: tuple[int, ...]
    cores: int
    capacity: int | None
    mhz: int | None


class Usable(NamedTuple):
    """What a team may have: `cores` threads on `cpus`, the strong ones of those allowed, each core once.

    quota : CPUs' worth of time, where that is what limits them.
    """

    cores: int
    cpus: frozenset[int]
    quota: float | None


def usable(allowed: Iterable[int]) -> Usable:
    """What a team may have of these logical CPUs."""
    strong = frozenset(strong_cpus(allowed))
    count, quota = max(1, physical_cores(strong)), cgroup_quota()
    if quota is None or (whole := max(1, int(quota + 0.5))) >= count:
        return Usable(count, strong, None)
    return Usable(whole, strong, quota)


def allowed_cpus() -> set[int]:
    """The logical CPUs that the affinity mask leaves us."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def online_cpus() -> set[int]:
    """The logical CPUs that are switched on, whether we may use them or not; those allowed where /sys does not tell."""
    try:
        return set(_parsed_list((SYSTEM / "devices/system/cpu/online").read_text()))
    except (OSError, ValueError):
        return allowed_cpus()


def clusters(cpus: Iterable[int]) -> list[Cluster]:
    """These logical CPUs by kind, the strongest first: one kind where nothing tells them apart."""
    speed, _ = _speeds(cpus)
    kinds: list[list[int]] = []
    for cpu in sorted(speed, key=lambda cpu: (-speed[cpu], cpu)):
        if kinds and speed[cpu] >= _LIKE * speed[kinds[-1][0]]:
            kinds[-1].append(cpu)
        else:
            kinds.append([cpu])
    return [
        Cluster(
            cpus=tuple(sorted(kind)),
            cores=len({_core_of(cpu) for cpu in kind}),
            capacity=max(_capacity(cpu) or 0 for cpu in kind) or None,
            mhz=max(_khz(cpu) or 0 for cpu in kind) // 1000 or None,
        )
        for kind in kinds
    ]


def strong_cpus(cpus: Iterable[int]) -> set[int]:
    """Those of these logical CPUs that are the strongest or come near: all where nothing tells them apart."""
    speed, near = _speeds(cpus)
    return {cpu for cpu in speed if speed[cpu] >= near * max(speed.values())}


def physical_cores(cpus: Iterable[int]) -> int:
    """Cores behind these logical CPUs: hyper-threads of one count once."""
    return len({_core_of(cpu) for cpu in cpus})


def cgroup_quota() -> float | None:
    """CPUs' worth of time that the process may use, None without a limit: the least of its control groups of either
    version, those around them included. A container sees its own group as the root."""
    quotas = [quota for quota in map(_quota_of, _groups()) if quota is not None]
    return min(quotas, default=None)


def shown(cpus: Iterable[int]) -> str:
    """CPU numbers as the kernel writes them: 0-3,6."""
    numbers, parts = sorted(cpus), list[list[int]]()
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def _speeds(cpus: Iterable[int]) -> tuple[dict[int, int], float]:
    """How strong each CPU is, in whatever unit, and the share of the strongest that counts as near it."""
    cpus = sorted(cpus)
    capacity = {cpu: value for cpu in cpus if (value := _capacity(cpu))}
    if len(capacity) == len(cpus):
        return capacity, _NEAR_CAPACITY
    khz = {cpu: value for cpu in cpus if (value := _khz(cpu))}
    # On x86 the highest frequency differs by turbo and from core to core, and tells nothing of their kind.
    if len(khz) == len(cpus) and platform.machine().lower() not in ("x86_64", "amd64"):
        return khz, _NEAR_FREQUENCY
    return dict.fromkeys(cpus, 1), 1.0


def _folder_of(cpu: int) -> Path:
    return SYSTEM / f"devices/system/cpu/cpu{cpu}"


def _capacity(cpu: int) -> int | None:
    return _number(_folder_of(cpu) / "cpu_capacity")


def _khz(cpu: int) -> int | None:
    return _number(_folder_of(cpu) / "cpufreq/cpuinfo_max_freq")


def _core_of(cpu: int) -> object:
    """What is equal for the hyper-threads of a core and for no others.

    Numbers of cores are not: on ARM since Linux 5.19 they begin anew in each cluster of a package.
    """
    topology = _folder_of(cpu) / "topology"
    for name in ("core_cpus_list", "thread_siblings_list"):  # the same, before Linux 5.3 and since
        try:
            return min(_parsed_list((topology / name).read_text()))
        except (OSError, ValueError):
            continue
    return cpu


def _groups() -> Iterator[Path]:
    """Folders that may hold a quota of this process, each with those around it."""
    root = SYSTEM / "fs/cgroup"
    try:
        lines = os.fsdecode((PROCESS / "cgroup").read_bytes()).split("\n")
    except OSError:
        lines = []
    for line in ["0::/", "1:cpu:/", *lines]:  # number:controllers:path; version 2 has no controllers
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        parts = [part for part in path.split("/") if part]
        if ".." in parts:  # a group outside of what the container sees
            continue
        if number == "0":
            roots = [root]
        elif "cpu" in controllers.split(","):
            roots = [root / "cpu", root / controllers]
        else:
            continue
        for folder in roots:
            for depth in range(len(parts) + 1):
                yield folder.joinpath(*parts[:depth])


def _quota_of(group: Path) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):  # version 2, version 1
        try:
            quota, period = " ".join((group / name).read_text() for name in names).split()
            if int(quota) > 0 and int(period) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError, OverflowError):
            continue  # the other version, or "max": no limit
    return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _parsed_list(text: str) -> list[int]:
    """The numbers of a list as the kernel writes them, such as 0-3,6; ValueError for anything else."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers
