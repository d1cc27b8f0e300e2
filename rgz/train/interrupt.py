"""Ctrl-C, or SIGTERM, as a request that the loop answers at a safe moment, instead of an exception anywhere."""

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

    SIGTERM (kill, timeout, the end of a container or of a session) counts as Ctrl-C, unless the program handles it.

    Outside the main thread, where Python delivers no signals, nothing is installed.
    """
    request = InterruptRequest()

    def handler(number: int, frame: FrameType | None) -> None:
        if request.pressed:
            raise KeyboardInterrupt
        request.pressed = True
        on_first()

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {signal.SIGINT: signal.signal(signal.SIGINT, handler)}
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        previous[signal.SIGTERM] = signal.signal(signal.SIGTERM, handler)
    try:
        yield request
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
