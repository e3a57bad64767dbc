"""Training: skorch nets with weighted losses, whose budgets anneal before anything is monitored."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import skorch
import torch
from skorch.callbacks import Callback
from skorch.history import History
from torch import Tensor

from skfhe._telling import progress

__all__ = [
    "Annealing",
    "ClassifierNet",
    "RegressorNet",
    "ValidationStopping",
    "reproducible",
    "showing_epochs",
]


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


@dataclass(frozen=True)
class Annealing:
    """The first part of training, in which the constraints tighten.

    The weights' budgets shrink epoch by epoch. When they have come to their size, the network is cut to the
    input bits that count most, and trained on.

    Parameters
    ----------
    n_epochs : int
        Epochs before the full constraint holds.
    n_inputs : int
        Input bits that the first hidden layer keeps.
    """

    n_epochs: int
    n_inputs: int

    @classmethod
    def of(cls, max_epochs: int, n_inputs: int) -> "Annealing":
        """Return the annealing of a training of ``max_epochs``: a quarter of them, rounded up.

        A single epoch is left to the full constraint: inputs are cut by what was learned about them.
        """
        return cls(min(-(-max_epochs // 4), max_epochs - 1), n_inputs)


_epoch_done: ContextVar[Callable[[int], Any]] = ContextVar("epoch_done", default=lambda n: None)
"""Not kept by the net: callbacks of the user may pickle that."""


@contextmanager
def showing_epochs(what: str, total: int) -> Iterator[None]:
    """Show the epochs that are trained within the ``with`` block, if there are to be any bars."""
    with progress(what, total, "epoch") as done:
        token = _epoch_done.set(done)
        try:
            yield
        finally:
            _epoch_done.reset(token)


class _ConstrainedNet(skorch.NeuralNet):
    """A skorch net that anneals the budgets first, then trains on, each row by its weight.

    While budgets shrink, a loss or score says little: it belongs to a network that the constraint has yet to
    change, and weights kept from then do not fit the network afterwards. So ``history`` begins, and callbacks
    of the user are called, when the full constraint holds; only gradients are shown to them from the start.
    The epochs before are in ``annealing_history``.

    Attributes
    ----------
    annealing : Annealing or None
        What the next ``fit`` begins with.
    settled : bool
        Whether the full constraint holds.
    annealing_history : History
    stopping : ValidationStopping or None
        The estimator's own callback.
    """

    annealing: Annealing | None = None
    settled = True
    history: Any
    annealing_history: History = History()

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, **options: Any) -> Any:
        """Train for ``epochs``, by default ``max_epochs``, those of the annealing among them."""
        epochs = self.max_epochs if epochs is None else epochs
        if self.annealing is not None and self.annealing.n_epochs:
            epochs -= self.annealing.n_epochs
            self._anneal(X, y, **options)
        else:
            self.module_.relax(1.0)
        return super().fit_loop(X, y, epochs=epochs, **options)

    def _anneal(self, X: Any, y: Any, **options: Any) -> None:
        assert self.annealing is not None
        self.settled = False
        interrupted = True
        try:
            super().fit_loop(X, y, epochs=self.annealing.n_epochs, **options)
            interrupted = False
        finally:
            self.settled = True
            self.module_.relax(1.0)
            if self.module_.hidden and self.annealing.n_inputs < len(self.module_.kept_bits):
                prune_inputs(self, self.annealing.n_inputs)
            if not interrupted:
                self.annealing_history, self.history = self.history, History()
                for name, callback in self.callbacks_:
                    if name in self._default_names():
                        callback.initialize()  # best values so far, and the log's columns

    def _default_names(self) -> set[str]:
        """Names of the callbacks that skorch adds, which record and print."""
        return {name for name, _ in self._default_callbacks}

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Set the budgets of the coming epoch."""
        super().on_epoch_begin(net, **kwargs)
        if not self.settled:
            assert self.annealing is not None
            net.module_.relax((len(net.history) - 1) / self.annealing.n_epochs)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks; while the budgets anneal, the user's only with gradients."""
        if self.settled or method_name in ("on_train_begin", "on_train_end", "on_grad_computed"):
            super().notify(method_name, **kwargs)
            return
        getattr(self, method_name)(self, **kwargs)
        own = {"lr_schedule", "stopping"} | self._default_names()
        for name, callback in self.callbacks_:
            if name in own:
                getattr(callback, method_name)(self, **kwargs)

    def run_single_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run one epoch, and say so if the user interrupts it; skorch then ends the training."""
        try:
            super().run_single_epoch(*args, **kwargs)
            if kwargs.get("training"):
                _epoch_done.get()(1)
        except KeyboardInterrupt:
            warnings.warn(
                "training was interrupted; the network is left as it was trained so far", stacklevel=2
            )
            raise

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Any = None, **kwargs: Any) -> Tensor:
        """Return the weighted mean of the criterion's losses, one a row."""
        losses = self.criterion_(y_pred, y_true.to(y_pred.device))
        losses = losses.flatten(1).mean(dim=1) if losses.ndim > 1 else losses
        weight = X["sample_weight"].to(losses)
        total = weight
        class_weight = getattr(self.criterion_, "weight", None)
        if class_weight is not None and not y_true.is_floating_point():
            total = weight * class_weight.to(losses)[y_true.to(losses.device)]
        return (losses * weight).sum() / total.sum().clamp_min(1e-12)


class ClassifierNet(_ConstrainedNet, skorch.NeuralNetClassifier):
    """skorch classifier whose loss is weighted and whose budgets anneal."""


class RegressorNet(_ConstrainedNet, skorch.NeuralNetRegressor):
    """skorch regressor whose loss is weighted and whose budgets anneal."""


class ValidationStopping(Callback):
    """Stops when the score on the validation rows no longer improves, and goes back to the best network.

    As ``early_stopping=True`` of scikit-learn's MLPs does. Epochs in which the budgets anneal are scored, and
    do not count.

    Parameters
    ----------
    score : callable
        Takes targets, the network's outputs, and weights; returns a float, larger is better.
    patience : int
        Epochs without an improvement of ``tol`` that are borne.
    tol : float, default=1e-4
    """

    def __init__(self, score: Any, patience: int, tol: float = 1e-4) -> None:
        self.score = score
        self.patience = patience
        self.tol = tol

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget an earlier training."""
        self.best_score_, self.misses_, self.best_weights_ = -np.inf, 0, None

    def on_epoch_end(self, net: Any, dataset_valid: Any = None, **kwargs: Any) -> None:
        """Score the epoch, and stop the training if it is time."""
        outputs = net.forward(dataset_valid, training=False).numpy(force=True)
        weight = dataset_valid.X["sample_weight"].numpy()
        score = (
            float(self.score(dataset_valid.y.numpy(), outputs, weight))
            if np.isfinite(outputs).all()
            else np.nan
        )
        net.history.record("valid_score", score)
        if not net.settled:
            return
        self.misses_ = 0 if score >= self.best_score_ + self.tol else self.misses_ + 1
        if score > self.best_score_:
            self.best_score_, self.best_weights_ = score, copy.deepcopy(net.module_.state_dict())
        if self.misses_ > self.patience:
            raise KeyboardInterrupt  # what ends a training in skorch

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Go back to the best network."""
        if self.best_weights_ is not None:
            net.module_.load_state_dict(self.best_weights_)


def prune_inputs(net: Any, n_inputs: int) -> None:
    """Cut the first hidden layer to ``n_inputs`` inputs, and what the optimizer keeps about its weights.

    An optimizer whose state cannot be cut, for it is not one number a weight, begins anew.
    """
    weight = net.module_.hidden[0].linear.weight
    shape = weight.shape
    kept = net.module_.rank_inputs(n_inputs)
    net.module_.prune_inputs(kept)
    states = net.optimizer_.state
    state = states.get(weight, {})
    values = [value for each in ([state] if state else states.values()) for value in each.values()]
    if not all(_is_number(value) or _has_shape(value, shape) for value in values):
        _restart(net)
        return
    for name, value in state.items():
        if _has_shape(value, shape):
            state[name] = value[:, kept]


def _has_shape(value: Any, shape: torch.Size) -> bool:
    return isinstance(value, Tensor) and value.shape == shape


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return value is None or isinstance(value, int | float)


def _restart(net: Any) -> None:
    """Take all that the optimizer has gathered from it, in place: a schedule of the learning rate goes on."""
    arguments, options = net.get_params_for_optimizer("optimizer", net.get_all_learnable_params())
    fresh = net.optimizer(*arguments, **{"lr": net.lr} | options)
    groups = net.optimizer_.param_groups
    vars(net.optimizer_).update({n: v for n, v in vars(fresh).items() if n != "step" and "hooks" not in n})
    net.optimizer_.param_groups = groups
