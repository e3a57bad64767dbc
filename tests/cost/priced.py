"""Small programs, and what compares their predicted prices with those worked out by hand and the engine's."""

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.cost._demands import demands
from skfhe.cost._estimate import count_bootstraps, estimate_cost
from skfhe.cost._prices import (
    lookup_price,
)
from skfhe.program import ProgramBuilder, ops

P_ERROR = 2.0**-40
SWEEP = (1, 3, 45, 181, 724)  # half bits among them
READ = 0.45  # bits more where a lookup reads the sum


def identity(bits):
    return ops.Lookup(np.arange(1 << bits)[None], np.array([0]))


def bit(n_cells, low=0, step=1):
    """Return a lookup of one bit."""
    return ops.Lookup(np.arange(n_cells)[None] % 2, np.array([low]), step)


def column(*weights):
    return ops.Linear(np.array(weights, dtype=np.int64)[:, None], np.zeros(1, dtype=np.int64))


def scaled(n, weight):
    return ops.Linear(np.eye(n, dtype=int) * weight, np.zeros(n, dtype=int))


class Chain:
    """A program of one input that is looked up, and what is done with the results."""

    def __init__(self, n, bits=3):
        self.builder = ProgramBuilder()
        self.input = self.builder.input(np.zeros(n), np.full(n, (1 << bits) - 1), label="input")
        self.first = self.at = self.builder.add(identity(bits), self.input, label="first")

    def add(self, op, *others):
        self.at = self.builder.add(op, self.at, *others, label=type(op).__name__)
        return self

    @property
    def bits(self):
        """Bits of what was added last."""
        return self.builder.type_of(self.at).bits

    def finish(self, *more):
        return self.builder.finish(self.at, *more)


def price(bits, precision):
    found = lookup_price(bits, precision, P_ERROR)
    assert found is not None
    return found


def assert_demands(program, precision, *readings):
    """Compare with the bits that inputs and results of each width keep, and what is read: (bits, count)."""
    found = demands(program)
    assert found.precision == pytest.approx(precision)
    assert [(reading.bits, reading.count) for reading in found.readings] == list(readings)


def assert_engine_s(program, rel=0.02, keys=None, error_rate=None):
    """Compare complexity and ciphertexts with the engine's, and keys, with a tolerance of their own."""
    predicted = estimate_cost(program, error_rate)
    found = compile_program(program, error_rate, batch_sizes=(1,)).statistics
    assert predicted.complexity == pytest.approx(found["complexity"], rel=rel)
    assert predicted.input_bytes == found["input_bytes"]
    assert predicted.expanded_bytes == pytest.approx(found["expanded_bytes"], rel=rel)
    assert predicted.output_bytes == pytest.approx(found["output_bytes"], rel=0.5)
    assert predicted.key_bytes == pytest.approx(found["key_bytes"], rel=keys or rel)
    assert count_bootstraps(program) == found["lookups"]
