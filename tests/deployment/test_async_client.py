"""Predictions that are awaited, and those of threads, by a server that is asked over HTTP."""

import asyncio
import pickle
import threading
import time

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from skfhe.deployment import AsyncClient, Client, HttpTransport, save
from skfhe.exceptions import ModelChangedError, ServerUnavailableError
from skfhe.linear_model import LogisticRegression
from tests.deployment.stand_in import StandIn, reply


@pytest.fixture(scope="module")
def model():
    X, y = load_breast_cancer(return_X_y=True)
    model = LogisticRegression(max_iter=5000).fit(X[:, :4], y)
    model.compile()
    return model


@pytest.fixture(scope="module")
def X():
    return load_breast_cancer().data[:40, :4]


@pytest.fixture
def server(model, tmp_path):
    save(model, tmp_path / "small")
    with StandIn(model.fhe_circuit_.compiled, (tmp_path / "small" / "client.zip").read_bytes()) as server:
        yield server


def test_a_client_predicts_what_the_model_predicts(model, server, X, tmp_path):
    with Client(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
        np.testing.assert_array_equal(client.predict(X[:4]), model.predict(X[:4]))
        np.testing.assert_array_equal(client.predict_proba(X[:4]), model.predict_proba(X[:4]))
    with Client(f"{server.url}/small", key_dir=tmp_path / "keys") as again:
        again.predict(X[:4])
    assert server.requests["PUT keys"] == 1


def test_rows_beyond_the_limit_are_several_requests_in_order(model, server, X, tmp_path):
    server.limits["max_rows"] = 8
    with Client(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
        np.testing.assert_array_equal(client.predict_proba(X[:20]), model.predict_proba(X[:20]))

    async def main():
        async with AsyncClient(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
            return await client.predict_proba(X[:20])

    np.testing.assert_array_equal(asyncio.run(main()), model.predict_proba(X[:20]))
    assert server.run_rows == [8, 8, 4] * 2


def test_threads_share_one_client_its_keys_and_its_upload(model, server, X, tmp_path):
    found = {}
    with Client(f"{server.url}/small", key_dir=tmp_path / "keys") as client:

        def one(i):
            found[i] = client.predict_proba(X[i : i + 4])

        threads = [threading.Thread(target=one, args=(i,)) for i in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for i in range(10):
        np.testing.assert_array_equal(found[i], model.predict_proba(X[i : i + 4]))
    assert server.requests["PUT keys"] == 1
    assert len(server.keys) == 1


def test_awaiting_many_predictions_at_once(model, server, X, tmp_path):
    async def main():
        async with AsyncClient(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
            return await asyncio.gather(*(client.predict_proba(X[i : i + 4]) for i in range(10)))

    for i, found in enumerate(asyncio.run(main())):
        np.testing.assert_array_equal(found, model.predict_proba(X[i : i + 4]))
    assert server.requests["PUT keys"] == 1
    assert server.requests["GET client"] == 1
    assert server.most_running > 1


def test_the_event_loop_goes_on_while_rows_are_predicted(server, X, tmp_path):
    """Key generation, encryption, the network and decryption are elsewhere."""

    async def main():
        gaps, last, ended = [], time.monotonic(), False

        async def ticking():
            nonlocal last
            while not ended:
                await asyncio.sleep(0.01)
                now = time.monotonic()
                gaps.append(now - last)
                last = now

        ticks = asyncio.create_task(ticking())
        server.fault("/infer", asleep(1.0))
        async with AsyncClient(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
            await client.predict(X[:4])
        ended = True
        await ticks
        return gaps

    gaps = asyncio.run(main())
    assert len(gaps) > 20
    assert max(gaps) < 1.0


def asleep(seconds):
    async def act(server, writer, answer):
        await asyncio.sleep(seconds)
        return answer

    return act


def test_a_cancelled_prediction_is_over_at_once_and_the_client_goes_on(model, server, X, tmp_path):
    async def main():
        async with AsyncClient(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
            await client.predict(X[:4])
            server.fault("/infer", asleep(30))
            task = asyncio.create_task(client.predict(X[:4]))
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begun < 5
            return await client.predict(X[:4])

    np.testing.assert_array_equal(asyncio.run(main()), model.predict(X[:4]))


def test_one_async_client_in_one_loop_after_the_other(model, server, X, tmp_path):
    client = AsyncClient(HttpTransport(f"{server.url}/small", folder=tmp_path), key_dir=tmp_path / "keys")
    for _ in range(2):
        np.testing.assert_array_equal(asyncio.run(client.predict(X[:4])), model.predict(X[:4]))
    asyncio.run(client.close())


def test_what_a_client_for_async_programs_cannot_do(server, tmp_path):
    with pytest.raises(TypeError, match=r"Client takes a client\.zip"):
        AsyncClient(tmp_path / "client.zip")
    client = AsyncClient(f"{server.url}/small", key_dir=tmp_path / "keys")
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(client)
    with pytest.raises(AttributeError, match="forward"):
        asyncio.run(client.forward([[1.0]]))
    asyncio.run(client.close())


def test_errors_are_those_of_the_call(server, X, tmp_path):
    with Client(HttpTransport(f"{server.url}/small", max_retries=0, folder=tmp_path)) as client:
        server.fault("/infer", lambda *_: reply(503, {"error": "later"}))
        with pytest.raises(ServerUnavailableError, match="later"):
            client.predict(X[:4])
    server.client_zip += b"more"
    with pytest.raises(ModelChangedError):
        Client(HttpTransport(f"{server.url}/small", folder=tmp_path))
