"""Random features, whose products approximate a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import Array
from skfhe.deployment._steps.rows import FittedOn, require

__all__ = ["RandomFeatures"]


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """`RBFSampler`: cosines of random projections, drawn from a seed and the kernel's width alone.

    Parameters
    ----------
    fitted_on : FittedOn
    weights : ndarray, shape (n_features, n_components)
    offsets : ndarray, shape (n_components,)
    """

    fitted_on: FittedOn
    weights: Array
    offsets: Array

    def __post_init__(self) -> None:
        step, shape = self.fitted_on.step, self.weights.shape
        require(
            len(shape) == 2 and shape[0] == self.fitted_on.n_features and shape[1] > 0,
            f"{step}: weights have shape {shape}.",
        )
        require(
            self.offsets.shape == shape[1:] and self.offsets.dtype == self.weights.dtype,
            f"{step}: offsets have shape {self.offsets.shape}.",
        )

    def transform(self, rows: Any) -> Array:
        """Return features, shape (n_rows, n_components)."""
        projected = self.fitted_on.array(rows, "numeric") @ self.weights
        projected += self.offsets
        np.cos(projected, projected)
        projected *= (2.0 / self.weights.shape[1]) ** 0.5
        return projected
