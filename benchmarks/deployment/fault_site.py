"""A server with two models, what is before it, and its clients: where faults are tried."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.deployment.hostile import infer_body, raw
from benchmarks.deployment.processes import Balancer, Served, resident_bytes

__all__ = ["DEADLINE", "SLACK", "Checked", "Memory", "Site", "check"]

DEADLINE = 30.0
SLACK = 15.0
"""Seconds beyond a deadline that are forgiven on a machine that does other things."""
OPTIONS = {
    "request_timeout": DEADLINE,
    "run_timeout": 20,
    "body_timeout": 3,
    "head_timeout": 3,
    "worker_memory": "6 GB",
    "key_max_age": 86400,
}
WORKER_BYTES, SERVER_BYTES = 6e9, 2e9
CLOCK = """
import os, time
_real, _path = time.time, os.environ["BENCHMARK_CLOCK"]
def _moved():
    try:
        with open(_path) as file:
            return _real() + float(file.read() or 0)
    except OSError:
        return _real()
time.time = _moved
"""


class Checked(AssertionError):
    """A fault that did not come out as it has to."""


def check(condition: bool, what: object) -> None:
    """Raise an error unless something is as it has to be."""
    if not condition:
        raise Checked(str(what))


class Site:
    """A server, what is before it, and clients.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        from benchmarks.deployment.models import clear, made
        from skfhe.deployment import Client, save

        self.folder = folder
        self.rows, self.expected = {}, {}
        for name in ("linear", "tree"):
            model, X = made(name)
            save(model, folder / "models" / name)
            self.rows[name] = X[:8]
            self.expected[name] = clear(model, X[:8])["predict_proba"]
        (folder / "clock").mkdir()
        (folder / "clock" / "sitecustomize.py").write_text(CLOCK)
        self.clock = folder / "clock" / "offset"
        path = os.pathsep.join([str(folder / "clock"), os.environ.get("PYTHONPATH", "")])
        options = [f"--set={name}={value}" for name, value in OPTIONS.items()]
        self.store, self.log, self.tap = folder / "store", folder / "server.log", folder / "tap"
        self.server = Served(
            [folder / "models" / name for name in ("linear", "tree")],
            self.store,
            self.log,
            ["--workers", "2", *options],
            {"PYTHONPATH": path, "BENCHMARK_CLOCK": str(self.clock)},
        )
        self.server.wait()
        self.balancer = Balancer([self.server.port], self.tap)
        self.port = self.balancer.port
        self.clients = {
            name: self.client(name.split("-")[0], name)
            for name in ("linear-a", "linear-b", "tree-a", "tree-b")
        }
        for name in self.clients:
            self.right(name)
        self.local = {name: Client(folder / "models" / name / "client.zip") for name in ("linear", "tree")}

    def client(self, model: str, name: str) -> Any:
        """Return a client with keys of its own."""
        from skfhe.deployment import Client, HttpTransport

        folder = self.folder / "clients" / name
        url = f"{self.balancer.url}/{model}"
        return Client(HttpTransport(url, timeout=DEADLINE, folder=folder), key_dir=folder)

    def right(self, name: str, client: Any = None) -> str:
        """Predict, and check the answer."""
        model = name.split("-")[0]
        begun = time.monotonic()
        got = (client or self.clients[name]).predict_proba(self.rows[model])
        check(np.array_equal(got, self.expected[model]), f"{name} was answered wrongly")
        return f"the right answer in {time.monotonic() - begun:.1f} s"

    def request(self, name: str) -> tuple[Any, bytes, str]:
        """Return a batch of a client, its bytes, and the name of its keys."""
        client = self.clients[name]
        batch = client.encrypt(self.rows[name.split("-")[0]])
        return batch, batch.to_bytes(), str(client.evaluation_keys().id)

    def infer(self, model: str, data: bytes, key_id: str, **changed: Any) -> Any:
        """Send an infer request."""
        body, headers = infer_body(data, key_id, **changed)
        return raw(self.port, "POST", f"/v2/models/{model}/infer", body, headers)

    def upload(self, model: str, data: bytes, key_id: str) -> Any:
        """Send evaluation keys, or what is said to be such."""
        return raw(self.port, "PUT", f"/v2/models/{model}/keys/{key_id}", data)

    def close(self) -> None:
        """End everything."""
        for client in self.clients.values():
            client.close()
        self.balancer.__exit__()
        self.server.stop()


class Memory:
    """The most that the server and one of its workers took."""

    def __init__(self, site: Site) -> None:
        self._site, self._end = site, threading.Event()
        self.server = self.worker = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.2):
            try:
                self.server = max(self.server, resident_bytes(self._site.server.pid)[0])
                for pid in self._site.server.workers():
                    self.worker = max(self.worker, resident_bytes(pid)[0])
            except psutil.Error:
                continue

    def checked(self) -> str:
        """Stop, and check that both were within their limits."""
        self._end.set()
        self._thread.join()
        shown = f"server {self.server / 1e6:.0f} MB, a worker {self.worker / 1e6:.0f} MB"
        check(self.server < SERVER_BYTES and self.worker < WORKER_BYTES, shown)
        return shown
