"""HTTP requests that end: within the seconds that they have, after repeating what is safe to repeat."""

import asyncio
import json
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from skfhe.exceptions import (
    RequestRefusedError,
    ServerError,
    ServerTimeoutError,
    ServerUnavailableError,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["Body", "Connection", "Reply", "load_httpx"]

REPEATED = frozenset({408, 429, 502, 503, 504})
"""Answers after which the same request may succeed. Nothing that is asked here does harm when repeated."""
CONNECT_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
MOST_JSON_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 18
_MOST_TEXT = 500


def load_httpx() -> Any:
    """Return httpx, which only clients of a server need."""
    try:
        import httpx
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        raise ImportError(
            'to talk to a server one needs httpx, which is not installed: pip install "skfhe[client]", '
            "or httpx alone where the client was installed without torch and the engine"
        ) from None
    return httpx


@dataclass(frozen=True)
class Body:
    """What is sent.

    Parameters
    ----------
    data : bytes
    headers : mapping of str to str
        That say what it is.
    sent : callable, optional
        Told how many bytes have been given to the network, from 0 whenever the request is made again.
    """

    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: Callable[[int], None] | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the data in pieces of a size that a progress bar moves by."""
        for start in range(0, len(self.data), _CHUNK_BYTES):
            if self.sent is not None:
                self.sent(start)
            yield self.data[start : start + _CHUNK_BYTES]
        if self.sent is not None:
            self.sent(len(self.data))


@dataclass(frozen=True)
class Reply:
    """What came back.

    Parameters
    ----------
    status : int
    headers : mapping of str to str
        Their names in any case.
    body : bytes
    times : tuple of float
        When the request was begun, its body had been given to the network, the answer began, and it ended,
        as `time.perf_counter` tells it.
    repeated_from : float or None
        When the first attempt was begun, if there were others before this one.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    times: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    repeated_from: float | None = None

    def json(self) -> dict[str, Any]:
        """Return the JSON object of the body, or an empty one if it holds anything else."""
        try:
            content = json.loads(self.body[:MOST_JSON_BYTES])
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def retry_after(self) -> float:
        """Seconds that the server asks to wait, 0 if it does not say."""
        text = self.headers.get("Retry-After", "")
        try:
            return max(0.0, float(int(text)))
        except (ValueError, OverflowError):
            pass
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, OverflowError):
            return 0.0


class Connection:
    """How one server is asked. It belongs to one event loop.

    Parameters
    ----------
    root : str
        The address that every path is appended to.
    token : str or None
    verify : bool or ssl.SSLContext
    max_retries : int
        How many times a request is made again.
    """

    def __init__(
        self, root: str, token: str | None, verify: "bool | ssl.SSLContext", max_retries: int
    ) -> None:
        library = load_httpx()
        self.root = root
        self.max_retries = max_retries
        self._token = token
        # Ciphertexts cannot be compressed, and what is not decompressed cannot grow.
        headers = {"Accept-Encoding": "identity", "User-Agent": "skfhe"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._client: httpx.AsyncClient = library.AsyncClient(
            headers=headers,
            verify=verify,
            timeout=library.Timeout(None, connect=CONNECT_SECONDS),
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        accepted: frozenset[int] = frozenset({200}),
        most_bytes: int = MOST_JSON_BYTES,
    ) -> Reply:
        """Make a request until it has an answer.

        Parameters
        ----------
        method, path : str
        seconds : float
            For all of it, pauses included.
        body : Body, optional
        headers : mapping of str to str, optional
        accepted : frozenset of int
            Statuses of an answer that is returned.
        most_bytes : int
            Of an answer.

        Returns
        -------
        Reply

        Raises
        ------
        ServerUnavailableError
            If there was no connection, or the server was busy, at every attempt.
        ServerTimeoutError
            If the seconds are over, or would be before the server wants to be asked again.
        RequestRefusedError
            If the server will not do it.
        ServerError
            If it failed.
        """
        httpx = load_httpx()
        what = f"{method} {self.root}{path}"
        begun, end = time.perf_counter(), time.monotonic() + seconds
        met = "the server did not answer"
        try:
            async with asyncio.timeout(seconds):
                for attempt in range(self.max_retries + 1):
                    wait = 0.0
                    try:
                        reply = await self._once(method, path, end, body, headers or {}, most_bytes)
                    except httpx.TransportError as error:
                        met = f"{type(error).__name__}: {error}".removesuffix(": ")
                        if _is_lasting(error):
                            raise ServerUnavailableError(f"{what}: {met}") from None
                    else:
                        if reply.status in accepted:
                            return replace(reply, repeated_from=begun) if attempt else reply
                        met = self._said(reply)
                        if reply.status not in REPEATED:
                            raise self.refusal(method, path, reply)
                        wait = reply.retry_after
                    if attempt == self.max_retries:
                        break
                    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt) * random.uniform(0.5, 1.0)
                    await self._pause(max(wait, pause), end, what, met)
        except TimeoutError as error:
            if isinstance(error, ServerError):
                raise
            raise ServerTimeoutError(
                f"{what}: no answer within {seconds:g} s; the last that happened: {met}. Allow more time, or "
                "send fewer rows"
            ) from None
        raise ServerUnavailableError(f"{what}: tried {self.max_retries + 1} times; the last time {met}")

    @staticmethod
    async def _pause(seconds: float, end: float, what: str, met: str) -> None:
        """Wait before the next attempt, if there is time for one."""
        if time.monotonic() + seconds >= end:
            raise ServerTimeoutError(
                f"{what}: {met}; it may be asked again in {seconds:.1f} s, which is beyond the time allowed"
            )
        await asyncio.sleep(seconds)

    async def _once(
        self,
        method: str,
        path: str,
        end: float,
        body: Body | None,
        headers: Mapping[str, str],
        most_bytes: int,
    ) -> Reply:
        """Make a request once."""
        sent = {**headers, "X-Request-Timeout": f"{max(end - time.monotonic(), 0.001):.3f}"}
        if body is not None:
            sent |= {**body.headers, "Content-Length": str(len(body.data))}
        begun = given = time.perf_counter()

        async def chunks(body: Body) -> AsyncIterator[bytes]:
            nonlocal given
            async for chunk in body.chunks():
                yield chunk
            given = time.perf_counter()

        request = self._client.build_request(
            method, self.root + path, headers=sent, content=None if body is None else chunks(body)
        )
        response = await self._client.send(request, stream=True)
        answered = time.perf_counter()
        try:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise ServerError(
                    f"{method} {self.root}{path}: the answer is compressed, though not asked to be"
                )
            found = bytearray()
            async for chunk in response.aiter_raw():
                found += chunk
                if len(found) > most_bytes:
                    raise ServerError(
                        f"{method} {self.root}{path}: the answer is longer than {most_bytes} bytes"
                    )
            times = begun, given, answered, time.perf_counter()
            return Reply(response.status_code, response.headers, bytes(found), times)
        finally:
            await response.aclose()

    def _said(self, reply: Reply) -> str:
        """Return what the server said in words, which are not to be trusted."""
        text = reply.json().get("error")
        if not isinstance(text, str):
            return f"status {reply.status}"
        if self._token:
            text = text.replace(self._token, "[token]")
        shown = "".join(letter if letter.isprintable() else " " for letter in text[:_MOST_TEXT])
        return f"status {reply.status}: {shown}"

    def refusal(self, method: str, path: str, reply: Reply) -> ServerError:
        """Return the error for an answer that is final.

        Parameters
        ----------
        method, path : str
        reply : Reply

        Returns
        -------
        ServerError
        """
        what, said = f"{method} {self.root}{path}", self._said(reply)
        if 300 <= reply.status < 400:
            return RequestRefusedError(
                f"{what}: the server answers from another address, {reply.headers.get('Location')!r}; "
                "redirections are not followed, so give that one"
            )
        if reply.status in (401, 403):
            given = "the token given is not one that it accepts" if self._token else "it asks for a token"
            return RequestRefusedError(
                f"{what}: {said}; {given}: pass token= as whoever runs it gave it to you"
            )
        if 400 <= reply.status < 500:
            return RequestRefusedError(f"{what}: {said}")
        return ServerError(f"{what}: {said}")


def _is_lasting(error: BaseException) -> bool:
    """Whether a connection would fail in the same way again: the name or the certificate is wrong."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return True
        if isinstance(found, socket.gaierror) and found.errno == socket.EAI_NONAME:
            return True
        found = found.__cause__ or found.__context__
    return bool(type(error).__name__ in ("UnsupportedProtocol", "LocalProtocolError"))
