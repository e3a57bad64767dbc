"""What the OpenAPI page says of each route, binary bodies among it."""

from __future__ import annotations

from typing import Any

from skfhe.deployment._serving._protocol import BINARY, BINARY_LENGTH, INPUT, OUTPUT

__all__ = ["DESCRIPTION", "describe"]

DESCRIPTION = f"""Predictions on encrypted rows, by the Open Inference Protocol v2.

A client fetches `client.zip` of a model, generates keys, uploads its evaluation keys once, and sends
encrypted rows. The server has neither secret keys nor rows.

A model has one input, `{INPUT}`, and one output, `{OUTPUT}`, of datatype BYTES and shape [1]. The element is
what `Batch.to_bytes` returns. By the extension for binary tensors it stands after the JSON, which
`{BINARY_LENGTH}` tells the length of, itself after its own length in four bytes, little endian.
In JSON alone it is `data`, a list of one string in base64, with `"content_type": "base64"` as a parameter.

Errors are JSON, `{{"error": text, "code": name}}`. What was answered by 408, 429 or 503 may be sent again
after `Retry-After` seconds; by 404 with the code `unknown_key`, after the keys have been uploaded.
"""

_SUMMARIES = {
    ("GET", "server"): "Metadata of the server",
    ("GET", "health"): "Health: 200 or 503",
    ("GET", "models"): "The models and their versions",
    ("GET", "model"): "Metadata of a model: tensors, sizes, limits",
    ("POST", "infer"): "Run a model on encrypted rows",
    ("GET", "client"): "client.zip: what a client needs of a model",
    ("HEAD", "client"): "Whether client.zip has changed",
    ("PUT", "keys"): "Upload evaluation keys",
    ("HEAD", "keys"): "Whether evaluation keys are there",
    ("DELETE", "keys"): "Delete evaluation keys",
    ("GET", "metrics"): "Metrics, as Prometheus reads them",
}
_ANSWERS = {
    200: "Done, or there already",
    201: "The keys are new",
    204: "The keys are deleted",
    304: "The file is the one that If-None-Match names",
    400: "Malformed, or of another model or other keys than it says",
    401: "No token that the server knows",
    404: "Unknown model or keys (`unknown_key`)",
    408: "The body did not come in time",
    411: "Content-Length is missing",
    413: "Too many bytes or rows, as `limit` tells, or no room for more keys (`quota`)",
    429: "Too many requests wait; see Retry-After",
    500: "The request ended its worker, or ran for too long",
    503: "Not ready, or stopping; see Retry-After",
    504: "The request's time was over",
    507: "The store of keys is full, or does not work",
}
_STATUS = {
    ("GET", "health"): (200, 404, 503),
    ("GET", "model"): (200, 401, 404),
    ("POST", "infer"): (200, 400, 401, 404, 408, 411, 413, 429, 500, 503, 504),
    ("GET", "client"): (200, 304, 401, 404),
    ("HEAD", "client"): (200, 304, 401, 404),
    ("PUT", "keys"): (200, 201, 400, 401, 404, 408, 411, 413, 503, 507),
    ("HEAD", "keys"): (200, 400, 401, 404),
    ("DELETE", "keys"): (204, 400, 401, 404),
}
_HEADERS = {
    ("POST", "infer"): (
        (BINARY_LENGTH, "Bytes of the JSON, if a binary part follows.", "integer"),
        ("X-Request-Timeout", "Seconds that the request may take.", "number"),
    ),
    ("GET", "client"): (("If-None-Match", "The ETag of the file that is there already.", "string"),),
}
_BINARY_SCHEMA = {"type": "string", "format": "binary"}
_TENSOR = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string", "enum": ["BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer"}, "example": [1]},
        "data": {"type": "array", "items": {"type": "string", "format": "byte"}},
        "parameters": {"type": "object"},
    },
}


def _infer_schema(what: str, **more: Any) -> dict[str, Any]:
    """Return the schema of the JSON of a request or of an answer."""
    properties = {
        "id": {"type": "string"},
        "parameters": {"type": "object", "properties": {"key_id": {"type": "string"}}},
        what: {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
    }
    return {"type": "object", "required": ["parameters", what], "properties": {**properties, **more}}


_REQUEST = _infer_schema("inputs", outputs={"type": "array", "items": _TENSOR, "maxItems": 1})
_ANSWER = _infer_schema("outputs", model_name={"type": "string"}, model_version={"type": "string"})
_BODIES = {
    ("POST", "infer"): {BINARY: {"schema": _BINARY_SCHEMA}, "application/json": {"schema": _REQUEST}},
    ("PUT", "keys"): {BINARY: {"schema": _BINARY_SCHEMA}},
}
_CONTENTS = {
    ("POST", "infer"): {BINARY: {"schema": _BINARY_SCHEMA}, "application/json": {"schema": _ANSWER}},
    ("GET", "client"): {"application/zip": {"schema": _BINARY_SCHEMA}},
    ("GET", "metrics"): {"text/plain": {"schema": {"type": "string"}}},
}
_ERROR = {
    "type": "object",
    "required": ["error", "code"],
    "properties": {"error": {"type": "string"}, "code": {"type": "string"}, "limit": {"type": "integer"}},
}


def describe(path: str, method: str, route: str) -> dict[str, Any]:
    """Return what FastAPI is told of a route besides its path and method.

    Parameters
    ----------
    path : str
    method : str
    route : str
        Its name.

    Returns
    -------
    dict
    """
    which = method, route
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("model", "version", "key_id")
        if f"{{{name}}}" in path
    ]
    parameters += [
        {"name": name, "in": "header", "description": text, "schema": {"type": kind}}
        for name, text, kind in _HEADERS.get(which, ())
    ]
    extra: dict[str, Any] = {"parameters": parameters}
    if which in _BODIES:
        extra["requestBody"] = {"required": True, "content": _BODIES[which]}
    answers: dict[int | str, dict[str, Any]] = {}
    for status in _STATUS.get(which, (200, 401)):
        answers[status] = {"description": _ANSWERS[status]}
        if status >= 400:
            answers[status]["content"] = {"application/json": {"schema": _ERROR}}
        elif status == 200:
            answers[status]["content"] = _CONTENTS.get(which, {"application/json": {"schema": {}}})
    first = min(answers)
    return {
        "summary": _SUMMARIES[which],
        "status_code": int(first),
        "responses": answers,
        "openapi_extra": extra,
        "operation_id": f"{method.lower()} {path}",
    }
