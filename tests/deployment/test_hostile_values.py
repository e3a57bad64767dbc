"""Files whose checksums are right and whose values are not: what somebody wrote to do harm.

Whatever is there, an object is made that works on rows or on none, or a ValueError says what is wrong.
"""

import copy
import json
import random
import tracemalloc
import warnings

import numpy as np
import pytest

from skfhe.deployment import Server
from skfhe.deployment._client_model import ClientModel
from tests.deployment.saved_models import FIXTURES, MODELS
from tests.deployment.test_archive import consistent, entries
from tests.digested_models import rows

R = rows(1)[:3]


def model_of(name, half):
    """Return the bytes of a file of the fixtures, and its values."""
    data = (FIXTURES / "v1" / name / f"{half}.zip").read_bytes()
    return data, json.loads(entries(data)["model.json"])


def places(values, found=()):
    """Yield the path of every value below ``values``."""
    items = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in items:
        yield (*found, key)
        if isinstance(value, dict | list):
            yield from places(value, (*found, key))


def inside(values, path):
    for key in path:
        values = values[key]
    return values


CHANGES = [
    *(None, True, False, 0, 1, -1, 2, 7, 10**6, 2**31, 2**62, 2**63 - 1, -(2**63), 2**64, 10**30),
    *(0.0, -1.0, 0.5, 1e-320, 1e308, "", "x", "inf", [], {}, [[]], [0], {"array": 0}, {"array": 10**9}),
    *({"array": True}, {"float": "nan"}, {"float": "1"}, {"class": "Splits"}, {"class": "os"}, {"bytes": 0}),
    *(
        {"class": "ClientModel"},
        {"texts": ["a"], "width": 2**40, "shape": [1]},
        {"objects": [], "shape": [9]},
    ),
    {"texts": [], "width": 1, "shape": [0, 2**60]},
]


def changed(model, draw):
    """Return values of which one is another, one is left out, or one stands in the place of another."""
    model = copy.deepcopy(model)
    every = list(places(model))
    path = draw.choice(every)
    parent, key = inside(model, path[:-1]), path[-1]
    how = draw.random()
    if how < 0.5:
        parent[key] = copy.deepcopy(draw.choice(CHANGES))
    elif how < 0.6:
        del parent[key]
    elif how < 0.75 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
        parent[key] += draw.choice((-1, 1, 100, -100, 0.5))
    elif how < 0.9:
        parent[key] = copy.deepcopy(inside(model, draw.choice(every)))
    elif isinstance(parent, dict):
        parent["more"] = 1
    else:
        parent.append(copy.deepcopy(parent[key]))
    return model


def use(client):
    """Let a client's half encode and answer, as far as there is something to answer."""
    encoded = client.predictor.encode(R)
    client.specs.check_inputs(encoded)
    outputs = tuple(np.zeros((3, *kind.shape), dtype=np.int64) for kind in client.specs.outputs)
    for method in client.predictor.methods:
        client.predictor.answer(method, outputs)


def assert_harmless(data, half):
    """Read a file, and use what is made of it, if anything is."""
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if half == "client":
                use(ClientModel.read(data))
            else:
                Server(data)
        except ValueError:
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24, peak


@pytest.mark.parametrize("n_files", [300, pytest.param(4_000, marks=pytest.mark.slow)])
def test_values_that_were_written_to_do_harm_do_none(n_files):
    """The error is a ValueError, and nothing takes memory that the file does not have."""
    draw = random.Random(n_files)
    files = [(half, *model_of(name, half)) for name in MODELS for half in ("client", "server")]
    for _ in range(n_files):
        half, data, model = draw.choice(files)
        hostile = changed(model, draw)
        try:
            hostile = consistent(data, model=hostile)
        except (TypeError, ValueError):
            continue  # JSON cannot say it
        assert_harmless(hostile, half)


@pytest.mark.parametrize("n_files", [100, pytest.param(2_000, marks=pytest.mark.slow)])
def test_arrays_that_were_written_to_do_harm_do_none(n_files):
    draw = random.Random(n_files)
    files = [(half, *model_of(name, half)) for name in MODELS for half in ("client", "server")]
    for _ in range(n_files):
        half, data, _ = draw.choice(files)
        arrays = bytearray(entries(data)["arrays.bin"])
        for _ in range(draw.randrange(1, 9)):
            place = draw.randrange(len(arrays))
            arrays[place : place + 8] = draw.choice(
                (b"\xff" * 8, b"\x7f" * 8, bytes(8), np.float64(np.nan).tobytes(), draw.randbytes(8))
            )[: len(arrays) - place]
        assert_harmless(consistent(data, arrays=bytes(arrays)), half)
