"""The server: what it listens on, and what all its connections share."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from rgz.errors import RgzError, reason_of
from rgz.messages import tr
from rgz.serve.connection import Connection, is_loopback
from rgz.serve.requests import Reader

_AT_ONCE = 4  # answers being written, each with keys and values of its own; more wait


class Server(ThreadingHTTPServer):
    """Answers for one model on host and port; RgzError where it cannot listen.

    port : 0 takes any that is free; `server_port` tells.
    key : what a request must bear (`Authorization: Bearer KEY`), None: nothing. Without, a server on this machine's own
        addresses answers only requests made to these, lest a page in a browser reach it under a name of its own.
    allow_origin : the origin of web pages that may ask, "*": all, None: none.
    log : takes a line for each request.
    """

    daemon_threads = True
    request_queue_size = 64
    allow_reuse_address = os.name != "nt"  # there it would let two servers have one port

    def __init__(
        self,
        reader: Reader,
        host: str,
        port: int,
        *,
        key: str | None = None,
        allow_origin: str | None = None,
        log: Callable[[str], None],
    ) -> None:
        self.reader, self.key, self.allow_origin, self.log = reader, key, allow_origin, log
        self.created = int(time.time())
        self.places = threading.BoundedSemaphore(_AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Connection)
        except (OSError, TypeError, UnicodeError) as error:  # the last two of names that are none
            values = {"host": host, "port": port, "reason": reason_of(error)}
            raise RgzError(tr("cannot listen on {host}, port {port}: {reason}", **values)) from error
        self.is_local = is_loopback(str(self.server_address[0]))

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks the network for a name, which can take long and nobody needs
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left is no error; anything else is one of ours, and shows."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)
