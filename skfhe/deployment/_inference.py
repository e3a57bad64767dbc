"""Batches in the form of the Open Inference Protocol: a JSON header, then a BYTES tensor in binary."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from skfhe.exceptions import ServerError

__all__ = ["HEADER_LENGTH", "inference_request", "results_of"]

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The HTTP header that says where the JSON header of a body ends."""
_LENGTH = struct.Struct("<I")
"""Before each element of a BYTES tensor."""


def inference_request(data: bytes, key_id: str, request_id: str) -> tuple[bytes, int]:
    """Return the body of a request, and the bytes of its JSON header.

    Parameters
    ----------
    data : bytes
        As `Batch.to_bytes` returns them.
    key_id : str
    request_id : str

    Returns
    -------
    body : bytes
    header_length : int
    """
    header = {
        "id": request_id,
        "parameters": {"key_id": key_id},
        "inputs": [
            {
                "name": "ciphertexts",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"binary_data_size": _LENGTH.size + len(data)},
            }
        ],
        "outputs": [{"name": "results", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(header).encode()
    return b"".join([text, _LENGTH.pack(len(data)), data]), len(text)


def results_of(body: bytes, headers: Mapping[str, str], key_id: str, request_id: str) -> bytes:
    """Return the results in the body of an answer, as `Batch.from_bytes` takes them.

    Parameters
    ----------
    body : bytes
    headers : mapping of str to str
        Of HTTP.
    key_id, request_id : str
        Of the request: the answer has to repeat them.

    Returns
    -------
    bytes

    Raises
    ------
    ServerError
        If the answer is of another form, or answers another request.
    """
    header = _header(body, headers)
    for name, got, asked in (
        ("id", header.get("id"), request_id),
        ("parameters.key_id", (header.get("parameters") or {}).get("key_id"), key_id),
    ):
        if got != asked:
            raise ServerError(
                f"the server answered another request than it was asked: expected {name} {asked!r}, got "
                f"{got!r}. The answer was thrown away; report it to whoever runs the server"
            )
    start = int(headers[HEADER_LENGTH])
    try:
        (output,) = header["outputs"]
        name, size = output["name"], output["parameters"]["binary_data_size"]
        (length,) = _LENGTH.unpack_from(body, start)
    except (KeyError, TypeError, ValueError, struct.error):
        raise ServerError("the server's answer has not the one output in binary that was asked for") from None
    data = body[start + _LENGTH.size :]
    if name != "results" or type(size) is not int or not len(data) == length == size - _LENGTH.size:
        raise ServerError(
            f"expected {length} bytes of 'results' by the server's answer, got {len(data)} of {name!r}"
        )
    return data


def _header(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON header of an answer."""
    try:
        length = int(headers[HEADER_LENGTH])
        header = json.loads(body[:length]) if 0 < length <= len(body) else None
    except (KeyError, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("parameters", {}), dict | None):
        raise ServerError(
            "the server's answer is not one of the Open Inference Protocol in binary form "
            f"({HEADER_LENGTH}: {headers.get(HEADER_LENGTH)}); is there another service at this address?"
        )
    return header
