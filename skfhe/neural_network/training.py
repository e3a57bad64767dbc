"""Training: skorch nets with weighted losses, batches taken as whole, and the annealed budget."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import skorch
import torch
from numpy.typing import NDArray
from skorch.callbacks import Callback
from torch import Tensor

__all__ = [
    "BudgetAnnealing",
    "ClassifierNet",
    "RegressorNet",
    "RowDataset",
    "merge_equal_rows",
    "reproducible",
    "take_batch",
]


class RowDataset(torch.utils.data.Dataset):
    """Rows, their weights and targets, handed out a batch at a time.

    Parameters
    ----------
    X : dict of str to ndarray
        ``"x"`` and ``"sample_weight"``.
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


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch and use one thread inside, and put both back as they were.

    Sums of floats depend on how threads share them, so a result to the bit needs a fixed number; networks
    this small are not slower for it.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def take_batch(batch: Any) -> Any:
    """Collate what `RowDataset` already handed out as a batch."""
    return batch


class _WeightedLoss:
    """Mixin of skorch nets: the mean loss of a batch, each row counting by its weight."""

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Any = None, **kwargs: Any) -> Tensor:
        """Return the weighted mean of the criterion's losses, one a row."""
        losses = self.criterion_(y_pred, y_true.to(y_pred.device))  # type: ignore[attr-defined]
        losses = losses.flatten(1).mean(dim=1) if losses.ndim > 1 else losses
        weight = X["sample_weight"].to(losses)
        total = weight
        class_weight = getattr(self.criterion_, "weight", None)  # type: ignore[attr-defined]
        if class_weight is not None and not y_true.is_floating_point():
            total = weight * class_weight.to(losses)[y_true.to(losses.device)]
        return (losses * weight).sum() / total.sum().clamp_min(1e-12)


class ClassifierNet(_WeightedLoss, skorch.NeuralNetClassifier):
    """skorch classifier whose loss is weighted."""


class RegressorNet(_WeightedLoss, skorch.NeuralNetRegressor):
    """skorch regressor whose loss is weighted."""


class BudgetAnnealing(Callback):
    """Tighten the constraints during the first part of training.

    The weights' budgets shrink epoch by epoch. When they have come to their size, the network is cut to the
    input bits that count most, and trained on.

    Parameters
    ----------
    n_inputs : int
        Input bits that the first hidden layer keeps.
    share : float
        Part of the epochs after which the full constraint holds, in [0, 1].
    """

    def __init__(self, n_inputs: int, share: float = 0.25) -> None:
        self.n_inputs = n_inputs
        self.share = share

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Set the constraints of the coming epoch."""
        epoch = len(net.history) - 1
        annealed = self.share * net.max_epochs
        net.module_.relax(min(1.0, epoch / annealed) if annealed > 0 else 1.0)
        if epoch >= annealed and net.module_.hidden and self.n_inputs < len(net.module_.kept_bits):
            _prune_inputs(net, self.n_inputs)


def _prune_inputs(net: Any, n_inputs: int) -> None:
    """Cut the first hidden layer to ``n_inputs`` inputs, and what the optimizer keeps about its weights."""
    weight = net.module_.hidden[0].linear.weight
    shape = weight.shape
    kept = net.module_.rank_inputs(n_inputs)
    net.module_.prune_inputs(kept)
    state = net.optimizer_.state[weight]
    for name, value in state.items():
        if isinstance(value, Tensor) and value.shape == shape:
            state[name] = value[:, kept]


def merge_equal_rows(X: NDArray, y: NDArray, sample_weight: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Merge rows equal in features and target, adding up their weights; drop rows of no weight.

    A row of weight 2 and the same row given twice become the same training set, so a weight means
    exactly that many repetitions, batches and random numbers included.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
    sample_weight : ndarray of shape (n_rows,)

    Returns
    -------
    X, y, sample_weight : ndarray
        In lexicographic order.
    """
    kept = sample_weight > 0
    X, y, sample_weight = X[kept], y[kept], sample_weight[kept]
    table = np.column_stack([X, y])
    _, first, group = np.unique(table, axis=0, return_index=True, return_inverse=True)
    weights = np.bincount(group.ravel(), weights=sample_weight, minlength=len(first))
    return X[first], y[first], weights
