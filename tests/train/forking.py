"""A process that has imported all of rgz and runs commands of it in forked children: they start in milliseconds.

Started by test_kill.py; no OpenMP team has run here, so the children may compute. A request is a line of JSON:

    args          the command line, without "rgz"
    kill_after    seconds after which the child gets SIGKILL, or null
    kill_before   the child kills itself before its n-th operation on a file of `folder`, n from 0, or null
    folder, log   the run directory; the file that takes the child's output

and so is the answer: {"status": exit code or -9, "seconds": ..., "operations": on files, where they were counted}.
"""

import json
import os
import signal
import sys
import threading
import time

import rgz.cli.resume
import rgz.cli.samples
import rgz.cli.train
import rgz.generate
import rgz.text
import rgz.train.trainer  # noqa: F401 - imported once, here
from rgz.cli.app import build_app

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree")


def child(request, counted):
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdin = None  # that one brings requests
    folder, left = request["folder"], request["kill_before"]

    def count(event, args):
        nonlocal left
        if event in EVENTS and isinstance(args[0], str | os.PathLike) and os.fspath(args[0]).startswith(folder):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            os.write(counted, b".")

    if left is not None:
        sys.addaudithook(count)
    try:
        build_app().main(request["args"])
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 99
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
