"""One connection: who may ask, which answer is asked for, and how it goes over the wire."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import json
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from rgz.errors import RgzError
from rgz.generate import Continuation
from rgz.messages import tr
from rgz.serve.answers import Answer
from rgz.serve.refusals import Refusal, error_object
from rgz.serve.requests import Request

if TYPE_CHECKING:
    from rgz.serve.server import Server

_MOST_BYTES = 4_000_000  # of a request
_DRAINED = 25 * _MOST_BYTES  # of a request that is too large
_SECONDS = 60.0  # for a client to send what it announced, or to take what it asked for
_CHAT, _TEXT, _MODELS, _HEALTH = "/v1/chat/completions", "/v1/completions", "/v1/models", "/health"
_METHODS = {_CHAT: "POST", _TEXT: "POST", _MODELS: "GET", _HEALTH: "GET"}


class Connection(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after another."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rgz", ""
    timeout = _SECONDS
    disable_nagle_algorithm = True  # pieces go out as they come

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_OPTIONS(self) -> None:
        """What a browser asks before a page may ask."""
        self._respond()

    def _respond(self) -> None:
        self._status, began = "-", time.monotonic()  # until one is sent
        self._notes: list[str] = []
        try:
            self._dispatch()
        except (ConnectionError, TimeoutError):
            self._notes.append(tr("the client has left"))
            raise
        except RgzError as error:
            self._notes.append(str(error))
            refused = error if isinstance(error, Refusal) else Refusal(HTTPStatus.BAD_REQUEST, str(error))
            self._refuse(refused.status, str(refused), refused.code)
        except RecursionError:
            self._refuse(HTTPStatus.BAD_REQUEST, tr("the request is nested too deeply"))
        except Exception:
            if self._status == "-":
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, tr("an error of the server, which its log shows"))
            raise
        finally:
            asked = f"{self.client_address[0]} {self.command} {self.path} {self._status}"
            notes = [asked, f"{time.monotonic() - began:.2f} s", *self._notes]
            self.server.log(_printable(" · ".join(notes)))

    def _dispatch(self) -> None:
        body = self._body()  # before anything is refused: a client still sending would not read why
        path = unquote(self.path.partition("?")[0]).rstrip("/") or "/"
        self._admit(path)
        if self.command == "OPTIONS":
            asked = self.headers.get("Access-Control-Request-Headers", "")  # OpenAI's clients add some of their own
            self._send(HTTPStatus.NO_CONTENT, b"", {"Access-Control-Allow-Headers": _printable(asked)})
            return
        one_model = path.removeprefix(f"{_MODELS}/") if path.startswith(f"{_MODELS}/") else None
        route = path if one_model is None else _MODELS
        if route not in _METHODS:
            raise Refusal(
                HTTPStatus.NOT_FOUND,
                tr("nothing is at {path}; there are: {known}", path=path, known=" ".join(_METHODS)),
            )
        if self.command != _METHODS[route]:
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, tr("{path} takes {method}", path=path, method=_METHODS[route]))
        reader = self.server.reader
        if route == _CHAT:
            self._answer(reader.chat(body), is_chat=True)
        elif route == _TEXT:
            self._answer(reader.text(body), is_chat=False)
        elif route == _HEALTH:
            self._send_json({"status": "ok"})
        else:
            model = {"id": reader.name, "object": "model", "created": self.server.created, "owned_by": "rgz"}
            if one_model is None:
                self._send_json({"object": "list", "data": [model]})
            else:
                reader.need_model(one_model)
                self._send_json(model)

    # --- who may ask ---

    def _admit(self, path: str) -> None:
        server, origin = self.server, self.headers.get("Origin")
        if origin is not None and server.allow_origin not in ("*", origin):
            message = tr("pages of {origin} may not ask; `rgz serve --allow-origin` allows it", origin=ascii(origin))
            raise Refusal(HTTPStatus.FORBIDDEN, message)
        if self.command == "OPTIONS" or path == _HEALTH:
            return
        if server.key is not None:
            scheme, _, given = self.headers.get("Authorization", "").partition(" ")
            right = hmac.compare_digest(
                given.encode("latin-1", "replace"), server.key.encode("utf-8", "surrogateescape")
            )
            if scheme.lower() != "bearer" or not right:
                message = tr("the key is missing or wrong; send `Authorization: Bearer KEY`")
                raise Refusal(HTTPStatus.UNAUTHORIZED, message, "invalid_api_key")
        elif server.is_local and not _names_this_machine(self.headers.get("Host", "")):
            message = tr("requests must be made to localhost, or bear a key (`rgz serve --api-key`)")
            raise Refusal(HTTPStatus.FORBIDDEN, message)

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, tr("a request must tell its Content-Length"))
        length, *others = set(self.headers.get_all("Content-Length", ["0"]))
        if others or not (length.isascii() and length.isdigit()) or len(length) > 18:
            raise Refusal(HTTPStatus.BAD_REQUEST, tr("Content-Length must be a number of bytes"))
        if int(length) > _MOST_BYTES:
            self._drain(min(int(length), _DRAINED))
            message = tr(
                "a request has at most {most} bytes, got {got}", most=f"{_MOST_BYTES:,}", got=f"{int(length):,}"
            )
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionResetError  # it left in the middle
        return body

    def _drain(self, count: int) -> None:
        """Take so many bytes while they come: many a client does not read why it is refused before it has sent all."""
        self.connection.settimeout(1.0)
        with contextlib.suppress(TimeoutError):
            while count > 0 and (part := self.rfile.read1(min(count, 1 << 16))):
                count -= len(part)
        self.connection.settimeout(self.timeout)

    # --- what goes over the wire ---

    def _answer(self, request: Request, *, is_chat: bool) -> None:
        reader = self.server.reader
        with self.server.places:
            began = time.monotonic()
            continuation = Continuation(reader.model, reader.tokenizer, request.ids, **request.settings)
            answer = Answer(reader.name, is_chat, continuation, request.stops)
            try:
                (self._stream if request.streams else self._write_whole)(answer, request)
            except RgzError as error:  # nothing is wrong with the request any more
                raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)) from error
            finally:
                count, seconds = answer.n_tokens, time.monotonic() - began
                speed = f"{count / max(seconds, 1e-3):,.0f}"  # clocks may be coarse
                self._notes.append(tr("{count} tokens, {speed} tokens/s", count=count, speed=speed))

    def _write_whole(self, answer: Answer, request: Request) -> None:
        pieces = []
        for piece in answer.pieces():
            if self._has_left():
                raise ConnectionResetError
            pieces.append(piece)
        self._send_json(answer.whole("".join(pieces)))

    def _stream(self, answer: Answer, request: Request) -> None:
        """Server-sent events; the end of the connection ends them."""
        pieces = answer.pieces()
        piece = next(pieces, "")  # what is wrong shows before anything is sent
        self._begin(
            HTTPStatus.OK,
            {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "Connection": "close"},
        )
        try:
            for thing in answer.first():
                self._event(thing)
            while piece:
                self._event(answer.piece(piece))
                piece = next(pieces, "")
            for thing in answer.last(request.tells_usage):
                self._event(thing)
        except RgzError as error:
            self._event(error_object(HTTPStatus.INTERNAL_SERVER_ERROR, str(error)))
            return
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, thing: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + _encoded(thing) + b"\n\n")

    def _has_left(self) -> bool:
        """Whether the client has closed the connection: an answer that nobody waits for keeps others waiting.

        One that has only closed its own half looks the same.
        """
        self.connection.setblocking(False)
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.connection.settimeout(self.timeout)

    def _send_json(self, thing: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, **headers: str) -> None:
        self._send(status, _encoded(thing) + b"\n", {"Content-Type": "application/json", **headers})

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self._begin(status, {**headers, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _begin(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self._status = str(status.value)
        self.send_response(status)
        if self.server.allow_origin is not None:
            headers = {**headers, "Access-Control-Allow-Origin": self.server.allow_origin}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: HTTPStatus, message: str, code: str | None = None) -> None:
        self.close_connection = True
        self._send_json(error_object(status, message, code), status, Connection="close")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses: lines that are no request, other methods."""
        status = HTTPStatus(code)
        self.server.log(_printable(f"{self.client_address[0]} {code} · {message or status.phrase}"))
        self._refuse(status, message or status.phrase)

    def log_message(self, format: str, *args: Any) -> None:
        """http.server's own lines; `_respond` writes ours."""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _names_this_machine(host: str) -> bool:
    """Of a Host header, with or without a port."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _printable(text: str) -> str:
    """Without what a client could do to the terminal that shows it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _encoded(thing: dict[str, Any]) -> bytes:
    return json.dumps(thing, ensure_ascii=False).encode("utf-8", "replace")  # a lone surrogate in what a client sent
