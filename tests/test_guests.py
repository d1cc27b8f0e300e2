"""Beside another OpenMP runtime: its threads are let go before ours compute, and it goes on as before."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rgz import _kernels, guests

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not _kernels.openmp(), reason="runtimes are found on Linux only"
)

# A copy of the runtime under another name is another runtime, as the wheels' copies are.
GUEST = r"""
import ctypes, os, re, sys
import numpy as np, rgz
from rgz import guests
from rgz.threads import single_threaded_blas

guest = ctypes.CDLL(sys.argv[1])
BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
seen = []
body = BODY(lambda _: seen.append(guest.omp_get_thread_num()))

def region():
    seen.clear()
    guest.GOMP_parallel(body, None, 3, 0)
    return sorted(seen)

def threads():
    return len(os.listdir("/proc/self/task"))

before = threads()
assert region() == [0, 1, 2] and threads() == before + 2
a = np.ones((300, 300), np.float32)
team = threads()
result = rgz.ops.matmul(a, a, n_threads=2)
assert (result == 300).all()
assert threads() == before + 1, (before, team, threads())  # our second one; theirs are gone
assert region() == [0, 1, 2]  # and come again
assert (rgz.ops.matmul(a, a, n_threads=2) == 300).all()
assert len(guests._pauses) == 1
inside = []
nested = BODY(lambda _: guest.omp_get_thread_num() or inside.append(rgz.ops.matmul(a, a, n_threads=2)[0, 0]))
guest.GOMP_parallel(nested, None, 2, 0)  # called from inside a region of theirs: they are left alone
assert inside == [300]
region()
pid = os.fork()
if pid == 0:
    import warnings
    warnings.simplefilter("ignore")
    os._exit(7 if (rgz.ops.matmul(a, a, n_threads=2) == 300).all() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
print("done")
"""


@pytest.fixture
def copy_of_ours(tmp_path):
    ours = [path for path in guests._runtimes() if guests._pause_of(path) is None and "gomp" in path]
    if not ours or not hasattr(ctypes.CDLL(ours[0]), "omp_pause_resource_all"):
        pytest.skip("not a libgomp of OpenMP 5: there is nothing to make a guest of")
    copy = tmp_path / "libgomp-0123abcd.so.1.0.0"
    copy.write_bytes(Path(ours[0]).read_bytes().replace(b"libgomp.so.1\0", b"libgomq.so.1\0"))
    return copy


def test_the_threads_of_another_runtime_are_let_go_and_come_again(copy_of_ours):
    done = subprocess.run([sys.executable, "-c", GUEST, copy_of_ours], capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="runtimes are found on Linux only")
def test_what_only_has_a_runtimes_name_is_no_guest(tmp_path):
    """Also where the system's error quotes a name that is no UTF-8."""
    path = os.fsencode(tmp_path) + b"/\xc4\xe3-libgomp-1.so"
    with open(path, "wb") as file:
        file.write(b"no library")
    assert guests._pause_of(os.fsdecode(path)) is None
    os.unlink(path)
    assert guests._pause_of(os.fsdecode(path)) is None


def test_our_own_runtime_is_no_guest():
    code = "import rgz; from rgz import guests; guests.pause_guests(); print(len(guests._runtimes()), guests._pauses)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1 []\n", done.stderr


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/usr/lib/libgomp.so.1.0.0", True),
        ("/my wheels/scikit_learn.libs/libgomp-e985bcbb.so.1.0.0", True),
        ("/x/libomp.so", True),
        ("/x/libiomp5.so", True),
        ("/x/libgompers.so", False),
        ("/x/libcomp.so", False),
    ],
)
def test_runtimes_are_known_by_their_names(tmp_path, monkeypatch, path, is_one):
    line = f"7f00-7f01 r-xp 00000000 08:01 42    {path}\n"
    others = b"7f00-7f01 r-xp 0 0:0 0 [vdso]\n7f00-7f01 r--p 0 08:01 43 /\xc4\xe3/words.bin\n"  # no UTF-8
    (tmp_path / "maps").write_bytes(others + (line + line).encode())
    monkeypatch.setattr(guests, "_MAPS", tmp_path / "maps")
    assert guests._runtimes() == [path] * is_one
    monkeypatch.setattr(guests, "_MAPS", tmp_path / "none")
    assert guests._runtimes() == []
