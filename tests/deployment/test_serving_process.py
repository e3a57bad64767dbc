"""The server as it is started by its command, with workers, a store of keys and models that were saved."""

import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import psutil
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris

from skfhe.circuit import ClientSession
from skfhe.deployment import save
from skfhe.deployment._client_model import ClientModel
from skfhe.linear_model import LogisticRegression
from skfhe.tree import DecisionTreeClassifier
from tests.deployment.served import infer_body, results_of

X, Y = load_iris(return_X_y=True)
MODELS = {
    "linear": LogisticRegression(max_iter=200),
    "tree": DecisionTreeClassifier(max_depth=2, random_state=0),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders of a model without and of one with lookups, and the models."""
    folder = tmp_path_factory.mktemp("models")
    models = {}
    for name, model in MODELS.items():
        models[name] = model.fit(X, Y)
        model.compile()
        save(model, folder / name)
    return folder, models


@contextmanager
def started(folder, names, place, *arguments):
    """Yield a running server, which keeps keys and writes its log in a place, and a client; and end it."""
    command = [sys.executable, "-m", "skfhe", "serve", *(str(folder / name) for name in names)]
    command += ["--port", "0", "--keys", str(place / "keys"), *arguments]
    with open(place / "log", "w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        announced = "".join(iter(process.stdout.readline, "Ctrl-C stops it\n"))
        url = re.match(r"skfhe serves (http://127\.0\.0\.1:[0-9]+)\n", announced).group(1)
        for said in (*names, str(place / "keys")):
            assert said in announced
        with httpx.Client(base_url=url, timeout=60) as client:
            yield process, client
    finally:
        process.kill()
        process.communicate()
        print((place / "log").read_text())


def ready(client):
    """Wait until every model is compiled, as whoever balances load does."""
    for _ in range(600):
        if client.get("/v2/health/ready").status_code == 200:
            return
        assert client.get("/v2/health/live").status_code == 200
        time.sleep(0.1)
    pytest.fail("the server is not ready after a minute")


class Remote:
    """A client of one model, with keys of its own."""

    def __init__(self, client, name):
        self.client, self.path = client, f"/v2/models/{name}"
        self.model = ClientModel.read(client.get(f"{self.path}/client").content)
        self.session = ClientSession(self.model.specs)
        self.session.keygen()
        key_id, keys = str(self.session.key_id), self.session.evaluation_keys.to_bytes()
        for status in (201, 200):
            assert client.put(f"{self.path}/keys/{key_id}", content=keys).status_code == status

    def predict(self, rows):
        batch = self.session.encrypt(*self.model.predictor.encode(rows))
        response = self.client.post(f"{self.path}/infer", **infer_body(batch, self.session.key_id))
        assert response.status_code == 200, response.text
        return self.model.predictor.answer("predict", self.session.decrypt(results_of(response)[1]))


@pytest.mark.parametrize("names", [["linear"], pytest.param(["linear", "tree"], marks=pytest.mark.slow)])
def test_encrypted_predictions_over_http_are_those_of_the_process(saved, names, tmp_path):
    """Of each model, with two clients that have keys of their own, at the same time.

    And the end is in order: its status is that of success, and no process is left.
    """
    folder, models = saved
    with started(folder, names, tmp_path, "--workers", str(len(names)), "--set", "log_level=debug") as (
        process,
        client,
    ):
        ready(client)
        clients = [Remote(client, name) for name in names for _ in range(2)]
        n_clients = len(clients)
        rows = [np.roll(X, 10 * i, axis=0)[:8] for i in range(n_clients)]

        def predict(i):
            return clients[i].predict(rows[i])

        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(predict, 2 * list(range(n_clients))))
        for i, y in enumerate(found):
            model = models[names[i % n_clients // 2]]
            assert_array_equal(y, model.predict(rows[i % n_clients]))
        metrics = client.get("/metrics").text
        assert f'skfhe_requests_total{{route="infer",status="200"}} {2 * n_clients}.0' in metrics
        assert f"skfhe_keys {n_clients}.0" in metrics
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not [child for child in children if child.is_running() and child.status() != "zombie"]
    log = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"stopping", "stopped", "worker_started"} <= {line["event"] for line in lines}
    assert not [line for line in lines if line["level"] == "error"]
    for each in clients:
        assert str(each.session.key_id) not in log


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_request(saved, tmp_path):
    """Requests that it was running are run by its successor, and those that waited wait for that."""
    folder, models = saved
    with started(folder, ["linear"], tmp_path, "--workers", "1") as (process, client):
        ready(client)
        remote = Remote(client, "linear")
        expected = models["linear"].predict(X[:8])
        with ThreadPoolExecutor(4) as threads:
            found = [threads.submit(remote.predict, X[:8]) for _ in range(200)]
            time.sleep(0.2)
            (worker,) = psutil.Process(process.pid).children()
            worker.kill()
            for each in found:
                assert_array_equal(each.result(), expected)
        assert 'skfhe_worker_restarts_total{worker="0"} 1.0' in client.get("/metrics").text
