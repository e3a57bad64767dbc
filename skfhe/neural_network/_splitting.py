"""Which rows a network is validated on while it trains."""

from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from skorch.dataset import Dataset, ValidSplit
from torch.utils.data import Subset

from skfhe._typing import IntArray

__all__ = ["hold_out", "split_by"]

Split = tuple[IntArray, "IntArray | tuple[NDArray, NDArray]"]


def hold_out(y: NDArray, fraction: float, seed: int, stratified: bool) -> Split:
    """Return the indices of the rows to train on, and of those held out.

    Parameters
    ----------
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
    fraction : float
        Part to hold out.
    seed : int
    stratified : bool
        Keep the classes' shares.

    Raises
    ------
    ValueError
        If a class has one row alone, or fewer than two rows were held out.
    """
    train, valid = train_test_split(
        np.arange(len(y)), test_size=fraction, random_state=seed, stratify=y if stratified else None
    )
    if len(valid) < 2:
        raise ValueError(
            f"early_stopping holds out {len(valid)} of {len(y)} rows, which is too few to score; increase "
            "validation_fraction, or give more rows"
        )
    return train, valid


def split_by(train_split: Callable[..., Any], X: NDArray, y: NDArray, seed: int) -> tuple[NDArray, Any]:
    """Return what skorch's ``train_split`` makes of the rows.

    A `ValidSplit` by number draws from shuffled rows; anything else sees them in the order of ``fit``.

    Parameters
    ----------
    train_split : callable
    X, y : ndarray
        Rows and targets, as they were given.
    seed : int

    Returns
    -------
    train : ndarray of int64
        Indices of the rows to train on.
    valid : ndarray of int64, tuple of (ndarray, ndarray), or None
        Indices of the rows to validate on; or rows and targets of the user's own; or nothing.

    Raises
    ------
    ValueError
        If it returns something else.
    """
    order = np.arange(len(X))
    if isinstance(train_split, ValidSplit) and isinstance(train_split.cv, Number):
        order = np.random.RandomState(seed).permutation(len(X))
    dataset = Dataset(X[order], y[order])
    parts = train_split(dataset, y[order])
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        raise ValueError(
            f"train_split must return two data sets, to train and to validate on, got {type(parts).__name__}"
        )
    train = _indices(parts[0], dataset)
    if train is None:
        raise ValueError(
            "train_split must return, to train on, the data set that it was given or a "
            f"torch.utils.data.Subset of it, got {type(parts[0]).__name__}; choose the rows before fit"
        )
    if parts[1] is None:
        return order[train], None
    valid = _indices(parts[1], dataset)
    return order[train], _gathered(parts[1], X.shape[1]) if valid is None else order[valid]


def _indices(part: Any, dataset: Dataset) -> IntArray | None:
    """Return which rows of ``dataset`` a subset of it has, or None if it is not one."""
    if part is dataset:
        return np.arange(len(dataset))
    if not isinstance(part, Subset):
        return None
    outer = _indices(part.dataset, dataset)
    return None if outer is None else outer[np.asarray(part.indices, dtype=np.int64)]


def _gathered(valid: Any, n_features: int) -> tuple[NDArray, NDArray]:
    """Return rows and targets of a data set of the user's own."""
    try:
        pairs = [valid[i] for i in range(len(valid))]
        X = np.stack([np.asarray(row, dtype=np.float64) for row, _ in pairs])
        y = np.asarray([np.asarray(target) for _, target in pairs])
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise ValueError(
            "the validation set that train_split returned cannot be read as rows and targets, such as "
            f"skorch.dataset.Dataset(X_valid, y_valid): {error}"
        ) from error
    if X.ndim != 2 or X.shape[1] != n_features or not np.isfinite(X).all():
        raise ValueError(
            f"the validation set that train_split returned must have rows of {n_features} finite features, "
            f"got an array of shape {X.shape}"
        )
    return X, y
