"""A server without workers: what its tests put in the place of them, and of the store of keys."""

import asyncio
import io
import json
import logging
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from skfhe.circuit import Batch, EvaluationKeys
from skfhe.deployment._serving._app import app_of
from skfhe.deployment._serving._auth import Tokens
from skfhe.deployment._serving._exceptions import UnknownKeysError
from skfhe.deployment._serving._logs import log_to
from skfhe.deployment._serving._repository import ModelRepository, ServedModel
from skfhe.deployment._serving._run import _config, _Server, open_socket
from skfhe.deployment._serving._service import Service
from skfhe.deployment._serving._settings import ServerSettings


@dataclass
class Status:
    alive: bool = True
    ready: bool = True
    models: frozenset = frozenset()
    memory_bytes: int = 1
    kept_keys: int = 0
    kept_key_bytes: int = 0
    runs: int = 0
    restarts: int = 0


@dataclass
class Usage:
    n_keys: int
    n_bytes: int


class KeysInMemory:
    def __init__(self):
        self.keys = {}
        self.owners = {}
        self.error = None

    async def put(self, key_id, chunks, *, expected_bytes, owner, owner_quota_bytes=None):
        if self.error is not None:
            raise self.error
        if key_id in self.keys:
            return False
        data = b"".join([chunk async for chunk in chunks])
        assert len(data) == expected_bytes
        self.keys[key_id], self.owners[key_id] = data, owner
        return True

    async def has(self, key_id):
        return key_id in self.keys

    async def delete(self, key_id, owner):
        if self.owners.get(key_id) != owner:
            return False
        return self.keys.pop(key_id, None) is not None

    def read(self, key_id):
        return self.keys[key_id]

    async def expire(self):
        return 0

    def usage(self):
        return Usage(len(self.keys), sum(map(len, self.keys.values())))


@dataclass
class PoolInProcess:
    """Runs circuits in threads of this process, when the gate is open."""

    circuits: dict
    keys: KeysInMemory
    calls: list = field(default_factory=list)
    errors: list = field(default_factory=list)
    """Raised by the first calls."""
    supervised: bool = True
    stopped: bool = False

    def __post_init__(self):
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self):
        pass

    async def stop(self, grace):
        self.stopped = True

    def status(self):
        return [Status(models=frozenset(self.circuits))]

    async def run(self, model, version, key_id, batches, timeout=None):
        self.calls.append((model, version, key_id, len(batches)))
        await self.gate.wait()
        if self.errors:
            error = self.errors.pop(0)
            if error is not None:
                raise error
        if key_id not in self.keys.keys:
            raise UnknownKeysError(key_id)
        return await asyncio.to_thread(self._run, self.circuits[model, version], key_id, batches)

    def _run(self, compiled, key_id, batches):
        keys = EvaluationKeys.from_bytes(self.keys.read(key_id))
        return [compiled.run(Batch.from_bytes(batch), keys).to_bytes() for batch in batches]


def served(compiled, name="linear", version="1"):
    """Return a circuit as a model of a server."""
    return ServedModel(
        name, version, Path("nowhere"), b"PK client of " + name.encode(), "ab" * 32, compiled.specs
    )


def service_of(circuits, tokens=None, **settings):
    """Return a service of compiled circuits by name and version."""
    keys = KeysInMemory()
    models = ModelRepository(served(compiled, *which) for which, compiled in circuits.items())
    settings = ServerSettings(folders=(Path("nowhere"),), keys="memory", workers=1, **settings)
    return Service(settings, models, tokens or Tokens(), keys, PoolInProcess(circuits, keys))


@asynccontextmanager
async def listening(circuits, tokens=None, **settings):
    """Yield a client of a server that listens on a port of this machine."""
    service = service_of(circuits, tokens, port=0, **settings)
    log = io.StringIO()
    with logged_to(log), open_socket(service.settings) as listener:
        server = _Server(_config(service.settings, service), service)
        running = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        port = listener.getsockname()[1]
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                client.service, client.log, client.port, client.server = service, log, port, server
                client.running = running
                yield client
        finally:
            service.pool.gate.set()
            server.should_exit = True
            await running


@asynccontextmanager
async def serving(circuits, tokens=None, **settings):
    """Yield a client of a server of compiled circuits by name and version, without any network."""
    service = service_of(circuits, tokens, **settings)
    app = app_of(service)
    transport = httpx.ASGITransport(app)
    log = io.StringIO()
    with logged_to(log):
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
            client.base_url, client.service, client.log = "http://test", service, log
            yield client


@contextmanager
def logged_to(stream):
    """Log everything to a stream; what went wrong in a server is shown by a test that fails."""
    handler = log_to(stream, "debug")
    try:
        yield
    finally:
        logging.getLogger("skfhe.serving").removeHandler(handler)
        logging.getLogger("uvicorn.error").removeHandler(handler)
        print(stream.getvalue())


def infer_body(batch, key_id, **more):
    """Return the body and the headers of an infer request."""
    data = batch if isinstance(batch, bytes) else batch.to_bytes()
    header = {
        "parameters": {"key_id": str(key_id)},
        "inputs": [
            {
                "name": "ciphertexts",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"binary_data_size": 4 + len(data)},
            }
        ],
        "outputs": [{"name": "results", "parameters": {"binary_data": True}}],
        **more,
    }
    text = json.dumps(header).encode()
    body = text + len(data).to_bytes(4, "little") + data
    return {"content": body, "headers": {"Inference-Header-Content-Length": str(len(text))}}


def results_of(response):
    """Return the header of an answer to an infer request, and the batch after it."""
    n_header = int(response.headers["Inference-Header-Content-Length"])
    header, binary = json.loads(response.content[:n_header]), response.content[n_header:]
    (output,) = header["outputs"]
    assert output["parameters"]["binary_data_size"] == len(binary)
    assert int.from_bytes(binary[:4], "little") == len(binary) - 4
    return header, Batch.from_bytes(binary[4:])


async def upload(client, session, model="linear"):
    """Upload the keys of a session."""
    data = session.evaluation_keys.to_bytes()
    return await client.put(f"/v2/models/{model}/keys/{session.key_id}", content=data)
