"""Ctrl-C, SIGTERM or SIGHUP as a request that the loop answers at a safe moment, instead of an exception anywhere."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class InterruptRequest:
    """Set by the first Ctrl-C; `check` turns it into KeyboardInterrupt where the caller can bear one."""

    def __init__(self) -> None:
        self.pressed = False

    def check(self) -> None:
        if self.pressed:
            raise KeyboardInterrupt


@contextlib.contextmanager
def catch_interrupt(on_first: Callable[[], None]) -> Iterator[InterruptRequest]:
    """Within the block the first Ctrl-C only sets the request; the second raises KeyboardInterrupt at once.

    SIGTERM (kill, timeout, the end of a container or of a session) and SIGHUP (a terminal that is closed) count as
    Ctrl-C, unless the program handles them. Both a shell and the kernel may send SIGHUP: a second one asks no more.

    Outside the main thread, where Python delivers no signals, nothing is installed.
    """
    request = InterruptRequest()

    hangup = getattr(signal, "SIGHUP", None)  # not on Windows

    def handler(number: int, frame: FrameType | None) -> None:
        if request.pressed:
            if number == hangup:
                return
            raise KeyboardInterrupt
        request.pressed = True
        on_first()

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {signal.SIGINT: signal.signal(signal.SIGINT, handler)}
    for number in (signal.SIGTERM, hangup):
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            previous[number] = signal.signal(number, handler)
    try:
        yield request
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
