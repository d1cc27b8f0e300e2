"""The machine: which cores a program may use, how many at once, and whose matrix product the kernels use."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from rgz import _kernels
from rgz.errors import RgzError
from rgz.messages import tr

_SYSTEM = Path("/sys")
_USUAL_PROCESS = 120e6  # bytes, where the system does not tell


def _select_isa() -> None:
    name = os.environ.get("RGZ_ISA")
    if name:
        usable = [isa for isa, _, can_run in _kernels.isas() if can_run]
        if name not in usable:
            raise RgzError(
                tr(
                    "RGZ_ISA={name} cannot run here; this machine and build have: {usable}",
                    name=name,
                    usable=", ".join(usable),
                )
            )
        _kernels.select_isa(name)


# Where rgz's own matrix product was measured to be the faster one (benches/test_kernels.py::test_matmul). Elsewhere
# SciPy's sgemm is borrowed: nobody has measured there yet.
_OWN_PRODUCT = ("avx2", "avx512", "avx512bf16")


def _borrow_sgemm() -> str:
    """Lend SciPy's sgemm to the kernels where it is the faster one or RGZ_BLAS asks for it; return what was chosen,
    and why."""
    wish = os.environ.get("RGZ_BLAS", "")
    if wish not in ("", "rgz", "scipy"):
        raise RgzError(tr("RGZ_BLAS must be rgz or scipy, got {value}", value=wish))
    if wish == "rgz" or (not wish and _kernels.active_isa() in _OWN_PRODUCT):
        return tr("rgz's own (RGZ_BLAS=rgz)") if wish else tr("rgz's own")
    try:
        from scipy.linalg import cython_blas
    except ImportError as error:
        if wish:
            raise RgzError(tr("RGZ_BLAS=scipy, but SciPy's sgemm is not to be had: {reason}", reason=error)) from error
        return tr("rgz's own (SciPy's is not to be had: {reason})", reason=error)
    _kernels.set_sgemm(cython_blas.__pyx_capi__["sgemm"])
    return "SciPy"


_select_isa()
_PRODUCT = _borrow_sgemm()


def allowed_cpus() -> set[int]:
    """The logical CPUs that the affinity mask leaves us."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cgroup_quota(system: Path = _SYSTEM) -> float | None:
    """CPUs' worth of time that a container may use (cgroup v2, then v1), None without a limit."""
    try:
        quota, period = (system / "fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass  # not cgroup v2
    try:
        quota_us = int((system / "fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int((system / "fs/cgroup/cpu/cpu.cfs_period_us").read_text())
        return None if quota_us <= 0 else quota_us / period_us
    except (OSError, ValueError):
        return None  # no cgroups: no limit


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def physical_cores(cpus: set[int], system: Path = _SYSTEM) -> int:
    """Cores behind these logical CPUs: hyperthreads of a core count once, and where cores differ in capacity
    (big.LITTLE) only those of at least half the largest capacity count: a team waits for its slowest member."""
    folder = system / "devices/system/cpu"
    capacity = {cpu: _read_number(folder / f"cpu{cpu}/cpu_capacity") for cpu in cpus}
    if all(capacity.values()) and capacity:
        largest = max(c for c in capacity.values() if c)
        cpus = {cpu for cpu in cpus if 2 * (capacity[cpu] or 0) >= largest}
    cores = set()
    for cpu in cpus:
        topology = folder / f"cpu{cpu}/topology"
        package, core = _read_number(topology / "physical_package_id"), _read_number(topology / "core_id")
        cores.add((package, core) if core is not None else cpu)
    return max(1, len(cores))


def usable_cores(system: Path = _SYSTEM) -> int:
    """How many threads a team should have here: physical cores allowed, no more than the cgroup quota grants."""
    cores = physical_cores(allowed_cpus(), system)
    quota = cgroup_quota(system)
    return cores if quota is None else max(1, min(cores, int(quota + 0.5)))


def memory_bytes() -> tuple[int | None, int | None]:
    """(total, available) bytes of memory; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None, None
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return values.get("MemTotal"), values.get("MemAvailable")


def resident_bytes() -> float:
    """Memory of this process now (Linux), or its peak so far (other Unix), or a usual value."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return float(pages * resource.getpagesize())
    except ImportError:
        return _USUAL_PROCESS
    except OSError:
        return peak_bytes()


def peak_bytes() -> float:
    """Largest resident memory of this process so far."""
    try:  # getrusage counts the process that started this one too, such as a notebook with all its data
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""  # not Linux
    if (line := re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)) is not None:
        return float(line[1]) * 1024
    try:
        import resource
    except ImportError:
        return _USUAL_PROCESS
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def name() -> str:
    """The processor's own name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # no /proc: macOS, Windows
    import platform

    return platform.processor() or platform.machine()


def half_products() -> dict[str, str]:
    """How matrices of each 16-bit type are multiplied here; sums are float32 always."""
    converted = tr("converted to float32")
    native = _kernels.active_isa() == "avx512bf16"
    return {"bfloat16": tr("by AVX-512 BF16 instructions") if native else converted, "float16": converted}


def info() -> dict[str, Any]:
    """What the kernels run on: isa, isas, openmp, blas (what multiplies matrices), half (the same of 16-bit types),
    n_threads, cpu, memory."""
    from rgz.threads import resolve_threads

    total, available = memory_bytes()
    return {
        "cpu": name(),
        "isa": _kernels.active_isa(),
        "isas": [isa for isa, _, can_run in _kernels.isas() if can_run],
        "isas_compiled": [isa for isa, compiled, _ in _kernels.isas() if compiled],
        "openmp": _kernels.openmp(),
        "blas": _blas_name() if _kernels.has_sgemm() else _PRODUCT,
        "half": half_products(),
        "n_threads": resolve_threads(),
        "logical_cpus": len(allowed_cpus()),
        "memory_total": total,
        "memory_available": available,
    }


def _blas_name() -> str:
    import threadpoolctl

    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "blas" and "scipy.libs" in library["filepath"]:  # NumPy's wheel brings its own
            return f"{library['internal_api']} {library['version']} ({library.get('architecture', '?')}), SciPy"
    return "SciPy"
