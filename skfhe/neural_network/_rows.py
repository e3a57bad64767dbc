"""Training rows: equal ones merged, repeated by their weights, split, encoded, handed out in batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["RowDataset", "Rows", "merge_equal_rows", "repeated", "take_batch"]

MOST_REPEATED = 100_000
"""Rows of an epoch beyond which repetitions are not trained on one by one, but by their weights."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows, targets and weights that belong together.

    Parameters
    ----------
    X : ndarray of float64, shape (n_rows, n_features)
    y : ndarray, shape (n_rows,) or (n_rows, n_targets)
        Encoded classes, or standardized targets.
    weight : ndarray of float64, shape (n_rows,)
    """

    X: NDArray
    y: NDArray
    weight: NDArray

    def __len__(self) -> int:
        return len(self.X)

    def take(self, which: NDArray) -> "Rows":
        """Return the rows ``which``: indices, or a mask."""
        return Rows(self.X[which], self.y[which], self.weight[which])

    def weighted(self, class_weight: NDArray) -> "Rows":
        """Return the rows with their weights multiplied by those of their classes."""
        return Rows(self.X, self.y, self.weight * class_weight[self.y])


class RowDataset(torch.utils.data.Dataset):
    """Rows, their weights and targets, handed out a batch at a time.

    Parameters
    ----------
    X : dict of str to ndarray
        ``"counts"``, the thresholds of each feature that a row passes, and ``"sample_weight"``.
    y : ndarray
    """

    def __init__(self, X: dict[str, NDArray], y: NDArray | None = None) -> None:
        self.X = {name: torch.as_tensor(values) for name, values in X.items()}
        self.y = torch.zeros(len(self)) if y is None else torch.as_tensor(y)

    def __len__(self) -> int:
        return len(next(iter(self.X.values())))

    def __getitem__(self, index: Any) -> tuple[dict[str, Tensor], Tensor]:
        return {name: values[index] for name, values in self.X.items()}, self.y[index]

    def __getitems__(self, indices: list[int]) -> tuple[dict[str, Tensor], Tensor]:
        batch = torch.as_tensor(indices)
        return {name: v.index_select(0, batch) for name, v in self.X.items()}, self.y.index_select(0, batch)


def take_batch(batch: Any) -> Any:
    """Collate what `RowDataset` already handed out as a batch."""
    return batch


def merge_equal_rows(rows: Rows) -> Rows:
    """Merge rows equal in features and target, adding up their weights; drop rows of no weight.

    A row of weight 2 and the same row given twice become the same training set, so a weight means
    exactly that many repetitions, batches and random numbers included.

    Parameters
    ----------
    rows : Rows

    Returns
    -------
    Rows
        In lexicographic order.
    """
    rows = rows.take(rows.weight > 0)
    table = np.column_stack([rows.X, rows.y])
    _, first, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    weight = np.bincount(group.ravel(), weights=rows.weight, minlength=len(first))
    return Rows(rows.X[first], rows.y[first], weight)


def repeated(merged: Rows) -> Rows:
    """Repeat merged rows as often as their weights say, and give each repetition its part of the weight.

    Integer weights become that many rows of weight 1: what was merged is taken apart again, now in an order
    that does not depend on how it was given. Training so takes as many steps as the rows ask for, however
    few of them differ. Other weights are rounded to repetitions; those of less than one row in
    total are scaled, so that each row is there once at least. The repetitions of one epoch stop at
    twice the rows that differ, or `MOST_REPEATED`.

    Parameters
    ----------
    merged : Rows
        From `merge_equal_rows`: the result depends on nothing else.

    Returns
    -------
    Rows
    """
    total = merged.weight.sum()
    n_rows = np.clip(total, len(merged), max(2 * len(merged), MOST_REPEATED))
    # A sum of weights that depends on their order in the last bits must not be rounded in two ways.
    times = np.maximum(1, np.floor(merged.weight * (n_rows / total) + 0.5 + 1e-6)).astype(np.int64)
    part = merged.weight / merged.weight.mean() / times
    weight = np.ones(len(merged)) if np.array_equal(times, merged.weight) else part
    return Rows(merged.X, merged.y, weight).take(np.repeat(np.arange(len(merged)), times))
