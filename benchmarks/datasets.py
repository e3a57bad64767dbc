"""The data sets and folds that the benchmarks share."""

from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.model_selection import KFold, StratifiedKFold

CLASSIFICATION = ("iris", "wine", "breast_cancer", "digits")
REGRESSION = ("diabetes",)


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y of one of scikit-learn's bundled data sets."""
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def folds(name: str, seed: int = 0) -> Any:
    """Return five shuffled folds, stratified for classification."""
    cls = KFold if name in REGRESSION else StratifiedKFold
    return cls(5, shuffle=True, random_state=seed)
