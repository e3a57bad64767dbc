"""What a request can be answered instead of a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["RequestError", "busy", "error_body"]


class RequestError(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status : int
        Of HTTP.
    message : str
        For whoever sent the request; never logged.
    code : str
        For programs, and for the log.
    headers : mapping of str to str, optional
    **fields
        That the body has besides.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "malformed",
        headers: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.fields = fields


def error_body(error: RequestError) -> bytes:
    """Return the JSON that the client gets."""
    return json.dumps({"error": str(error), "code": error.code, **error.fields}).encode()


def busy(status: int, message: str, code: str, seconds: float) -> RequestError:
    """Return an error after which the same request may be sent again.

    Parameters
    ----------
    status : {429, 503}
    message : str
    code : str
    seconds : float
        After which it is worth while; whole ones are told, at least one.
    """
    return RequestError(status, message, code, {"Retry-After": str(max(1, round(seconds + 0.5)))})
