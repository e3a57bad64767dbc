"""Values brought back from what a regression was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.deployment._client_model import Predictor
from skfhe.deployment._combined.members import Members, Rows, check, unknown

__all__ = ["FUNCTIONS", "Retargeted"]


@dataclass(frozen=True, eq=False)
class Retargeted(Members):
    """Values brought back from what a regression was trained on.

    Parameters
    ----------
    members : tuple of Predictor
        One.
    function : str
        Name of NumPy's function that is applied; ``"affine"`` for ``value * scale + offset``.
    scale, offset : ndarray of float64, shape (n_targets,)
    flat : bool
        Whether a single target has no axis of its own.
    """

    members: tuple[Predictor, ...]
    function: str
    scale: FloatArray
    offset: FloatArray
    flat: bool

    methods = ("predict",)

    def __post_init__(self) -> None:
        self.needs("predict")
        check(len(self.members) == 1, "one member")
        check(self.function in FUNCTIONS, f"a function among {', '.join(FUNCTIONS)}, got {self.function!r}")
        check(self.scale.ndim == 1 and self.scale.shape == self.offset.shape, "a scale a target")

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Rows = None) -> Any:
        """Return the values."""
        if method not in self.methods:
            raise unknown(self, method)
        values = self.members[0].answer("predict", outputs, rows)
        values = values.reshape(-1, 1) if values.ndim == 1 else values
        if self.function == "affine":
            values = values * self.scale
            values = values + self.offset
        else:
            values = getattr(np, self.function)(values)
        return values[:, 0] if self.flat and values.shape[1] == 1 else values


FUNCTIONS = ("affine", "exp", "expm1", "exp2", "log", "log1p", "log2", "square", "sqrt", "cbrt", "negative")
"""That a model's target can have been transformed by, as far as the inverse is one of NumPy's."""
