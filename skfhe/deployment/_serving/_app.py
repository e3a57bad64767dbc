"""The routes of the server: the Open Inference Protocol v2, and evaluation keys beside it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

import skfhe
from skfhe.circuit import KeyStream
from skfhe.deployment._record import SERVER_TIMING
from skfhe.deployment._serving._batching import Group
from skfhe.deployment._serving._bodies import content_length, pieces, read_body, too_large
from skfhe.deployment._serving._errors import RequestError, error_body
from skfhe.deployment._serving._exceptions import QuotaExceededError
from skfhe.deployment._serving._logs import is_logged, log, log_to
from skfhe.deployment._serving._observing import Observing, record_of
from skfhe.deployment._serving._openapi import DESCRIPTION, describe
from skfhe.deployment._serving._page import page
from skfhe.deployment._serving._protocol import BINARY_LENGTH, KEY_ID, infer_answer, parse_infer
from skfhe.deployment._serving._repository import ServedModel
from skfhe.deployment._serving._service import Service, stopping_error, unknown_keys
from skfhe.deployment._serving._settings import ServerSettings

__all__ = ["app_of", "create_app"]

_T = TypeVar("_T")
_PEEK_SECONDS = 2.0
_MODEL = "/v2/models/{model}"


def create_app(settings: ServerSettings | None = None) -> FastAPI:
    """Return the server as an ASGI application.

    Its lifespan starts and stops the worker processes, so it is run by one process of an ASGI server; for
    more, start several behind a load balancer, on one store of keys.

    Parameters
    ----------
    settings : ServerSettings, optional
        By default those that environment variables make.

    Returns
    -------
    FastAPI

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        If a setting cannot be read, or a model, or the tokens.
    """
    settings = ServerSettings.from_environment() if settings is None else settings
    if not is_logged():
        log_to(sys.stderr, settings.log_level)
    return app_of(Service.of(settings))


def app_of(service: Service) -> FastAPI:
    """Return a service as an ASGI application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await service.start()
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="skfhe",
        version=skfhe.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to an address made of the request's Host, and to http behind TLS of a proxy
    )
    app.add_middleware(
        Observing, tokens=service.tokens, metrics=service.metrics, is_stopping=lambda: service.is_stopping
    )
    app.add_exception_handler(RequestError, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _not_routed)  # type: ignore[arg-type]
    routes = _Routes(service)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        record_of(request).route = "docs"
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(page(app.openapi()), headers=headers)

    for path, method, route, handler in routes.table():
        for each in method.split():
            app.add_api_route(path, _observed(route, handler), methods=[each], **describe(path, each, route))
    return app


async def _refused(request: Request, error: RequestError) -> Response:
    record_of(request).code = error.code
    return Response(error_body(error), error.status, error.headers, "application/json")


async def _not_routed(request: Request, error: HTTPException) -> Response:
    """Answer what no route is there for, as other errors are answered."""
    refused = RequestError(error.status_code, error.detail, "no_route", error.headers)
    return await _refused(request, refused)


def _observed(route: str, handler: Callable[[Request], Awaitable[Response]]) -> Any:
    async def endpoint(request: Request) -> Response:
        record_of(request).route = route
        return await handler(request)

    return endpoint


class _Routes:
    """What answers each route.

    Parameters
    ----------
    service : Service
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def table(self) -> list[tuple[str, str, str, Callable[[Request], Awaitable[Response]]]]:
        """Return paths, methods, names and what answers them."""
        routes = [
            ("/v2", "GET", "server", self.server),
            ("/v2/health/live", "GET", "health", self.live),
            ("/v2/health/ready", "GET", "health", self.ready),
            ("/v2/models", "GET", "models", self.models),
        ]
        for model in (_MODEL, f"{_MODEL}/versions/{{version}}"):
            keys = f"{model}/keys/{{key_id}}"
            routes += [
                (model, "GET", "model", self.model),
                (f"{model}/ready", "GET", "health", self.model_ready),
                (f"{model}/infer", "POST", "infer", self.infer),
                (f"{model}/client", "GET HEAD", "client", self.client),
                (keys, "PUT", "keys", self.put_keys),
                (keys, "HEAD", "keys", self.has_keys),
                (keys, "DELETE", "keys", self.delete_keys),
            ]
        return [*routes, ("/metrics", "GET", "metrics", self.metrics)]

    def _model(self, request: Request) -> ServedModel:
        """Return the model that a request's path names."""
        record = record_of(request)
        path = request.path_params
        model = self._service.models.get(path["model"], path.get("version"))
        record.model, record.version = model.name, model.version
        return model

    def _body_seconds(self, n_bytes: int) -> float:
        """Return the seconds in which a body must come."""
        settings = self._service.settings
        return settings.body_timeout + n_bytes / settings.min_body_rate

    async def server(self, request: Request) -> Response:
        """Return the metadata of the server."""
        extensions = ["binary_tensor_data", "evaluation_keys", "client_file"]
        return JSONResponse({"name": "skfhe", "version": skfhe.__version__, "extensions": extensions})

    async def live(self, request: Request) -> Response:
        """Tell whether the event loop turns, and somebody looks after the workers."""
        live = self._service.pool.supervised
        return JSONResponse({"live": live}, 200 if live else 503)

    async def ready(self, request: Request) -> Response:
        """Tell whether every model can be run."""
        ready = all(self._service.is_ready(model) for model in self._service.models)
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def models(self, request: Request) -> Response:
        """Name the models."""
        models = self._service.models
        return JSONResponse(
            {"models": [{"name": name, "versions": models.versions(name)} for name in models.names]}
        )

    async def model(self, request: Request) -> Response:
        """Return the metadata of a model."""
        model, settings = self._model(request), self._service.settings
        versions = self._service.models.versions(model.name)
        return JSONResponse(model.metadata(versions, settings.max_rows, settings.max_header_bytes))

    async def model_ready(self, request: Request) -> Response:
        """Tell whether a model can be run."""
        model = self._model(request)
        ready = self._service.is_ready(model)
        return JSONResponse({"name": model.name, "ready": ready}, 200 if ready else 503)

    async def client(self, request: Request) -> Response:
        """Return what a client needs of a model."""
        model = self._model(request)
        tag = f'"{model.digest}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Type": "application/zip"}
        known = [
            each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")
        ]
        if tag in known or known == ["*"]:
            return Response(None, 304, {"ETag": tag, "Cache-Control": "no-cache"})
        return Response(model.client_file, headers=headers)

    async def infer(self, request: Request) -> Response:
        """Run a model on encrypted rows."""
        service, record = self._service, record_of(request)
        deadline = asyncio.get_running_loop().time() + _seconds(request, service.settings.request_timeout)
        model = self._model(request)
        _check_running(service)
        n_bytes = record.bytes_in = content_length(request)
        limit = model.most_request_bytes(service.settings.max_rows, service.settings.max_header_bytes)
        if n_bytes > limit:
            raise too_large(n_bytes, limit)
        with service.bodies.hold(n_bytes, service.batcher.seconds_to_wait(), record.owner.name):
            with record.stage("receive"):
                body = await read_body(request, n_bytes, self._body_seconds(n_bytes))
                asked = parse_infer(
                    body, request.headers.get(BINARY_LENGTH), service.settings.max_header_bytes
                )
                del body
                record.key_id = asked.key_id
                record.rows = service.check(model, asked.batch, asked.key_id)
            group = Group(model.name, model.version, asked.key_id, record.owner.name)
            running = service.run(group, asked.batch, record.rows, deadline)
            finished = await _unless_gone(request, running)
        record.together = finished.n_together
        record.stages.update(wait=finished.waited, run=finished.ran)
        body, headers = infer_answer(asked, model.name, model.version, finished.results)
        return Response(body, headers=headers | {SERVER_TIMING: _told(record.stages)})

    def _key_id(self, request: Request) -> str:
        """Return the key id that a request's path names."""
        key_id: str = request.path_params["key_id"]
        if not KEY_ID.fullmatch(key_id):
            raise RequestError(400, "a key id has 64 hexadecimal digits, in lower case")
        record_of(request).key_id = key_id
        return key_id

    async def put_keys(self, request: Request) -> Response:
        """Keep evaluation keys; those that are there are not read."""
        service, record = self._service, record_of(request)
        model, key_id = self._model(request), self._key_id(request)
        _check_running(service)
        n_bytes = record.bytes_in = content_length(request)
        stream = KeyStream(model.specs, key_id)
        try:
            if n_bytes != stream.n_bytes:
                await _refuse_size(request, n_bytes, stream.n_bytes)
            new = await service.keys.put(
                key_id,
                self._checked(request, stream, n_bytes),
                expected_bytes=n_bytes,
                owner=record.owner.name,
                owner_quota_bytes=record.owner.key_bytes,
            )
        except ValueError as error:
            raise RequestError(400, str(error), "not_these_keys") from None
        except QuotaExceededError as error:
            raise RequestError(413, str(error), "quota", limit=error.limit) from None
        except OSError as error:
            log("store_failed", logging.ERROR, error, request_id=record.request_id)
            raise RequestError(507, "the store of keys is full, or does not work", "store_failed") from None
        service.metrics.uploads.inc(new)
        return JSONResponse({"key_id": key_id, "new": new}, 201 if new else 200)

    async def _checked(self, request: Request, stream: KeyStream, n_bytes: int) -> AsyncIterator[bytes]:
        """Yield a body that is evaluation keys; raise an error where it ceases to be."""
        async for piece in pieces(request, n_bytes, self._body_seconds(n_bytes)):
            stream.update(piece)
            yield piece
        stream.finish()

    async def has_keys(self, request: Request) -> Response:
        """Tell whether evaluation keys are there."""
        self._model(request)
        if not await self._service.keys.has(self._key_id(request)):
            raise unknown_keys()
        return Response(None, 200)

    async def delete_keys(self, request: Request) -> Response:
        """Forget evaluation keys."""
        self._model(request)
        owner = record_of(request).owner.name
        if not await self._service.keys.delete(self._key_id(request), owner):
            raise unknown_keys()
        return Response(None, 204)

    async def metrics(self, request: Request) -> Response:
        """Return what is counted."""
        text = await asyncio.to_thread(self._service.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _told(stages: dict[str, float]) -> str:
    """Return what a client is told of how long its request took here, in milliseconds."""
    return ", ".join(f"{stage};dur={spent * 1000:.2f}" for stage, spent in stages.items())


async def _refuse_size(request: Request, n_bytes: int, expected: int) -> None:
    """Raise an error about keys of another size; if they are secret ones, this is what it says.

    No more than the first bytes are read for that.
    """
    with suppress(RequestError):
        async for piece in pieces(request, n_bytes, _PEEK_SECONDS):
            KeyStream.refuse_secret_keys(piece)
            break
    if n_bytes > expected:
        raise too_large(n_bytes, expected)
    raise RequestError(
        400, f"the model's evaluation keys have {expected} bytes, got {n_bytes}", "not_these_keys"
    )


def _check_running(service: Service) -> None:
    """Raise an error if the server takes no more requests."""
    if service.is_stopping:
        raise stopping_error()


def _seconds(request: Request, most: float) -> float:
    """Return how long a request may take, by its own header or by the server's limit."""
    text = request.headers.get("x-request-timeout")
    if text is None:
        return most
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise RequestError(400, "X-Request-Timeout must be a number of seconds, more than 0")
    return min(seconds, most)


async def _unless_gone(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Return what ``work`` returns; if the client goes before that, cancel it and raise ClientDisconnect."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = asyncio.ensure_future(work), asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ClientDisconnect
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
