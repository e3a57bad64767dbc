"""Threads that share a circuit get what one thread gets: the engine's objects are entered one at a time."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris

from skfhe.circuit import _session, compile_program
from skfhe.linear_model import LogisticRegression
from skfhe.program import run
from skfhe.tree import DecisionTreeClassifier
from tests.conftest import perceptron, random_inputs


@pytest.fixture(scope="module")
def models(classifier, iris):
    """One compiled model of each kind, with keys."""
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(*iris)
    linear = LogisticRegression(max_iter=200).fit(*iris)
    for model in (tree, linear):
        model.compile().keygen()
    return {"tree": tree, "network": classifier, "linear": linear}


def in_threads(n_threads, work):
    """Call ``work(number)`` in threads that begin together, and return what they return."""
    barrier = threading.Barrier(n_threads, timeout=60)

    def begin(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(begin, range(n_threads)))


def check_everything(circuit, number):
    """Use all that a circuit can do, on rows that differ from thread to thread."""
    inputs = random_inputs(circuit.program, 9, np.random.default_rng(number))
    clear = run(circuit.program, *inputs)
    one = [x[:1] for x in inputs]
    for _ in range(3):
        for result in (circuit.execute(*inputs), circuit.simulate(*inputs)):
            for got, expected in zip(result, clear, strict=True):
                np.testing.assert_array_equal(got, expected)
        alone = circuit.decrypt(circuit.run(circuit.encrypt(*one)))
        for got, expected in zip(alone, clear, strict=True):
            np.testing.assert_array_equal(got, expected[:1])


@pytest.mark.parametrize("kind", ["tree", "network", "linear"])
@pytest.mark.parametrize("n_threads", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_threads_on_one_circuit_get_the_clear_integers(models, kind, n_threads):
    in_threads(n_threads, lambda number: check_everything(models[kind].fhe_circuit_, number))


@pytest.mark.parametrize("kind", ["tree", pytest.param("network", marks=pytest.mark.slow), "linear"])
def test_first_use_by_four_threads_makes_one_key_set(models, kind, monkeypatch):
    """The circuit is fresh from a pickle: all four compile it, generate keys and make functions."""
    made = []
    generate = _session.generate_keys
    monkeypatch.setattr(_session, "generate_keys", lambda *a, **k: made.append(a) or generate(*a, **k))
    circuit = pickle.loads(pickle.dumps(models[kind].fhe_circuit_))
    in_threads(4, lambda number: check_everything(circuit, number))
    assert len(made) == 1


def test_compiling_costs_and_predictions_mix(models):
    """Compiling in a thread other than the one that loaded the engine, too."""
    X, _ = load_iris(return_X_y=True)
    expected = {kind: model.predict(X[:10]) for kind, model in models.items()}

    def work(number):
        kind = ("tree", "linear", "tree", "network")[number]
        model = models[kind]
        if number == 0:
            fresh = compile_program(model.program_, batch_sizes=(1,))
            check = random_inputs(model.program_, 1, np.random.default_rng(0))
            np.testing.assert_array_equal(fresh.simulate(*check)[0], run(model.program_, *check)[0])
        for _ in range(2):
            assert model.cost_.n_lookups == len(model.program_.lookups) or kind != "linear"
            np.testing.assert_array_equal(model.predict(X[:10], fhe="execute"), expected[kind])
            np.testing.assert_array_equal(model.predict(X[:10], fhe="simulate"), expected[kind])

    in_threads(4, work)


def test_independent_models_run_at_the_same_time(models, monkeypatch):
    """Each run waits for the other to have begun: one lock for all would keep them apart for ever."""
    meeting = threading.Barrier(2, timeout=60)
    circuits = [models["tree"].fhe_circuit_, models["network"].fhe_circuit_]
    for circuit in circuits:
        function = circuit.compiled.parts[0].function(1)

        class Meeting:
            def __init__(self, server):
                self.server = server

            def call(self, *arguments):
                meeting.wait()
                return self.server.call(*arguments)

        monkeypatch.setattr(function, "_server", Meeting(function._server))
    batches = [c.encrypt(*random_inputs(c.program, 1, np.random.default_rng(0))) for c in circuits]
    in_threads(2, lambda number: circuits[number].decrypt(circuits[number].run(batches[number])))


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_joblib_workers_get_the_clear_predictions(models, iris, backend):
    """Threads share the model's keys; loky's processes are started afresh and make keys of their own."""
    X, _ = iris
    tree = models["tree"]
    rows = [X[start : start + 5] for start in range(0, 150, 50)]
    parallel = joblib.Parallel(n_jobs=2, backend=backend)
    predicted = parallel(joblib.delayed(tree.predict)(part, fhe="execute") for part in rows)
    np.testing.assert_array_equal(np.concatenate(predicted), tree.predict(np.concatenate(rows)))


def test_keys_replaced_by_another_thread_are_noticed(small_program):
    """Whoever is between encryption and decryption then gets an error, not numbers."""
    circuit = compile_program(small_program, batch_sizes=(1,))
    batch = circuit.encrypt(*random_inputs(small_program, 1, np.random.default_rng(0)))
    in_threads(1, lambda number: circuit.keygen(force=True))
    with pytest.raises(ValueError, match="other keys"):
        circuit.run(batch)


@pytest.mark.slow
def test_random_programs_agree_in_threads():
    """Several circuits at once, each used by two threads."""
    programs = [perceptron(np.random.default_rng(seed), span=1, n_hidden=2) for seed in range(2)]
    circuits = [compile_program(program, batch_sizes=(1, 4)) for program in programs]
    in_threads(4, lambda number: check_everything(circuits[number % 2], number))
