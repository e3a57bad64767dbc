"""Servers as processes, what stands before several of them, and what they leave behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import psutil

__all__ = ["Balancer", "Served", "resident_bytes"]


def resident_bytes(pid: int) -> tuple[int, int]:
    """Return the resident bytes of a process, and of all below it."""
    try:
        process = psutil.Process(pid)
        own = process.memory_info().rss
        children = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return 0, 0
    below = 0
    for child in children:
        try:
            below += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return own, below


class Served:
    """One ``skfhe serve``.

    Parameters
    ----------
    folders : sequence of Path
    keys : Path
        Where evaluation keys are kept, which several may share.
    log : Path
        All that it writes.
    options : sequence of str
        Further ones of the command line.
    environment : dict, optional
        Added to this process's own.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        keys: Path,
        log: Path,
        options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self._command = [python, "-u", "-m", "skfhe", "serve", *map(str, folders)]
        self._command += ["--keys", str(keys), *options]
        self._environment = {**os.environ, **(environment or {})}
        self.log = log
        self.port = 0
        self.start()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that listens."""
        return self.process.pid

    def start(self, seconds: float = 300.0) -> None:
        """Start it, on the port that it had, and wait until it listens."""
        begun = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*self._command, "--port", str(self.port)],
                stdout=out,
                stderr=out,
                env=self._environment,
                start_new_session=True,
            )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            text = self.log.read_bytes()[begun:].decode(errors="replace")
            found = re.search(r"https?://[^:/\s]+:(\d+)", text)
            if found:
                self.port = int(found[1])
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start: {self.log.read_text(errors='replace')[-2000:]}")

    def wait(self, seconds: float = 600.0) -> float:
        """Wait until it is ready, and return the seconds that this took."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            try:
                with urllib.request.urlopen(f"{self.url}/v2/health/ready", timeout=5):
                    return time.monotonic() - begun
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"the server is not ready: {self.log.read_text(errors='replace')[-2000:]}")

    def end(self, sig: int) -> float:
        """Send a signal to the process that listens, wait for its end, and return the seconds."""
        begun = time.monotonic()
        self.process.send_signal(sig)
        self.process.wait(120)
        return time.monotonic() - begun

    def stop(self) -> None:
        """End it in order, and by force what is left of it."""
        below = psutil.Process(self.pid).children(recursive=True) if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        _, left = psutil.wait_procs(below, timeout=10)
        for process in left:
            process.kill()

    def workers(self) -> list[int]:
        """Return the processes below it that compute."""
        found = []
        for child in psutil.Process(self.pid).children(recursive=True):
            try:
                if "resource_tracker" not in " ".join(child.cmdline()):
                    found.append(child.pid)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def metrics(self) -> dict[str, float]:
        """Return what it counts, by the name and labels of each series."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        }


class Balancer:
    """Hands connections to several servers in turn, and keeps what goes over them.

    As others do, it asks each server twice a second whether it is ready, and prefers those that are.

    Parameters
    ----------
    ports : sequence of int
        Of the servers, on this machine.
    tap : Path, optional
        File that every byte is written to.
    """

    def __init__(self, ports: Sequence[int], tap: Path | None = None) -> None:
        self._ports = list(ports)
        self._next = 0
        self._tap = tap.open("ab") if tap else None
        self.port = 0
        self.bytes_up = self.bytes_down = 0
        self._loop = asyncio.new_event_loop()
        self._ready = set(ports)
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(10)

    def __enter__(self) -> "Balancer":
        return self

    def __exit__(self, *error: object) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        if self._tap:
            self._tap.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _run(self, started: threading.Event) -> None:
        async def listen() -> None:
            server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            started.set()

        self._loop.run_until_complete(listen())
        checking = self._loop.create_task(self._check())
        self._loop.run_forever()
        checking.cancel()

    async def _check(self) -> None:
        while True:
            for port in self._ports:
                try:
                    async with asyncio.timeout(2):
                        reader, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.write(b"GET /v2/health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")
                        ready = (await reader.readline()).split()[1:2] == [b"200"]
                        writer.close()
                except OSError:
                    ready = False
                (self._ready.add if ready else self._ready.discard)(port)
            await asyncio.sleep(0.5)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._next += 1
        turn = self._next % len(self._ports)
        in_turn = self._ports[turn:] + self._ports[:turn]
        for port in sorted(in_turn, key=lambda port: port not in self._ready):
            try:
                other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                continue
        else:
            writer.transport.abort()
            return
        await asyncio.gather(self._pass(reader, other_writer, True), self._pass(other_reader, writer, False))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        try:
            while data := await reader.read(1 << 18):
                if self._tap:
                    self._tap.write(data)
                self.bytes_up += len(data) * up
                self.bytes_down += len(data) * (not up)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
