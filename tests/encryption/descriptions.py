"""Descriptions of circuits as the engine writes them, for which nothing has to be compiled."""

import json
from typing import Any

KEYS: dict[str, list[Any]] = {"lweBootstrapKeys": [], "lweKeyswitchKeys": [], "packingKeyswitchKeys": []}
NATIVE = {"native": {}}


def gate(shape, width=4, signed=False, dimension=600, variance=1e-15, key_id=0):
    """Return an input, or an output."""
    full = [*shape, dimension + 1]
    encryption = {
        "keyId": key_id,
        "variance": variance,
        "lweDimension": dimension,
        "modulus": {"modulus": NATIVE},
    }
    kind = {
        "abstractShape": {"dimensions": [*shape]},
        "concreteShape": {"dimensions": full},
        "integerPrecision": 64,
        "encryption": encryption,
        "compression": "none",
        "encoding": {"integer": {"width": width, "isSigned": signed, "mode": NATIVE}},
    }
    raw = {"shape": {"dimensions": full}, "integerPrecision": 64, "isSigned": False}
    return {"rawInfo": raw, "typeInfo": {"lweCiphertext": kind}}


def description(*gates):
    """Return the description of a circuit that takes ``gates``, and returns the same."""
    dimensions = {}
    for each in gates:
        encryption = each["typeInfo"]["lweCiphertext"]["encryption"]
        dimensions[encryption["keyId"]] = encryption["lweDimension"]
    keys = [
        {"id": i, "params": {"lweDimension": n, "integerPrecision": 64, "keyType": "binary"}}
        for i, n in sorted(dimensions.items())
    ]
    circuit = {"inputs": [*gates], "outputs": [*gates], "name": "rows_1"}
    return json.dumps({"keyset": {"lweSecretKeys": keys, **KEYS}, "circuits": [circuit]}).encode()
