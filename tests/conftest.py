"""Programs, circuits and fitted networks that several tests read; each is built once a session."""

import random
import sys

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris

from skfhe.circuit import compile_program
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor
from skfhe.passes import optimize
from skfhe.program import ProgramBuilder, ops


def pytest_runtest_setup(item):
    """Seed every global generator, so that a test draws the same in every run, alone or among others.

    Tests that are meant to hold for many seeds loop over them.
    """
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  the global generator is what is meant
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def perceptron(rng, n_inputs=6, n_hidden=3, n_outputs=2, span=3, weight=2, table_bits=3):
    """Build linear, one lookup a neuron, linear: the program of a small network."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n_inputs), np.full(n_inputs, span), label="input")
    w1 = rng.integers(-weight, weight + 1, size=(n_inputs, n_hidden))
    h = builder.add(ops.Linear(w1, np.zeros(n_hidden, dtype=np.int64)), x, label="hidden")
    low, high = builder.type_of(h).min, builder.type_of(h).max
    tables = rng.integers(0, 2**table_bits, size=(n_hidden, high - low + 1))
    h = builder.add(ops.Lookup(tables, np.full(n_hidden, low)), h, label="hidden")
    w2 = rng.integers(-weight, weight + 1, size=(n_hidden, n_outputs))
    y = builder.add(ops.Linear(w2, np.arange(n_outputs)), h, label="output")
    return builder.finish(y)


def random_inputs(program, n_rows, rng):
    """Draw rows for every input of ``program``, its extremes among them."""
    drawn = []
    for position in program.inputs:
        kind = program.values[position].type
        rows = rng.integers(kind.low, kind.high + 1, size=(n_rows, *kind.shape))
        rows[0], rows[-1] = kind.low, kind.high
        drawn.append(rows)
    return drawn


@pytest.fixture(scope="session")
def small_program():
    return optimize(perceptron(np.random.default_rng(0), span=1))


@pytest.fixture(scope="session")
def small_circuit(small_program):
    circuit = compile_program(small_program, batch_sizes=(1, 4))
    circuit.keygen()
    return circuit


@pytest.fixture(scope="session")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="session")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.fixture(scope="session")
def classifier(iris):
    """Iris classifier with a compiled circuit and keys."""
    model = NeuralNetClassifier(random_state=0).fit(*iris)
    model.compile().keygen()
    return model


@pytest.fixture(scope="session")
def regressor(diabetes):
    """Regressor of two targets with a compiled circuit and keys."""
    X, y = diabetes
    model = NeuralNetRegressor(random_state=0, max_epochs=20).fit(X, np.column_stack([y, -y]))
    model.compile().keygen()
    return model
