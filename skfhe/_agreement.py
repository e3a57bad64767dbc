"""How far the predictions of a program are those of the float model: measured on rows of training.

Every family whose integers are not the float model by construction is compared here after training or
conversion, in the clear, and warned of in one form: what agreed, on how many rows, why, and what to change.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_regressor

from skfhe._modes import FRESH
from skfhe._originals.compat import n_rows_of, safe_indexing
from skfhe._parameters import frames_to_caller
from skfhe._typing import Array, FloatArray
from skfhe.exceptions import ToleranceWarning

__all__ = [
    "Agreement",
    "agreement_beside",
    "agreement_of",
    "part_alike",
    "remedy_by_bits",
    "rows_like",
    "shared_copy",
    "some_rows",
    "warn_of",
]

MOST_ROWS = 2000
"""Rows that are compared; of more, each second, third or so."""
WANTED = 0.998
"""Part of equal labels, or of the variance of values, that is not warned of."""
CONSTANT = 1e-9
"""Values that vary less, in parts of the largest or of what other columns vary, are roundings of floats."""
SMALLEST = 1e-290
"""What is smaller loses digits in floats themselves."""
OURS = "skfhe."
MORE_BITS = (10, 12, 14, 16)
"""What is tried where labels or values are not the original's for the lack of bits."""


@dataclass(frozen=True)
class Agreement:
    """How far results of a program are those of the float model.

    Parameters
    ----------
    part : float
        Of labels that are equal, or of the variance of values, in the column where it is least.
    n_rows : int
        That were compared.
    of_labels : bool
        Rather than of values.
    what : str, default="predictions"
        Was compared.
    of_rows : str, default="training rows"
        Which they were.
    """

    part: float
    n_rows: int
    of_labels: bool
    what: str = "predictions"
    of_rows: str = "training rows"

    @property
    def suffices(self) -> bool:
        """Whether nothing is to be warned of."""
        return self.part >= WANTED

    @property
    def percent(self) -> str:
        """The part as percent, rounded down, so that what is missing is seen."""
        return f"{np.floor(1e4 * max(self.part, 0.0)) / 100:.2f}%"

    def __str__(self) -> str:
        rows = f"{self.what} of {self.n_rows} {self.of_rows}"
        if self.of_labels:
            return f"{self.percent} of {rows} are equal to the original's"
        return f"{self.percent} of the variance of {rows} is that of the original's"


def some_rows(X: Any, sample_weight: Any = None) -> Any:
    """Return the rows that count, or every second, third or so of them.

    Parameters
    ----------
    X : array-like or sparse matrix
        As it was given to ``fit``.
    sample_weight : array-like of shape (n_rows,), optional

    Returns
    -------
    array-like or sparse matrix
    """
    n_rows = n_rows_of(X)
    counted = np.arange(n_rows)
    if sample_weight is not None:
        counted = counted[np.broadcast_to(np.asarray(sample_weight), n_rows) != 0]
    counted = counted[:: max(-(-len(counted) // MOST_ROWS), 1)]
    if len(counted) == n_rows:
        return X
    if hasattr(X, "tocsr"):
        X = X.tocsr()
    return safe_indexing(X if hasattr(X, "shape") else np.asarray(X), counted)


def rows_like(rows: FloatArray) -> FloatArray:
    """Return rows like others: each is moved by what is between another and that one's nearest neighbor.

    What was learnt from rows may be right on these and not beside them: prototypes, merged bins, and machines
    that have made room around their rows.

    Parameters
    ----------
    rows : ndarray of float, shape (n_rows, n_features)

    Returns
    -------
    ndarray of float, shape (n_rows, n_features)
        Within the range of each feature; the same in every call.
    """
    if len(rows) < 2:
        return rows
    low, high = rows.min(axis=0), rows.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = rows / 2 - low / 2
        scaled = scaled / np.where(high > low, high / 2 - low / 2, 1.0)
        squares = np.square(scaled).sum(axis=1)
        apart = squares + squares[:, None] - 2 * scaled @ scaled.T
        np.fill_diagonal(apart, np.inf)
        other = np.random.default_rng(0).permutation(len(rows))
        moved: FloatArray = np.clip(rows + rows[other] - rows[apart.argmin(axis=1)[other]], low, high)
    return moved if np.isfinite(moved).all() else rows


def part_alike(expected: Any, found: Any, of_labels: bool) -> float:
    """Return the part of labels that are equal, or of the variance of values that is explained.

    Parameters
    ----------
    expected, found : array-like, rows first
    of_labels : bool

    Returns
    -------
    float
        For values, of the column where it is least; those that hardly vary are left out.

    Examples
    --------
    >>> part_alike(["a", "b", "b", "a"], ["a", "b", "a", "a"], of_labels=True)
    0.75
    >>> part_alike([0.0, 1.0, 2.0], [0.0, 1.0, 2.1], of_labels=False)
    0.995
    """
    if not len(expected):
        return 1.0
    expected, found = (np.asarray(values).reshape(len(values), -1) for values in (expected, found))
    if of_labels:
        return float((expected == found).all(axis=1).mean())
    expected, found = (values.astype(np.float64) for values in (expected, found))
    size = np.abs(expected).max(axis=0)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected, found = (values / np.where(size > 0, size, 1.0) for values in (expected, found))
        varies = expected.std(axis=0)
        most = (varies * size).max(initial=0.0)
        counted = (varies > CONSTANT) & (size > SMALLEST) & (varies * size > CONSTANT * most)
        error = (found - expected)[:, counted] / varies[counted]
        return float(np.round(1 - np.square(error).mean(axis=0).max(initial=0.0), 12))


def agreement_of(
    estimator: Any, original: Any, rows: Any, *methods: str, of_rows: str = "training rows"
) -> Agreement:
    """Compare an estimator's program with its fitted original, whatever the estimator's mode.

    Parameters
    ----------
    estimator : estimator
        Of a class of ours or one derived from it; that one's methods are not called.
    original : estimator
    rows : array-like or sparse matrix
        Of training; see `some_rows`.
    *methods : {"predict", "transform"}
    of_rows : str, default="training rows"
        Which rows they are.

    Returns
    -------
    Agreement
        That of the method where it is least.
    """
    ours = _in_the_clear(estimator)
    if not hasattr(rows, "columns") and isinstance(ours, type(original)):  # lest names be missed
        original = shared_copy(original)
        for each in (original, ours):
            vars(each).pop("feature_names_in_", None)
    values = is_regressor(estimator)
    found = []
    for method in methods:
        expected = _result(original, method, rows)
        of_labels = method == "predict" and not values
        what = "predictions" if method == "predict" else "projections"
        part = part_alike(expected, _result(ours, method, rows), of_labels)
        found.append(Agreement(part, len(expected), of_labels, what, of_rows))
    return min(found, key=lambda each: each.part)


def agreement_beside(estimator: Any, original: Any, rows: FloatArray, *methods: str) -> Agreement:
    """Compare as `agreement_of` does, on rows of training and on others like them, and return the lesser."""
    found = agreement_of(estimator, original, rows, *methods)
    beside = agreement_of(
        estimator, original, rows_like(rows), *methods, of_rows="rows like those of training"
    )
    return min(found, beside, key=lambda each: each.part)


def _result(estimator: Any, method: str, rows: Any) -> Array:
    found: Array = np.asarray(getattr(estimator, method)(rows))
    return found


def _in_the_clear(estimator: Any) -> Any:
    """Return the estimator as one of our own class and of no mode."""
    found = shared_copy(estimator, next(c for c in type(estimator).__mro__ if c.__module__.startswith(OURS)))
    found._mode = FRESH
    return found


def shared_copy(estimator: Any, cls: Any = None) -> Any:
    """Return an estimator that shares all that ``estimator`` is and knows, of its class or another."""
    found = object.__new__(cls or type(estimator))
    vars(found).update(vars(estimator))
    return found


def remedy_by_bits(trials: Iterable[tuple[int, Agreement]], otherwise: str) -> str:
    """Return what to change: the first ``n_bits`` that was tried and suffices, or something else.

    Parameters
    ----------
    trials : iterable of tuple of int and Agreement
        Not asked further than to the first that suffices.
    otherwise : str
        What to do if no number of bits does.
    """
    for n_bits, agreement in trials:
        if agreement.suffices:
            return f"n_bits={n_bits} makes it {agreement.percent}"
    return otherwise


def warn_of(
    estimator: Any,
    agreement: Agreement,
    reason: str,
    change: str,
    category: type[Warning] = ToleranceWarning,
) -> None:
    """Warn of an agreement, in the one form: what agreed, on how many rows, why, and what to change."""
    message = f"{type(estimator).__name__}: {agreement}, for {reason}; {change}"
    warnings.warn(message, category, stacklevel=frames_to_caller())
