"""The server on a port of this machine: connections, time, and its end."""

import asyncio
import dataclasses
import datetime
import ipaddress
import json
import signal
import ssl

import httpx
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from skfhe.deployment._serving._repository import ModelRepository
from skfhe.deployment._serving._run import _config, open_socket
from skfhe.deployment._serving._settings import ServerSettings
from tests.deployment.served import infer_body, listening, results_of, service_of, upload

ROWS = np.array([[0, 1, 2], [7, 7, 7], [3, 0, 5], [1, 6, 4]])
INFER = "/v2/models/linear/infer"


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 60))


def on_a_port(**settings):
    """Make a test of a coroutine that is given a client of a server that listens."""

    def decorate(test):
        def decorated(linear, alice):
            async def body():
                async with listening({("linear", "1"): linear}, **settings) as client:
                    await test(client, alice)

            run(body())

        decorated.__name__, decorated.__doc__ = test.__name__, test.__doc__
        return decorated

    return decorate


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def raw(client, data):
    """Send bytes on a connection of their own, and return its two ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def answer(reader):
    """Return the status and the JSON that come on a connection until it is closed."""
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def events(client, name):
    lines = map(json.loads, client.log.getvalue().splitlines())
    return [line for line in lines if line["event"] == name]


@on_a_port()
async def test_a_client_is_served(client, alice):
    assert (await upload(client, alice)).status_code == 201
    response = await client.post(INFER, **infer_body(alice.encrypt(ROWS), alice.key_id))
    assert len(alice.decrypt(results_of(response)[1])[0]) == 4


@on_a_port(body_timeout=0.2)
async def test_a_body_that_is_too_slow_is_given_up(client, alice):
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    reader, writer = await raw(client, head + b"{")
    assert (await answer(reader))[0] == 408
    writer.close()
    assert client.service.bodies.held == 0


@on_a_port(head_timeout=0.2, keep_alive=0.2)
async def test_a_head_that_does_not_come_closes_the_connection(client, alice):
    for begin in (b"", b"GET /v2 HTTP/1.1\r\nHost:"):
        reader, writer = await raw(client, begin)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    reader, writer = await raw(client, b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\nGET /v2 HTTP/1.1\r\nHost:")
    data = await asyncio.wait_for(
        reader.read(), 10
    )  # the first request is answered, then the rest is given up
    assert data.count(b"HTTP/1.1 200") == 1
    writer.close()


@on_a_port()
async def test_a_head_that_is_too_long_is_refused(client, alice):
    reader, writer = await raw(client, b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: " + 70_000 * b"x")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 400")
    writer.close()


@on_a_port()
async def test_a_body_that_is_too_large_is_not_read(client, alice):
    """And yet its sender gets the answer, and can use the connection again."""
    for method, path in (("POST", INFER), ("PUT", f"/v2/models/linear/keys/{alice.key_id}")):
        response = await client.request(method, path, content=bytes(30_000_000))
        assert response.status_code == 413
        assert response.json()["limit"] < 1_000_000
    assert (await client.get("/v2")).status_code == 200


@on_a_port(max_connections=3)
async def test_connections_have_a_limit(client, alice):
    ends = [await raw(client, b"") for _ in range(3)]
    assert (await client.get("/v2")).status_code == 503
    for _, writer in ends:
        writer.close()
    await until(lambda: len(client.server.server_state.connections) < 3)
    assert (await client.get("/v2")).status_code == 200


@on_a_port()
async def test_keys_that_are_there_need_not_be_sent(client, alice):
    """A client that asks before it sends is told at once."""
    await upload(client, alice)
    head = (
        f"PUT /v2/models/linear/keys/{alice.key_id} HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {len(alice.evaluation_keys.to_bytes())}\r\nExpect: 100-continue\r\n\r\n"
    )
    reader, writer = await raw(client, head.encode())
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 200")
    writer.close()


@on_a_port(body_timeout=0.3)
async def test_who_takes_nothing_of_an_answer_is_left(client, alice):
    """Its bytes are not kept for ever. Who takes some is given time."""
    model = dataclasses.replace(client.service.models.get("linear"), client_file=bytes(30_000_000))
    client.service.models = ModelRepository([model])
    connections = client.server.server_state.connections
    request = b"GET /v2/models/linear/client HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    reader, writer = await raw(client, request)
    await until(lambda: connections)
    await until(lambda: not connections)
    writer.close()
    reader, writer = await raw(client, request)
    n_bytes = 0
    while data := await reader.read(2_000_000):
        n_bytes += len(data)
        await asyncio.sleep(0.005)
    assert n_bytes > 30_000_000
    writer.close()


@on_a_port()
async def test_two_lengths_of_a_body_are_refused(client, alice):
    """Of whatever a proxy took to be part of the body, nothing is answered: the connection ends."""
    hidden = "GET /v2/models HTTP/1.1\r\nHost: x\r\n\r\n"
    for first in (f"POST {INFER}", "GET /v2", "GET /v2/health/live", "GET /nowhere"):
        head = f"{first} HTTP/1.1\r\nHost: x\r\nContent-Length: {5 + len(hidden)}\r\n"
        data = f"{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        reader, writer = await raw(client, data.encode())
        status, found = await answer(reader)
        assert (status, found["code"]) == (400, "two_lengths")
        writer.close()


@on_a_port()
async def test_keys_of_which_the_sender_goes_are_not_kept(client, alice):
    data = alice.evaluation_keys.to_bytes()
    path = f"/v2/models/linear/keys/{alice.key_id}"
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    _, writer = await raw(client, head.encode() + data[:-1])
    await asyncio.sleep(0.05)
    writer.close()
    await until(lambda: events(client, "request"))
    assert events(client, "request")[0]["status"] == 499
    assert client.service.keys.keys == {}


@on_a_port()
async def test_who_hangs_up_is_not_computed_for(client, alice):
    await upload(client, alice)
    client.service.pool.gate.clear()
    request = infer_body(alice.encrypt(ROWS), alice.key_id)
    running = asyncio.create_task(client.post(INFER, **request))
    await until(lambda: client.service.pool.calls)
    n_header = request["headers"]["Inference-Header-Content-Length"]
    head = (
        f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(request['content'])}\r\n"
        f"Inference-Header-Content-Length: {n_header}\r\n\r\n"
    )
    _, writer = await raw(client, head.encode() + request["content"])
    await until(lambda: client.service.batcher.n_waiting == 1)
    writer.close()
    await until(lambda: client.service.batcher.n_waiting == 0)
    client.service.pool.gate.set()
    assert (await running).status_code == 200
    assert len(client.service.pool.calls) == 1
    assert [line["status"] for line in events(client, "request") if line["route"] == "infer"] == [499, 200]
    assert client.service.bodies.held == 0


@on_a_port()
async def test_a_request_s_own_deadline(client, alice):
    await upload(client, alice)
    client.service.pool.gate.clear()
    request = infer_body(alice.encrypt(ROWS), alice.key_id)
    request["headers"]["X-Request-Timeout"] = "0.1"
    response = await client.post(INFER, **request)
    assert (response.status_code, response.json()["code"]) == (504, "deadline")
    for wrong in ("soon", "0", "-1", "nan"):
        request["headers"]["X-Request-Timeout"] = wrong
        assert (await client.post(INFER, **request)).status_code == 400


@on_a_port(request_timeout=0.1)
async def test_a_deadline_has_an_upper_bound(client, alice):
    await upload(client, alice)
    client.service.pool.gate.clear()
    request = infer_body(alice.encrypt(ROWS), alice.key_id)
    for header in ({}, {"X-Request-Timeout": "1000"}, {"X-Request-Timeout": "inf"}):
        response = await client.post(
            INFER, content=request["content"], headers={**request["headers"], **header}
        )
        assert response.status_code == 504


@on_a_port(max_waiting=2)
async def test_a_queue_that_is_full_says_when_to_come_again(client, alice):
    await upload(client, alice)
    client.service.pool.gate.clear()
    request = infer_body(alice.encrypt(ROWS), alice.key_id)
    tasks = [asyncio.create_task(client.post(INFER, **request)) for _ in range(4)]
    await until(lambda: sum(task.done() for task in tasks) == 2)
    client.service.pool.gate.set()
    responses = await asyncio.gather(*tasks)
    assert sorted(response.status_code for response in responses) == [200, 200, 429, 429]
    for response in responses:
        assert ("Retry-After" in response.headers) == (response.status_code == 429)


@on_a_port(grace=20.0)
async def test_the_end_loses_no_request(client, alice):
    """What runs is answered; what waits, and what comes then, is told to come again, elsewhere."""
    await upload(client, alice)
    pool = client.service.pool
    pool.gate.clear()
    request = infer_body(alice.encrypt(ROWS), alice.key_id)
    running = asyncio.create_task(client.post(INFER, **request))
    await until(lambda: pool.calls)
    waiting = asyncio.create_task(client.post(INFER, **request))
    await until(lambda: client.service.batcher.n_waiting)
    client.server.handle_exit(signal.SIGTERM, None)
    refused = await waiting
    new = await client.post(INFER, **request)
    for response in (refused, new):
        assert (response.status_code, response.json()["code"]) == (503, "stopping")
        assert int(response.headers["Retry-After"]) >= 1
        assert response.headers["Connection"] == "close"
    assert (await client.get("/v2/health/ready")).status_code == 503
    assert (await client.get("/v2/health/live")).status_code == 200
    assert not client.running.done()
    pool.gate.set()
    assert len(results_of(await running)[1]) == 4
    await asyncio.wait_for(client.running, 10)
    assert pool.stopped
    assert [line["event"] for line in map(json.loads, client.log.getvalue().splitlines())].count(
        "stopped"
    ) == 1


@on_a_port(grace=0.1)
async def test_the_end_comes_after_the_grace(client, alice):
    await upload(client, alice)
    client.service.pool.gate.clear()
    running = asyncio.create_task(client.post(INFER, **infer_body(alice.encrypt(ROWS), alice.key_id)))
    await until(lambda: client.service.pool.calls)
    client.server.handle_exit(signal.SIGTERM, None)
    response = await running
    assert (response.status_code, response.json()["code"]) == (503, "stopping")
    await asyncio.wait_for(client.running, 10)


@on_a_port()
async def test_nothing_that_a_client_sent_is_logged(client, alice):
    """Neither where all is well, nor where it is not: the log has names of our own, and numbers."""
    await upload(client, alice)
    batch = alice.encrypt(ROWS)
    data, keys = batch.to_bytes(), alice.evaluation_keys.to_bytes()
    mark = "mark-of-a-client"
    await client.post(INFER, **infer_body(data, alice.key_id, id=mark))
    await client.post(INFER, **infer_body(mark.encode() + data, alice.key_id))
    await client.put(f"/v2/models/linear/keys/{alice.key_id}?{mark}", content=keys)
    await client.get(f"/v2/models/{mark}", headers={"Authorization": f"Bearer {mark}", "User-Agent": mark})
    client.service.pool.errors.append(KeyError(mark))
    await client.post(INFER, **infer_body(data, alice.key_id))
    await client.request(mark.upper().replace("-", ""), f"/{mark}")
    log = client.log.getvalue()
    assert len(events(client, "request")) == 7
    for secret in (mark, str(alice.key_id), data.hex()[-40:], keys.hex()[-40:], repr(data[-20:])[2:-1]):
        assert secret not in log
    assert str(alice.key_id)[:12] in log
    failed = [line for line in events(client, "request") if line["level"] == "error"]
    assert [line["exception"] for line in failed] == ["KeyError"]
    known = {line["seconds"] for line in events(client, "request")}
    assert len(known) > 1
    infer = next(line for line in events(client, "request") if line["route"] == "infer")
    assert {"request_id", "model", "version", "key_id", "bytes_in", "bytes_out", "rows", "status"} <= set(
        infer
    )
    stages = {"receive_seconds", "wait_seconds", "run_seconds", "send_seconds"}
    assert stages <= set(infer)
    text = (await client.get("/metrics")).text
    assert mark not in text


def certificate(folder):
    """Write a certificate of this machine, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(built.public_bytes(pem))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *private))
    return folder / "cert.pem", folder / "key.pem"


def test_tls(linear, tmp_path):
    cert, key = certificate(tmp_path)

    async def body():
        async with listening({("linear", "1"): linear}, tls_cert=cert, tls_key=key) as client:
            url = f"https://127.0.0.1:{client.port}/v2"
            async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=cert)) as trusting:
                assert (await trusting.get(url)).status_code == 200
            with pytest.raises(httpx.HTTPError):
                await client.get("/v2")

    run(body())


def test_tls_may_ask_clients_for_certificates(linear, tmp_path):
    cert, key = certificate(tmp_path)

    async def body():
        settings = {"tls_cert": cert, "tls_key": key, "tls_client_ca": cert}
        async with listening({("linear", "1"): linear}, **settings) as client:
            url = f"https://127.0.0.1:{client.port}/v2"
            known, unknown = (ssl.create_default_context(cafile=cert) for _ in range(2))
            known.load_cert_chain(cert, key)
            async with httpx.AsyncClient(verify=known) as trusted:
                assert (await trusted.get(url)).status_code == 200
            async with httpx.AsyncClient(verify=unknown) as stranger:
                with pytest.raises(httpx.HTTPError):
                    await stranger.get(url)

    run(body())


def test_what_is_no_certificate_is_named(tmp_path):
    (tmp_path / "cert.pem").write_text("x")
    service = service_of({}, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    with pytest.raises(ValueError, match=r"cert\.pem and .*key\.pem are not a certificate and its key"):
        _config(service.settings, service)


def test_a_port_that_is_taken_is_named():
    settings = ServerSettings(folders=("nowhere",), port=0)
    with open_socket(settings) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port}: Address already in use"):
            open_socket(ServerSettings(folders=("nowhere",), port=port))
