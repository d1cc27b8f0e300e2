"""What a request cannot have, with the status of HTTP that says it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rgz.errors import RgzError


class Refusal(RgzError):
    """A request that is refused with a status of its own; any other RgzError stands for 400 Bad Request.

    code : OpenAI's name of the reason, where it has one.
    """

    def __init__(self, status: HTTPStatus, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def error_object(status: HTTPStatus, message: str, code: str | None = None) -> dict[str, Any]:
    """The body of an error, as OpenAI's clients read it."""
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
