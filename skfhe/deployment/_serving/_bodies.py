"""Bodies of requests, read within limits of size, time and memory."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from skfhe.deployment._serving._errors import RequestError, busy

__all__ = ["BodyMemory", "content_length", "pieces", "read_body", "too_large"]


class BodyMemory:
    """Counts the bytes of bodies that are held, and refuses those for which there is no room.

    Parameters
    ----------
    n_bytes : int
        That there may be at one time.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._of: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._of.total()

    @contextmanager
    def hold(self, n_bytes: int, seconds: float, owner: str) -> Iterator[None]:
        """Count ``n_bytes`` while the context is open.

        Parameters
        ----------
        n_bytes : int
        seconds : float
            After which there may be room, if there is none.
        owner : str
            Who has sent them. If it has a name, no more than half is for it.

        Raises
        ------
        RequestError
            If there is no room for them.
        """
        own, most_own = self._of[owner], self._n_bytes // 2 if owner else self._n_bytes
        if self.held + n_bytes > self._n_bytes or (own and own + n_bytes > most_own):
            message = f"requests being received or waiting have {self.held} bytes already, yours {own}"
            raise busy(429, message, "busy", seconds)
        self._of[owner] += n_bytes
        try:
            yield
        finally:
            self._of[owner] -= n_bytes


def too_large(n_bytes: int, limit: int) -> RequestError:
    """Return what a body of more bytes than the limit is answered."""
    return RequestError(413, f"the body has {n_bytes} bytes, and may have {limit}", "too_large", limit=limit)


def content_length(request: Request) -> int:
    """Return the bytes that a body is said to have.

    Raises
    ------
    RequestError
        If they are not said, or the body is compressed.
    """
    length = request.headers.get("content-length")
    if length is None:
        raise RequestError(
            411, "the request must tell the bytes of its body in Content-Length", "length_required"
        )
    if not re.fullmatch("[0-9]{1,15}", length):
        raise RequestError(400, "Content-Length is not a number of bytes")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RequestError(415, "a body is not compressed: ciphertexts and keys cannot be", "compressed")
    return int(length)


async def pieces(request: Request, n_bytes: int, seconds: float) -> AsyncIterator[bytes]:
    """Yield a body as it comes.

    Parameters
    ----------
    request : Request
    n_bytes : int
        That it has.
    seconds : float
        In which it must have come.

    Yields
    ------
    bytes

    Raises
    ------
    RequestError
        If it takes longer, or is longer than it should.
    ClientDisconnect
        If the client has gone.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    more = True
    while more:
        try:
            async with asyncio.timeout_at(deadline):
                message = await request.receive()
        except TimeoutError:
            text = f"the body did not come within {seconds:.0f} seconds"
            raise RequestError(408, text, "slow_body", {"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        piece = message.get("body", b"")
        n_bytes -= len(piece)
        if n_bytes < 0 or (n_bytes > 0 and not more):
            raise RequestError(400, "the body has another length than Content-Length says")
        if piece:
            yield piece


async def read_body(request: Request, n_bytes: int, seconds: float) -> bytes:
    """Return a body; see `pieces`."""
    return b"".join([piece async for piece in pieces(request, n_bytes, seconds)])
