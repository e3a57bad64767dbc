"""The estimator behind both neural networks: parameters, training, lowering, pickling."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.helper import predefined_split
from torch import nn

from skfhe._originals.compat import Interval, StrOptions, check_sample_weight
from skfhe._originals.signatures import joined_signature
from skfhe._parameters import check_rounding
from skfhe._telling import log, timed
from skfhe._typing import FloatArray
from skfhe.base import EncryptedPredictorMixin
from skfhe.encoding import Head, SummedDecoders, ThermometerEncoder, calibrate_thresholds
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import AccumulatorBudgetError
from skfhe.neural_network._budgeted_mlp import BudgetedMLP
from skfhe.neural_network._mlp_network import lower_mlp
from skfhe.neural_network._parameter_names import check_open_parameters, is_open, unknown_parameter
from skfhe.neural_network._recipe import (
    TrainingPlan,
    check_accumulator,
    encoded,
    input_bits,
    make_net,
    module_parameters,
    rebuilt,
)
from skfhe.neural_network._rows import Rows, merge_equal_rows, repeated
from skfhe.neural_network._splitting import hold_out, split_by
from skfhe.neural_network._training import reproducible, showing_epochs

__all__ = ["BaseNeuralNet"]

LARGEST_DENSE = 1 << 32
"""Bytes that sparse rows may take when they are made dense."""


class BaseNeuralNet(EncryptedPredictorMixin):
    """Common part of `NeuralNetClassifier` and `NeuralNetRegressor`."""

    _net_class: type
    _get_param_names: Any  # of `sklearn.base.BaseEstimator`, which is the last base of both
    _validate_params: Any
    _default_criterion: type[nn.Module]
    _auto = StrOptions({"auto"})
    _bits = [Interval(Integral, 1, 16, closed="both"), _auto]
    _parameter_constraints: dict[str, list] = {
        "module__n_layers": [Interval(Integral, 1, None, closed="left")],
        "module__n_w_bits": [Interval(Integral, 1, 8, closed="both"), _auto],
        "module__n_a_bits": [Interval(Integral, 1, 8, closed="both"), _auto],
        "module__accumulator": [StrOptions({"auto", "bounded", "wrapping"})],
        "module__n_accum_bits": _bits,
        "module__n_input_bits": [Interval(Integral, 1, 8, closed="both"), _auto],
        "module__n_output_w_bits": [Interval(Integral, 2, 8, closed="both")],
        "module__n_output_bits": _bits,
        "module__n_thresholds_per_neuron": [Interval(Integral, 1, None, closed="left"), _auto],
        "module__n_hidden_neurons_multiplier": [Interval(Real, 0, None, closed="neither"), _auto],
        "module__input_noise": [Interval(Real, 0, None, closed="left"), _auto],
        "module__skip_connection": ["boolean"],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"cosine", "constant"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "device": [str],
        "callbacks": [list, None],
        "train_split": [callable, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        module__n_layers: int = 2,
        module__n_w_bits: int | str = "auto",
        module__n_a_bits: int | str = "auto",
        module__accumulator: str = "auto",
        module__n_accum_bits: int | str = "auto",
        module__n_hidden_neurons_multiplier: float | str = "auto",
        module__activation_function: type[nn.Module] | str = "auto",
        module__n_input_bits: int | str = "auto",
        module__n_output_w_bits: int = 3,
        module__n_output_bits: int | str = "auto",
        module__n_thresholds_per_neuron: int | str = "auto",
        module__input_noise: float | str = "auto",
        module__skip_connection: bool = True,
        max_epochs: int = 60,
        lr: float = 0.01,
        lr_schedule: str = "cosine",
        batch_size: int | str = "auto",
        optimizer: type[torch.optim.Optimizer] = torch.optim.AdamW,
        criterion: type[nn.Module] | None = None,
        callbacks: Any = None,
        train_split: Any = None,
        device: str = "cpu",
        rounding_threshold_bits: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        **kwargs: Any,
    ) -> None:
        for name in kwargs:
            if not is_open(name):
                raise TypeError(unknown_parameter(type(self), name, self._get_param_names()))
        self.module__n_layers = module__n_layers
        self.module__n_w_bits = module__n_w_bits
        self.module__n_a_bits = module__n_a_bits
        self.module__accumulator = module__accumulator
        self.module__n_accum_bits = module__n_accum_bits
        self.module__n_hidden_neurons_multiplier = module__n_hidden_neurons_multiplier
        self.module__activation_function = module__activation_function
        self.module__n_input_bits = module__n_input_bits
        self.module__n_output_w_bits = module__n_output_w_bits
        self.module__n_output_bits = module__n_output_bits
        self.module__n_thresholds_per_neuron = module__n_thresholds_per_neuron
        self.module__input_noise = module__input_noise
        self.module__skip_connection = module__skip_connection
        self.max_epochs = max_epochs
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.criterion = criterion
        self.callbacks = callbacks
        self.train_split = train_split
        self.device = device
        self.rounding_threshold_bits = rounding_threshold_bits
        self.verbose = verbose
        self.random_state = random_state
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self._open_params = kwargs

    # scikit-learn asks for no ``**kwargs``: which names arrive there, `is_open` knows
    __init__.__signature__ = joined_signature(__init__)  # type: ignore[attr-defined]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the optimizer and the criterion that were set included.

        Parameters
        ----------
        deep : bool, default=True
            Without effect: no parameter is an estimator.

        Returns
        -------
        dict
        """
        return super().get_params(deep=deep) | self._open_params  # type: ignore[misc]

    def set_params(self, **params: Any) -> BaseNeuralNet:
        """Set parameters; the names are those of `get_params`, or begin with a skorch prefix.

        Parameters
        ----------
        **params
            New values.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        names = set(self._get_param_names())
        for name, value in params.items():
            if name in names:
                setattr(self, name, value)
            elif is_open(name):
                self._open_params = self._open_params | {name: value}
            else:
                raise ValueError(unknown_parameter(type(self), name, self._get_param_names()))
        return self

    @property
    def net_(self) -> Any:
        """The fitted skorch net, which predicts by the network that was trained."""
        self._check_clear("net_")
        return self._trained_net()

    @property
    def module_(self) -> BudgetedMLP:
        """The Brevitas network."""
        self._check_clear("module_")
        check_is_fitted(self, "_net")
        return self._net.module_

    def _trained_net(self) -> Any:
        """Return the fitted skorch net, for what evaluates no rows by it."""
        if "_net" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted")
        return self._net

    @property
    def pruning_factor_(self) -> int:
        """Largest number of non-zero weights of one hidden neuron.

        With bounded accumulators ``floor((2**P - 1) / s)``, with P the accumulator's bits and s the span of
        the layer's inputs: 1 for the bits of the input encoding, ``2**n_a_bits - 1`` for hidden activations.
        A weight of magnitude m spends m of it, up to ``2**(n_w_bits - 1) - 1``. The first hidden layer's is
        the largest; ``module_.budgets`` has every layer's. Wrapping accumulators take whatever the weights
        come to, so none is pruned for their sake: it is the number of a neuron's inputs, in the layer that
        has most. Without hidden layers it is that of the output layer, whose accumulator has
        ``module__n_output_bits``.
        """
        check_is_fitted(self, "_net")
        return self._net.module_.pruning_factor

    def __getstate__(self) -> dict[str, Any]:
        """Replace the net, whose Brevitas layers do not pickle, by what rebuilds it."""
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        if "_net" in state:
            net = state.pop("_net")
            weights = {name: value.cpu().numpy() for name, value in net.module_.state_dict().items()}
            state["_net_state"] = (weights, net.history, net.annealing_history)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the net."""
        rebuild = state.get("_net_state")
        super().__setstate__({name: value for name, value in state.items() if name != "_net_state"})  # type: ignore[misc]
        if rebuild is not None:
            weights, history, annealing_history = rebuild
            weights = {name: torch.as_tensor(value) for name, value in weights.items()}
            self._net = rebuilt(make_net(self, self._plan, fresh=False), weights)
            self._net.module_.eval()
            self._net.history, self._net.annealing_history = history, annealing_history

    def _check_params(self) -> None:
        """Validate the parameters.

        Raises
        ------
        ValueError
            Naming the parameter, what was given and what is expected.
        """
        self._validate_params()
        check_accumulator(self)
        check_rounding(self.rounding_threshold_bits)
        criterion = self.criterion or self._default_criterion
        if "reduction" not in inspect.signature(criterion).parameters:
            raise ValueError(
                f"criterion must be the class of a torch loss that takes reduction='none', got {criterion!r}"
            )
        receivers = {"optimizer": self.optimizer, "criterion": criterion}
        check_open_parameters(self._open_params, receivers)

    @staticmethod
    def _check_weight(X: NDArray, sample_weight: ArrayLike | None) -> FloatArray:
        """Return the rows' weights, ones by default."""
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not (weight > 0).any():
            raise ValueError("sample_weight is zero for every row; at least one must be positive")
        if not np.isfinite(weight.sum()):
            raise ValueError("sample_weight adds up to more than a float holds; divide it by its mean")
        return weight

    def _validated(self, X: Any, y: Any = "no_validation", **options: Any) -> Any:
        """Validate rows as scikit-learn does, and make sparse ones dense.

        Raises
        ------
        ValueError
            If that would take more than `LARGEST_DENSE` bytes.
        """
        if issparse(X) and 8 * math.prod(X.shape) > LARGEST_DENSE:
            raise ValueError(
                f"X is sparse, of shape {X.shape}, and would take {8 * math.prod(X.shape) / 2**30:.0f} GiB "
                f"when made dense, as training needs it; at most {LARGEST_DENSE >> 30} GiB are taken. "
                "Reduce the features first, with sklearn.feature_selection.SelectKBest or "
                "sklearn.decomposition.TruncatedSVD"
            )
        validated = validate_data(self, X, y, accept_sparse=["csr", "csc"], dtype=np.float64, **options)
        if isinstance(y, str) and y == "no_validation":
            return validated.toarray() if issparse(validated) else validated
        rows, targets = validated
        return (rows.toarray() if issparse(rows) else rows), targets

    def _rows(self, fitted: Any, X: ArrayLike) -> FloatArray:
        """Return rows, validated."""
        return self._validated(X, reset=False)

    def _train(
        self,
        X: NDArray,
        y: NDArray,
        weight: NDArray,
        encode: Callable[[NDArray], NDArray],
        n_outputs: int,
        head: Head,
        class_weight: NDArray | None = None,
    ) -> None:
        """Train on validated rows; nothing is kept if that fails.

        ``encode`` turns targets as they were given into those of the network, ``head`` its outputs into
        predictions.
        """
        warm = self._goes_on
        if warm:
            self._check_same_network(n_outputs, "warm_start=True goes on with", "set warm_start=False")
            seed = self._plan.seed + self.n_iter_
        else:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        train, valid = self._split(X, y, weight, encode, seed)
        rows = repeated(merge_equal_rows(train))
        plan = self._plan if warm else self._make_plan(rows, n_outputs, seed)
        rows = rows.take(np.random.RandomState(seed).permutation(len(rows)))
        if class_weight is not None:
            rows = rows.weighted(class_weight)
            valid = None if valid is None else valid.weighted(class_weight)
        net = make_net(
            self,
            plan,
            n_rows=len(rows),
            fresh=not warm,
            stopping=self._score_outputs if self.early_stopping else None,
        )
        if valid is not None:
            net.train_split = predefined_split(encoded(plan, valid))
        taken = timed()
        with reproducible(seed), showing_epochs(f"training {type(self).__name__}", net.max_epochs):
            if warm:
                rebuilt(net, self._net.module_.state_dict())
            net.fit(encoded(plan, rows), None) if not warm else net.partial_fit(encoded(plan, rows), None)
        earlier = (self.loss_curve_, self.validation_scores_ or []) if warm else ([], [])
        self._finish(plan, net, head, [*net.annealing_history, *net.history], earlier)
        said = "%s.fit: trained %d epochs and lowered in %s; %s"
        log(said, type(self).__name__, self.n_iter_, taken, lambda: str(self.cost_))

    @property
    def _goes_on(self) -> bool:
        """Whether ``fit`` goes on training the network that there is."""
        return bool(self.warm_start and hasattr(self, "_net"))

    def _split(
        self, X: NDArray, y: NDArray, weight: NDArray, encode: Callable[[NDArray], NDArray], seed: int
    ) -> tuple[Rows, Rows | None]:
        """Return the rows to train on and those to validate on, if any; rows of no weight are left out."""
        kept = weight > 0
        X, y, weight = X[kept], y[kept], weight[kept]
        if self.train_split is not None:
            train, valid = split_by(self.train_split, X, y, seed)
        elif self.early_stopping:
            train, valid = hold_out(y, self.validation_fraction, seed, is_classifier(self))
        else:
            train, valid = np.arange(len(X)), None
        if self.early_stopping and valid is None:
            raise ValueError("early_stopping=True needs rows to validate on, and train_split returned none")
        rows = Rows(X, encode(y), weight)
        if len(train) == 0 or (valid is not None and len(valid) == 0):
            raise ValueError(f"train_split left no rows to {'train' if len(train) == 0 else 'validate'} on")
        if isinstance(valid, tuple):
            own_X, own_y = valid
            return rows.take(train), Rows(own_X, encode(own_y), np.ones(len(own_X)))
        return rows.take(train), None if valid is None else rows.take(valid)

    def _score_outputs(self, y: NDArray, outputs: NDArray, weight: NDArray) -> float:
        """Return accuracy or R² of the network's outputs."""
        raise NotImplementedError

    def _check_same_network(self, n_outputs: int, what: str, remedy: str) -> None:
        """Raise a `ValueError` if the network was made with other parameters than there are now."""
        plan = self._plan
        now = module_parameters(self, n_outputs, plan.encoder, plan.n_rows)
        changed = [f"module__{name}" for name, value in now.items() if value != plan.module[name]]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} changed since the network was made; {what} that network, "
                f"{remedy} to make another"
            )

    def _train_further(self, X: NDArray, y: NDArray, weight: NDArray, n_outputs: int, head: Head) -> None:
        """Train one more epoch on validated rows and targets, with the constraint in full force."""
        rows = Rows(X, y, weight)
        earlier: tuple[list[float], ...] = ([], [])
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: it trains a single epoch")
        if hasattr(self, "_net"):
            self._check_same_network(n_outputs, "partial_fit goes on training", "call fit")
            plan, net, seed = self._plan, self._net, self._plan.seed + self.n_iter_
            earlier = (self.loss_curve_, [])
        else:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            plan = self._make_plan(rows, n_outputs, seed)
            with reproducible(seed):
                net = make_net(self, plan, fresh=False).initialize()
        net.annealing, net.train_split = None, None
        net.callbacks_ = [c for c in net.callbacks_ if c[0] not in ("stopping", "lr_schedule")]
        for group in net.optimizer_.param_groups:  # a schedule that is over has left its last learning rate
            group["lr"] = group.get("initial_lr", group["lr"])
        before = len(net.history)
        with reproducible(seed):
            net.partial_fit(encoded(plan, rows), None, epochs=1)
        self._finish(plan, net, head, net.history[before:], earlier)

    def _finish(
        self, plan: TrainingPlan, net: Any, head: Head, epochs: list[Any], earlier: tuple[list[float], ...]
    ) -> None:
        """Keep a trained network and lower it to the program."""
        net.module_.eval()
        losses = [epoch["train_loss"] for epoch in epochs if "train_loss" in epoch]
        weights = [value for value in net.module_.state_dict().values() if value.is_floating_point()]
        if not np.isfinite(losses).all() or not all(bool(value.isfinite().all()) for value in weights):
            raise ValueError(
                f"training did not converge: the loss or a weight is not finite after {len(losses)} epochs; "
                "lower lr, or choose another optimizer"
            )
        self._keep(plan, net, self._lower(self._describe(net), (plan, head)))
        self.loss_curve_ = earlier[0] + losses
        self.n_iter_ = len(self.loss_curve_)
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_, default=None)
        scores = [epoch["valid_score"] for epoch in epochs if "valid_score" in epoch]
        self.validation_scores_ = earlier[1] + scores if self.early_stopping else None
        self.best_validation_score_ = (
            dict(net.callbacks_)["stopping"].best_score_ if self.early_stopping else None
        )

    def lower(self) -> BaseNeuralNet:
        """Lower the trained network anew, after ``rounding_threshold_bits`` was set; no training.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If the network was trained with wrapping accumulators, and rounding is asked for.
        """
        check_is_fitted(self, "_net")
        self._check_params()
        if self.rounding_threshold_bits is not None and self._plan.module.get("accumulator") == "wrapping":
            raise ValueError(
                f"rounding_threshold_bits={self.rounding_threshold_bits!r}, and this network was trained "
                "with wrapping accumulators, which lookups read modulo a power of two: there is nothing "
                "to round. Set module__accumulator='bounded' and call fit"
            )
        self._keep(self._plan, self._net, self._lower(self._describe(self._net), (self._plan, self.head_)))
        return self

    def _keep(self, plan: TrainingPlan, net: Any, model: EncryptedModel) -> None:
        """Keep a lowered network, in place of an earlier one and its circuit."""
        width = plan.module["n_accum_bits"]
        found = model.program.accumulator_bits
        for index, bits in enumerate(found, start=1):
            if bits > width:
                raise AccumulatorBudgetError(
                    f"hidden layer {index} needs accumulators of {bits} bits, more than "
                    f"module__n_accum_bits={width}; the smallest module__n_accum_bits that would do is "
                    f"{max(found)}"
                )
        self._plan, self._net, self._encrypted_model = plan, net, model

    def _describe(self, fitted: Any) -> BudgetedMLP:
        """Return the trained network of a skorch net."""
        return fitted.module_

    def _lower(self, described: BudgetedMLP, calibration: tuple[TrainingPlan, Head]) -> EncryptedModel:
        """Return the program of a trained network, with its edges; rows are encoded as in training."""
        plan, head = calibration
        program, kept, decoders = lower_mlp(described, check_rounding(self.rounding_threshold_bits))
        bits = described.kept_bits.numpy(force=True)[kept[0]]
        if len(kept) > 1:
            encoder = ThermometerEncoder(plan.encoder, bits, np.flatnonzero(kept[1]))
        else:
            encoder = ThermometerEncoder(plan.encoder.select(bits), np.arange(len(bits)))
        return EncryptedModel(encoder, program, SummedDecoders(decoders), head)

    def _make_plan(self, rows: Rows, n_outputs: int, seed: int) -> TrainingPlan:
        encoder = calibrate_thresholds(rows.X, input_bits(self, len(rows)))
        return TrainingPlan(seed, encoder, len(rows), module_parameters(self, n_outputs, encoder, len(rows)))

    def __sklearn_tags__(self) -> Tags:
        """Say that sparse rows are taken."""
        tags: Tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.sparse = True
        return tags
