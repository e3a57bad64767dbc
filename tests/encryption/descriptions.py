"""Descriptions of circuits as the engine writes them, for which nothing has to be compiled."""

import json
from dataclasses import replace
from typing import Any

from skfhe.encryption import Frame, Seeded, encrypt, expand, read_parameters

KEYS: dict[str, list[Any]] = {"lweBootstrapKeys": [], "lweKeyswitchKeys": [], "packingKeyswitchKeys": []}
NATIVE = {"native": {}}


def gate(shape, width=4, signed=False, dimension=600, variance=1e-15, key_id=0, moduli=()):
    """Return an input, or an output."""
    full = [*shape, *([len(moduli)] if moduli else []), dimension + 1]
    mode = {"crt": {"moduli": [*moduli]}} if moduli else NATIVE
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
        "encoding": {"integer": {"width": width, "isSigned": signed, "mode": mode}},
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


def form_of(each):
    """Return the parameters of one row of an input or output, and the frame of all."""
    parameters = read_parameters(each)
    return replace(parameters, shape=parameters.shape[1:]), Frame(parameters)


def sealed(x, key, form, seed, number=0):
    """Return the ciphertexts of some rows, in the engine's frame."""
    rows = Seeded(encrypt(x, key, form, seed, number), seed, number, 0)
    return expand([rows], form, Frame(form.of_rows(len(x))))
