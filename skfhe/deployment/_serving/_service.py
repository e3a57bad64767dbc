"""What a server does, apart from how it is asked over HTTP."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skfhe.circuit import Batch
from skfhe.deployment._serving._auth import Tokens, read_tokens
from skfhe.deployment._serving._batching import Batcher, Finished, Group, stopping_error
from skfhe.deployment._serving._bodies import BodyMemory
from skfhe.deployment._serving._errors import RequestError, busy
from skfhe.deployment._serving._exceptions import (
    RunTimeoutError,
    UnknownKeysError,
    WorkerDiedError,
    WorkersUnavailableError,
)
from skfhe.deployment._serving._logs import log
from skfhe.deployment._serving._metrics import Metrics
from skfhe.deployment._serving._repository import ModelRepository, ServedModel, read_models
from skfhe.deployment._serving._settings import ServerSettings
from skfhe.exceptions import CiphertextMismatchError

if TYPE_CHECKING:
    from skfhe.deployment._serving._key_store import KeyStore
    from skfhe.deployment._serving._workers import WorkerPool

__all__ = ["Service", "stopping_error", "unknown_keys"]

_EXPIRY_SECONDS = 300.0
_RESTART_SECONDS = 5.0


class Service:
    """Models, workers, keys and the requests that wait.

    Parameters
    ----------
    settings : ServerSettings
    models : ModelRepository
    tokens : Tokens
    keys : KeyStore
    pool : WorkerPool

    Attributes
    ----------
    settings, models, tokens, keys, pool
    metrics : Metrics
    bodies : BodyMemory
    batcher : Batcher
    is_stopping : bool
    """

    def __init__(
        self,
        settings: ServerSettings,
        models: ModelRepository,
        tokens: Tokens,
        keys: KeyStore,
        pool: WorkerPool,
    ) -> None:
        self.settings = settings
        self.models = models
        self.tokens = tokens
        self.keys = keys
        self.pool = pool
        self.metrics = Metrics()
        self.metrics.show(self)
        self.bodies = BodyMemory(settings.max_body_memory)
        self.batcher = Batcher(
            pool.run,
            self.metrics,
            n_slots=settings.workers,
            max_rows=settings.max_batch_rows,
            window=settings.window,
            max_waiting=settings.max_waiting,
        )
        self.is_stopping = False
        self._expiry: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: ServerSettings) -> Service:
        """Return the service that ``settings`` describe; models and tokens are read, nothing is started.

        Raises
        ------
        FileNotFoundError, ValueError, OSError
            If a model or the tokens cannot be read.
        """
        from skfhe.deployment._serving._key_store import KeyStore
        from skfhe.deployment._serving._workers import WorkerPool

        models = read_models(settings.folders)
        tokens = read_tokens(settings)
        keys = KeyStore(
            settings.keys,
            quota_bytes=settings.key_quota,
            max_age_seconds=settings.key_max_age,
            # Without tokens all clients are one owner, and the first hundred would keep out all others.
            max_keys_per_owner=settings.keys_per_owner if len(tokens) else None,
        )
        pool = WorkerPool(
            {(model.name, model.version): model.folder for model in models},
            keys,
            n_workers=settings.workers,
            threads_per_worker=settings.threads,
            memory_limit=settings.worker_memory,
            run_timeout=settings.run_timeout,
            kept_key_bytes=settings.kept_key_bytes,
        )
        return cls(settings, models, tokens, keys, pool)

    async def start(self) -> None:
        """Start the workers; they compile the models while requests can be taken already."""
        await self.pool.start()
        self._expiry = asyncio.create_task(self._expire())
        for model in self.models:
            log("model", model=model.name, version=model.version, circuit_id=model.specs.circuit_id)

    async def drain(self) -> None:
        """Take no more requests, refuse those that wait, and let those that run end, within the grace."""
        if not self.is_stopping:
            log("stopping", waiting=self.batcher.n_waiting, running=self.batcher.n_running)
        self.is_stopping = True
        await self.batcher.stop(self.settings.grace)

    async def stop(self) -> None:
        """Stop everything."""
        await self.drain()
        if self._expiry is not None:
            self._expiry.cancel()
        await self.pool.stop(1.0)
        log("stopped")

    async def _expire(self) -> None:
        """Remove keys that nobody used for long, again and again."""
        while True:
            try:
                n_removed = await self.keys.expire()
            except Exception as error:
                log("expiry_failed", logging.ERROR, error)
            else:
                self.metrics.evictions.inc(n_removed)
                if n_removed:
                    log("keys_expired", keys=n_removed)
            await asyncio.sleep(_EXPIRY_SECONDS)

    def is_ready(self, model: ServedModel) -> bool:
        """Whether a worker has compiled the model."""
        wanted = model.name, model.version
        return not self.is_stopping and any(s.alive and wanted in s.models for s in self.pool.status())

    def check(self, model: ServedModel, data: bytes, key_id: str) -> int:
        """Return the rows of a batch that has come, if it can be run; it then does its neighbours no harm.

        Parameters
        ----------
        model : ServedModel
        data : bytes
        key_id : str
            That the request names.

        Returns
        -------
        int

        Raises
        ------
        RequestError
            If it is not a batch of encrypted inputs of the model, under these keys.
        """
        try:
            batch = Batch.from_bytes(data)
            if len(batch) > self.settings.max_rows:
                limit = self.settings.max_rows
                message = f"the request has {len(batch)} rows, and may have {limit}"
                raise RequestError(413, message, "too_many_rows", limit=limit)
            model.specs.check_batch(batch, "inputs", key_id)
        except CiphertextMismatchError as error:
            raise RequestError(400, str(error), "mismatch") from None
        except ValueError as error:
            raise RequestError(400, str(error)) from None
        return len(batch)

    async def run(self, group: Group, data: bytes, n_rows: int, deadline: float) -> Finished:
        """Return the results of a batch that `check` has found fit to be run.

        Raises
        ------
        RequestError
            Whatever comes between, as the client is to be told.
        """
        try:
            return await self.batcher.submit(group, data, n_rows, deadline)
        except UnknownKeysError:
            raise unknown_keys() from None
        except WorkersUnavailableError as error:
            raise busy(503, str(error), "no_workers", _RESTART_SECONDS) from None
        except WorkerDiedError as error:
            raise RequestError(500, str(error), "worker_died") from None
        except RunTimeoutError as error:
            raise RequestError(500, str(error), "run_timeout") from None
        except ValueError as error:
            raise RequestError(400, str(error), "mismatch") from None

    def gauges(self) -> Sequence[tuple[str, str, float]]:
        """Return what is read at every scrape of the metrics."""
        try:
            usage = self.keys.usage()
            n_keys, n_bytes = float(usage.n_keys), float(usage.n_bytes)
        except Exception as error:  # all else is wanted the more when the store does not work
            log("store_failed", logging.ERROR, error)
            n_keys = n_bytes = math.nan
        return [
            ("waiting_requests", "Infer requests that wait.", self.batcher.n_waiting),
            ("running_batches", "Batches that are run.", self.batcher.n_running),
            ("body_bytes", "Bytes of bodies that are held.", self.bodies.held),
            ("keys", "Evaluation keys in the store.", n_keys),
            ("key_bytes", "Bytes of evaluation keys in the store.", n_bytes),
            ("stopping", "Whether the server is stopping.", self.is_stopping),
        ]

    def workers(self) -> Sequence[Any]:
        """Return the status of each worker."""
        return self.pool.status()


def unknown_keys() -> RequestError:
    """Return what is answered under keys that are not there."""
    return RequestError(
        404, "the server does not have these evaluation keys: upload them, and repeat", "unknown_key"
    )
