"""Requests that wait, and those that are run together.

Requests of one model under one key set can be run as one batch. While all workers are busy, they gather; a
worker that is free takes those of one key set, up to a number of rows, then it is the next key set's turn.
Where there are tokens, each has its turn, whatever number of key sets requests come under.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from skfhe.deployment._serving._errors import RequestError, busy
from skfhe.deployment._serving._exceptions import RunTimeoutError, WorkerDiedError
from skfhe.deployment._serving._logs import log, shortened
from skfhe.deployment._serving._metrics import Metrics

__all__ = ["Batcher", "Finished", "Group", "stopping_error"]

_MOST_RETRY_SECONDS = 60.0
_MEMORY = 0.8
"""Of what is known of a model's speed, when another batch has been run."""


class Group(NamedTuple):
    """What requests have in common that may be run together."""

    model: str
    version: str
    key_id: str
    owner: str = ""
    """Name of the token that they came with; none without tokens."""


class Finished(NamedTuple):
    """The results of one request, and how they came about."""

    results: bytes
    waited: float
    ran: float
    n_together: int


@dataclass(eq=False)
class _Request:
    batch: bytes
    n_rows: int
    done: asyncio.Future[Finished]
    since: float


@dataclass(eq=False)
class _Waiting:
    """Requests of one group, in the order in which they came."""

    is_open: bool
    """Whether they have waited for company as long as they should."""
    requests: dict[_Request, None] = field(default_factory=dict)
    n_rows: int = 0

    def add(self, request: _Request) -> None:
        self.requests[request] = None
        self.n_rows += request.n_rows

    def remove(self, request: _Request) -> None:
        del self.requests[request]
        self.n_rows -= request.n_rows

    def take(self, max_rows: int) -> list[_Request]:
        """Remove and return the first requests, at least one, of at most ``max_rows`` together."""
        taken: list[_Request] = []
        n_rows = 0
        for request in self.requests:
            if taken and n_rows + request.n_rows > max_rows:
                break
            taken.append(request)
            n_rows += request.n_rows
        for request in taken:
            self.remove(request)
        return taken


def stopping_error(seconds: float = 1.0) -> RequestError:
    """Return what requests are answered that a server cannot take any more."""
    return busy(503, "the server is stopping: send the request again, to another", "stopping", seconds)


class Batcher:
    """Runs requests, as many together as there are.

    Parameters
    ----------
    run : callable
        ``await run(model, version, key_id, batches)`` returns the bytes of results, one for each.
    metrics : Metrics
    n_slots : int
        Calls of ``run`` at one time.
    max_rows : int
        Of requests that are run together.
    window : float
        Seconds that the first request of a group waits for others though a slot is free.
    max_waiting : int
        Requests that may wait, half of them of one owner, or, where owners have no names, under one key set.
    """

    def __init__(
        self,
        run: Callable[[str, str, str, Sequence[bytes]], Awaitable[list[bytes]]],
        metrics: Metrics,
        *,
        n_slots: int,
        max_rows: int,
        window: float,
        max_waiting: int,
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._n_slots = self._free = n_slots
        self._max_rows = max_rows
        self._window = window
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[Group, _Waiting] = OrderedDict()
        """By whose turn it is, of those of one owner."""
        self._n_runs = 0
        self._last_run: dict[str, int] = {}
        """Number of the last run of each owner."""
        self._running: dict[asyncio.Task[None], list[_Request]] = {}
        self._seconds_a_row: dict[tuple[str, str], float] = {}
        self._stopping = False
        self.n_waiting = 0

    @property
    def n_running(self) -> int:
        """Batches that are run now."""
        return len(self._running)

    async def submit(self, group: Group, batch: bytes, n_rows: int, deadline: float) -> Finished:
        """Return the results of one request when they are there.

        Whoever cancels this takes the request out of those that wait; what is run already is run to its end.

        Parameters
        ----------
        group : Group
        batch : bytes
            Checked: it fits the model, and is under the keys of the group.
        n_rows : int
        deadline : float
            By the event loop's clock.

        Returns
        -------
        Finished

        Raises
        ------
        RequestError
            If there is no room for another request, the server stops, or the deadline has passed.
        Exception
            What ``run`` raised for this request alone.
        """
        loop = asyncio.get_running_loop()
        self._check_room(group)
        request = _Request(batch, n_rows, loop.create_future(), loop.time())
        waiting = self._waiting.get(group)
        if waiting is None:
            waiting = self._waiting[group] = _Waiting(is_open=not self._window)
            if self._window:
                loop.call_later(self._window, self._open, waiting)
        waiting.add(request)
        self.n_waiting += 1
        self._dispatch()
        try:
            async with asyncio.timeout_at(deadline) as limit:
                return await request.done
        except TimeoutError:
            if not limit.expired():  # the run's own
                raise
            raise RequestError(
                504, "the request's time was over before its results were there", "deadline"
            ) from None
        finally:
            self._forget(group, request)

    def _check_room(self, group: Group) -> None:
        """Raise an error unless one more request may wait."""
        if self._stopping:
            raise stopping_error()
        if self.n_waiting >= self._max_waiting:
            raise busy(429, f"{self.n_waiting} requests wait already", "busy", self.seconds_to_wait())
        n_same = sum(
            len(waiting.requests)
            for other, waiting in self._waiting.items()
            if other == group or (group.owner and other.owner == group.owner)
        )
        if n_same >= max(1, self._max_waiting // 2):
            message = (
                f"{n_same} requests {'with this token' if group.owner else 'under these keys'} wait already"
            )
            raise busy(429, message, "busy", self.seconds_to_wait())

    def seconds_to_wait(self) -> float:
        """Return how long what waits now will take, by the speed that was measured."""
        seconds = sum(
            waiting.n_rows * self._seconds_a_row.get((group.model, group.version), 0.0)
            for group, waiting in self._waiting.items()
        )
        return min(seconds / self._n_slots, _MOST_RETRY_SECONDS)

    def _forget(self, group: Group, request: _Request) -> None:
        """Remove a request from those that wait, if it is there."""
        waiting = self._waiting.get(group)
        if waiting is not None and request in waiting.requests:
            waiting.remove(request)
            self.n_waiting -= 1
            if not waiting.requests:
                del self._waiting[group]

    def _open(self, waiting: _Waiting) -> None:
        waiting.is_open = True
        self._dispatch()

    def _dispatch(self) -> None:
        """Start as many runs as there are free slots and groups that have waited long enough."""
        while self._free and not self._stopping:
            ready = (
                group
                for group, waiting in self._waiting.items()
                if waiting.is_open or waiting.n_rows >= self._max_rows
            )
            group = min(ready, key=lambda each: self._last_run.get(each.owner, 0), default=None)
            if group is None:
                return
            waiting = self._waiting[group]
            taken = waiting.take(self._max_rows)
            self.n_waiting -= len(taken)
            if waiting.requests:
                self._waiting.move_to_end(group)
            else:
                del self._waiting[group]
            self._free -= 1
            self._n_runs += 1
            if group.owner:
                self._last_run[group.owner] = self._n_runs
            task = asyncio.create_task(self._run_together(group, taken))
            self._running[task] = taken
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """Free the slot of a run that is over."""
        for request in self._running.pop(task):
            if not request.done.done():  # only a bug, or the end of the event loop, leaves one
                request.done.set_exception(RequestError(500, "the run has ended without results", "internal"))
        self._free += 1
        if not task.cancelled():
            task.result()
        self._dispatch()

    async def _run_together(self, group: Group, requests: list[_Request]) -> None:
        """Run requests as one batch, and one by one if that fails and may be the fault of one of them."""
        try:
            await self._run_once(group, requests)
        except Exception as error:
            if len(requests) == 1 or not isinstance(error, WorkerDiedError | RunTimeoutError | ValueError):
                _fail(requests, error)
                return
            log(
                "batch_is_split",
                logging.WARNING,
                model=group.model,
                version=group.version,
                key_id=shortened(group.key_id),
                requests=len(requests),
                error=type(error).__name__,
            )
            for request in requests:
                try:
                    await self._run_once(group, [request])
                except Exception as own:
                    _fail([request], own)

    async def _run_once(self, group: Group, requests: list[_Request]) -> None:
        """Run requests of which the client has not gone, and give each its results."""
        present = [request for request in requests if not request.done.done()]
        if not present:
            return
        loop = asyncio.get_running_loop()
        start, n_rows = loop.time(), sum(request.n_rows for request in present)
        results = await self._run(
            group.model, group.version, group.key_id, [request.batch for request in present]
        )
        if len(results) != len(present):
            raise RuntimeError(f"{len(present)} batches were run, and {len(results)} returned")
        seconds = loop.time() - start
        model = group.model, group.version
        before = self._seconds_a_row.get(model, seconds / n_rows)
        self._seconds_a_row[model] = _MEMORY * before + (1 - _MEMORY) * seconds / n_rows
        self._metrics.batch_rows.labels(group.model).observe(n_rows)
        self._metrics.batch_requests.labels(group.model).observe(len(present))
        for request, result in zip(present, results, strict=True):
            if not request.done.done():
                request.done.set_result(Finished(result, start - request.since, seconds, len(present)))

    async def stop(self, grace: float) -> None:
        """Refuse what waits, so that its clients send it again, and let what runs end.

        Parameters
        ----------
        grace : float
            Seconds after which what still runs is refused, too.
        """
        self._stopping = True
        for waiting in self._waiting.values():
            _fail(list(waiting.requests), stopping_error())
        if self._running:
            await asyncio.wait(list(self._running), timeout=grace)
        for requests in self._running.values():
            _fail(requests, stopping_error())


def _fail(requests: Sequence[_Request], error: Exception) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(error)
