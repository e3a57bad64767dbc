"""What a client measures of a request: every phase, in order, and nothing that is secret."""

import asyncio
import re
import threading

import numpy as np
import pytest

from skfhe.deployment import AsyncClient, Client, HttpTransport, save
from skfhe.deployment._record import Recorder, add_exchange, add_phase, measured, recording
from skfhe.inspection import RequestDisplay
from skfhe.linear_model import LogisticRegression
from tests.deployment.served import infer_body, upload
from tests.deployment.stand_in import StandIn, reply
from tests.deployment.test_client import ROWS, InProcess, X, Y
from tests.deployment.test_serving_routes import with_server

BATCH = ["encrypt", "upload", "run", "download", "decrypt"]


@pytest.fixture(scope="module")
def model():
    model = LogisticRegression(max_iter=300).fit(X, Y)
    model.compile()
    return model


@pytest.fixture
def server(model, tmp_path):
    save(model, tmp_path / "small")
    with StandIn(model.fhe_circuit_.compiled, (tmp_path / "small" / "client.zip").read_bytes()) as server:
        yield server


def names(record):
    """Return the names of a record's phases, one for several in a row."""
    found = [phase.name for phase in record.phases]
    return [name for i, name in enumerate(found) if i == 0 or found[i - 1] != name]


def test_the_first_request_has_keys_to_send_and_the_next_has_not(model, server, tmp_path):
    with Client(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
        assert client.last_request is None
        client.predict(ROWS)
        first = client.last_request
        server.limits["max_rows"] = 5
        client._transport._loops.call(_forget)
        client.predict(ROWS)
        second = client.last_request
    assert names(first) == ["encode", "keys", "send keys", "ask limits", *BATCH, "decode"]
    assert names(second) == ["encode", "keys", "ask limits", *BATCH, *BATCH, "decode"]
    assert (first.n_rows, second.n_rows) == (8, 8)
    for record in (first, second):
        assert all(phase.start >= 0 <= phase.seconds for phase in record.phases)
        assert max(phase.end for phase in record.phases) <= record.seconds
        assert {phase.machine for phase in record.phases} == {"client", "network", "server"}
    batch = client.encrypt(ROWS).to_bytes()
    assert len(batch) < first.bytes_of("upload") < len(batch) + 600
    assert str(first).startswith("8 rows in ")
    assert f"{first.bytes_of('upload')} bytes" in str(first)
    assert list(RequestDisplay.from_record(first).bars_) == [
        *("encode", "keys", "ask limits", "send keys", *BATCH, "decode")
    ]


def test_phases_add_up_whatever_has_to_be_repeated(server, tmp_path):
    """One after the other, with nothing counted twice and no time between them that is in none."""

    def busy(server, writer, answer):
        return reply(429, {"error": "busy"})

    def forgotten(server, writer, answer):
        return reply(404, {"error": "no such keys", "code": "unknown_key"})

    for ending in ("GET /v2/models/small", "HEAD /v2/models/small/keys/", "PUT /v2/models/small/keys/"):
        server.fault(ending, busy)
    for act in (busy, forgotten, busy):
        server.fault("/infer", act)
    with Client(HttpTransport(f"{server.url}/small", folder=tmp_path), key_dir=tmp_path / "keys") as client:
        client.predict(ROWS)
        record = client.last_request
        keys = len(client.evaluation_keys().to_bytes())
    assert names(record) == [
        *("encode", "keys", "send keys", "ask limits", "encrypt"),
        *("repeat", "send keys", "repeat", "upload", "run", "download", "decrypt", "decode"),
    ]
    ends = [0.0, *(phase.end for phase in record.phases)]
    starts = [*(phase.start for phase in record.phases), record.seconds]
    gaps = [start - end for start, end in zip(starts, ends, strict=True)]
    assert min(gaps) > -1e-6
    assert sum(gaps) < 0.2 * record.seconds
    assert record.bytes_of("send keys") == keys


def test_who_waits_for_keys_that_another_thread_sends_is_told_so(server, tmp_path):
    sending = threading.Event()

    async def slow(server, writer, answer):
        sending.set()
        await asyncio.sleep(0.2)
        return answer

    server.fault("HEAD /v2/models/small/keys/", slow)
    records = []
    with Client(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
        client.keygen()
        first = threading.Thread(target=client.predict, args=(ROWS,))
        first.start()
        assert sending.wait(10)
        with recording() as recorder:
            client._answered(client._transport, "predict", (ROWS,), recorder)
            records.append(recorder.finished(len(ROWS)))
        first.join()
    (record,) = records
    assert names(record)[:3] == ["encode", "keys", "send keys"]
    assert record.seconds_of("send keys") > 0.05


async def _forget(remote):
    remote._description = None


def test_awaited_requests_are_recorded_alike_and_apart(server, tmp_path):
    async def main():
        async with AsyncClient(f"{server.url}/small", key_dir=tmp_path / "keys") as client:
            await client.predict(ROWS)
            alone = client.last_request
            await asyncio.gather(*(client.predict(ROWS) for _ in range(3)))
            return alone, client.last_request

    alone, among = asyncio.run(main())
    assert names(alone) == ["encode", "keys", "send keys", "ask limits", *BATCH, "decode"]
    assert names(among) == ["encode", "keys", *BATCH, "decode"]


def test_a_transport_that_measures_nothing_is_a_run(model, tmp_path):
    """And of requests in several threads each has its own phases."""
    save(model, tmp_path / "small")
    client = Client(InProcess(tmp_path / "small"))
    client.keygen()
    threads = [threading.Thread(target=client.predict, args=(ROWS,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [phase.name for phase in client.last_request.phases] == [
        *("encode", "keys", "encrypt", "run", "decrypt", "decode")
    ]


def test_a_display_asks_a_client(model, tmp_path):
    save(model, tmp_path / "small")
    client = Client(InProcess(tmp_path / "small"))
    display = RequestDisplay.from_estimator(client, ROWS, method="predict_proba")
    assert display.record is client.last_request
    with pytest.raises(ValueError, match="this client has none"):
        RequestDisplay.from_estimator(Client(tmp_path / "small" / "client.zip"), ROWS)


TIMES = (10.0, 10.1, 11.0, 11.25)
"""Begun, all sent, answer began, answer ended."""


def exchange(told):
    """Return start and end of the phases between a batch and its results, by what the server tells."""
    with recording() as recorder:
        recorder._began = 10.0
        add_exchange(TIMES, (500, 700), {"Server-Timing": told})
        record = recorder.finished(1)
    assert (record.bytes_of("upload"), record.bytes_of("download")) == (500, 700)
    return {phase.name: (round(phase.start, 6), round(phase.end, 6)) for phase in record.phases}


@pytest.mark.parametrize(
    ("told", "upload", "run"),
    [
        ("receive;dur=1.00, wait;dur=200.00, run;dur=600", (0.0, 0.2), (0.4, 1.0)),
        ("run;dur=600.5", (0.0, 0.3995), (0.3995, 1.0)),
        ("run;dur=99999999", (0.0, 0.0), (0.0, 1.0)),  # it cannot have run for longer than was waited for
        ("wait;dur=5000,run;dur=400", (0.0, 0.0), (0.6, 1.0)),
    ],
)
def test_what_a_server_tells_lies_between_the_client_s_own_times(told, upload, run):
    found = exchange(told)
    assert list(found) == ["upload", "queue", "run", "download"]
    assert (found["upload"], found["run"]) == (upload, run)
    assert found["queue"] == (upload[1], run[0])
    assert found["download"] == (1.0, 1.25)


@pytest.mark.parametrize(
    "told", ["", "run;dur=-1", "run;dur=1e400", "run;desc=x", "run;dur=nan", "run" * 999]
)
def test_a_server_that_tells_nothing_runs_from_the_last_byte_to_the_answer(told):
    assert exchange(told) == {"upload": (0.0, 0.1), "run": (0.1, 1.0), "download": (1.0, 1.25)}


def test_outside_of_a_request_nothing_is_recorded():
    with measured("run"):
        add_phase("run", 0.0, 1.0)
    with recording() as outer:
        with recording() as inner, measured("encode"):
            pass
        with measured("decode"):
            pass
    assert [phase.name for phase in inner.finished(1).phases] == ["encode"]
    assert [phase.name for phase in outer.finished(1).phases] == ["decode"]
    with pytest.raises(KeyError):
        Recorder().add("unheard of", 0.0, 1.0)


@with_server()
async def test_the_server_tells_its_times_with_results_alone(client, alice, bob):
    await upload(client, alice)
    request = infer_body(alice.encrypt(np.array([[0, 1, 2]])), alice.key_id)
    told = (await client.post("/v2/models/linear/infer", **request)).headers["Server-Timing"]
    assert re.fullmatch(r"receive;dur=[\d.]+, wait;dur=[\d.]+, run;dur=[\d.]+", told)
    assert "Server-Timing" not in (await client.get("/v2/models/linear")).headers
