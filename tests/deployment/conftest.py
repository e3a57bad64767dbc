"""A circuit that is cheap to compile and to run, and two clients of it."""

import numpy as np
import pytest

from skfhe.circuit import ClientSession, compile_program
from skfhe.program import ProgramBuilder, ops


@pytest.fixture(scope="package")
def linear():
    """A compiled circuit without lookups."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 7), label="input")
    weights = np.array([[1, 2], [-1, 3], [2, -2]])
    y = builder.add(ops.Linear(weights, np.array([1, 5])), x, label="output")
    return compile_program(builder.finish(y), batch_sizes=(1, 4)).compiled


@pytest.fixture(scope="package")
def alice(linear):
    session = ClientSession(linear.specs)
    session.keygen()
    return session


@pytest.fixture(scope="package")
def bob(linear):
    session = ClientSession(linear.specs)
    session.keygen()
    return session
