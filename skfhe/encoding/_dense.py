"""Rows as encoders take them: arrays, or sparse matrices of SciPy, which this room need not import."""

from typing import Any

from skfhe._typing import Array

__all__ = ["dense"]


def dense(rows: Any) -> Array:
    """Return rows as an array, sparse or not."""
    return rows.toarray() if hasattr(rows, "toarray") else rows
