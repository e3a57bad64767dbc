"""A server as a process: its socket, its signals, and connections that do nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from skfhe.deployment._serving._app import app_of
from skfhe.deployment._serving._logs import log_to
from skfhe.deployment._serving._service import Service
from skfhe.deployment._serving._settings import ServerSettings

__all__ = ["open_socket", "run_server"]

_LINGER_SECONDS = 5.0
"""That a client has to notice that its request was refused before all of it was sent."""
_CLOSE_SECONDS = 5
"""That a client has to take its last answer when the server stops."""


def run_server(settings: ServerSettings, announce: Callable[[str], Any] = print) -> None:
    """Serve until a signal comes, then stop in order.

    The first SIGTERM or SIGINT lets what runs end, within the grace; what waits and what comes is answered by
    503, so that its clients send it to another server. A second one ends at once.

    Parameters
    ----------
    settings : ServerSettings
    announce : callable, default=print
        Called with lines of text that say what is served, and where.

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        If a model, the tokens or the certificate cannot be read, or the address cannot be listened on.
    """
    service = Service.of(settings)
    handler = log_to(sys.stderr, settings.log_level)
    with open_socket(settings) as listener:
        config = _config(settings, service)
        for line in _announcement(service, listener):
            announce(line)
        _Server(config, service).run(sockets=[listener])
    handler.flush()


def open_socket(settings: ServerSettings) -> socket.socket:
    """Return a socket that listens."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OSError(
            f"cannot listen on {settings.host}, port {settings.port}: {reason}. Choose another port or host"
        ) from None
    # Connections inherit it. asyncio sets it for sockets that it makes itself alone; without it the second
    # packet of an answer waits for the client's acknowledgement of the first, 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _config(settings: ServerSettings, service: Service) -> uvicorn.Config:
    """Return what the HTTP library is told."""

    class Protocol(_Patient):
        head_seconds = settings.head_timeout
        send_seconds = settings.body_timeout

    config = uvicorn.Config(
        app_of(service),
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        h11_max_incomplete_event_size=settings.max_header_bytes,
        timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]  # it need not be whole
        timeout_graceful_shutdown=_CLOSE_SECONDS,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        ssl_ca_certs=settings.tls_client_ca,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.tls_client_ca else ssl.CERT_NONE,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise ValueError(
            f"{settings.tls_cert} and {settings.tls_key} are not a certificate and its key, in PEM, or "
            f"tls_client_ca has no certificates: {error}"
        ) from None
    return config


def _announcement(service: Service, listener: socket.socket) -> list[str]:
    """Return what is said of a server that starts."""
    settings = service.settings
    host, port = listener.getsockname()[:2]
    url = f"{'https' if settings.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [f"skfhe serves {url}"]
    for model in service.models:
        lines.append(
            f"  {model.name}, version {model.version}: {model.row_bytes} bytes a row, "
            f"keys of {model.key_bytes / 1e6:.1f} MB; Client({f'{url}/{model.name}'!r})"
        )
    lines.append(f"Evaluation keys are kept in {settings.keys}")
    workers = f"{settings.workers} worker process{'es' if settings.workers > 1 else ''}"
    tokens = (
        f"{len(service.tokens)} token(s)" if len(service.tokens) else "no tokens: everyone may send requests"
    )
    lines.append(f"{workers}; {tokens}; metrics: {url}/metrics; routes: {url}/docs")
    return [*lines, "Ctrl-C stops it"]


class _Server(uvicorn.Server):
    """Stops in order: what runs is finished while new requests are answered that there will be no more.

    Parameters
    ----------
    config : uvicorn.Config
    service : Service
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as the base class does."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop, or end at once if that has begun."""
        if self._loop is None or self._drain is not None:
            self.should_exit = self.force_exit = True
            return
        self._loop.call_soon_threadsafe(self._begin_to_stop)

    def _begin_to_stop(self) -> None:
        if self._drain is None:
            self._drain = asyncio.create_task(self._stop())

    async def _stop(self) -> None:
        try:
            await self._service.drain()
        finally:
            self.should_exit = True


class _Patient(H11Protocol):
    """Closes connections on which nothing moves.

    These are such on which no request comes, on which a refused one does not end, or whose client takes
    nothing of its answer.
    """

    head_seconds = 20.0
    send_seconds = 20.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take data, and wait for the rest of a request's head that has not come as a whole."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._cancel()

    def on_response_complete(self) -> None:
        """Give a client that still sends what was refused some time to read the answer."""
        super().on_response_complete()
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(_LINGER_SECONDS, self._close_unless_next, self.cycle)
        self._watch_sending()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._cancel()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._close)

    def _watch_sending(self) -> None:
        n_left = self.transport.get_write_buffer_size()
        if n_left:
            self.loop.call_later(self.send_seconds, self._end_unless_taken, self.cycle, n_left)

    def _end_unless_taken(self, cycle: Any, n_bytes: int) -> None:
        if self.cycle is not cycle:
            return
        if self.transport.get_write_buffer_size() >= n_bytes:
            self.transport.abort()
        else:
            self._watch_sending()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_unless_next(self, cycle: Any) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self._close()

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
