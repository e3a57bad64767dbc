"""The HTTP client beside a server that does everything that networks and servers do to a request."""

import asyncio
import hashlib
import json
import logging
import os
import pickle
import signal
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from skfhe.circuit import compile_program
from skfhe.deployment import HttpTransport
from skfhe.deployment._inference import HEADER_LENGTH, results_of
from skfhe.exceptions import (
    ModelChangedError,
    RequestRefusedError,
    ServerError,
    ServerTimeoutError,
    ServerUnavailableError,
)
from skfhe.program import ProgramBuilder, ops
from tests.deployment.stand_in import StandIn, reply, results_reply

TOKEN = "a-token-that-nobody-sees"
INFER = "/infer"


@pytest.fixture(scope="module")
def circuit():
    """A sum without lookups: the fastest that there is."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 7), label="x")
    weight = np.array([[1, -1], [2, 0], [3, 1]])
    circuit = compile_program(
        builder.finish(builder.add(ops.Linear(weight, np.array([1, 2])), x, label="y")), batch_sizes=(1, 4)
    )
    circuit.keygen()
    return circuit


@pytest.fixture
def server(circuit):
    with StandIn(circuit.compiled) as server:
        yield server


@pytest.fixture
def transport(server, circuit, tmp_path):
    with_keys = HttpTransport(server.url, token=TOKEN, timeout=20, folder=tmp_path)
    with_keys.send_keys(circuit.session.evaluation_keys)
    yield with_keys
    with_keys.close()


def rows(n=4, seed=0):
    return np.random.default_rng(seed).integers(0, 8, (n, 3))


def expected(x):
    return x @ np.array([[1, -1], [2, 0], [3, 1]]) + np.array([1, 2])


def predicted(circuit, transport, x):
    (y,) = circuit.decrypt(transport.run(circuit.encrypt(x)))
    return y


def test_what_comes_back_is_what_the_circuit_computes(circuit, transport, server):
    np.testing.assert_array_equal(predicted(circuit, transport, rows()), expected(rows()))
    assert server.requests == {
        "GET models": 1,
        "HEAD keys": 1,
        "PUT keys": 1,
        "GET small": 1,
        "POST infer": 1,
    }


def test_keys_are_uploaded_once(circuit, transport, server, tmp_path):
    for _ in range(3):
        transport.send_keys(circuit.session.evaluation_keys)
        predicted(circuit, transport, rows(1))
    assert server.requests["PUT keys"] == 1
    other = HttpTransport(server.url, folder=tmp_path)  # another process of the same user
    other.send_keys(circuit.session.evaluation_keys)
    assert server.requests["PUT keys"] == 1
    assert server.requests["HEAD keys"] == 2
    other.close()


def test_keys_have_their_exact_length_and_arrive_whole(small_circuit, tmp_path):
    """They are megabytes, and go in pieces."""
    keys = small_circuit.session.evaluation_keys
    with StandIn(small_circuit.compiled) as server:
        transport = HttpTransport(server.url, folder=tmp_path)
        transport.send_keys(keys)
        (put,) = [seen for seen in server.seen if seen.get("content-type")]
        assert "transfer-encoding" not in put
        assert int(put["content-length"]) == len(keys.to_bytes()) > 2**20
        assert server.keys[str(keys.id)].to_bytes() == keys.to_bytes()
        transport.close()


def test_keys_are_uploaded_again_when_the_server_has_forgotten_them(circuit, transport, server):
    predicted(circuit, transport, rows())
    server.keys.clear()
    np.testing.assert_array_equal(predicted(circuit, transport, rows()), expected(rows()))
    assert server.requests["PUT keys"] == 2


def test_servers_that_do_not_share_their_keys_are_told_apart_from_slow_ones(circuit, transport, server):
    """A load balancer before servers without a common store: each upload helps the wrong one."""
    for _ in range(10):
        server.fault(INFER, lambda *_: reply(404, {"error": "not here", "code": "unknown_key"}))
    with pytest.raises(ServerError, match="share one store of keys"):
        predicted(circuit, transport, rows())
    assert server.requests["PUT keys"] == 3  # at first, and twice though HEAD says that they are there


def test_keys_that_were_never_sent_cannot_be_sent_again(circuit, server, tmp_path):
    transport = HttpTransport(server.url, folder=tmp_path)
    with pytest.raises(ServerError, match="send_keys"):
        predicted(circuit, transport, rows())
    transport.close()


def reset(server, writer, answer):
    writer.transport.abort()


def cut_off(server, writer, answer):
    writer.write(answer[: len(answer) // 2])
    writer.close()


def no_answer(server, writer, answer):
    return None


def busy(status, **headers):
    return lambda *_: reply(status, {"error": "later"}, **headers)


@pytest.mark.parametrize(
    "fault",
    [reset, cut_off, no_answer, *(busy(status) for status in (408, 429, 502, 503, 504))],
    ids=["reset", "cut off", "no answer", "408", "429", "502", "503", "504"],
)
def test_what_may_go_better_is_tried_again(circuit, transport, server, fault):
    server.fault(INFER, fault)
    server.fault(INFER, fault)
    np.testing.assert_array_equal(predicted(circuit, transport, rows()), expected(rows()))
    assert server.requests["POST infer"] == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_what_would_be_refused_again_is_not_tried_again(circuit, transport, server, status):
    server.fault(INFER, lambda *_: reply(status, {"error": "the reason", "limit": 7}))
    with pytest.raises(RequestRefusedError, match="the reason"):
        predicted(circuit, transport, rows())
    assert server.requests["POST infer"] == 1


def test_a_failure_of_the_server_is_not_tried_again(circuit, transport, server):
    """It may have been the request that ended a worker: to repeat it would end the next."""
    server.fault(INFER, busy(500))
    with pytest.raises(ServerError, match="500"):
        predicted(circuit, transport, rows())
    assert server.requests["POST infer"] == 1


def test_the_server_says_when_to_come_again(circuit, transport, server):
    server.fault(INFER, busy(429, Retry_After=1))
    begun = time.monotonic()
    predicted(circuit, transport, rows())
    assert time.monotonic() - begun >= 1


def test_who_is_to_come_again_after_the_deadline_is_told_at_once(circuit, transport, server):
    server.fault(INFER, busy(503, Retry_After=3600))
    begun = time.monotonic()
    with pytest.raises(ServerTimeoutError, match="3600"):
        predicted(circuit, transport, rows())
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("said", ["9" * 400, "Wed, 21 Oct 2015 07:28:00 +" + "9" * 20])
def test_a_time_that_is_none_is_not_waited_for(circuit, transport, server, said):
    """Whatever the server says, what is raised is an error of a server, or none."""
    server.fault(INFER, busy(503, Retry_After=said))
    np.testing.assert_array_equal(predicted(circuit, transport, rows()), expected(rows()))


@pytest.mark.parametrize("models", [5, "small", {"name": "small"}, [5], None])
def test_a_list_of_models_that_is_none_has_no_model(server, tmp_path, models):
    transport = HttpTransport(server.url, folder=tmp_path)
    server.fault("/v2/models", lambda *_: reply(200, {"models": models}))
    with pytest.raises(ValueError, match="has 0 models"):
        transport.client_file()
    transport.close()


@pytest.mark.parametrize("size", ["12", 12.0, None, [12], True])
def test_an_answer_whose_size_is_no_number_is_refused(size):
    header = {
        "id": "r",
        "parameters": {"key_id": "k"},
        "outputs": [{"name": "results", "parameters": {"binary_data_size": size}}],
    }
    text = json.dumps(header).encode()
    body = text + (8).to_bytes(4, "little") + bytes(8)
    with pytest.raises(ServerError, match="by the server's answer"):
        results_of(body, {HEADER_LENGTH: str(len(text))}, "k", "r")


def test_repetitions_end(circuit, server, tmp_path):
    transport = HttpTransport(server.url, max_retries=2, folder=tmp_path)
    transport.send_keys(circuit.session.evaluation_keys)
    for _ in range(9):
        server.fault(INFER, busy(429))
    with pytest.raises(ServerUnavailableError, match="tried 3 times"):
        predicted(circuit, transport, rows())
    assert server.requests["POST infer"] == 3
    transport.close()


async def asleep(server, writer, answer):
    await asyncio.sleep(60)


async def dripping(server, writer, answer):
    """Send a byte now and then: a timeout of each read would never end this."""
    for i in range(len(answer)):
        writer.write(answer[i : i + 1])
        await writer.drain()
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("fault", [asleep, dripping])
def test_no_call_lasts_longer_than_its_deadline(circuit, server, tmp_path, fault):
    transport = HttpTransport(server.url, timeout=1, folder=tmp_path)
    transport.send_keys(circuit.session.evaluation_keys)
    predicted(circuit, transport, rows())
    server.fault(INFER, fault)
    begun = time.monotonic()
    with pytest.raises(ServerTimeoutError, match="no answer within 1 s"):
        predicted(circuit, transport, rows())
    assert time.monotonic() - begun < 5
    assert float(server.seen[-1]["x-request-timeout"]) <= 1  # the server can stop, too
    np.testing.assert_array_equal(predicted(circuit, transport, rows()), expected(rows()))
    transport.close()


def test_a_server_that_comes_back_on_its_port_is_found_again(circuit, transport, server):
    predicted(circuit, transport, rows())
    server.stop()
    keys, server.keys = server.keys, {}
    found = []
    thread = threading.Thread(target=lambda: found.append(predicted(circuit, transport, rows())))
    thread.start()
    time.sleep(0.5)
    server.start()
    thread.join(20)
    np.testing.assert_array_equal(found[0], expected(rows()))
    assert server.keys.keys() == keys.keys()  # it had lost them


def test_a_server_that_is_not_there(circuit, transport, server, tmp_path):
    server.stop()
    absent = HttpTransport(server.url, max_retries=1, folder=tmp_path)
    with pytest.raises(ConnectionError, match="tried 2 times"):
        absent.client_file()
    absent.close()
    server.start()


def test_a_name_that_is_not_known_is_not_tried_again(tmp_path):
    transport = HttpTransport("http://no-such-host.invalid/iris", folder=tmp_path, timeout=30)
    begun = time.monotonic()
    with pytest.raises(ServerUnavailableError):
        transport.client_file()
    assert time.monotonic() - begun < 15
    transport.close()


def changed_answer(circuit, change):
    """Return a fault that sends results which are another's."""

    def act(server, writer, answer):
        head, body = answer.split(b"\r\n\r\n", 1)
        length = int(head.decode().lower().split("inference-header-content-length: ")[1].split("\r\n")[0])
        header = json.loads(body[:length])
        return change(header, body[length + 4 :])

    return act


OTHER = "0" * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h, d: results_reply(d, OTHER, h["id"]), "key_id"),
        (lambda h, d: results_reply(d, h["parameters"]["key_id"], "another"), "another request"),
        (lambda h, d: results_reply(d.replace(h["parameters"]["key_id"].encode(), OTHER.encode()),
                                    h["parameters"]["key_id"], h["id"]), "expected keys"),
        (lambda h, d: results_reply(d.replace(b'"n_rows": 4', b'"n_rows": 1'),
                                    h["parameters"]["key_id"], h["id"]), "number of rows"),
        (lambda h, d: results_reply(d[:-9], h["parameters"]["key_id"], h["id"]), "cannot be read"),
        (lambda h, d: results_reply(d, h["parameters"]["key_id"], h["id"], outputs=[]), "the one output"),
        (lambda h, d: results_reply(d, h["parameters"]["key_id"], h["id"], parameters=7), "another service"),
        (lambda h, d: reply(200, d), "another service"),
        (lambda h, d: reply(200, b"<html>", Inference_Header_Content_Length=6), "another service"),
        (lambda h, d: reply(200, d, Content_Encoding="gzip"), "compressed"),
        (lambda h, d: reply(307, b"", Location="http://elsewhere/"), "elsewhere"),
    ],
)  # fmt: skip
def test_an_answer_to_something_else_is_thrown_away(circuit, transport, server, change, message):
    """Decrypted it would be numbers that look like any other."""
    server.fault(INFER, changed_answer(circuit, change))
    with pytest.raises(ServerError, match=message):
        predicted(circuit, transport, rows())
    assert server.requests["POST infer"] == 1


def test_results_of_another_circuit_are_thrown_away(circuit, transport, server):
    def act(header, data):
        key_id = header["parameters"]["key_id"]
        other = data.replace(circuit.compiled.specs.circuit_id.encode(), OTHER.encode())
        return results_reply(other, key_id, header["id"])

    server.fault(INFER, changed_answer(circuit, act))
    with pytest.raises(ServerError, match="expected circuit"):
        predicted(circuit, transport, rows())


def test_a_model_that_was_replaced_is_told_from_a_wrong_request(circuit, transport, server):
    predicted(circuit, transport, rows())
    said = {"circuit_id": OTHER}
    server.fault(INFER, lambda *_: reply(400, {"error": "another circuit"}))
    server.fault("GET /v2/models/small", lambda *_: reply(200, {"name": "small", "parameters": said}))
    with pytest.raises(ModelChangedError, match="replaced"):
        predicted(circuit, transport, rows())


def test_client_zip_is_fetched_once(server, tmp_path):
    for _ in range(2):  # a second process
        transport = HttpTransport(server.url, folder=tmp_path)
        assert transport.client_file() == server.client_zip
        transport.close()
    (kept,) = tmp_path.iterdir()
    assert hashlib.sha256(kept.read_bytes()).hexdigest() in kept.name
    assert server.received.count(b"GET /v2/models/small/client") == 2
    assert server.seen[-1]["if-none-match"].strip('"') in kept.name  # the second had no body


def test_another_client_zip_than_the_first_is_refused(server, tmp_path):
    transport = HttpTransport(server.url, folder=tmp_path)
    first = transport.client_file()
    server.client_zip = b"with narrow noise"
    with pytest.raises(ModelChangedError, match=r"another client\.zip than the first time") as raised:
        transport.client_file()
    digest = hashlib.sha256(server.client_zip).hexdigest()
    assert f"pinned='{digest}'" in str(raised.value)  # what the message says to do can be done
    accepting = HttpTransport(server.url, folder=tmp_path, pinned=digest)
    assert accepting.client_file() == server.client_zip
    accepting.close()
    assert transport.client_file() == server.client_zip  # it is the one that is kept from now on
    server.client_zip = first
    with pytest.raises(ModelChangedError):
        transport.client_file()
    transport.close()


def test_even_the_first_file_has_to_be_the_pinned_one(server, tmp_path):
    wrong = HttpTransport(server.url, folder=tmp_path, pinned=OTHER)
    with pytest.raises(ModelChangedError, match=OTHER):
        wrong.client_file()
    wrong.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_damaged_here_is_fetched_again(server, tmp_path):
    transport = HttpTransport(server.url, folder=tmp_path)
    transport.client_file()
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"damaged")
    assert transport.client_file() == kept.read_bytes() == server.client_zip
    transport.close()


@pytest.mark.parametrize("path", ["", "/small", "/v2/models/small", "/v2/models/small/versions/1"])
def test_a_model_has_several_addresses(server, tmp_path, path):
    transport = HttpTransport(server.url + path, folder=tmp_path)
    assert transport.client_file() == server.client_zip
    transport.close()


def test_of_several_models_one_is_named(server, tmp_path):
    server.models = ["small", "large"]
    transport = HttpTransport(server.url, folder=tmp_path)
    with pytest.raises(ValueError, match=r"2 models \(small, large\)"):
        transport.client_file()
    transport.close()


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({}, None),
        ({"max_rows": 10}, 10),
        ({"max_request_bytes": 4096 + 100, "row_bytes": 24, "max_rows": 10}, 4),
        ({"max_request_bytes": 10, "row_bytes": 24}, 1),  # the server will say what is wrong
        ({"max_rows": "many", "row_bytes": True, "max_request_bytes": -1}, None),
    ],
)
def test_the_server_says_how_many_rows_it_takes(circuit, tmp_path, limits, most):
    with StandIn(circuit.compiled, **limits) as server:
        transport = HttpTransport(server.url, folder=tmp_path)
        assert transport.most_rows() == most
        transport.close()


def test_many_threads_share_one_transport_and_one_upload(circuit, server, tmp_path):
    transport = HttpTransport(server.url, folder=tmp_path)
    transport.send_keys(circuit.session.evaluation_keys)
    predicted(circuit, transport, rows())
    server.keys.clear()  # all of them notice at once
    found = {}

    def one(seed):
        found[seed] = predicted(circuit, transport, rows(seed=seed))

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for seed in range(12):
        np.testing.assert_array_equal(found[seed], expected(rows(seed=seed)))
    assert server.requests["PUT keys"] == 2
    transport.close()


def test_awaiting_many_at_once(circuit, transport, server):
    async def main():
        batches = [circuit.encrypt(rows(seed=seed)) for seed in range(8)]
        return await asyncio.gather(
            *(transport.wait_for(lambda model, batch=batch: model.run(batch)) for batch in batches)
        )

    for seed, result in enumerate(asyncio.run(main())):
        np.testing.assert_array_equal(circuit.decrypt(result)[0], expected(rows(seed=seed)))


def test_cancelling_ends_the_request(circuit, transport, server):
    """The server sees that its client hangs up, and the transport goes on."""
    ended = threading.Event()

    async def until_hung_up(server, writer, answer):
        while not writer.transport.is_closing():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await asyncio.sleep(0.05)
        ended.set()

    async def main():
        server.fault(INFER, until_hung_up)
        batch = circuit.encrypt(rows())
        await asyncio.wait_for(transport.wait_for(lambda model: model.run(batch)), 0.5)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())
    assert ended.wait(10)
    np.testing.assert_array_equal(predicted(circuit, transport, rows()), expected(rows()))


def test_an_interrupt_ends_the_request(circuit, transport, server):
    """Ctrl-C raises at once, and the transport goes on."""
    batch = circuit.encrypt(rows())
    transport.run(batch)
    server.fault(INFER, asleep)
    timer = threading.Timer(0.5, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    begun = time.monotonic()
    # A shell may have started the tests with the signal ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            transport.run(batch)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert time.monotonic() - begun < 10
    np.testing.assert_array_equal(predicted(circuit, transport, rows()), expected(rows()))


def test_closing_ends_what_waits(circuit, transport, server):
    batch = circuit.encrypt(rows())
    transport.run(batch)

    async def awaited():
        await transport.wait_for(lambda model: model.run(batch))

    raised = []

    def one(call):
        try:
            call()
        except RuntimeError as error:
            raised.append(str(error))

    calls = (lambda: transport.run(batch), lambda: asyncio.run(awaited()))
    threads = [threading.Thread(target=one, args=(call,)) for call in calls]
    for thread in threads:
        server.fault(INFER, asleep)
        thread.start()
    while server.requests["POST infer"] < 3:
        time.sleep(0.01)
    transport.close()
    for thread in threads:
        thread.join(10)
    assert raised == ["the transport was closed; make another one"] * 2


def signed(subject, issuer, key, signing_key, **extensions):
    """Return a certificate."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    )
    return builder.sign(signing_key, hashes.SHA256())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority of our own, and a certificate and its key by it for the server and for a client."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(signed("us", "us", authority, authority).public_bytes(pem))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{name}.pem").write_bytes(signed(name, "us", key, authority).public_bytes(pem))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return folder


def test_a_server_is_verified_and_a_client_shows_its_certificate(circuit, certificates, tmp_path):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "authority.pem")
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    own = (certificates / "client.pem", certificates / "client.key")
    with StandIn(circuit.compiled, tls=context) as server:
        authority = certificates / "authority.pem"
        known = HttpTransport(server.url, verify=authority, cert=own, folder=tmp_path)
        assert known.client_file() == server.client_zip
        known.close()
        n_requests = server.requests.total()
        begun = time.monotonic()
        unverified = HttpTransport(server.url, cert=own, folder=tmp_path, timeout=30)
        with pytest.raises(ServerUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            unverified.client_file()
        assert time.monotonic() - begun < 10  # it is not tried again
        unverified.close()
        unknown = HttpTransport(server.url, verify=authority, folder=tmp_path, max_retries=1)
        with pytest.raises(ServerUnavailableError):
            unknown.client_file()
        unknown.close()
        assert server.requests.total() == n_requests


def test_an_answer_without_end_is_not_read(server, tmp_path):
    transport = HttpTransport(server.url, folder=tmp_path)
    server.fault("/v2/models", lambda *_: reply(200, {"models": ["x" * 2_000_000]}))
    with pytest.raises(ServerError, match="longer than 1048576 bytes"):
        transport.client_file()
    transport.close()


def test_the_token_is_sent_and_never_shown(circuit, transport, server, caplog):
    caplog.set_level(logging.DEBUG)
    server.fault(INFER, lambda *_: reply(401, {"error": f"{TOKEN} is not known"}))
    with pytest.raises(RequestRefusedError, match="token=") as raised:
        predicted(circuit, transport, rows())
    assert all(seen["authorization"] == f"Bearer {TOKEN}" for seen in server.seen)
    assert TOKEN not in f"{raised.value}{transport!r}{caplog.text}"
    with pytest.raises(TypeError):
        pickle.dumps(transport)


def test_what_a_server_says_cannot_write_to_a_terminal(circuit, transport, server):
    server.fault(INFER, lambda *_: reply(400, {"error": "\x1b[2J" + "x" * 100_000}))
    with pytest.raises(RequestRefusedError) as raised:
        predicted(circuit, transport, rows())
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_nothing_secret_leaves_the_client(circuit, transport, server):
    predicted(circuit, transport, rows())
    keys = circuit.session.secret_keys
    secret = [words for of_part in keys._secret.values() for words in of_part]
    looked_for = [words[:64].tobytes() for words in secret]
    for shift in range(8):  # a bit a bit, wherever a byte begins
        looked_for += [np.packbits(words[shift : shift + 256].astype(np.uint8)).tobytes() for words in secret]
    assert not any(each in server.received for each in looked_for)
    assert any(each in keys.to_bytes() for each in looked_for)  # where they belong they are found


def test_a_forked_process_has_connections_of_its_own(circuit, transport, server):
    predicted(circuit, transport, rows())
    batch = circuit.encrypt(rows())
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if len(transport.run(batch)) == 4 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    np.testing.assert_array_equal(predicted(circuit, transport, rows()), expected(rows()))


def test_a_closed_transport_says_so(circuit, transport):
    batch = circuit.encrypt(rows())
    transport.run(batch)
    transport.close()
    with pytest.raises(RuntimeError, match="closed"):
        transport.run(batch)


def test_a_transport_that_is_forgotten_ends_its_thread(server, tmp_path):
    def names():
        return [thread.name for thread in threading.enumerate()]

    before = names().count("skfhe-http")
    HttpTransport(server.url, folder=tmp_path).client_file()
    assert names().count("skfhe-http") == before


def test_progress_is_shown_if_asked_for(circuit, server, tmp_path, capsys):
    for progress in (False, True):
        server.keys.clear()
        transport = HttpTransport(server.url, folder=tmp_path, progress=progress)
        transport.send_keys(circuit.session.evaluation_keys)
        transport.close()
        assert ("evaluation keys: 100%" in capsys.readouterr().err) == progress


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("localhost:8000", {}, "address of a server"),
        ("ftp://localhost/iris", {}, "address of a server"),
        ("http://user:password@localhost/iris", {}, "token="),
        ("http://localhost/a/b", {}, "expected"),
        ("http://localhost/iris?x=1", {}, "after the path"),
        ("http://localhost/iris", {"timeout": 0}, "timeout="),
        ("http://localhost/iris", {"timeout": float("nan")}, "timeout="),
        ("http://localhost/iris", {"max_retries": -1}, "max_retries="),
        ("http://localhost/iris", {"verify": False}, "verify="),
        ("http://localhost/iris", {"pinned": "abc"}, "pinned="),
        ("http://localhost/iris", {"token": "a\r\nHost: b"}, "token="),
    ],
)
def test_parameters_that_cannot_be_meant(url, options, message):
    with pytest.raises(ValueError, match=message):
        HttpTransport(url, **options)
