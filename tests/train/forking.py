"""A process that has imported all of rgz and runs commands of it in forked children: they start in milliseconds.

Started by the fixture `forked`. No OpenMP team has run here, so the children may compute. A request is a line of JSON:

    args          the command line, without "rgz"
    folder, log   the run directory; the file that takes the child's output
    kill_after    seconds after which the child gets SIGKILL, or null
    kill_before   the child kills itself before its n-th operation on a file of `folder`, n from 0, or null
    full_from     from the n-th operation on that makes or renames something there, the disk is full; or null
    file_size     no file may grow beyond so many bytes: the closest that a process comes to a full disk; or null

and so is the answer: {"status": exit code or -9, "seconds": ..., "operations": on files, where they were counted}.
"""

import errno
import json
import os
import resource
import signal
import sys
import threading
import time
from importlib import import_module

# What the children would import each for itself.
for module in (
    "threadpoolctl", "rgz.cli.estimate", "rgz.cli.resume", "rgz.cli.train", "rgz.generate",
    "rgz.optim", "rgz.text", "rgz.train.step",
):  # fmt: skip
    import_module(module)
build_app = import_module("rgz.cli.app").build_app
EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree")


def child(request, counted):
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdin = None  # that one brings requests
    os.fsync = lambda descriptor: None  # what a killed process wrote is there all the same, and a disk may be slow
    folder, kill, full = request["folder"], request["kill_before"], request["full_from"]
    number = 0

    def watch(event, args):
        nonlocal number
        if (
            event not in EVENTS
            or not isinstance(args[0], str | os.PathLike)
            or not os.fspath(args[0]).startswith(folder)
        ):
            return
        makes = args[2] & (os.O_WRONLY | os.O_RDWR) if event == "open" else event in ("os.rename", "os.mkdir")
        if full is not None and not makes:
            return
        if number == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        number += 1
        os.write(counted, b".")
        if full is not None and number > full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0]))

    if (kill, full) != (None, None):
        sys.addaudithook(watch)
    if request["file_size"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"], resource.RLIM_INFINITY))
    code = 99
    try:
        build_app().main(request["args"])
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    os._exit(code)


def run(request):
    reading, writing = os.pipe()
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        child(request, writing)
    os.close(writing)
    if request["kill_after"] is not None:
        time.sleep(request["kill_after"])
        os.kill(pid, signal.SIGKILL)
    counted = 0
    while block := os.read(reading, 65536):
        counted += len(block)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {"status": status, "seconds": time.perf_counter() - start, "operations": counted}


if __name__ == "__main__":
    assert threading.active_count() == 1
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
