"""The data sets and folds that the benchmarks share."""

from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.model_selection import KFold, StratifiedKFold

CLASSIFICATION = ("iris", "wine", "breast_cancer", "digits")
REGRESSION = ("diabetes",)


def checkerboard() -> tuple[np.ndarray, np.ndarray]:
    """Return 100 × 100 jittered grid points of the unit square, labelled like a board of four by four fields.

    The label is (rint(3 x) mod 2) xor (rint(3 y) mod 2); the jitter is normal, of standard deviation 0.01.
    """
    axis = np.linspace(0, 1, 100)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    fields = np.rint(3 * grid).astype(np.int64) % 2
    return grid + np.random.default_rng(0).normal(0, 0.01, grid.shape), fields[:, 0] ^ fields[:, 1]


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y of one of scikit-learn's bundled data sets, or the checkerboard."""
    if name == "checkerboard":
        return checkerboard()
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def folds(name: str, seed: int = 0) -> Any:
    """Return five shuffled folds, stratified for classification."""
    cls = KFold if name in REGRESSION else StratifiedKFold
    return cls(5, shuffle=True, random_state=seed)
