"""The Open Inference Protocol v2, as far as it is about one tensor of encrypted rows.

A request has a JSON header and, by the extension for binary tensors, bytes after it. Its one input,
``ciphertexts``, and its one output, ``results``, are tensors of datatype BYTES and shape [1]: one element,
what `Batch.to_bytes` returns. In the binary part an element stands after its length, four bytes, little
endian; in JSON it is base64, and says so by ``"content_type": "base64"``.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from skfhe.deployment._serving._errors import RequestError

__all__ = [
    "BINARY",
    "BINARY_LENGTH",
    "INPUT",
    "KEY_ID",
    "OUTPUT",
    "InferRequest",
    "infer_answer",
    "most_body_bytes",
    "parse_infer",
    "tensor",
]

INPUT, OUTPUT = "ciphertexts", "results"
BINARY = "application/octet-stream"
BINARY_LENGTH = "Inference-Header-Content-Length"
KEY_ID = re.compile("[0-9a-f]{64}")
_LENGTH_BYTES = 4
_MOST_ID = 256
_FIELDS = {"id", "parameters", "inputs", "outputs"}


def tensor(name: str) -> dict[str, Any]:
    """Return what the metadata of a model says of its input or its output."""
    return {"name": name, "datatype": "BYTES", "shape": [1]}


@dataclass(frozen=True, repr=False)
class InferRequest:
    """What an infer request asks for.

    Parameters
    ----------
    id : str or None
        Of the request, as its client has it.
    key_id : str
    batch : bytes
        Not looked at yet.
    binary : bool
        Whether the results are wanted after the JSON, not in it.
    """

    id: str | None
    key_id: str
    batch: bytes
    binary: bool


def most_body_bytes(batch_bytes: int, header_bytes: int) -> int:
    """Return the bytes of the longest body, of a batch in base64 or in binary."""
    return header_bytes + _LENGTH_BYTES + 4 * -(-batch_bytes // 3)


def parse_infer(body: bytes, header_length: str | None, most_header_bytes: int) -> InferRequest:
    """Take an infer request apart.

    Parameters
    ----------
    body : bytes
    header_length : str or None
        What the request's `BINARY_LENGTH` says.
    most_header_bytes : int
        That JSON before a binary part may have.

    Returns
    -------
    InferRequest

    Raises
    ------
    RequestError
        If it is anything else than described at the top of this file; the message says what.
    """
    n_header = len(body)
    if header_length is not None:
        n_header = int(header_length) if re.fullmatch("[0-9]{1,12}", header_length) else -1
        if not 0 < n_header <= len(body):
            raise _malformed(f"{BINARY_LENGTH} must be from 1 to the {len(body)} bytes of the body")
        if n_header > most_header_bytes:
            raise RequestError(
                413,
                f"the JSON header has {n_header} bytes, and may have {most_header_bytes}",
                "too_large",
                limit=most_header_bytes,
            )
    header = _read_json(body[:n_header])
    parameters = _object(header, "parameters")
    key_id = parameters.get("key_id")
    if not isinstance(key_id, str) or not KEY_ID.fullmatch(key_id):
        raise _malformed("parameters.key_id must be the 64 hexadecimal digits that name the evaluation keys")
    request_id = header.get("id")
    if request_id is not None and not (isinstance(request_id, str) and len(request_id) <= _MOST_ID):
        raise _malformed(f"id must be a string of at most {_MOST_ID} characters")
    batch, is_binary = _batch(_only(header, "inputs", INPUT), body[n_header:])
    return InferRequest(request_id, key_id, batch, _wants_binary(header, parameters, is_binary))


def _malformed(message: str) -> RequestError:
    return RequestError(400, message)


def _read_json(text: bytes) -> dict[str, Any]:
    """Return the header, in which no name stands twice, and none that is not known."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError
        return found

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise _malformed(
            f"the body does not begin with a JSON object; {BINARY_LENGTH} must tell its length if a binary "
            "part follows"
        ) from None
    if not isinstance(header, dict) or set(header) - _FIELDS:
        raise _malformed(f"the request must be a JSON object of {', '.join(sorted(_FIELDS))}")
    return header


def _object(owner: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object that may be left out."""
    found = owner.get(name, {})
    if not isinstance(found, dict):
        raise _malformed(f"{name} must be a JSON object")
    return found


def _only(header: dict[str, Any], what: str, name: str) -> dict[str, Any]:
    """Return the one input or output that a request has."""
    found = header.get(what)
    if not (isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict)):
        raise _malformed(f"{what} must be a list of one object, {name!r}")
    if found[0].get("name") != name:
        raise _malformed(f"the one element of {what} is named {name!r}")
    return found[0]


def _batch(given: dict[str, Any], binary: bytes) -> tuple[bytes, bool]:
    """Return the bytes of a batch, and whether they came in the binary part."""
    if given.get("datatype") != "BYTES" or given.get("shape") != [1] or type(given["shape"][0]) is not int:
        raise _malformed(f'{INPUT} must have "datatype": "BYTES" and "shape": [1]')
    parameters = _object(given, "parameters")
    if "binary_data_size" in parameters:
        if "data" in given:
            raise _malformed(f"{INPUT} has data in JSON and a binary_data_size; it can have one of them")
        return _element(parameters["binary_data_size"], binary), True
    if binary:
        raise _malformed(f"there is a binary part of {len(binary)} bytes, and no binary_data_size of {INPUT}")
    data = given.get("data")
    if parameters.get("content_type") != "base64":
        raise _malformed(
            f"{INPUT} must come in the binary part, with its binary_data_size as a parameter, or as data in "
            'base64, with "content_type": "base64" as a parameter'
        )
    if not (isinstance(data, list) and len(data) == 1 and isinstance(data[0], str)):
        raise _malformed("data must be a list of one string, in base64")
    try:
        return base64.b64decode(data[0], validate=True), False
    except (binascii.Error, ValueError):
        raise _malformed("data is not base64") from None


def _element(size: Any, binary: bytes) -> bytes:
    """Return the one element of a tensor of BYTES."""
    if type(size) is not int or size != len(binary):
        raise _malformed(f"binary_data_size must be the {len(binary)} bytes of the binary part")
    n_bytes = int.from_bytes(binary[:_LENGTH_BYTES], "little")
    if len(binary) < _LENGTH_BYTES or n_bytes != len(binary) - _LENGTH_BYTES:
        raise _malformed(
            "the binary part must be one element: its length in four bytes, little endian, then its bytes"
        )
    return binary[_LENGTH_BYTES:]


def _wants_binary(header: dict[str, Any], parameters: dict[str, Any], default: bool) -> bool:
    """Whether the results go into a binary part: as asked for, or as the inputs came."""
    wanted = parameters.get("binary_data_output", default)
    if "outputs" in header:
        wanted = _object(_only(header, "outputs", OUTPUT), "parameters").get("binary_data", wanted)
    if not isinstance(wanted, bool):
        raise _malformed("binary_data and binary_data_output must be true or false")
    return wanted


def infer_answer(
    request: InferRequest, model: str, version: str, results: bytes
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers that answer an infer request.

    Parameters
    ----------
    request : InferRequest
    model, version : str
    results : bytes
        Of the `Batch` that the model returned.

    Returns
    -------
    body : bytes
    headers : dict
    """
    output = tensor(OUTPUT)
    header: dict[str, Any] = {
        "model_name": model,
        "model_version": version,
        "parameters": {"key_id": request.key_id},
        "outputs": [output],
    }
    if request.id is not None:
        header["id"] = request.id
    if not request.binary:
        output["parameters"] = {"content_type": "base64"}
        output["data"] = [base64.b64encode(results).decode()]
        return json.dumps(header).encode(), {"Content-Type": "application/json"}
    output["parameters"] = {"binary_data_size": _LENGTH_BYTES + len(results)}
    text = json.dumps(header).encode()
    body = b"".join([text, len(results).to_bytes(_LENGTH_BYTES, "little"), results])
    return body, {"Content-Type": BINARY, BINARY_LENGTH: str(len(text))}
