"""What a client measures of a request: when which machine did what, and how many bytes went between them.

Whatever takes part in a request adds to the record that was begun in its context: tasks and threads that are
started inside of it have it, too. There is nothing in a record but names, times and numbers of bytes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = [
    "SERVER_TIMING",
    "Phase",
    "Recorder",
    "RequestRecord",
    "add_exchange",
    "add_phase",
    "measured",
    "recording",
]

MACHINES = {
    **dict.fromkeys(("encode", "keys", "encrypt", "decrypt", "decode"), "client"),
    **dict.fromkeys(("ask limits", "send keys", "repeat", "upload", "download"), "network"),
    **dict.fromkeys(("queue", "run"), "server"),
}
SERVER_TIMING = "Server-Timing"
"""The header that servers tell times in, by the W3C's recommendation of that name."""
_TIMES = re.compile(r"([a-z]+);dur=([0-9]{1,9}(?:\.[0-9]{1,6})?)(?:,|$)")
_MOST_TEXT = 1000


@dataclass(frozen=True)
class Phase:
    """One part of a request.

    Parameters
    ----------
    name : str
        "encode", "keys", "ask limits", "send keys", "encrypt", "upload", "queue", "run", "download",
        "decrypt" or "decode", in this order for one batch; or "repeat", attempts to send a batch that failed,
        and pauses after them. Those to send or ask anything else are part of that.
    machine : {"client", "network", "server"}
        Where time passes.
    start, seconds : float
        When it began, counted from when the request did, and how long it took.
    n_bytes : int
        What was sent in it, if it is about that.
    """

    name: str
    machine: str
    start: float
    seconds: float
    n_bytes: int = 0

    @property
    def end(self) -> float:
        """When it ended, counted from when the request began."""
        return self.start + self.seconds


@dataclass(frozen=True)
class RequestRecord:
    """What one encrypted prediction of a client took: when which machine did what.

    The client's clock is the only one. Of the server's answer it knows when it had sent all, and when the
    answer began and ended; how long the batch had waited and run before the answer the server tells, in the
    header ``Server-Timing``. So "upload" ends when the batch began to wait, and has the time on the way in
    both directions. A server that tells nothing waits and runs in one: "run" is then all that passed between.

    Parameters
    ----------
    phases : tuple of Phase
        In the order in which they began. Of rows that are several requests each has its own.
    n_rows : int
    seconds : float
        From the call to its answer.
    """

    phases: tuple[Phase, ...]
    n_rows: int
    seconds: float

    def seconds_of(self, name: str) -> float:
        """Return how long all phases of a name took.

        Parameters
        ----------
        name : str

        Returns
        -------
        float
        """
        return float(sum(phase.seconds for phase in self.phases if phase.name == name))

    def bytes_of(self, name: str) -> int:
        """Return how many bytes were sent in all phases of a name.

        Parameters
        ----------
        name : str

        Returns
        -------
        int
        """
        return sum(phase.n_bytes for phase in self.phases if phase.name == name)

    def __str__(self) -> str:
        lines = [f"{self.n_rows} row{'s' * (self.n_rows != 1)} in {self.seconds:.3g} s"]
        for name in dict.fromkeys(phase.name for phase in self.phases):
            n_bytes = self.bytes_of(name)
            sent = f", {n_bytes} bytes" if n_bytes else ""
            lines.append(f"  {name} ({MACHINES.get(name, '')}): {self.seconds_of(name):.3g} s{sent}")
        return "\n".join(lines)


class Recorder:
    """Collects the phases of a request; any number of threads may add to it."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._phases: list[Phase] = []

    def add(self, name: str, start: float, end: float, n_bytes: int = 0) -> None:
        """Add a phase by when it began and ended, as `time.perf_counter` tells it."""
        phase = Phase(name, MACHINES[name], start - self._began, max(end - start, 0.0), n_bytes)
        self._phases.append(phase)

    @contextmanager
    def unless_known(self, name: str) -> Iterator[None]:
        """Add what happens inside as one phase, unless it adds phases itself."""
        known, start = len(self._phases), time.perf_counter()
        yield
        if len(self._phases) == known:
            self.add(name, start, time.perf_counter())

    def finished(self, n_rows: int) -> RequestRecord:
        """Return the record, now that the request is over."""
        seconds = time.perf_counter() - self._began
        return RequestRecord(tuple(sorted(self._phases, key=lambda phase: phase.start)), n_rows, seconds)


_current: ContextVar[Recorder | None] = ContextVar("skfhe_request", default=None)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Begin the record of a request, which what is called inside adds to."""
    token = _current.set(Recorder())
    try:
        recorder = _current.get()
        assert recorder is not None
        yield recorder
    finally:
        _current.reset(token)


def add_phase(name: str, start: float, end: float, n_bytes: int = 0) -> None:
    """Add a phase to the request that is recorded, if one is."""
    recorder = _current.get()
    if recorder is not None:
        recorder.add(name, start, end, n_bytes)


@contextmanager
def measured(name: str, n_bytes: int = 0) -> Iterator[None]:
    """Add what happens inside as a phase of the request that is recorded, if one is."""
    start = time.perf_counter()
    yield
    add_phase(name, start, time.perf_counter(), n_bytes)


def add_exchange(
    times: tuple[float, float, float, float], n_bytes: tuple[int, int], headers: Mapping[str, str]
) -> None:
    """Add the phases between a batch and its results.

    Parameters
    ----------
    times : tuple of float
        When the request was begun, when all of it had been given to the network, when the answer began, and
        when it was there.
    n_bytes : tuple of int
        Sent and received.
    headers : mapping of str to str
        Of the answer. What they tell is brought between the client's own times, whatever it is.
    """
    begun, sent, answered, ended = times
    told = dict(_TIMES.findall(headers.get(SERVER_TIMING, "").replace(" ", "")[:_MOST_TEXT]))
    if "run" in told:
        ran = answered - min(float(told["run"]) / 1000, answered - begun)
        waited = ran - min(float(told.get("wait", 0.0)) / 1000, ran - begun)
        add_phase("upload", begun, waited, n_bytes[0])
        add_phase("queue", waited, ran)
    else:
        ran = min(sent, answered)
        add_phase("upload", begun, ran, n_bytes[0])
    add_phase("run", ran, answered)
    add_phase("download", answered, ended, n_bytes[1])
