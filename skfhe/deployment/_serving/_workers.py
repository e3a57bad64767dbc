"""Worker processes that run batches: native code is in these alone.

A worker runs one call at a time. One that ends, or takes too long, costs the call that it was running and no
other: those that wait are taken by the other workers, or by its successor.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from skfhe.deployment._serving._exceptions import (
    RunTimeoutError,
    UnknownKeysError,
    WorkerDiedError,
    WorkersUnavailableError,
)
from skfhe.deployment._serving._key_store import KeyStore
from skfhe.deployment._serving._worker import EndedError, Worker, WorkerSettings
from skfhe.exceptions import CiphertextMismatchError

__all__ = ["WorkerPool", "WorkerStatus", "available_cores"]

_logger = logging.getLogger("skfhe.serving")
_PATIENCE = 0.25
"""Seconds that a call waits for a busy worker that keeps its keys, about what it takes to expand them."""
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
"""Seconds before a worker is started again that has ended before it was given a run: doubled each time."""
_HARM_REMEMBERED, _MOST_HARM = 600.0, 6
"""Seconds, and workers that runs under the same keys may end within them before no more are begun."""
_STOPPING = "the server is stopping"


def available_cores() -> int:
    """Return how many cores this process may use, by its affinity and the limits of its container."""
    from joblib import cpu_count

    return int(cpu_count())


@dataclass(frozen=True)
class WorkerStatus:
    """One worker, as it is now.

    Parameters
    ----------
    pid : int or None
        None while there is no process.
    alive, ready : bool
        Whether there is a process, and whether it has compiled every model that can be compiled.
    models : frozenset of (str, str)
        Names and versions that it has compiled.
    memory_bytes : int
        Resident.
    kept_keys, kept_key_bytes : int
        Evaluation keys that it keeps expanded.
    runs, restarts : int
        Since the server was started.
    error : str or None
        Why a model could not be compiled.
    """

    pid: int | None
    alive: bool
    ready: bool
    models: frozenset[tuple[str, str]]
    memory_bytes: int
    kept_keys: int
    kept_key_bytes: int
    runs: int
    restarts: int
    error: str | None


@dataclass(eq=False)
class _Call:
    """Batches that are run at once, and who waits for the results."""

    model: tuple[str, str]
    key_id: str
    batches: Sequence[bytes]
    results: "asyncio.Future[list[bytes]]"
    since: float = field(default_factory=time.monotonic)
    place: "_Place | None" = None
    """The only one that it may be run at: where it was when a worker ended."""


@dataclass(eq=False)
class _Place:
    """Where one worker is, after another if it ends."""

    number: int
    worker: Worker | None = None
    ready: bool = False
    next_call: "asyncio.Future[_Call] | None" = None
    """There while its worker waits for one."""
    runs: int = 0
    restarts: int = 0
    failures: int = 0
    """Workers one after another that ended before they were given a run."""


class _Harm:
    """Workers that were ended by runs under the same keys, lately.

    Whoever repeats a request that ends workers, by mistake or not, would keep them busy with their starts.
    """

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = {}

    def note(self, key_id: str) -> None:
        now = time.monotonic()
        for other, times in list(self._times.items()):
            self._times[other] = [then for then in times if now - then < _HARM_REMEMBERED]
            if not self._times[other]:
                del self._times[other]
        self._times.setdefault(key_id, []).append(now)

    def check(self, key_id: str) -> None:
        """Refuse a run under keys under which too many have ended workers."""
        now = time.monotonic()
        n_ended = sum(now - then < _HARM_REMEMBERED for then in self._times.get(key_id, ()))
        if n_ended >= _MOST_HARM:
            raise WorkerDiedError(
                f"runs under these keys have ended {n_ended} processes within {_HARM_REMEMBERED:g} seconds; "
                "no other is begun for as long"
            )


class WorkerPool:
    """Workers, their supervision, and what they run.

    Each belongs to the event loop that `start` is called in, and ends with its thread.

    Parameters
    ----------
    models : mapping of (str, str) to Path
        Folders of models, by name and version.
    keys : KeyStore
        Read here, and sent to workers: they have no access to it.
    n_workers : int
    threads_per_worker : int or None
        That the engine computes with; None divides the cores among the workers.
    memory_limit : int or None
        Bytes that keys and runs may take in each worker, beyond what it has when everything is compiled. What
        needs more fails. None is more than the models' own keys and calls need.
    run_timeout : float
        Seconds after which a run is given up, and its worker ended.
    kept_key_bytes : int
        Of evaluation keys that each worker keeps expanded, those used last.
    loader : str
        Module and class of what a worker makes of a model's folder.
    """

    def __init__(
        self,
        models: Mapping[tuple[str, str], Path],
        keys: KeyStore,
        *,
        n_workers: int,
        threads_per_worker: int | None,
        memory_limit: int | None,
        run_timeout: float,
        kept_key_bytes: int,
        loader: str = "skfhe.deployment._server:Server",
    ) -> None:
        if n_workers < 1:
            raise ValueError(f"expected at least 1 worker, got {n_workers}")
        if memory_limit is not None and memory_limit <= kept_key_bytes:
            raise ValueError(
                f"expected a memory limit above the {kept_key_bytes} bytes of keys that a worker keeps, "
                f"got {memory_limit}"
            )
        n_threads = threads_per_worker or max(1, available_cores() // n_workers)
        self._settings = WorkerSettings(dict(models), n_threads, memory_limit, kept_key_bytes, loader)
        self._keys = keys
        self._run_timeout = run_timeout
        self._places = [_Place(number) for number in range(n_workers)]
        self._harm = _Harm()
        self._waiting: list[_Call] = []
        self._supervisors: list[asyncio.Task[None]] = []
        self._ending: set[asyncio.Task[int]] = set()
        self._stopping = False

    @property
    def supervised(self) -> bool:
        """Whether somebody looks after every worker."""
        return bool(self._supervisors) and not any(task.done() for task in self._supervisors)

    async def start(self) -> None:
        """Start the workers, which begin to compile; runs can be asked for at once."""
        self._supervisors = [asyncio.create_task(self._supervise(place)) for place in self._places]

    async def stop(self, grace: float) -> None:
        """Refuse new runs, finish the others within ``grace`` seconds, and end the workers."""
        self._stopping = True
        end = time.monotonic() + grace
        while time.monotonic() < end and self.supervised and (self._waiting or self._busy()):
            await asyncio.sleep(0.02)
        for task in self._supervisors:
            task.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)
        if self._ending:
            await asyncio.wait(self._ending)
        for call in self._waiting:
            self._fail(call, WorkersUnavailableError(_STOPPING))

    def _busy(self) -> bool:
        return any(place.worker and place.ready and place.next_call is None for place in self._places)

    def status(self) -> Sequence[WorkerStatus]:
        """Return how each worker is; any thread may call this."""
        return [_status(place) for place in self._places]

    async def run(
        self,
        model: str,
        version: str,
        key_id: str,
        batches: Sequence[bytes],
        timeout: float | None = None,
    ) -> list[bytes]:
        """Run batches of one model under one key set, together.

        A single batch whose worker ended is run once more. Several are not: whoever runs them one by one then
        finds out which it was.

        Parameters
        ----------
        model, version : str
        key_id : str
        batches : sequence of bytes
            As `Batch.to_bytes` returns them.
        timeout : float, optional
            Seconds to wait for. The run goes on after that, for what ends runs is their own limit.

        Returns
        -------
        list of bytes
            Results of each batch, in their order.

        Raises
        ------
        CiphertextMismatchError, ValueError
            If a batch, or the keys, are not of this model, or not what they should be.
        UnknownKeysError
        RunTimeoutError
        WorkerDiedError
        WorkersUnavailableError
        """
        name = (model, version)
        if name not in self._settings.models:
            raise ValueError(f"there is no model {model!r} of version {version!r}")
        if self._stopping or not self.supervised:
            raise WorkersUnavailableError(_STOPPING)
        refusal = self._refusal(name)
        if refusal:
            raise refusal
        self._harm.check(key_id)
        await self._keys.use(key_id)
        call = _Call(name, key_id, batches, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._dispatch()
        try:
            async with asyncio.timeout(timeout):
                return await call.results
        except TimeoutError:
            raise RunTimeoutError(f"there were no results within {timeout:g} seconds", False) from None
        finally:
            if call in self._waiting:
                self._waiting.remove(call)

    def _refusal(self, model: tuple[str, str]) -> WorkersUnavailableError | None:
        """Return an error if no worker can run ``model``, and none will soon."""
        if all(place.failures > 1 and not place.ready for place in self._places):
            return WorkersUnavailableError("no worker stays alive; they are started again later")
        workers = [place.worker for place in self._places]
        if all(worker and model in worker.failed for worker in workers):
            return WorkersUnavailableError(f"model {model[0]!r} of version {model[1]!r} cannot be compiled")
        return None

    # Which call goes where

    def _dispatch(self) -> None:
        """Give calls to workers that wait, the oldest call first."""
        for call in list(self._waiting):
            refusal = self._refusal(call.model)
            place = self._place_for(call)
            if refusal:
                self._fail(call, refusal)
            elif place is not None:
                assert place.next_call is not None
                self._waiting.remove(call)
                place.next_call.set_result(call)
                place.next_call = None

    def _place_for(self, call: _Call) -> _Place | None:
        """Return where to run ``call`` now: with a worker that keeps its keys, or one that keeps least."""
        able = [
            place
            for place in self._places
            if place.worker and call.model in place.worker.models and call.place in (None, place)
        ]
        free = [place for place in able if place.next_call is not None]
        keeping = [place for place in able if place.worker and call.key_id in place.worker.kept]
        for place in free:
            if place in keeping:
                return place
        waited = time.monotonic() - call.since
        if keeping and waited < _PATIENCE:
            if free:  # somebody has to come back to it
                asyncio.get_running_loop().call_later(_PATIENCE - waited + 0.001, self._dispatch)
            return None
        return min(free, key=lambda place: place.worker.kept_bytes if place.worker else 0, default=None)

    # What happens to one worker

    async def _supervise(self, place: _Place) -> None:
        """Keep a worker running at ``place``."""
        while True:
            try:
                worker = place.worker = await Worker.start(self._settings)
                self._ending.add(worker.ended)
                worker.ended.add_done_callback(self._ending.discard)
                await self._compile(place, worker)
                await self._serve(place, worker)
            except EndedError:
                pass
            except OSError as error:
                _logger.error("worker_not_started", extra={"fields": {"errno": error.errno}})
            except Exception:  # whatever it is, the next worker is started
                _logger.exception("worker_given_up")
            finally:
                ended = self._let_go(place)
            if ended:
                how = await ended.how_it_ended()
                _logger.warning("worker_ended", extra={"fields": {"worker": place.number, "by": how}})
            place.failures = 0 if ended and ended.runs else place.failures + 1
            place.restarts += 1
            self._dispatch()  # calls that nobody will take are told so
            if place.failures > 1:
                await asyncio.sleep(min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(place.failures, 16)))

    @staticmethod
    def _let_go(place: _Place) -> Worker | None:
        """End the worker at ``place``, and return it."""
        worker, place.worker, place.ready, place.next_call = place.worker, None, False, None
        if worker is not None:
            worker.kill()
        return worker

    async def _compile(self, place: _Place, worker: Worker) -> None:
        """Wait until the worker has compiled every model."""
        start = time.monotonic()
        while not place.ready:
            report, _ = await worker.receive()
            if "failed" in report:
                worker.failed[tuple(report["failed"])] = report["error"]
            elif "compiled" in report:
                worker.models.add(tuple(report["compiled"]))
            place.ready = "ready" in report
            self._dispatch()
        seconds = round(time.monotonic() - start, 3)
        fields = {"worker": place.number, "pid": worker.pid, "seconds": seconds, "models": len(worker.models)}
        _logger.info("worker_started", extra={"fields": fields})

    async def _serve(self, place: _Place, worker: Worker) -> None:
        """Give the worker one call after the other."""
        while True:
            asked = place.next_call = asyncio.get_running_loop().create_future()
            self._dispatch()
            begun = False
            try:
                await asyncio.wait({asked, worker.ended}, return_when=asyncio.FIRST_COMPLETED)
                begun = not worker.ended.done()
            finally:
                if asked.done() and not begun:
                    self._waiting.insert(0, asked.result())
            if not begun:
                raise EndedError
            if not asked.result().results.done():
                await self._execute(place, worker, asked.result())

    async def _execute(self, place: _Place, worker: Worker, call: _Call) -> None:
        """Let the worker run ``call``."""
        try:
            keys = None if call.key_id in worker.kept else await self._read_keys(call.key_id)
        except Exception as error:  # the store's: what they are depends on what it is
            self._fail(call, error)
            return
        try:
            async with asyncio.timeout(self._run_timeout):
                answer, results = await worker.run(call.model, call.key_id, keys, call.batches)
        except TimeoutError:
            message = f"a run took more than {self._run_timeout:g} seconds, and was given up"
            self._harm.note(call.key_id)
            self._fail(call, RunTimeoutError(message, True))
            raise EndedError from None
        except EndedError:
            worker.kill()
            self._died(place, call, await worker.how_it_ended())
            raise
        except asyncio.CancelledError:
            self._fail(call, WorkersUnavailableError(_STOPPING))
            raise
        place.runs += 1
        await self._settle(place, call, answer, results)

    async def _read_keys(self, key_id: str) -> bytes:
        """Return keys as the store has them."""
        try:
            async with asyncio.timeout(self._run_timeout):
                return await asyncio.to_thread(self._keys.read, key_id)
        except TimeoutError:
            raise RunTimeoutError("the key store did not answer", False) from None

    async def _settle(self, place: _Place, call: _Call, answer: dict[str, Any], results: list[bytes]) -> None:
        """Give results or an error to whoever waits for them."""
        fault, message = answer.get("fault"), answer.get("error", "")
        if fault == "engine":
            self._died(place, call, message)
            raise EndedError
        if fault == "keys":  # of the store, then: what is put there was checked
            self._fail(call, UnknownKeysError(call.key_id))
            try:
                await self._keys.discard(call.key_id)
            except Exception as error:  # they are found to be wrong again
                _logger.error("keys_not_discarded", extra={"fields": {"exception": type(error).__name__}})
        elif fault == "mismatch":
            self._fail(call, CiphertextMismatchError(message))
        elif fault == "batch":
            self._fail(call, ValueError(message))
        elif not call.results.done():
            call.results.set_result(results)

    def _died(self, place: _Place, call: _Call, how: str) -> None:
        """Run ``call`` once more, or tell that it cannot be run."""
        self._harm.note(call.key_id)
        if len(call.batches) == 1 and call.place is None:
            call.place = place  # so that it does not end the others, too
            self._waiting.insert(0, call)
            return
        self._fail(call, WorkerDiedError(f"the process that ran it was ended by {how}"))

    @staticmethod
    def _fail(call: _Call, error: Exception) -> None:
        if not call.results.done():
            call.results.set_exception(error)


def _status(place: _Place) -> WorkerStatus:
    worker = place.worker
    if worker is None:
        return WorkerStatus(None, False, False, frozenset(), 0, 0, 0, place.runs, place.restarts, None)
    try:
        memory = psutil.Process(worker.pid).memory_info().rss
    except psutil.Error:
        memory = 0
    return WorkerStatus(
        pid=worker.pid,
        alive=not worker.ended.done(),
        ready=place.ready,
        models=frozenset(list(worker.models)),
        memory_bytes=memory,
        kept_keys=len(worker.kept),
        kept_key_bytes=worker.kept_bytes,
        runs=place.runs,
        restarts=place.restarts,
        error="; ".join(f"{name} {version}: {why}" for (name, version), why in worker.failed.items()) or None,
    )
