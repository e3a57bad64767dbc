"""The second act of ``skfhe demo``: a server and a client, each a process of its own, on the loopback.

Both are this file, run as a program. Neither outlives the demo, however that ends: they stop when its end of
their standard input is closed. The server is given the folder of the model's files; the client asks it for
client.zip, and has the rows.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

__all__ = ["Refused", "missing_extra", "play"]

NEEDED = ("httpx", "fastapi", "fsspec", "prometheus_client", "psutil", "uvicorn")
HEAVY = ("torch", "sklearn", "concrete.fhe")
START_SECONDS = 120.0


class Refused(Exception):
    """One of the two did not do its part; the message says what it wrote."""


def missing_extra() -> str:
    """Return what is not installed that a client and a server need, or an empty text."""
    return ", ".join(name for name in NEEDED if find_spec(name) is None)


def play(model: Any, X: Any, say: Callable[[str], Any]) -> dict[str, Any]:
    """Save a compiled model, serve it in one process and ask it from another.

    Parameters
    ----------
    model : estimator
        Compiled.
    X : array-like of shape (n_rows, n_features)
    say : callable
        Called with lines of text.

    Returns
    -------
    dict
        What the client tells, and the bytes of the files.

    Raises
    ------
    Refused
    """
    from skfhe.deployment import save

    with _leaving_in_order(), tempfile.TemporaryDirectory(prefix="skfhe-demo-") as folder:
        saved = Path(folder, "iris")
        save(model, saved)
        sizes = {name: (saved / f"{name}.zip").stat().st_size for name in ("client", "server")}
        with _process("server", str(saved), str(Path(folder, "keys"))) as server:
            url = _answer(server, "server")["url"]
            say(f"Server: process {server.pid} at {url}; it has server.zip, and no secret key.")
            with _process("client", f"{url}/iris", str(Path(folder, "client"))) as client:
                say(f"Client: process {client.pid}; it has the rows, and makes its keys.")
                assert client.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    client.stdin.write(json.dumps([[float(x) for x in row] for row in X]) + "\n")
                    client.stdin.flush()
                told = _answer(client, "client")
    return told | {f"{name}_file_bytes": size for name, size in sizes.items()}


@contextlib.contextmanager
def _leaving_in_order() -> Iterator[None]:
    """Let a signal that ends the demo do so by an exception, so that no folder with keys stays behind."""

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _process(role: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run one of the two, and end it."""
    command = [sys.executable, "-m", "skfhe._cli.second_act", role, *arguments]
    with tempfile.TemporaryFile("w+") as errors:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        started = subprocess.Popen(command, text=True, env=_environment(), **pipes)
        started.errors = errors  # type: ignore[attr-defined]
        try:
            yield started
        finally:
            with contextlib.suppress(OSError):
                started.stdin.close()  # type: ignore[union-attr]  # it stops by that
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
            started.stdout.close()  # type: ignore[union-attr]


def _environment() -> dict[str, str]:
    """Return the environment of both: they load what this process does, and talk to each other directly.

    Neither a script of the user's that is called like a module, nor a proxy, is to come between them.
    """
    own = {"PYTHONWARNINGS": "ignore", "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return os.environ | own | dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")


def _answer(process: "subprocess.Popen[str]", role: str) -> dict[str, Any]:
    """Return the line of JSON that one of the two prints."""
    assert process.stdout is not None
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    if not line.startswith("{"):
        errors: IO[str] = process.errors  # type: ignore[attr-defined]
        errors.seek(0)
        raise Refused(f"the {role} ended: {errors.read().strip()[-500:] or 'without a word'}")
    found: dict[str, Any] = json.loads(line)
    return found


# What the two do, each in a process of its own.


def _serve(folder: str, keys: str) -> None:
    """Serve a model until standard input ends."""
    from skfhe.deployment import ServerSettings, run_server

    def stop_with_the_demo() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    def announce(line: str) -> None:
        if line.startswith("skfhe serves "):
            print(json.dumps({"url": line.removeprefix("skfhe serves ")}), flush=True)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the demo's, which ends this one
    threading.Thread(target=stop_with_the_demo, daemon=True).start()
    settings = ServerSettings(
        folders=(Path(folder),), port=0, keys=keys, workers=1, log_level="error", grace=1.0
    )
    run_server(settings, announce)


def _ask(url: str, folder: str) -> None:
    """Predict the rows of standard input, and tell what it took."""
    from skfhe.deployment import Client, HttpTransport

    rows = json.loads(sys.stdin.readline())
    start = time.perf_counter()
    transport = HttpTransport(url, folder=folder, timeout=START_SECONDS)
    with Client(transport) as client:
        client.predict(rows[:1])
        key_seconds = time.perf_counter() - start
        start = time.perf_counter()
        predicted = client.predict(rows)
        seconds = time.perf_counter() - start
        told = {
            "predicted": [int(each) for each in predicted],
            "seconds": seconds,
            "key_seconds": key_seconds,
        }
        told |= client.sizes
    told["loaded"] = [name for name in HEAVY if name in sys.modules]
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    _serve(*arguments) if role == "server" else _ask(*arguments)
