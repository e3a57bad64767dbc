"""Neural network regression on encrypted data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from torch import nn

from skfhe._originals.docstrings import documented
from skfhe._typing import FloatArray
from skfhe.encoding import Values
from skfhe.neural_network._base import BaseNeuralNet
from skfhe.neural_network._docstrings import NETWORK
from skfhe.neural_network._training import RegressorNet

__all__ = ["NeuralNetRegressor"]


@documented(NETWORK, score="R²", loss="MSELoss", parameters_of_loss="", how_held_out=",")
class NeuralNetRegressor(BaseNeuralNet, RegressorMixin, BaseEstimator):
    """Multilayer perceptron for one or several targets, whose predictions run on encrypted data.

    Trained quantized, in the clear, on standardized targets; the client undoes that after decryption.
    Every lookup reads ``module__n_accum_bits`` bits, whatever the input: its accumulator wraps around, or is
    bounded; see ``module__accumulator``.

    Parameters
    ----------
    {parameters_of_network}
    {open_parameters}

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        Mean and standard deviation of the targets in training.
    {attributes_of_network}

    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.neural_network import NeuralNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NeuralNetRegressor(max_epochs=20, random_state=0).fit(X, y)
    >>> model.accumulator_bits_
    [3]
    >>> model.predict(X[:2]).shape
    (2,)
    """

    _net_class = RegressorNet
    _default_criterion = nn.MSELoss

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> NeuralNetRegressor:
        """Train in the clear and lower the network to ``program_``.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n_rows, n_features)
        y : array-like, shape (n_rows,) or (n_rows, n_targets)
            Targets.
        sample_weight : array-like of float, shape (n_rows,), default=None
            Non-negative. A weight of 2 trains exactly like giving the row twice, where no rows are held out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data is invalid, training diverges.
        AccumulatorBudgetError
            If no network of this shape fits the accumulator; a ``ValueError`` that names the layer and the
            smallest ``module__n_accum_bits`` that would do.
        """
        self._check_params()
        rows, raw = self._validated(X, y, reset=not self._goes_on, multi_output=True, y_numeric=True)
        weight = self._check_weight(rows, sample_weight)
        n_targets = _columns(raw).shape[1]
        if self._goes_on:
            mean, scale = self._known_moments(n_targets)
        else:
            mean, scale = _moments(_columns(raw), weight)
        head = Values(flat=raw.ndim == 1, scale=scale, offset=mean)
        self._train(rows, raw, weight, lambda some: _standardized(some, mean, scale), n_targets, head)
        self.target_mean_, self.target_scale_ = mean, scale
        return self

    def _known_moments(self, n_targets: int) -> tuple[FloatArray, FloatArray]:
        """Return the moments of the first training, which goes on."""
        if n_targets != len(self.target_mean_):
            raise ValueError(
                f"y has {n_targets} target(s), and the model was fitted with {len(self.target_mean_)}"
            )
        return self.target_mean_, self.target_scale_

    def _score_outputs(self, y: NDArray, outputs: NDArray, weight: NDArray) -> float:
        """Return R², the mean of the targets' own."""
        return float(r2_score(y, outputs, sample_weight=weight))

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> NeuralNetRegressor:
        """Train one epoch more, and lower the network anew.

        The first call on an unfitted estimator chooses the input encoding and the standardization of
        the targets from its data; later calls keep them. The accumulators fit throughout. The circuit
        is dropped.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n_rows, n_features)
        y : array-like, shape (n_rows,) or (n_rows, n_targets)
            Targets.
        sample_weight : array-like of float, shape (n_rows,), default=None
            Non-negative. Weights of the rows' losses.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the number of targets, or a parameter of the network, changed since the first call.
        """
        first = not hasattr(self, "_net")
        self._check_params()
        rows, raw = self._validated(X, y, reset=first, multi_output=True, y_numeric=True)
        weight = self._check_weight(rows, sample_weight)
        n_targets = _columns(raw).shape[1]
        mean, scale = _moments(_columns(raw), weight) if first else self._known_moments(n_targets)
        head = Values(flat=raw.ndim == 1, scale=scale, offset=mean)
        self._train_further(rows, _standardized(raw, mean, scale), weight, n_targets, head)
        self.target_mean_, self.target_scale_ = mean, scale
        return self

    def __sklearn_tags__(self) -> Tags:
        """Say that several targets are taken."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _columns(y: NDArray) -> FloatArray:
    """Return the targets as float64, shape (n_rows, n_targets)."""
    return y.reshape(len(y), -1).astype(np.float64)


def _moments(targets: NDArray, weight: NDArray) -> tuple[FloatArray, FloatArray]:
    """Return weighted mean and standard deviation of each target; 1 for the latter of a constant one.

    Raises
    ------
    ValueError
        If a target's range is more than a float64 holds.
    """
    found = [_column_moments(column[weight > 0], weight[weight > 0]) for column in targets.T]
    mean, scale = np.array(found).T
    return mean, scale


def _column_moments(target: NDArray, weight: NDArray) -> tuple[float, float]:
    """Return the moments of one target, whatever the order of its rows: sums of floats depend on it."""
    values, group = np.unique(target, return_inverse=True)
    weight = np.bincount(group, weights=weight)
    low, high = values[0], values[-1]
    if low == high:
        return low, 1.0
    with np.errstate(over="ignore"):
        span = high - low
    if not np.isfinite(span):
        raise ValueError(
            f"y spans {low:.3g} to {high:.3g}, more than the largest float; divide it by a number"
        )
    parts = (values - low) / span  # whose squares neither overflow nor vanish
    mean = np.average(parts, weights=weight)
    scale = span * np.sqrt(np.average((parts - mean) ** 2, weights=weight))
    return low + span * mean, scale or 1.0


def _standardized(y: NDArray, mean: NDArray, scale: NDArray) -> NDArray[np.float32]:
    """Return targets in the units that the network is trained on.

    Raises
    ------
    ValueError
        If one is so far from the others that it is not finite there.
    """
    targets = _columns(y)
    if targets.shape[1] != len(mean):
        raise ValueError(
            f"train_split returned {targets.shape[1]} target(s) to validate on, fit was given {len(mean)}"
        )
    with np.errstate(over="ignore"):
        standardized = ((targets - mean) / scale).astype(np.float32)
    if not np.isfinite(standardized).all():
        row = int(np.argmin(np.isfinite(standardized).all(axis=1)))
        raise ValueError(
            f"y[{row}]={y[row]} is too far from the other targets to be trained on: their standard deviation "
            f"is {scale}"
        )
    return standardized
