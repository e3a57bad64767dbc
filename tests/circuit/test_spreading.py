"""Rows that are run on other machines give what they give here, in order, and no secret goes there."""

import gc
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import dask
import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster
from joblib.parallel import BACKENDS, LokyBackend, ThreadingBackend, register_parallel_backend
from sklearn.model_selection import GridSearchCV

from skfhe.circuit import Batch, Circuit, _spreading, compile_program
from skfhe.circuit._host import PerProcess
from skfhe.circuit._spreading import machines, rows_a_task
from skfhe.exceptions import CiphertextMismatchError
from skfhe.linear_model import LogisticRegression
from skfhe.program import ProgramBuilder, ops, run
from skfhe.tree import DecisionTreeClassifier
from tests.circuit.two_parts import two_parts
from tests.conftest import random_inputs


@contextmanager
def workers(n_workers):
    """Start a cluster on this machine, as on several: a process for each worker, and one that watches it."""
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "host": "127.0.0.1"}
    with (
        LocalCluster(n_workers=n_workers, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client():
    with workers(2) as client:
        yield client


@pytest.fixture
def spread(client):
    """Everything in the test is under the cluster's backend."""
    with joblib.parallel_config(backend="dask", client=client):
        yield client


@pytest.fixture(scope="module")
def models(iris):
    """A model without lookups, and one with, that have keys."""
    found = {
        "linear": LogisticRegression(max_iter=300).fit(*iris),
        "tree": DecisionTreeClassifier(max_depth=2, random_state=0).fit(*iris),
    }
    for model in found.values():
        model.compile().keygen()
    return found


def fresh():
    """Return a circuit of two parts with small keys that no other test has sent."""
    circuit = compile_program(two_parts(), batch_sizes=(1, 2))
    circuit.keygen()
    return circuit


@pytest.fixture(scope="module")
def small():
    return fresh()


def rows_of(circuit, n_rows, seed=0):
    return random_inputs(circuit.program, n_rows, np.random.default_rng(seed))


def assert_runs_right(circuit, n_rows, seed=0):
    inputs = rows_of(circuit, n_rows, seed)
    for got, clear in zip(circuit.execute(*inputs), run(circuit.program, *inputs), strict=True):
        np.testing.assert_array_equal(got, clear)


def held(client):
    """Return the circuits and keys of ours that the cluster has."""
    found = {key for keys in client.has_what().values() for key in keys}
    return {key for key in found if key.startswith(("skfhe-circuit", "skfhe-keys"))}


def received(client):
    """Return the names of the circuits and of the keys that each worker has kept."""
    return client.run(lambda: [*_spreading._kept.here().circuits, *_spreading._kept.here().keys])


def wait_until(condition, seconds=30):
    """Wait for what a cluster does by itself, and return whether it did."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def n_tasks(client):
    """Return the tasks of ours that the scheduler has."""
    return client.run_on_scheduler(
        lambda dask_scheduler: sum(str(key).startswith("skfhe-run") for key in dask_scheduler.tasks)
    )


# On Dask.


@pytest.mark.parametrize("kind", ["linear", "tree"])
@pytest.mark.parametrize("n_rows", [1, 7, pytest.param(43, marks=pytest.mark.slow)])
def test_predictions_are_those_of_here_in_the_order_of_the_rows(models, iris, spread, kind, n_rows):
    X = np.random.default_rng(n_rows).permutation(iris[0])[:n_rows]
    model = models[kind]
    ran = model.fhe_circuit_.compiled.parts[0]._made.here().functions.copy()
    np.testing.assert_array_equal(model.predict(X, fhe="execute"), model.predict(X))
    assert model.fhe_circuit_.compiled.parts[0]._made.here().functions == ran, "nothing was run here"


def test_no_rows_are_no_work(small, spread):
    assert [len(y) for y in small.execute(*(x[:0] for x in rows_of(small, 2)))] == [0, 0]


def test_circuit_and_keys_are_sent_once_to_every_worker(spread, monkeypatch):
    """The second run finds at each worker what the first has brought, and what the engine has made of it."""
    monkeypatch.setattr(_spreading._DaskWorkers, "seconds_a_task", 0.0)
    circuit, scattered, submitted = fresh(), [], []
    scatter, submit = spread.scatter, spread.submit
    monkeypatch.setattr(spread, "scatter", lambda data, **how: scattered.extend(data) or scatter(data, **how))
    monkeypatch.setattr(
        spread, "submit", lambda *given, **how: submitted.append(given) or submit(*given, **how)
    )
    for seed in range(2):
        submitted.clear()
        assert_runs_right(circuit, 30, seed)
    names = {circuit.compiled.specs.circuit_id, str(circuit.session.key_id)}
    assert sorted(name.split("-")[1] for name in scattered) == ["circuit", "keys"]
    assert all(names <= set(those) for those in received(spread).values())
    assert all(sent is None for *_, sent in submitted), "tasks carry batches alone"


@pytest.mark.slow
def test_what_is_gone_here_leaves_the_cluster(spread):
    circuit = fresh()
    before = held(spread)
    assert_runs_right(circuit, 3)
    assert len(held(spread) - before) == 2
    circuit.keygen(force=True)
    gc.collect()
    assert wait_until(lambda: len(held(spread) - before) == 1)
    assert_runs_right(circuit, 3)
    del circuit
    gc.collect()
    assert wait_until(lambda: held(spread) <= before)


def test_a_worker_keeps_what_it_was_sent_last(monkeypatch):
    """Beyond a bound, what was used longest ago is dropped, and is sent again when it is needed."""
    monkeypatch.setattr(_spreading, "_kept", PerProcess(_spreading._Kept))
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 3), label="x")
    program = builder.finish(builder.add(ops.Linear(np.eye(2, dtype=np.int64), np.arange(2)), x, label="y"))
    compiled = compile_program(program, batch_sizes=(1,)).compiled
    circuits = [Circuit(compiled) for _ in range(_spreading._KEPT + 1)]

    for circuit in circuits:
        circuit.keygen()

    def sent_to_run(circuit):
        names = circuit.compiled.specs.circuit_id, str(circuit.session.key_id)
        batch = circuit.encrypt(*rows_of(circuit, 1)).to_bytes()
        if _spreading._run(names, batch, None) is not None:
            return False
        sent = pickle.dumps(circuit.compiled), circuit.session.evaluation_keys.to_bytes()
        circuit.decrypt(Batch.from_bytes(_spreading._run(names, batch, sent)))
        return True

    assert [sent_to_run(circuit) for circuit in circuits[:-1]] == [True] * _spreading._KEPT
    assert not sent_to_run(circuits[0])
    assert sent_to_run(circuits[-1])
    assert not sent_to_run(circuits[0])
    assert sent_to_run(circuits[1])
    assert len(_spreading._kept.here().keys) == _spreading._KEPT
    assert len(_spreading._kept.here().circuits) == 1


def test_rows_are_not_all_encrypted_ahead(small, spread, monkeypatch):
    """At most two batches a worker are under way, however many rows there are."""
    under_way, most = 0, 0
    encrypt, decrypt = small.session.encrypt, small.session.decrypt

    def counted_encrypt(*inputs):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        return encrypt(*inputs)

    def counted_decrypt(batch):
        nonlocal under_way
        under_way -= 1
        return decrypt(batch)

    monkeypatch.setattr(small.session, "encrypt", counted_encrypt)
    monkeypatch.setattr(small.session, "decrypt", counted_decrypt)
    monkeypatch.setattr(_spreading._DaskWorkers, "seconds_a_task", 0.0)
    assert_runs_right(small, 41)
    assert under_way == 0
    # One more: the next is on its way when a result is handed over.
    assert 4 <= most <= 5


def test_progress_counts_rows_as_they_come(small, spread, capsys, monkeypatch):
    monkeypatch.setattr(small, "verbose", True)
    assert_runs_right(small, 9)
    assert "9/9" in capsys.readouterr().err


def test_what_a_worker_raises_is_raised_here(small, spread):
    """Of the type and with the words that it has here."""
    other = compile_program(two_parts(), batch_sizes=(1, 2))
    assert other.compiled.specs.circuit_id == small.compiled.specs.circuit_id
    batches = iter([small.encrypt(*rows_of(small, 2))])
    with pytest.raises(CiphertextMismatchError, match="other keys"):
        list(machines().run(small.compiled, other.session.evaluation_keys, batches))
    assert wait_until(lambda: n_tasks(spread) == 0)
    assert_runs_right(small, 3)


def test_a_worker_with_another_engine_says_so(small):
    """Its circuit has other parameters; nothing is run under them."""
    names = "another", str(small.session.key_id)
    batch = small.encrypt(*rows_of(small, 1)).to_bytes()
    sent = pickle.dumps(small.compiled), small.session.evaluation_keys.to_bytes()
    with pytest.raises(CiphertextMismatchError, match="same versions"):
        _spreading._run(names, batch, sent)


def test_an_interrupt_cancels_what_is_outstanding(small, spread, monkeypatch):
    def interrupted(batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(_spreading._DaskWorkers, "seconds_a_task", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(small.session, "decrypt", interrupted)
        with pytest.raises(KeyboardInterrupt):
            small.execute(*rows_of(small, 60))
    assert wait_until(lambda: n_tasks(spread) == 0)
    assert_runs_right(small, 5)


def test_tasks_go_where_the_backend_was_told_to(client):
    """What joblib submits its tasks with holds for these, too."""
    address = min(client.nthreads())
    circuit = fresh()
    with joblib.parallel_config(backend="dask", client=client, workers=[address]):
        assert_runs_right(circuit, 6)
    key_id = str(circuit.session.key_id)
    assert {where: key_id in those for where, those in received(client).items()} == {
        where: where == address for where in client.nthreads()
    }


def test_threads_share_what_was_sent(spread):
    """Threads choose their backend for themselves, and send one circuit between them."""
    circuit = fresh()
    sent = []
    scatter = spread.scatter
    spread.scatter = lambda data, **options: sent.extend(data) or scatter(data, **options)
    failed = []

    def work(seed):
        try:
            with joblib.parallel_config(backend="dask", client=spread):
                assert_runs_right(circuit, 6, seed)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        del spread.scatter
    assert not failed
    assert sorted(name.split("-")[1] for name in sent) == ["circuit", "keys"]


def predict_there(model, X):
    """Predict in a task of the cluster, as a search does, under the backend that joblib sets there."""
    with joblib.parallel_config(backend="dask"):
        assert machines() is None
        return model.predict(X, fhe="execute")


@pytest.mark.slow
def test_a_task_that_predicts_runs_where_it_is(models, iris, client):
    """It holds a worker while it runs, and would wait for ever for another if all did so."""
    X = iris[0][::30]
    tasks = [client.submit(predict_there, models["linear"], X, pure=False) for _ in range(4)]
    for predicted in client.gather(tasks):
        np.testing.assert_array_equal(predicted, models["linear"].predict(X))


class Recorder:
    """Stands between a client and a scheduler, and keeps what goes to the scheduler."""

    def __init__(self, address):
        self.recorded = bytearray()
        self._to = (address.split("//")[1].split(":")[0], int(address.rsplit(":", 1)[1]))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                here, _ = self._listening.accept()
            except OSError:  # closed
                return
            there = socket.create_connection(self._to)
            for given in ((here, there, self.recorded), (there, here, None)):
                threading.Thread(target=self._carry, args=given, daemon=True).start()

    @staticmethod
    def _carry(source, target, kept):
        while data := source.recv(1 << 16):
            if kept is not None:
                kept += data
            target.sendall(data)
        target.close()

    def close(self):
        self._listening.close()


def test_no_secret_key_goes_over_the_wire(client, monkeypatch):
    """All that the client sends is recorded, and searched for each secret key's words and bits.

    That a search finds what is sent is seen by the evaluation keys and the seeds of batches.
    """
    small, seeds = fresh(), []
    encrypt = small.session.encrypt

    def kept(*inputs):
        batch = encrypt(*inputs)
        seeds.append(batch.seed)
        return batch

    monkeypatch.setattr(small.session, "encrypt", kept)
    recorder = Recorder(client.scheduler.address)
    try:
        with (
            Client(recorder.address, set_as_default=False) as recorded,
            joblib.parallel_config(backend="dask", client=recorded),
        ):
            assert_runs_right(small, 9)
    finally:
        recorder.close()
    sent = bytes(recorder.recorded)
    keys = small.session.secret_keys
    assert keys.evaluation.to_bytes()[-4096:] in sent
    assert seeds
    assert all(seed in sent for seed in seeds)
    for words in (words for part in small.compiled.specs.parts for words in keys.of(part.parameters)):
        bits = words.astype(np.uint8)
        forms = (words, bits, np.packbits(bits), np.packbits(bits, bitorder="little"))
        for form in forms:
            assert form.tobytes()[:64] not in sent
        assert re.search(re.escape("".join(map(str, bits[:64]))).encode(), sent) is None


# Other backends of joblib.


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_backends_of_this_machine_are_left_alone(backend):
    """A run uses all cores already."""
    assert machines() is None
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert machines() is None


class Elsewhere(ThreadingBackend):
    """A backend that joblib does not know, which lets what is pickled run in threads."""

    def submit(self, func, callback=None):
        return super().submit(pickle.loads(pickle.dumps(func)), callback)


class Processes(LokyBackend):
    """A backend that joblib does not know, of other processes."""


@pytest.fixture
def registered():
    """The two backends, by their names."""
    register_parallel_backend("elsewhere", Elsewhere)
    register_parallel_backend("processes", Processes)
    yield
    for name in ("elsewhere", "processes"):
        del BACKENDS[name]


@pytest.mark.parametrize("backend", ["elsewhere", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_backend_that_is_registered_with_joblib_runs_batches(registered, backend, monkeypatch):
    small = fresh()
    monkeypatch.setattr(_spreading._JoblibWorkers, "seconds_a_task", 0.0)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_runs_right(small, 13)
        monkeypatch.setattr(_spreading._JoblibWorkers, "__init__", without_generators)
        assert_runs_right(small, 13, seed=1)
    assert not small.compiled.parts[0]._made.here().functions


def without_generators(self, n_workers, as_they_come, of=_spreading._JoblibWorkers.__init__):
    of(self, n_workers, False)


def test_a_backend_with_one_worker_is_left_alone(registered):
    with joblib.parallel_config(backend="elsewhere", n_jobs=1):
        assert machines() is None


# How rows are cut.


@pytest.mark.parametrize(
    ("n_rows", "n_workers", "largest", "seconds", "expected"),
    [
        (1, 2, 32, 0.1, 1),  # there are no more
        (40, 2, 32, 0.1, 20),  # half for each
        (1000, 2, 32, 0.1, 32),  # a full call of the engine
        (1000, 2, 8, 0.01, 100),  # many calls of a cheap model, for the way there
        (1000, 64, 8, 0.01, 16),
    ],
)
def test_tasks_are_as_long_as_they_have_to_be(n_rows, n_workers, largest, seconds, expected):
    class Some:
        seconds_a_task = 1.0

    Some.n_workers = n_workers
    assert rows_a_task(n_rows, Some, largest, seconds) == expected


# What takes long.


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2])
def test_rows_of_a_worker_that_is_killed_run_again(small, n_workers, monkeypatch):
    """Of one of two, the other has circuit and keys; with the only one they are lost, and sent again."""
    monkeypatch.setattr(_spreading._DaskWorkers, "seconds_a_task", 0.0)
    decrypt, killed = small.session.decrypt, []
    with workers(n_workers) as client, joblib.parallel_config(backend="dask", client=client):

        def kill_and_decrypt(batch):
            if not killed:
                killed.extend(client.run(os.getpid).values())
                os.kill(killed[0], signal.SIGKILL)
            return decrypt(batch)

        monkeypatch.setattr(small.session, "decrypt", kill_and_decrypt)
        assert_runs_right(small, 60)
        assert len(killed) == n_workers
        assert wait_until(lambda: len(client.nthreads()) == n_workers), "its nanny starts another"
        assert killed[0] not in client.run(os.getpid).values()
        assert_runs_right(small, 30, seed=1)


def end_this_process(*given):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_rows_that_end_every_worker_are_given_up(small, monkeypatch):
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        workers(1) as client,
        joblib.parallel_config(backend="dask", client=client),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(_spreading, "_run_on_dask", end_this_process)
            with pytest.raises(RuntimeError, match="memory_limit"):
                small.execute(*rows_of(small, 1))
        assert_runs_right(small, 1)


def encrypted_accuracy(model, X, y):
    """Score that compiles and predicts encrypted, wherever the search calls it."""
    model.compile()
    return np.mean(model.predict(X[::10], fhe="execute") == y[::10])


@pytest.mark.slow
def test_a_search_on_the_cluster_predicts_there_and_spreads_after(iris, client):
    X, y = iris
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, scoring=encrypted_accuracy, cv=2
    )
    here = GridSearchCV(
        DecisionTreeClassifier(random_state=0),
        {"max_depth": [1, 2]},
        scoring=lambda model, X, y: np.mean(model.predict(X[::10]) == y[::10]),
        cv=2,
    ).fit(X, y)
    with joblib.parallel_config(backend="dask", client=client):
        search.fit(X, y)
        np.testing.assert_array_equal(
            search.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"]
        )
        best = search.best_estimator_
        best.compile()
        np.testing.assert_array_equal(best.predict(X[:40], fhe="execute"), best.predict(X[:40]))
        key_id = str(best.fhe_circuit_.session.key_id)
        assert any(key_id in name for name in held(client))


@pytest.mark.slow
def test_the_example_of_the_guide_prints_what_it_says(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "spreading.md").read_text("utf-8")
    code, printed = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL).groups()
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == printed
