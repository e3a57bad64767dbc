"""Both clients and the server that skfhe comes with, over HTTP, as processes."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skfhe.deployment import AsyncClient, Client, HttpTransport, ServerSettings, save
from skfhe.deployment._serving._run import open_socket
from skfhe.exceptions import RequestRefusedError
from skfhe.linear_model import LogisticRegression

TOKEN = "a token of 16 letters or more".replace(" ", "-")
X, Y = load_iris(return_X_y=True)


class Serve:
    """``skfhe serve`` of one model, which keeps its port when it is started again."""

    def __init__(self, folder):
        (folder / "tokens").write_text(f"us {TOKEN}\n")
        self.command = [sys.executable, "-m", "skfhe", "serve", str(folder / "iris")]
        self.command += ["--keys", str(folder / "keys"), "--token-file", str(folder / "tokens")]
        self.command += ["--set", "max_rows=40"]
        self.port = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [*self.command, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.port = int(re.search(r":(\d+)$", self.process.stdout.readline().strip())[1])

    def end(self, sig):
        self.process.send_signal(sig)
        self.process.communicate(timeout=60)

    def transport(self, folder, **options):
        url = f"http://127.0.0.1:{self.port}/iris"
        return HttpTransport(url, token=TOKEN, timeout=120, max_retries=1000, folder=folder, **options)


@pytest.fixture(scope="module")
def model():
    model = LogisticRegression(max_iter=200).fit(X, Y)
    model.compile()
    return model


@pytest.fixture(scope="module")
def serve(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    save(model, folder / "iris")
    serve = Serve(folder)
    yield serve
    serve.process.kill()
    serve.process.communicate()


def test_both_clients_answer_what_the_model_does(model, serve, tmp_path):
    """Also while it compiles yet: they wait; and for more rows than the server takes at once."""
    keys = tmp_path / "keys"
    with Client(serve.transport(tmp_path), key_dir=keys) as client:
        np.testing.assert_array_equal(client.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(client.predict(X[:3]), model.predict(X[:3]))

    async def main():
        async with AsyncClient(serve.transport(tmp_path), key_dir=keys) as client:
            return await asyncio.gather(*(client.predict_proba(X[i : i + 50]) for i in (0, 50, 100)))

    np.testing.assert_array_equal(np.concatenate(asyncio.run(main())), model.predict_proba(X))


def test_whoever_has_no_token_is_refused(serve, tmp_path):
    for token in (None, "another-one-of-16-letters"):
        transport = HttpTransport(f"http://127.0.0.1:{serve.port}", token=token, folder=tmp_path)
        with pytest.raises(RequestRefusedError, match="token="):
            transport.client_file()
        transport.close()


def test_no_answer_waits_for_an_acknowledgement(tmp_path):
    """A kernel may put that off for 40 ms, and the rest of an answer would be held back until then."""
    with (
        open_socket(ServerSettings(folders=(tmp_path,), port=0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_no_prediction_is_lost_when_the_server_is_started_again(model, serve, tmp_path, sig):
    """Nor is one of another's rows, though several threads of two clients have keys of their own."""
    found, errors = [], []
    clients = [Client(serve.transport(tmp_path), key_dir=tmp_path / f"keys-{i}") for i in range(2)]
    for client in clients:
        client.predict(X[:1])
    until = time.monotonic() + 8

    def predict(seed):
        rng = np.random.default_rng(seed)
        while time.monotonic() < until:
            chosen = rng.integers(0, len(X), 3)
            try:
                found.append((chosen, clients[seed % 2].predict_proba(X[chosen])))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=predict, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    before = len(found)
    serve.end(sig)
    serve.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert len(found) >= before + 4
    for chosen, proba in found:
        np.testing.assert_array_equal(proba, model.predict_proba(X[chosen]))
    for client in clients:
        client.close()
