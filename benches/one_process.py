"""A program of its own for what must be measured of a whole process; the last line it prints is JSON.

python benches/one_process.py step SHAPE DTYPE RIVAL [UPDATES]   {"losses": [...], "peak_mb": ...}
python benches/one_process.py attention TIME RIVAL            {"error": ..., "beyond_mb": ...}
python benches/one_process.py updates SHAPE DTYPE RIVAL       "ready"; for every line that it reads, a loss
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MB = 1e6
LEAST_MB = 0.1  # differences between two sizes of a process tell no less
HEADS, HEAD_SIZE = 2, 64  # of the long attention


def peak_bytes() -> int:
    """The most this program has held. On Linux not getrusage's ru_maxrss, which begins with the parent's peak: see
    exec_mmap() in the kernel's fs/exec.c."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Let peak_bytes() begin anew, where the system can: see clear_refs in Linux's Documentation/filesystems/proc.rst.
    Elsewhere what came before counts too, which makes a difference of peaks no larger."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def resident_bytes() -> int:
    """Memory held now; where /proc does not tell, the most so far, which is no less."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return peak_bytes()


def environment() -> dict[str, str]:
    """That of a child, which shall import the same rgz."""
    import rgz

    paths = [str(Path(rgz.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def in_a_process(*arguments: object) -> dict[str, Any]:
    """What this file prints when it is run with these arguments."""
    command = [sys.executable, __file__, *map(str, arguments)]
    child = subprocess.run(command, capture_output=True, text=True, env=environment())
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {child.returncode}:\n{child.stderr}")
    return json.loads(child.stdout.splitlines()[-1])


@contextlib.contextmanager
def updates_in_a_process(shape: str, dtype: str, rival: str) -> Iterator[Callable[[], float]]:
    """One update by each call, and its loss: in a process that trains nothing else, as people train, so that no rival
    finds memory mapped by what was measured before it."""
    command = [sys.executable, __file__, "updates", shape, dtype, rival]
    with tempfile.TemporaryFile("w+") as said:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
        with subprocess.Popen(command, bufsize=0, env=environment(), **pipes) as child:

            def answer() -> bytes:
                if line := child.stdout.readline():
                    return line
                code = child.wait()
                said.seek(0)
                raise RuntimeError(f"{' '.join(command)} ended with exit code {code}:\n{said.read()}")

            def update() -> float:
                with contextlib.suppress(BrokenPipeError):  # answer() says why
                    child.stdin.write(b"\n")
                return float(answer())

            answer()  # that it is ready
            yield update


def run_of(shape: str, dtype: str, rival: str) -> Callable[[], float]:
    """One update by each call, here."""
    from rivals import BY_DTYPE, batch_of, config_of

    run, batch = BY_DTYPE[dtype][rival](config_of(shape)), batch_of(shape)
    return lambda: float(run(*batch))


def answer_with_updates(shape: str, dtype: str, rival: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer
    run = run_of(shape, dtype, rival)
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        print(run(), file=answers, flush=True)


def step(shape: str, dtype: str, rival: str, updates: str = "3") -> dict[str, Any]:
    """The second update is the first with both moments and all activations at once."""
    run = run_of(shape, dtype, rival)
    return {"losses": [run() for _ in range(int(updates))], "peak_mb": peak_bytes() / MB}


def attention(time: str, rival: str) -> dict[str, Any]:
    """Forward and backward over one sequence; what the process grows by, less the outputs' own bytes."""
    rows, random = int(time), np.random.default_rng(0)
    arrays = [random.standard_normal((rows, HEADS, HEAD_SIZE), dtype=np.float32) for _ in range(4)]
    run = {"rgz": attention_of_rgz, "torch": attention_of_torch}[rival]
    run(*(array[:256] for array in arrays))  # threads, libraries
    forget_peak()
    before = resident_bytes()
    out, gradients = run(*arrays)
    outputs = out.nbytes + sum(gradient.nbytes for gradient in gradients)
    beyond = peak_bytes() - before - outputs
    q, k, v, _ = arrays
    row = rows - 1  # the last row sees all
    scores = np.einsum("hd,thd->ht", q[row].astype(np.float64), k) / HEAD_SIZE**0.5
    p = np.exp(scores - scores.max(1, keepdims=True))
    expected = np.einsum("ht,thd->hd", p / p.sum(1, keepdims=True), v)
    return {"error": float(np.abs(out[row] - expected).max()), "beyond_mb": max(LEAST_MB, beyond / MB)}


def attention_of_rgz(q, k, v, dout):
    import rgz

    out, lse = rgz.ops.flash_attention(q, k, v)
    return out, rgz.ops.flash_attention_backward(dout, q, k, v, out, lse)


def attention_of_torch(*arrays):
    import torch

    q, k, v, dout = (torch.from_numpy(array).transpose(0, 1)[None] for array in arrays)
    for tensor in (q, k, v):
        tensor.requires_grad_()
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    gradients = torch.autograd.grad(out, (q, k, v), dout)
    return out.detach()[0].transpose(0, 1).numpy(), [gradient.numpy() for gradient in gradients]


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "updates":
        answer_with_updates(*given)
    else:
        print(json.dumps({"step": step, "attention": attention}[what](*given)))
