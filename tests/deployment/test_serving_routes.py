"""What the server answers, request by request."""

import asyncio
import base64

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import skfhe
from skfhe.circuit import Batch
from skfhe.deployment._serving._auth import Owner, Tokens
from skfhe.deployment._serving._exceptions import (
    QuotaExceededError,
    RunTimeoutError,
    WorkerDiedError,
    WorkersUnavailableError,
)
from skfhe.program import run_batched
from tests.deployment.served import infer_body, results_of, serving, upload

ROWS = np.array([[0, 1, 2], [7, 7, 7], [3, 0, 5], [1, 6, 4]])


def run(coroutine):
    """Run a test that is a coroutine, and not for ever."""
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def with_server(**settings):
    """Make a test of a coroutine that is given a client of a server of the linear circuit."""

    def decorate(test):
        def decorated(linear, alice, bob):
            async def body():
                async with serving({("linear", "1"): linear}, **settings) as client:
                    await test(client, alice, bob)

            run(body())

        decorated.__name__, decorated.__doc__ = test.__name__, test.__doc__
        return decorated

    return decorate


@with_server()
async def test_results_are_those_of_the_program(client, alice, bob):
    """Two clients with keys of their own, at the same time: each decrypts its own rows."""
    for session in (alice, bob):
        assert (await upload(client, session)).status_code == 201

    async def predict(session, rows):
        request = infer_body(session.encrypt(rows), session.key_id, id="mine")
        response = await client.post("/v2/models/linear/infer", **request)
        assert response.status_code == 200, response.text
        header, result = results_of(response)
        assert (header["model_name"], header["model_version"], header["id"]) == ("linear", "1", "mine")
        assert header["parameters"]["key_id"] == str(session.key_id)
        return session.decrypt(result)[0]

    asked = [(session, np.roll(ROWS, i, axis=0)) for i in range(6) for session in (alice, bob)]
    found = await asyncio.gather(*(predict(*each) for each in asked))
    program = client.service.pool.circuits["linear", "1"].program
    for (_, rows), y in zip(asked, found, strict=True):
        assert_array_equal(y, run_batched(program, rows)[0])


@with_server()
async def test_metadata_says_what_there_is(client, alice, bob):
    server = (await client.get("/v2")).json()
    assert server["name"] == "skfhe"
    assert server["version"] == skfhe.__version__
    assert "binary_tensor_data" in server["extensions"]
    assert (await client.get("/v2/models")).json() == {"models": [{"name": "linear", "versions": ["1"]}]}
    for path in ("/v2/models/linear", "/v2/models/linear/versions/1"):
        model = (await client.get(path)).json()
        tensor = {"datatype": "BYTES", "shape": [1]}
        assert model["inputs"] == [{"name": "ciphertexts", **tensor}]
        assert model["outputs"] == [{"name": "results", **tensor}]
        assert (model["name"], model["platform"], model["versions"]) == ("linear", "skfhe", ["1"])
        ours = model["parameters"]
        assert ours["key_bytes"] == len(alice.evaluation_keys.to_bytes())
        assert ours["row_bytes"] == 3 * 8
        assert ours["circuit_id"] == alice.specs.circuit_id
        assert (await client.get(f"{path}/ready")).status_code == 200
    body = infer_body(alice.encrypt(ROWS), alice.key_id)["content"]
    assert len(body) < ours["max_request_bytes"]


@with_server()
async def test_unknown_models_versions_and_routes_are_404(client, alice, bob):
    for path in ("/v2/models/other", "/v2/models/linear/versions/2", "/v2/models/linear/versions/01", "/v3"):
        response = await client.get(path)
        assert response.status_code == 404
        assert set(response.json()) == {"error", "code"}
    assert (await client.get("/v2/models/linear/infer")).status_code == 405


@with_server()
async def test_a_client_file_is_sent_once(client, alice, bob):
    response = await client.get("/v2/models/linear/client")
    assert response.content == b"PK client of linear"
    tag = response.headers["ETag"]
    assert tag == f'"{"ab" * 32}"'
    for path in ("/v2/models/linear/client", "/v2/models/linear/versions/1/client"):
        again = await client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (again.status_code, again.content) == (304, b"")
    changed = await client.get("/v2/models/linear/client", headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200
    head = await client.head("/v2/models/linear/client")
    assert (head.status_code, head.headers["ETag"]) == (200, tag)


@with_server()
async def test_keys_are_kept_by_their_content(client, alice, bob):
    data, path = alice.evaluation_keys.to_bytes(), f"/v2/models/linear/keys/{alice.key_id}"
    assert (await client.head(path)).status_code == 404
    assert (await client.put(path, content=data)).status_code == 201
    assert (await client.put(path, content=data)).status_code == 200
    assert (await client.head(path)).status_code == 200
    assert client.service.keys.keys == {str(alice.key_id): data}
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 404
    assert client.service.keys.keys == {}


@with_server()
async def test_what_is_not_these_keys_is_refused(client, alice, bob):
    data, path = alice.evaluation_keys.to_bytes(), f"/v2/models/linear/keys/{alice.key_id}"
    nonce = data.index(b"}") + 1  # which nothing but the whole tells to be wrong
    altered = bytes([*data[:nonce], data[nonce] ^ 1, *data[nonce + 1 :]])
    for wrong in (altered, bob.evaluation_keys.to_bytes(), bytes(len(data)), data[:-1], b""):
        response = await client.put(path, content=wrong)
        assert response.status_code == 400, response.text
        assert response.json()["code"] == "not_these_keys"
    for key_id in (str(alice.key_id).upper(), "1234", "..%2f..%2fetc"):
        assert (await client.put(f"/v2/models/linear/keys/{key_id}", content=data)).status_code in (400, 404)
    longer = await client.put(path, content=data + b"x")
    assert (longer.status_code, longer.json()["limit"]) == (413, len(data))
    assert client.service.keys.keys == {}


@with_server()
async def test_the_store_of_keys_says_why_it_takes_no_more(client, alice, bob):
    for error, status, code in (
        (QuotaExceededError("too many", 3), 413, "quota"),
        (OSError(28, "No space left on device"), 507, "store_failed"),
    ):
        client.service.keys.error = error
        response = await upload(client, alice)
        assert (response.status_code, response.json()["code"]) == (status, code)


@with_server()
async def test_secret_keys_are_refused_by_name(client, alice, bob):
    """However many bytes they have, so that whoever sent them learns it."""
    path = f"/v2/models/linear/keys/{alice.key_id}"
    size = len(alice.evaluation_keys.to_bytes())
    for begin in (b"LweSecretKey", b"skfhe-sk"):  # the engine's own form, and ours
        for n_bytes in (size, size + 10_000, size - 10):
            response = await client.put(path, content=begin.ljust(n_bytes, b"\0"))
            assert response.status_code == 400
            assert "secret keys" in response.json()["error"]


@with_server()
async def test_bodies_say_their_length(client, alice, bob):
    async def pieces():
        yield b"piece"

    for method, path in (("POST", "infer"), ("PUT", f"keys/{alice.key_id}")):
        response = await client.request(method, f"/v2/models/linear/{path}", content=pieces())
        assert response.status_code == 411
        headers = {"Content-Encoding": "gzip"}
        response = await client.request(method, f"/v2/models/linear/{path}", content=b"x", headers=headers)
        assert response.status_code == 415


@with_server(max_rows=2)
async def test_limits_are_told(client, alice, bob):
    limit = (await client.get("/v2/models/linear")).json()["parameters"]["max_request_bytes"]
    response = await client.post("/v2/models/linear/infer", content=bytes(limit + 1))
    assert (response.status_code, response.json()["limit"]) == (413, limit)
    response = await client.post("/v2/models/linear/infer", **infer_body(alice.encrypt(ROWS), alice.key_id))
    assert (response.status_code, response.json()["code"], response.json()["limit"]) == (
        413,
        "too_many_rows",
        2,
    )


@with_server(max_header_bytes=500)
async def test_a_json_header_has_a_limit_of_its_own(client, alice, bob):
    request = infer_body(alice.encrypt(ROWS), alice.key_id, id=250 * "x")
    response = await client.post("/v2/models/linear/infer", **request)
    assert (response.status_code, response.json()["limit"]) == (413, 500)


@with_server(max_body_memory=1000)
async def test_bodies_that_wait_have_a_limit_together(client, alice, bob):
    await upload(client, alice)
    request = infer_body(alice.encrypt(ROWS), alice.key_id)
    assert 500 < len(request["content"]) < 1000
    client.service.pool.gate.clear()
    first = asyncio.create_task(client.post("/v2/models/linear/infer", **request))
    while not client.service.pool.calls:
        await asyncio.sleep(0.001)
    second = await client.post("/v2/models/linear/infer", **request)
    assert second.status_code == 429
    assert int(second.headers["Retry-After"]) >= 1
    client.service.pool.gate.set()
    assert (await first).status_code == 200
    assert client.service.bodies.held == 0
    assert (await client.post("/v2/models/linear/infer", **request)).status_code == 200


@with_server()
async def test_batches_of_others_are_refused_before_they_join_any(client, alice, bob):
    """A model's neighbours never see them: no run is begun."""
    await upload(client, alice)
    batch = alice.encrypt(ROWS)
    data = batch.to_bytes()
    other_circuit = Batch(batch.ciphertexts, 4, "inputs", "other", str(alice.key_id), batch.seed).to_bytes()
    results = Batch(batch.ciphertexts, 4, "results", batch.circuit_id, str(alice.key_id)).to_bytes()
    short = Batch(
        ((batch.ciphertexts[0][0][:-8],),), 4, "inputs", batch.circuit_id, str(alice.key_id), batch.seed
    )
    for wrong, key_id in (
        (data, bob.key_id),
        (bob.encrypt(ROWS).to_bytes(), alice.key_id),
        (other_circuit, alice.key_id),
        (results, alice.key_id),
        (short.to_bytes(), alice.key_id),
        (data[:-1], alice.key_id),
        (bytes(100), alice.key_id),
        (b"", alice.key_id),
    ):
        response = await client.post("/v2/models/linear/infer", **infer_body(wrong, key_id))
        assert response.status_code == 400, response.text
    assert client.service.pool.calls == []


@with_server()
async def test_unknown_keys_have_a_code_of_their_own(client, alice, bob):
    response = await client.post("/v2/models/linear/infer", **infer_body(alice.encrypt(ROWS), alice.key_id))
    assert (response.status_code, response.json()["code"]) == (404, "unknown_key")


@with_server()
async def test_what_happens_to_workers_has_a_status(client, alice, bob):
    await upload(client, alice)
    request = infer_body(alice.encrypt(ROWS), alice.key_id)
    for error, status, code in (
        (WorkerDiedError(), 500, "worker_died"),
        (RunTimeoutError("too long", killed=True), 500, "run_timeout"),
        (WorkersUnavailableError(), 503, "no_workers"),
        (ValueError("of other keys"), 400, "mismatch"),
        (KeyError("a bug"), 500, "internal"),
    ):
        client.service.pool.errors.append(error)
        response = await client.post("/v2/models/linear/infer", **request)
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert "bug" not in response.text
        assert ("Retry-After" in response.headers) == (status == 503)
    assert (await client.post("/v2/models/linear/infer", **request)).status_code == 200


@with_server()
async def test_health_means_something(client, alice, bob):
    pool = client.service.pool
    for path in ("live", "ready"):
        assert (await client.get(f"/v2/health/{path}")).status_code == 200
    pool.supervised = False
    assert (await client.get("/v2/health/live")).status_code == 503
    pool.circuits = {}
    assert (await client.get("/v2/health/ready")).status_code == 503
    assert (await client.get("/v2/models/linear/ready")).status_code == 503


def test_versions_are_numbers_and_the_highest_is_the_default(linear, alice):
    async def body():
        circuits = {("linear", version): linear for version in ("2", "10", "9")}
        async with serving(circuits) as client:
            model = (await client.get("/v2/models/linear")).json()
            assert model["versions"] == ["2", "9", "10"]
            assert model["parameters"]["version"] == "10"
            await upload(client, alice)
            request = infer_body(alice.encrypt(ROWS), alice.key_id)
            for path, version in (("", "10"), ("/versions/2", "2")):
                response = await client.post(f"/v2/models/linear{path}/infer", **request)
                assert results_of(response)[0]["model_version"] == version

    run(body())


def test_tokens_are_asked_for(linear, alice):
    async def body():
        import hashlib

        owners = [(hashlib.sha256(f"token of {name}".encode()).digest(), Owner(name)) for name in ("a", "b")]
        async with serving({("linear", "1"): linear}, tokens=Tokens(owners)) as client:
            for header in (None, "Bearer wrong", "Basic token of a", "token of a", "Bearer "):
                headers = {"Authorization": header} if header else {}
                for path in ("/v2", "/v2/models/linear", "/metrics", "/v2/models/linear/ready", "/nothing"):
                    response = await client.get(path, headers=headers)
                    assert response.status_code == 401
                    assert response.headers["WWW-Authenticate"] == "Bearer"
            assert (await client.get("/v2/health/live")).status_code == 200
            client.headers["Authorization"] = "Bearer token of a"
            assert (await client.get("/v2/models/linear")).status_code == 200
            assert (await upload(client, alice)).status_code == 201
            assert client.service.keys.owners == {str(alice.key_id): "a"}
            client.headers["Authorization"] = "Bearer token of b"
            path = f"/v2/models/linear/keys/{alice.key_id}"
            assert (await client.delete(path)).status_code == 404

    run(body())


@with_server()
async def test_base64_does_where_there_is_no_binary(client, alice, bob):
    await upload(client, alice)
    data = base64.b64encode(alice.encrypt(ROWS).to_bytes()).decode()
    request = {
        "id": "1",
        "parameters": {"key_id": str(alice.key_id)},
        "inputs": [
            {
                "name": "ciphertexts",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"content_type": "base64"},
                "data": [data],
            }
        ],
    }
    answer = (await client.post("/v2/models/linear/infer", json=request)).json()
    (output,) = answer["outputs"]
    assert {name: output[name] for name in ("name", "datatype", "shape")} == {
        **{"name": "results", "datatype": "BYTES", "shape": [1]}
    }
    result = Batch.from_bytes(base64.b64decode(output["data"][0]))
    assert len(alice.decrypt(result)[0]) == 4
    request["outputs"] = [{"name": "results", "parameters": {"binary_data": True}}]
    header, result = results_of(await client.post("/v2/models/linear/infer", json=request))
    assert header["id"] == "1"
    assert len(result) == 4


@with_server()
async def test_request_ids_are_echoed_if_they_can_stand_in_a_log(client, alice, bob):
    assert (await client.get("/v2", headers={"X-Request-Id": "a.1-b"})).headers["X-Request-Id"] == "a.1-b"
    made = (await client.get("/v2", headers={"X-Request-Id": 'a"\\{}'})).headers["X-Request-Id"]
    assert len(made) == 16


@with_server()
async def test_the_openapi_page_describes_every_route(client, alice, bob):
    page = (await client.get("/openapi.json")).json()
    infer = page["paths"]["/v2/models/{model}/infer"]["post"]
    assert set(infer["requestBody"]["content"]) == {"application/octet-stream", "application/json"}
    assert {"400", "404", "408", "413", "429", "503", "504"} <= set(infer["responses"])
    assert {"model", "X-Request-Timeout", "Inference-Header-Content-Length"} == {
        parameter["name"] for parameter in infer["parameters"]
    }
    routes = {(path, method) for path, methods in page["paths"].items() for method in methods}
    assert ("/v2/models/{model}/keys/{key_id}", "put") in routes
    assert ("/v2/models/{model}/versions/{version}/client", "get") in routes


@with_server()
async def test_the_page_for_people_has_every_route_and_loads_nothing(client, alice, bob):
    response = await client.get("/docs")
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for path in (await client.get("/openapi.json")).json()["paths"]:
        assert path in response.text
    for part in ("X-Request-Timeout", "413", "application/octet-stream", "<code>Retry-After</code>"):
        assert part in response.text
    assert "src=" not in response.text
    assert "://" not in response.text


@with_server()
async def test_metrics_count_what_happened(client, alice, bob):
    await upload(client, alice)
    request = infer_body(alice.encrypt(ROWS), alice.key_id)
    await client.post("/v2/models/linear/infer", **request)
    await client.post("/v2/models/linear/infer", content=b"{")
    text = (await client.get("/metrics")).text
    for line in (
        'skfhe_requests_total{route="infer",status="200"} 1.0',
        'skfhe_requests_total{route="infer",status="400"} 1.0',
        'skfhe_batch_rows_sum{model="linear"} 4.0',
        'skfhe_stage_seconds_count{model="linear",stage="run"} 1.0',
        'skfhe_stage_seconds_count{model="linear",stage="wait"} 1.0',
        'skfhe_stage_seconds_count{model="linear",stage="send"} 2.0',
        "skfhe_key_uploads_total 1.0",
        "skfhe_keys 1.0",
        "skfhe_waiting_requests 0.0",
        'skfhe_worker_alive{worker="0"} 1.0',
    ):
        assert line in text.splitlines(), text
    assert str(alice.key_id) not in text


@pytest.mark.parametrize("path", ["/v2/models/{}/infer", "/v2/{}", "/{}"])
def test_labels_of_metrics_are_not_the_clients_to_choose(linear, alice, path):
    async def body():
        async with serving({("linear", "1"): linear}) as client:
            await client.post(path.format("chosen"), content=b"x")
            assert "chosen" not in (await client.get("/metrics")).text

    run(body())


@with_server()
async def test_nothing_is_redirected(client, alice, bob):
    """An address would be made of what the client says the host is, and of http where a proxy has the TLS."""
    for path in ("/v2/", "/v2/models/", "/v2/models/linear/", "/v2/models/linear/client/"):
        response = await client.get(path, headers={"Host": "elsewhere.example"})
        assert response.status_code == 404
        assert "location" not in response.headers


@with_server()
async def test_metrics_are_there_when_the_store_is_not(client, alice, bob):
    def fail():
        raise ConnectionError("the store is away")

    client.service.keys.usage = fail
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert "skfhe_keys NaN" in response.text
    assert "skfhe_waiting_requests 0.0" in response.text
