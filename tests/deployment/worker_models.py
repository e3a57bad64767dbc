"""Models as a worker loads them, some of which do harm to it, and what a client has of them."""

import ctypes
import os
import pickle
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from skfhe.circuit import Batch
from skfhe.program import ProgramBuilder, ops

FAULT_OF_ROWS = {2: "segmentation_fault", 4: "exit", 5: "stall", 6: "hog", 7: "slow"}


class Pickled:
    """A compiled circuit."""

    def __init__(self, folder: Path) -> None:
        self.compiled = pickle.loads((folder / "circuit.pickle").read_bytes())

    def load(self) -> None:
        self.compiled.specs  # noqa: B018  compiles

    def run_together(self, batches, keys):
        return self.compiled.run_together(batches, keys)


class Harmful(Pickled):
    """Does what the number of rows of a batch stands for, before it is run, as native code might."""

    def run_together(self, batches: list[Batch], keys):
        for batch in batches:
            if batch.n_rows in FAULT_OF_ROWS:
                getattr(self, f"_{FAULT_OF_ROWS[batch.n_rows]}")()
        return super().run_together(batches, keys)

    def _segmentation_fault(self) -> None:
        ctypes.string_at(0)

    def _exit(self) -> None:
        os._exit(0)

    def _stall(self) -> None:
        time.sleep(600)

    def _hog(self) -> None:
        self.hoard = [np.ones(1 << 24) for _ in range(64)]  # 8 GB

    def _slow(self) -> None:
        time.sleep(1.0)


class Large:
    """Results of sixty megabytes, whatever is asked for."""

    def __init__(self, folder: Path) -> None:
        specs = SimpleNamespace(parts=(), batch_sizes=(1,))
        self.compiled = SimpleNamespace(statistics={"key_bytes": 0}, specs=specs)

    def load(self) -> None:
        pass

    def run_together(self, batches, keys):
        return [SimpleNamespace(to_bytes=lambda: bytes(60_000_000)) for _ in batches]


class Refusing(Pickled):
    """Cannot be compiled."""

    def load(self) -> None:
        raise ValueError("made otherwise")


class Ending(Pickled):
    """Ends its process when it is compiled."""

    def load(self) -> None:
        os._exit(3)


def sums(weight: int = 1):
    """Return a program without lookups, of two inputs."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 7), label="x")
    linear = ops.Linear(weight * np.ones((2, 1), dtype=np.int64), np.zeros(1, dtype=np.int64))
    return builder.finish(builder.add(linear, x, label="sum"))
