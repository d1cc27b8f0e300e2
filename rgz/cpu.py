"""The machine: its instruction set, its memory, and whose matrix product the kernels use."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from rgz import _kernels, cores
from rgz.errors import RgzError
from rgz.messages import tr

_PROC = Path("/proc")
# "CPU part" of /proc/cpuinfo, which has no names on ARM. Source: the Main ID Register in Arm's technical reference
# manuals of each core; 663 and the like are Phytium's, d01 is HiSilicon's.
_ARM_PARTS = {
    "d03": "Cortex-A53", "d04": "Cortex-A35", "d05": "Cortex-A55", "d07": "Cortex-A57", "d08": "Cortex-A72",
    "d09": "Cortex-A73", "d0a": "Cortex-A75", "d0b": "Cortex-A76", "d0c": "Neoverse-N1", "d0d": "Cortex-A77",
    "d40": "Neoverse-V1", "d41": "Cortex-A78", "d44": "Cortex-X1", "d46": "Cortex-A510", "d47": "Cortex-A710",
    "d48": "Cortex-X2", "d49": "Neoverse-N2", "d4d": "Cortex-A715", "d4e": "Cortex-X3", "d80": "Cortex-A520",
    "d81": "Cortex-A720", "d82": "Cortex-X4", "d01": "TaiShan v110", "662": "FTC662", "663": "FTC663",
}  # fmt: skip
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
        notice = tr(
            "SciPy cannot be loaded ({reason}): rgz multiplies matrices itself, which may be slower on {isa}; "
            "install scipy, or set RGZ_BLAS=rgz to see this no more",
            reason=error,
            isa=_kernels.active_isa(),
        )
        warnings.warn(notice, RuntimeWarning, stacklevel=2)
        return tr("rgz's own (SciPy's is not to be had: {reason})", reason=error)
    _kernels.set_sgemm(cython_blas.__pyx_capi__["sgemm"])
    return "SciPy"


_select_isa()
_PRODUCT = _borrow_sgemm()


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
        status = Path("/proc/self/status").read_text(errors="replace")
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
    """The processor's own name, as far as the system tells: on ARM the board's, and the kinds of its cores."""
    try:
        lines = (_PROC / "cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []  # no /proc: macOS, Windows
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    told = [(key.strip().lower(), value.strip()) for key, value in pairs]
    for key, value in told:
        if key in ("model name", "hardware") and value:
            return value
    parts = [_ARM_PARTS.get(value.lower().removeprefix("0x"), value) for key, value in told if key == "cpu part"]
    board = _board()
    if parts or board:
        counts = sorted(Counter(parts).items(), key=lambda item: (item[1], item[0]))
        kinds = " + ".join(f"{count} x {part}" for part, count in counts)
        return f"{board} ({kinds})" if board and kinds else board or kinds
    import platform

    return platform.processor() or platform.machine()


def half_products() -> dict[str, str]:
    """How matrices of each 16-bit type are multiplied here; sums are float32 always."""
    names = {
        "avx512bf16": {"bfloat16": "AVX-512 BF16"},
        "neonbf16": {"bfloat16": "NEON BFMMLA", "float16": "NEON FMLAL"},
    }.get(_kernels.active_isa(), {})
    return {
        dtype: tr("by {name} instructions", name=names[dtype]) if dtype in names else tr("converted to float32")
        for dtype in ("bfloat16", "float16")
    }


def _board() -> str:
    """What a board's device tree calls it, such as Raspberry Pi 5 Model B Rev 1.0; "" where there is none."""
    try:
        return (_PROC / "device-tree/model").read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def info() -> dict[str, Any]:
    """What the kernels run on: isa, isas, openmp, blas (what multiplies matrices), n_threads and why so many, the
    kinds of cores, the strongest first, memory."""
    from rgz.threads import allowed_cpus, explain_threads

    total, available = memory_bytes()
    n_threads, reason = explain_threads()
    return {
        "cpu": name(),
        "isa": _kernels.active_isa(),
        "isas": [isa for isa, _, can_run in _kernels.isas() if can_run],
        "isas_compiled": [isa for isa, compiled, _ in _kernels.isas() if compiled],
        "openmp": _kernels.openmp(),
        "blas": _blas_name() if _kernels.has_sgemm() else _PRODUCT,
        "half": half_products(),
        "n_threads": n_threads,
        "n_threads_because": reason,
        "logical_cpus": len(allowed_cpus()),
        "clusters": [dataclasses.asdict(cluster) for cluster in cores.clusters(cores.online_cpus())],
        "memory_total": total,
        "memory_available": available,
    }


def _blas_name() -> str:
    import threadpoolctl

    for library in threadpoolctl.threadpool_info():
        if library["user_api"] == "blas" and "scipy.libs" in library["filepath"]:  # NumPy's wheel brings its own
            return f"{library['internal_api']} {library['version']} ({library.get('architecture', '?')}), SciPy"
    return "SciPy"
