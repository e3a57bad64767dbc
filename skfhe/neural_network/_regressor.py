"""Neural network regression on encrypted data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from torch import nn

from skfhe._typing import FloatArray
from skfhe.encoding import Values
from skfhe.neural_network._base import BaseNeuralNet
from skfhe.neural_network._training import RegressorNet

__all__ = ["NeuralNetRegressor"]


class NeuralNetRegressor(RegressorMixin, BaseNeuralNet):
    """Multilayer perceptron for one or several targets, whose predictions run on encrypted data.

    Trained quantized, in the clear, on standardized targets; the client undoes that after decryption.
    Every accumulator that a lookup reads fits ``module__n_accum_bits`` bits, whatever the input.

    Parameters
    ----------
    module__n_layers : int, default=2
        Linear layers, the output layer included: 2 means one hidden layer.
    module__n_w_bits : int or "auto", default="auto"
        Bits of the hidden layers' weights, on a grid symmetric about zero: 2 means -1, 0 and 1. "auto" takes
        2, and up to 4 for so few inputs, such as five bits, that a neuron could not use its accumulator.
    module__n_a_bits : int, default=2
        Bits of the hidden activations.
    module__n_accum_bits : int, default=4
        Bits of every accumulator that a lookup reads, guaranteed for every input. The time of an
        encrypted prediction depends on little else.
    module__n_hidden_neurons_multiplier : float or "auto", default="auto"
        Neurons of a hidden layer, in units of ``sqrt(n_features * max(2, n_outputs))`` or the cube root of
        the number of rows (the sum of their weights), whichever is larger; at least 2. Each costs one lookup.
        "auto" means 0.75, and 1.5 where half of the features that vary have at most 9 values.
    module__activation_function : type, default=torch.nn.ReLU
        Class of a univariate torch activation. It is folded into lookups, so all cost the same.
    module__n_input_bits : int, default=5
        Bits that each feature is quantized to before it is encoded by its thresholds.
    module__n_output_w_bits : int, default=3
        Bits of the output layer's weights.
    module__n_output_bits : int or "auto", default="auto"
        Bits of the output layer's accumulators, guaranteed. No lookup reads them, but from 7 bits
        on they can make the hidden layer's lookups dearer, for those must be more precise. "auto" means 6,
        and 7 where half of the features that vary have at most 9 values.
    module__n_thresholds_per_neuron : int, default=4
        The first hidden layer reads this many of the inputs' thresholds for each of its neurons, on average;
        neurons can share them. Each is a ciphertext that the client has to make.
    module__input_noise : float or "auto", default="auto"
        Standard deviation of the noise added to the inputs in training, in quantization steps. "auto" is a
        tenth of a feature's range, and falls with the cube root of the rows from 1000 rows on. Features of at
        most 9 values get none, those of more than 16 all of it, and those between a part.
    module__skip_connection : bool, default=True
        Add a linear function of the features to the scores, around the hidden layers. It takes no lookup, and
        the network needs fewer neurons. The client adds the two parts, so it sees them apart.
    max_epochs : int, default=60
        Passes over the training data.
    lr : float, default=0.01
        Learning rate to begin with.
    lr_schedule : {"cosine", "constant"}, default="cosine"
        How the learning rate goes on, where ``callbacks`` have no ``LRScheduler``.
    batch_size : int or "auto", default="auto"
        Rows of a training step. "auto" means 32, and from 16,000 rows on a 500th of them, up to 200.
    optimizer : type, default=torch.optim.AdamW
        Class of a torch optimizer; its parameters are given as ``optimizer__*``.
    criterion : type, default=None
        Class of a torch loss on the scores, which takes ``reduction="none"``; None takes
        ``torch.nn.MSELoss``. Its parameters are given as ``criterion__*``.
    callbacks : list, default=None
        skorch callbacks, such as ``skorch.callbacks.EarlyStopping``. They are called, and ``net_.history``
        begins, when the budgets have settled, after a quarter of ``max_epochs``, rounded up; only
        ``on_grad_computed`` is called before. What restores weights of another training, such as
        ``LoadInitState``, does not fit the network.
    train_split : callable, default=None
        skorch split into training and validation rows, such as ``skorch.dataset.ValidSplit(5)`` or
        ``skorch.helper.predefined_split(dataset)``. A ``ValidSplit`` by number draws from shuffled rows,
        anything else sees them in the order of ``fit``.
    device : str, default="cpu"
        Torch device to train on.
    rounding_threshold_bits : int or dict, default=None
        Round accumulators wider than this many bits before they are looked up. ``{"n_bits": k, "method":
        "approximate"}`` does so at no cost, but may take the neighbouring cell near a tie, so that encrypted
        results can differ from the clear ones there; an int means ``"method": "exact"``.
    verbose : int, default=0
        1 prints skorch's training log.
    random_state : int, RandomState instance or None, default=None
        Seeds everything random in training; an int makes ``fit`` reproducible to the bit.
    early_stopping : bool, default=False
        Hold rows out, stop when their R² has not improved by 1e-4 for more than ``n_iter_no_change``
        epochs, and keep the best network. Counted from when the budgets have settled.
    validation_fraction : float, default=0.1
        Part of the rows that ``early_stopping`` holds out, unless ``train_split`` does.
    n_iter_no_change : int, default=10
        Epochs without improvement that ``early_stopping`` bears.
    warm_start : bool, default=False
        Let ``fit`` go on training the network that there is, with its encoding and the full constraint, for
        ``max_epochs`` more.
    **kwargs
        ``optimizer__*``, ``criterion__*``, ``iterator_train__*``, ``iterator_valid__*``, ``callbacks__*``.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        Mean and standard deviation of the targets in training.
    program_ : Program
        The quantized network on integers: what runs encrypted.
    input_encoder_ : ThresholdEncoder
        Turns rows into the bits that the program takes. Values beyond the range seen in training are clipped.
    output_decoder_ : AffineDecoder
        Turns the program's first output into scores. The skip connection's are added to them.
    net_ : skorch.NeuralNet
        The fitted skorch net. Its ``history`` begins when the budgets have settled.
    n_iter_ : int
        Epochs trained, those in which the budgets shrink and those of earlier warm starts among them.
    loss_curve_ : list of float, length n_iter_
        Mean loss of the training rows in each epoch.
    best_loss_ : float or None
        The least of them; None with ``early_stopping``.
    validation_scores_ : list of float, length n_iter_, or None
        R² of the rows held out after each epoch, with ``early_stopping``.
    best_validation_score_ : float or None
        The best of them since the budgets had settled, which the network has.
    module_ : BudgetedMLP
        The Brevitas network. In double precision and evaluation mode it equals the program.
    pruning_factor_ : int
        Largest number of non-zero weights of one hidden neuron.
    accumulator_bits_ : list of int
        Proven bits of every accumulator that a lookup reads, in layer order.
    output_bits_ : list of int
        Proven bits of every output.
    cost_ : Cost
        Predicted lookups by bit-width, complexity and seconds a row.
    fhe_circuit_ : Circuit
        After ``compile``.
    n_features_in_ : int
        Features seen in ``fit``.
    feature_names_in_ : ndarray of str
        Their names, where ``X`` has them.

    References
    ----------
    Stoian et al., "Deep Neural Networks for Symbolic Inference with TFHE", CSCML 2023.
    Colbert et al., "A2Q: Accumulator-Aware Quantization with Guaranteed Overflow Avoidance", ICCV 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.neural_network import NeuralNetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NeuralNetRegressor(max_epochs=20, random_state=0).fit(X, y)
    >>> model.accumulator_bits_
    [4]
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
        first = not hasattr(self, "net_")
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
