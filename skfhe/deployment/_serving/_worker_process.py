"""What runs in a worker process: the engine, and what has to be done around it.

Started as ``python -m`` with a socket, at whose other end `skfhe.deployment._serving._worker` is. Frames go
over it, both ways: see `skfhe.deployment._serving._worker_frames`.

The first frame says which models to compile. Each is reported when it is; after a last report, that the
worker is ready, every frame is a run and is answered by one.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skfhe.circuit import Batch, EvaluationKeys, compile_program
from skfhe.deployment._serving._worker_frames import FRAME, frame
from skfhe.exceptions import CiphertextMismatchError
from skfhe.program import ProgramBuilder, ops

__all__ = ["main"]

_SET_PARENT_DEATH_SIGNAL = 1  # prctl, from linux/prctl.h
_FIRST_TO_GO = "500"
"""Added to what the kernel decides by which process to end when memory is short."""


class _Channel:
    """The worker's end of the socket."""

    def __init__(self, stream: BinaryIO, out: BinaryIO) -> None:
        self._in, self._out = stream, out

    def send(self, header: dict[str, Any], blocks: Sequence[bytes] = ()) -> None:
        for part in (frame(header, blocks), *blocks):
            self._out.write(part)
        self._out.flush()

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        header = json.loads(self._exactly(FRAME.unpack(self._exactly(FRAME.size))[0]))
        return header, [self._exactly(n) for n in header["lengths"]]

    def _exactly(self, n_bytes: int) -> bytes:
        data = self._in.read(n_bytes)
        if len(data) != n_bytes:
            raise EOFError("the server is gone")
        return data


class _KeptKeys:
    """Evaluation keys that stay expanded, those used last, as many as fit into a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, tuple[EvaluationKeys, int]] = OrderedDict()

    @property
    def ids(self) -> list[str]:
        return list(self._kept)

    @property
    def n_bytes(self) -> int:
        return sum(n_bytes for _, n_bytes in self._kept.values())

    def get(self, key_id: str) -> EvaluationKeys:
        self._kept.move_to_end(key_id)
        return self._kept[key_id][0]

    def make_room(self, n_bytes: int) -> None:
        """Forget the keys that were not used for longest, until as many bytes are free or none are left."""
        while self._kept and self.n_bytes + n_bytes > self._most_bytes:
            self._kept.popitem(last=False)

    def add(self, key_id: str, keys: EvaluationKeys, n_bytes: int) -> None:
        """Keep ``keys``, which take ``n_bytes``, unless they alone are more than may be kept."""
        if n_bytes <= self._most_bytes:
            self._kept[key_id] = keys, n_bytes


def _begin(parent: int) -> None:
    """Make this process one that ends with its parent, leaves nothing behind, and is ended by nobody else."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the whole group of a server gets them; it stops us
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # ciphertexts would be in it
    with suppress(OSError):  # a sandbox may forbid it
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")


def _start_engine() -> None:
    """Let the engine start its threads, by the smallest circuit that there is.

    It reserves a gigabyte of addresses for their stacks, and waits for ever where it does not get them.
    """
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.ones(1), label="x")
    add = ops.Linear(np.ones((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64))
    circuit = compile_program(builder.finish(builder.add(add, x, label="sum")), batch_sizes=(1,))
    circuit.execute(np.zeros((1, 1), dtype=np.int64))


def _usual_memory(models: Iterable[Any], kept_key_bytes: int) -> int:
    """Return the bytes that keys and runs may take if nothing is said of it: more than honest ones do.

    Keys that are kept, the largest set while it is expanded, ciphertexts of the largest call several times
    over, and a gigabyte.
    """
    keys, calls = [0], [0]
    for model in models:
        specs = model.compiled.specs
        forms = [form for part in specs.parts for form in (*part.forms("inputs"), *part.forms("results"))]
        n_words = max(specs.batch_sizes) * sum(form.n_words for form in forms)
        calls.append(n_words * np.dtype(np.uint64).itemsize)
        keys.append(model.compiled.statistics["key_bytes"])
    return kept_key_bytes + 3 * max(keys) + 8 * max(calls) + 10**9


def _limit_memory(n_bytes: int) -> None:
    """Refuse what would take this process ``n_bytes`` beyond what it has now."""
    with open("/proc/self/status", encoding="ascii") as lines:
        (present,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
    limit = present + n_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _compile(
    load: Callable[[Path], Any], given: Iterable[Sequence[str]], channel: _Channel
) -> dict[Any, Any]:
    """Return the models by name and version, but those that cannot be compiled, and report each."""
    models = {}
    for name, version, path in given:
        start = time.monotonic()
        try:
            model = load(Path(path))
            model.load()
        except Exception as error:
            channel.send({"failed": [name, version], "error": f"{type(error).__name__}: {error}"})
            continue
        models[name, version] = model
        channel.send({"compiled": [name, version], "seconds": round(time.monotonic() - start, 3)})
    return models


class _Worker:
    """Runs batches, one call after the other."""

    def __init__(self, models: dict[Any, Any], kept: _KeptKeys) -> None:
        self._models = models
        self._kept = kept

    def _keys(self, model: Any, key_id: str, sent: bytes | None) -> EvaluationKeys:
        if sent is None:
            return self._kept.get(key_id)
        # As they were sent, twice, for the engine keeps its message, too; and expanded by the first run.
        n_bytes = 2 * len(sent) + model.compiled.statistics["key_bytes"]
        self._kept.make_room(n_bytes)
        keys = EvaluationKeys.from_bytes(sent)
        if keys.id != key_id:
            raise ValueError(f"expected evaluation keys {key_id}, got {keys.id}")
        self._kept.add(key_id, keys, n_bytes)
        return keys

    def answer(self, header: dict[str, Any], blocks: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
        """Return the answer to one run: results, or whose fault it is that there are none."""
        sent = blocks.pop(0) if header["with_keys"] else None
        model = self._models[tuple(header["model"])]
        results: list[bytes] = []
        failed = None
        fault = "keys"
        try:
            keys = self._keys(model, header["key_id"], sent)
            fault = "batch"
            batches = [Batch.from_bytes(block) for block in blocks]
            results = [result.to_bytes() for result in model.run_together(batches, keys)]
        except CiphertextMismatchError as error:
            failed = {"fault": "mismatch", "error": str(error)}
        except ValueError as error:
            failed = {"fault": fault, "error": str(error)}
        except Exception as error:
            # The engine's own, or no memory: what it has left behind is not known.
            failed = {"fault": "engine", "error": type(error).__name__}
        kept = {"kept": self._kept.ids, "kept_bytes": self._kept.n_bytes}
        return {**kept, **(failed or {})}, results


def main(descriptor: int, parent: int) -> None:
    """Serve the socket ``descriptor`` until it is closed."""
    _begin(parent)
    with socket.socket(fileno=descriptor) as connection:
        channel = _Channel(connection.makefile("rb"), connection.makefile("wb"))
        given, _ = channel.receive()
        module, name = given["loader"].split(":")
        models = _compile(getattr(import_module(module), name), given["models"], channel)
        _start_engine()
        _limit_memory(given["memory_limit"] or _usual_memory(models.values(), given["kept_key_bytes"]))
        worker = _Worker(models, _KeptKeys(given["kept_key_bytes"]))
        channel.send({"ready": True})
        while True:
            header, results = worker.answer(*channel.receive())
            channel.send(header, results)
            if header.get("fault") == "engine":
                break


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except (EOFError, ConnectionError):
        pass
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # the engine's own threads may not end by themselves
