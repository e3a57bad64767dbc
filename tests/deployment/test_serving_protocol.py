"""The form of requests and answers: the Open Inference Protocol v2 with binary tensors, to the letter."""

import base64
import copy
import json
import random

import pytest

from skfhe.deployment._serving._errors import RequestError, busy, error_body
from skfhe.deployment._serving._protocol import infer_answer, most_body_bytes, parse_infer

KEY_ID = "0a" * 32
DATA = bytes(range(200))
ELEMENT = len(DATA).to_bytes(4, "little") + DATA
HEADER = {
    "id": "42",
    "parameters": {"key_id": KEY_ID, "priority": 1},
    "inputs": [
        {
            "name": "ciphertexts",
            "datatype": "BYTES",
            "shape": [1],
            "parameters": {"binary_data_size": len(ELEMENT)},
        }
    ],
    "outputs": [{"name": "results", "parameters": {"binary_data": True}}],
}


def parse(header, binary=ELEMENT, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return parse_infer(text + binary, str(len(text)) if length is None else length, 1000)


def changed(path, value):
    """Return the header with one place in it changed, or without it if the value is Ellipsis."""
    header = copy.deepcopy(HEADER)
    *owners, last = path
    place = header
    for name in owners:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return header


def test_a_request_is_taken_apart():
    request = parse(HEADER)
    assert (request.id, request.key_id, request.batch, request.binary) == ("42", KEY_ID, DATA, True)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("id",), ..., {"id": None}),
        (("outputs",), ..., {"binary": True}),
        (("outputs", 0, "parameters"), ..., {"binary": True}),
        (("outputs", 0, "parameters", "binary_data"), False, {"binary": False}),
    ],
)
def test_what_may_be_left_out(path, value, expected):
    request = parse(changed(path, value))
    assert {name: getattr(request, name) for name in expected} == expected


def test_results_come_as_the_request_asks_or_as_its_inputs_came():
    header = changed(("outputs",), ...)
    header["parameters"]["binary_data_output"] = False
    assert not parse(header).binary
    header = changed(("inputs", 0, "parameters"), {"content_type": "base64"})
    header["inputs"][0]["data"] = [base64.b64encode(DATA).decode()]
    del header["outputs"]
    text = json.dumps(header).encode()
    request = parse_infer(text, None, 10)  # what JSON may have before a binary part is no limit of JSON alone
    assert (request.batch, request.binary) == (DATA, False)
    header["parameters"]["binary_data_output"] = True
    assert parse(header, b"").binary


WRONG = [
    *((("id",), value) for value in (1, ["x"], 300 * "x")),
    *((("parameters",), value) for value in (..., None, [], {"key_id": 1})),
    *(
        (("parameters", "key_id"), value)
        for value in (..., None, "", KEY_ID.upper(), KEY_ID[:-1], KEY_ID + "0")
    ),
    *((("inputs",), value) for value in (..., [], {}, [1], 2 * HEADER["inputs"])),
    *((("inputs", 0, "name"), value) for value in (..., "x", None)),
    *((("inputs", 0, "datatype"), value) for value in (..., "UINT8", "bytes")),
    *((("inputs", 0, "shape"), value) for value in (..., [], [2], [1, 1], 1, [True], [1.0], ["1"])),
    *((("inputs", 0, "parameters"), value) for value in (..., [], {}, {"content_type": "str"})),
    *(
        (("inputs", 0, "parameters", "binary_data_size"), value)
        for value in (None, "204", 203, 205, -1, 204.0, True, 1 << 70)
    ),
    (("inputs", 0, "data"), ["x"]),
    *((("outputs",), value) for value in ([], [1], {}, 2 * HEADER["outputs"])),
    (("outputs", 0, "name"), "ciphertexts"),
    *((("outputs", 0, "parameters", "binary_data"), value) for value in (1, "true", None)),
    (("model_name",), "x"),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_every_place_is_checked(path, value):
    with pytest.raises(RequestError) as raised:
        parse(changed(path, value))
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "binary",
    [b"", ELEMENT[:-1], ELEMENT + b"x", b"\0\0\0", bytes(4) + DATA, b"\xff\xff\xff\xff" + DATA],
)
def test_the_binary_part_is_one_element(binary):
    header = changed(("inputs", 0, "parameters", "binary_data_size"), len(binary))
    with pytest.raises(RequestError, match="binary"):
        parse(header, binary)


@pytest.mark.parametrize("length", ["", "-1", "0", "1e2", "999999", "9" * 40, " 5", "٣"])
def test_the_length_of_the_json_is_a_number_within_the_body(length):
    with pytest.raises(RequestError) as raised:
        parse(HEADER, length=length)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"1", b"null", b"\xff", b"[" * 100_000, b'{"id": 1, "id": 2}', b'{"a": NaN, "b": 1}'],
)
def test_what_is_not_a_json_object_of_a_request_is_refused(text):
    with pytest.raises(RequestError) as raised:
        parse_infer(text, None, 1000)
    assert raised.value.status == 400


@pytest.mark.parametrize("data", [None, "x", [], [1], ["*"], ["YQ"], ["YQ==", "YQ=="], ["é"]])
def test_base64_is_base64(data):
    header = changed(("inputs", 0, "parameters"), {"content_type": "base64"})
    header["inputs"][0]["data"] = data
    with pytest.raises(RequestError, match="data"):
        parse(header, b"")


def test_a_name_that_stands_twice_is_refused():
    """Two readers of JSON could understand two things by it."""
    text = json.dumps(HEADER).encode()
    for first in (b"{", b'"parameters": {', b'"inputs": [{'):
        assert first in text
        with pytest.raises(RequestError, match="JSON object"):
            parse(text.replace(first, first + b'"id": "41", "id": "41", '))


def outcome(body, length):
    """Return the bytes of a request's batch, or the status by which it is refused."""
    try:
        return len(parse_infer(body, length, 1000).batch)
    except RequestError as error:
        return error.status


def test_mutated_requests_are_refused_or_are_requests():
    """No other exception comes of any bytes."""
    random.seed(0)
    text = json.dumps(HEADER).encode()
    body = text + ELEMENT
    for _ in range(3000):
        mutated = bytearray(body)
        for _ in range(random.choice([1, 1, 2, 8])):
            mutated[random.randrange(len(mutated))] = random.randrange(256)
        cut = bytes(mutated[: random.choice([len(mutated), random.randrange(len(mutated))])])
        assert outcome(cut, random.choice([str(len(text)), None, "7"])) in (400, len(DATA))


@pytest.mark.parametrize("request_id", [None, "42"])
@pytest.mark.parametrize("binary", [True, False])
def test_an_answer_has_the_form_of_the_protocol(request_id, binary):
    header = changed(("outputs", 0, "parameters", "binary_data"), binary)
    header["id"] = request_id
    body, headers = infer_answer(parse(header), "model", "3", DATA)
    n_header = int(headers.get("Inference-Header-Content-Length", len(body)))
    answer = json.loads(body[:n_header])
    expected = {"model_name": "model", "model_version": "3", "parameters": {"key_id": KEY_ID}}
    if request_id:
        expected["id"] = request_id
    (output,) = answer.pop("outputs")
    assert answer == expected
    tensor = {"name": "results", "datatype": "BYTES", "shape": [1]}
    if binary:
        assert headers["Content-Type"] == "application/octet-stream"
        assert output == {**tensor, "parameters": {"binary_data_size": len(ELEMENT)}}
        assert body[n_header:] == ELEMENT
    else:
        assert headers == {"Content-Type": "application/json"}
        data = [base64.b64encode(DATA).decode()]
        assert output == {**tensor, "parameters": {"content_type": "base64"}, "data": data}


def test_the_longest_body_is_that_of_base64():
    for n in range(100):
        assert most_body_bytes(n, 50) >= 50 + max(4 + n, len(base64.b64encode(bytes(n))))


def test_errors_are_json_and_say_when_to_come_again():
    error = busy(429, 'a "text"', "busy", 0.2)
    assert json.loads(error_body(error)) == {"error": 'a "text"', "code": "busy"}
    assert error.headers == {"Retry-After": "1"}
    assert busy(503, "", "x", 2.1).headers == {"Retry-After": "3"}
