"""The data that families are compared on: five bundled sets, and two made ones with awkward columns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import load

CLASSES = ("iris", "wine", "breast_cancer", "digits", "scales", "tails")
VALUES = ("diabetes", "scales_values", "tails_values")
MADE = ("scales", "tails", "scales_values", "tails_values")
N_ROWS, N_FEATURES = 600, 8


def made(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of eight columns, none of them negative, and a target that all of them have a part in.

    ``scales`` has units from a millionth to a million and offsets of up to a hundred times the spread,
    ``tails`` log-normal columns whose largest values are hundreds of medians. Targets are three classes, or,
    of names that end so, values.
    """
    rng = np.random.default_rng(7)
    hidden = rng.normal(size=(N_ROWS, N_FEATURES))
    if name.startswith("scales"):
        unit = np.logspace(-6, 6, N_FEATURES)
        offset = np.array([5, 100, 8, 40, 5, 100, 8, 40])
        X = np.maximum(unit * (offset + hidden), 0)
    else:
        X = np.exp(1.5 * hidden)
    target = hidden @ rng.normal(size=N_FEATURES) + 0.3 * rng.normal(size=N_ROWS)
    return X, target if name.endswith("values") else np.digitize(target, np.quantile(target, [1 / 3, 2 / 3]))


@dataclass(frozen=True, eq=False)
class Split:
    """Rows and targets of one data set, a quarter of them held out."""

    name: str
    rows: np.ndarray
    targets: np.ndarray
    test_rows: np.ndarray
    test_targets: np.ndarray

    @property
    def regression(self) -> bool:
        """Whether targets are numbers."""
        return self.name in VALUES


def standardized(name: str) -> Any:
    """Return a scaler for one of the bundled sets, and None for a made one, whose columns stay awkward."""
    return None if name in MADE else StandardScaler()


def prepared(name: str, transformer: Callable[[str], Any] = standardized) -> Split:
    """Split a data set, and transform it by what ``transformer`` returns, fitted on the training part."""
    X, y = made(name) if name in MADE else load(name)
    stratify = None if name in VALUES else y
    rows, test_rows, targets, test_targets = train_test_split(
        X, y, test_size=0.25, stratify=stratify, random_state=0
    )
    step = transformer(name)
    if step is not None:
        rows = step.fit_transform(rows)
        test_rows = step.transform(test_rows)
    return Split(name, rows, targets, test_rows, test_targets)
