"""Comparison of light steps with their originals: the same bits, dtypes, names and exceptions."""

import copy
import json
import warnings

import numpy as np

from skfhe.deployment._reading.transformers import read_steps
from skfhe.deployment._steps.tables import Table
from skfhe.deployment._values import from_values, to_values

FLOATS = np.array(
    [
        *(np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1e-300),
        *(1e300, -1e300, 1.7976931348623157e308, 0.1, -0.3, 1 / 3, 1e16, 123456789.123, -7.5, 2.0, 3.0),
    ]
)
"""Values at which arithmetic goes wrong first."""
FINITE = FLOATS[np.isfinite(FLOATS)]
WITHOUT_INFINITY = FLOATS[~np.isinf(FLOATS)]


def outcome(transform, rows):
    """Return what a transform gives, or the exception that it raises."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return transform(copy.deepcopy(rows))
        except Exception as error:
            return error


def assert_same_array(light, original, message=""):
    light, original = np.asarray(light), np.asarray(original)
    assert light.dtype == original.dtype, f"{light.dtype} is not {original.dtype} {message}"
    assert light.shape == original.shape, f"{light.shape} is not {original.shape} {message}"
    if original.dtype.kind == "O":
        pairs = list(zip(light.ravel(), original.ravel(), strict=True))
        same = [type(a) is type(b) and (a is b or a == b or (a != a and b != b)) for a, b in pairs]
        assert all(same), f"{light} is not {original} {message}"
        return
    np.testing.assert_array_equal(light, original, err_msg=message)
    if original.dtype.kind == "f":
        np.testing.assert_array_equal(
            np.signbit(light[light == 0]), np.signbit(original[original == 0]), message
        )


def assert_same_outcome(light, original, message=""):
    """Assert that a light step gives what its original gives."""
    if isinstance(original, Exception) and "assignment destination is read-only" in str(original):
        return  # a fault of the original, which writes to what pandas lends
    if isinstance(original, Exception) or isinstance(light, Exception):
        assert isinstance(original, Exception), f"{light!r} where the original gives {original!r} {message}"
        kinds = ValueError, TypeError, KeyError, AttributeError, OverflowError
        expected = next((kind for kind in kinds if isinstance(original, kind)), type(original))
        assert isinstance(light, expected), f"{light!r} where the original raises {original!r} {message}"
        return
    if hasattr(original, "toarray"):
        original = original.toarray()
    if hasattr(original, "columns"):
        assert isinstance(light, Table) or hasattr(light, "iloc"), f"{type(light)} has no names {message}"
        assert list(light.columns) == list(original.columns), message
        for place in range(len(light.columns)):
            one = light.values[place] if isinstance(light, Table) else light.iloc[:, place]
            assert_same_array(one, original.iloc[:, place], message)
    else:
        assert not hasattr(light, "columns"), f"{type(light)} has names {message}"
    assert_same_array(light, original, message)


def as_in_a_file(step):
    """Return a step as a client reads it."""
    values, arrays = to_values(step)
    return from_values(json.loads(json.dumps(values, allow_nan=False)), arrays, type(step).__name__)


def assert_equal_on(fitted, tables, *, read=None):
    """Assert that the light step equals a fitted transformer on each of some tables of rows."""
    step = as_in_a_file(read_steps(fitted) if read is None else read)
    for place, rows in enumerate(tables):
        message = f"\non table {place} of {type(fitted).__name__}:\n{rows!r}"
        assert_same_outcome(outcome(step.transform, rows), outcome(fitted.transform, rows), message)


def adversarial_rows(n_features, seed=0, values=FLOATS):
    """Return tables of extreme numbers in every form in which they may be given."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(values, size=(40, n_features))
    tame = rng.normal(scale=3, size=(30, n_features))
    finite = rng.choice(FINITE, size=(20, n_features))
    some = rng.choice(WITHOUT_INFINITY, size=(20, n_features))
    with np.errstate(over="ignore"):
        narrow = [table.astype(np.float32) for table in (tame, some, finite)]
    return [
        *(tame, tame[:1], np.asfortranarray(tame), tame[::2], rows, some, finite, *narrow),
        *(rng.choice(FLOATS, size=(1, n_features)) for _ in range(5)),
        *(rng.integers(-5, 5, size=(9, n_features)).astype(dtype) for dtype in ("int64", "int32", "int8")),
        *(
            rng.random((5, n_features)) > 0.5,
            tame.astype(object),
            tame.tolist(),
            rng.integers(0, 5, (4, n_features)).tolist(),
        ),
        *(np.where(rng.random((6, n_features)) > 0.5, None, 1.5), tame.astype(str), [["1.5"] * n_features]),
        *(
            tame + 1j,
            tame[0],
            tame[None],
            np.empty((0, n_features)),
            tame[:, 1:],
            np.hstack([tame, tame[:, :1]]),
        ),
        *(
            np.full((3, n_features), "a"),
            np.full((3, n_features), "a", dtype=object),
            np.zeros((4, n_features)),
            [[0] * n_features],
        ),
        *(
            tame.astype(np.float16),
            np.abs(tame) + 0.1,
            np.abs(tame).astype(np.float32) + 1,
            np.full((2, n_features), np.nan),
        ),
    ]
