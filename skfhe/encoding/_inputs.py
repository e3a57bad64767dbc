"""Rows as imported networks take them: arrays of numbers of any library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skfhe._typing import FloatArray

__all__ = ["as_floats", "network_inputs"]


def network_inputs(given: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> list[FloatArray]:
    """Return rows as float64, having checked that they fit a network's inputs.

    Parameters
    ----------
    given : sequence of array-like, each of shape (n_rows, *row)
    shapes : sequence of tuple of int
        Shape of a row of each input.

    Returns
    -------
    list of ndarray of float64

    Raises
    ------
    ValueError
        If the inputs are too many, too few, or of another shape or kind than the network's.
    """
    if len(given) != len(shapes):
        raise ValueError(f"the network takes {len(shapes)} input(s), got {len(given)}")
    rows = []
    for index, (values, shape) in enumerate(zip(given, shapes, strict=True)):
        array = as_floats(values, f"input {index}")
        if array.shape[1:] != tuple(shape):
            expected = ", ".join(map(str, ("n_rows", *shape)))
            raise ValueError(f"input {index} must have shape ({expected}), got {array.shape}")
        rows.append(array)
    if len({len(array) for array in rows}) > 1:
        raise ValueError(f"all inputs must have the same number of rows, got {[len(a) for a in rows]}")
    return rows


def as_floats(values: Any, name: str) -> FloatArray:
    """Return numbers of any real dtype, of NumPy, torch or pandas, as a float64 array of finite numbers.

    Raises
    ------
    ValueError
        If they are not numbers, or not finite, or have no axis of rows.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.to(dtype=values.double().dtype).numpy()
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            array = array.astype(np.float64) if array.dtype.kind == "O" else array
        if array.dtype.kind not in "fiub":
            raise TypeError(f"dtype {array.dtype}")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold real numbers, got {type(values).__name__}: {error}") from error
    if array.ndim == 0:
        raise ValueError(f"{name} must have rows as its first axis, got a single number")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity; impute or leave out these rows first")
    return array
