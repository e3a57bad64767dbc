"""What surrounds every request: who sent it, its id, a line in the log, and what is counted of it."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skfhe.deployment._serving._auth import Owner, Tokens
from skfhe.deployment._serving._errors import RequestError, error_body
from skfhe.deployment._serving._logs import log, shortened
from skfhe.deployment._serving._metrics import Metrics

__all__ = ["Observing", "Record", "record_of"]

_HUNG_UP = 499
"""Logged of a request that was given up, by a custom of others; nobody is sent it."""
_OPEN = ("/v2/health/", "/docs", "/openapi.json")
"""Paths that need no token: those that balance load have none, and what all can read has no secret."""


@dataclass(eq=False)
class Record:
    """What is known of a request, for the log and for what is counted.

    Parameters
    ----------
    request_id : str
    owner : Owner
        Of the token.
    """

    request_id: str
    owner: Owner
    route: str = "other"
    model: str | None = None
    version: str | None = None
    key_id: str | None = None
    bytes_in: int | None = None
    rows: int | None = None
    together: int | None = None
    code: str | None = None
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done while the context is open."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = time.perf_counter() - start


def record_of(request: Request) -> Record:
    """Return the record of a request."""
    record: Record = request.scope["skfhe.record"]
    return record


class Observing:
    """ASGI middleware around all routes.

    Parameters
    ----------
    app : ASGI application
    tokens : Tokens
    metrics : Metrics
    is_stopping : callable
        Whether connections should be closed after their answer.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, metrics: Metrics, is_stopping: Any) -> None:
        self._app = app
        self._tokens = tokens
        self._metrics = metrics
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        owner = self._tokens.owner(headers.get("authorization"))
        record = Record(_request_id(headers.get("x-request-id")), owner or Owner("nobody"))
        scope["skfhe.record"] = record
        answer = _Answer(send, record, self._is_stopping)
        start = time.perf_counter()
        error: Exception | None = None
        try:
            if "content-length" in headers and "transfer-encoding" in headers:
                await answer.refuse(_two_lengths())
            elif owner is None and not scope["path"].startswith(_OPEN):
                await answer.refuse(_no_token())
            else:
                await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = answer.status or _HUNG_UP
        except Exception as raised:
            error = raised
            await answer.refuse(
                RequestError(500, f"the server failed; its log has request {record.request_id}", "internal")
            )
        finally:
            self._finish(scope, record, answer, time.perf_counter() - start, error)

    def _finish(
        self, scope: Scope, record: Record, answer: _Answer, seconds: float, error: Exception | None
    ) -> None:
        """Log and count a request that is over."""
        status = answer.status or _HUNG_UP
        if answer.began is not None:
            record.stages["send"] = time.perf_counter() - answer.began
        self._metrics.requests.labels(record.route, str(status)).inc()
        if record.route == "infer" and record.model:
            for stage, spent in record.stages.items():
                self._metrics.stages.labels(record.model, stage).observe(spent)
        level = logging.ERROR if status >= 500 and status != 503 else logging.INFO
        if record.route in ("health", "metrics") and status < 500:
            level = logging.DEBUG
        log(
            "request",
            level,
            error,
            request_id=record.request_id,
            owner=record.owner.name or None,
            method=scope["method"] if scope["method"].isalpha() else None,
            route=record.route,
            model=record.model,
            version=record.version,
            key_id=shortened(record.key_id),
            status=status,
            code=record.code,
            bytes_in=record.bytes_in,
            bytes_out=answer.n_bytes,
            rows=record.rows,
            together=record.together,
            seconds=round(seconds, 6),
            **{f"{stage}_seconds": round(spent, 6) for stage, spent in record.stages.items()},
        )


class _Answer:
    """Passes an answer on, and keeps what is to be known of it."""

    def __init__(self, send: Send, record: Record, is_stopping: Any) -> None:
        self._send = send
        self._record = record
        self._is_stopping = is_stopping
        self.status: int | None = None
        self.began: float | None = None
        self.n_bytes = 0

    async def send(self, message: Message) -> None:
        """Send one message of ASGI."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.began = time.perf_counter()
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._record.request_id
            if self._is_stopping():
                headers["Connection"] = "close"
        else:
            self.n_bytes += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, error: RequestError) -> None:
        """Send an error, unless an answer has begun."""
        if self.status is not None:
            return
        self._record.code = error.code
        headers = {"content-type": "application/json", **error.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        body = error_body(error)
        raw.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": error.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


def _request_id(given: str | None) -> str:
    """Return the id that a proxy or a client has given, if it can stand in a log, or a new one."""
    return given if given and re.fullmatch("[A-Za-z0-9._-]{1,64}", given) else secrets.token_hex(8)


def _two_lengths() -> RequestError:
    """Return what is answered where a proxy and this server may not agree on where the request ends.

    What comes after it on the connection may be part of its body for the one, another request for the other.
    """
    message = "the request has both Content-Length and Transfer-Encoding; it can have one of them"
    return RequestError(400, message, "two_lengths", {"Connection": "close"})


def _no_token() -> RequestError:
    message = "the request needs a token that the server knows: Authorization: Bearer TOKEN"
    return RequestError(401, message, "no_token", {"WWW-Authenticate": "Bearer"})
