"""A worker process, seen from the server: started, spoken to, ended.

It is no process of a pool of the standard library's or another's. These pickle what goes over their pipes,
which their workers share: one that ends while it reads leaves half a message to the next.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skfhe.deployment._serving._worker_frames import FRAME, frame

__all__ = ["EndedError", "Worker", "WorkerSettings"]

_PASSED_ON = {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"}
"""Variables of the environment that a worker has: tokens and what opens the store are not among them."""
_ENGINE_LOGS = {"HPX_LOGDESTINATION": "cerr", "HPX_CONSOLE_LOGDESTINATION": "cerr"}
"""Of a runtime within the engine, which else leaves a file in the working directory when it fails."""
_THREADS = {"OMP_WAIT_POLICY": "passive"}
"""Threads that have nothing to do wait asleep. Else they spin for 200 ms after each run, on cores that others
have use for: small calls took twice as much of the processor."""
_CHUNK_BYTES = 1 << 20


class EndedError(Exception):
    """The process has ended, or is no longer of use."""


@dataclass(frozen=True)
class WorkerSettings:
    """What each worker is started with.

    Parameters
    ----------
    models : mapping of (str, str) to Path
        Folders of models by name and version.
    n_threads : int
    memory_limit, kept_key_bytes : int or None, int
        See `WorkerPool`.
    loader : str
        Module and class of what is made of a model's folder.
    """

    models: Mapping[tuple[str, str], Path]
    n_threads: int
    memory_limit: int | None
    kept_key_bytes: int
    loader: str

    @property
    def environment(self) -> dict[str, str]:
        passed_on = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
        paths = os.pathsep.join(path for path in sys.path if path)
        threads = {**_THREADS, "OMP_NUM_THREADS": str(self.n_threads)}
        return {**passed_on, **_ENGINE_LOGS, **threads, "PYTHONPATH": paths}


class Worker:
    """One process, from its start to its end; used by one task at a time.

    Attributes
    ----------
    pid : int
    models : set of (str, str)
        That it has compiled.
    failed : dict of (str, str) to str
        Those that it could not compile, and why.
    kept : frozenset of str
        Ids of the keys that it keeps expanded.
    kept_bytes : int
    runs : int
        That it was given.
    ended : Task
        Done when the process has ended; its result is the exit status, negative for a signal.
    """

    def __init__(self, process: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid: int = process.pid
        self.models: set[tuple[str, str]] = set()
        self.failed: dict[tuple[str, str], str] = {}
        self.kept: frozenset[str] = frozenset()
        self.kept_bytes = 0
        self.runs = 0
        self.ended: asyncio.Task[int] = asyncio.create_task(process.wait())
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def start(cls, settings: WorkerSettings) -> "Worker":
        """Start a process, which begins to compile.

        It is bound to the thread that does this, and ends when that ends: the event loop's.
        """
        ours, its = socket.socketpair()
        with its:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "skfhe.deployment._serving._worker_process"),
                    *(str(its.fileno()), str(os.getpid())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=2,  # what native code prints
                    pass_fds=(its.fileno(),),
                    env=settings.environment,
                    start_new_session=True,  # Ctrl-C is for the server, which stops its workers
                )
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours, limit=_CHUNK_BYTES)
        worker = cls(process, reader, writer)
        models = [[*name, str(path)] for name, path in settings.models.items()]
        limits = {"memory_limit": settings.memory_limit, "kept_key_bytes": settings.kept_key_bytes}
        try:
            await worker._send({"loader": settings.loader, "models": models, **limits}, ())
        except BaseException:
            worker.kill()
            raise
        return worker

    async def _send(self, header: dict[str, Any], blocks: Sequence[bytes]) -> None:
        try:
            for part in (frame(header, blocks), *blocks):
                view = memoryview(part)
                # The transport copies what it cannot send at once, and must not hold up the event loop by it.
                for start in range(0, len(view), _CHUNK_BYTES):
                    self._writer.write(view[start : start + _CHUNK_BYTES])
                    await self._writer.drain()
        except ConnectionError as error:
            raise EndedError from error

    async def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """Return the next frame that it sends.

        Raises
        ------
        EndedError
        """
        try:
            (n_bytes,) = FRAME.unpack(await self._reader.readexactly(FRAME.size))
            header: dict[str, Any] = json.loads(await self._reader.readexactly(n_bytes))
            blocks = [await self._reader.readexactly(n) for n in header["lengths"]]
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EndedError from error
        return header, blocks

    async def run(
        self, model: tuple[str, str], key_id: str, keys: bytes | None, batches: Sequence[bytes]
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Return its answer to a run; ``keys`` are given unless it keeps them.

        Raises
        ------
        EndedError
        """
        self.runs += 1
        header = {"model": model, "key_id": key_id, "with_keys": keys is not None}
        await self._send(header, batches if keys is None else (keys, *batches))
        answer, results = await self.receive()
        self.kept, self.kept_bytes = frozenset(answer["kept"]), answer["kept_bytes"]
        return answer, results

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        self._writer.close()

    async def how_it_ended(self) -> str:
        """Return the signal or exit status that the process ended by, when it has."""
        status = await asyncio.shield(self.ended)
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"
