"""The estimator behind both neural networks: parameters, training, lowering, pickling."""

from __future__ import annotations

import difflib
import inspect
import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from skorch.callbacks import LRScheduler
from torch import nn

from skfhe.base import EncryptedPredictorMixin
from skfhe.neural_network.activation import check_activation
from skfhe.neural_network.lowering import lower_mlp
from skfhe.neural_network.module import BudgetedMLP
from skfhe.neural_network.training import (
    BudgetAnnealing,
    RowDataset,
    merge_equal_rows,
    reproducible,
    take_batch,
)
from skfhe.parameters import check_rounding
from skfhe.program import Program
from skfhe.quantization import AffineDecoder, ThresholdEncoder, calibrate_thresholds

__all__ = ["BaseNeuralNet"]

PREFIXES = ("optimizer__", "criterion__", "iterator_train__", "iterator_valid__", "callbacks__")


def without_kwargs(init: Any) -> Any:
    """Hide ``**kwargs`` from the signature of an ``__init__``, as scikit-learn's contract asks.

    Open-ended parameters such as ``optimizer__weight_decay`` arrive there; ``fit`` checks their names.
    """
    signature = inspect.signature(init)
    shown = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    init.__signature__ = signature.replace(parameters=shown)
    return init


@dataclass(frozen=True, eq=False)
class Plan:
    """What is fixed before training, and rebuilds the network after unpickling.

    Parameters
    ----------
    seed : int
        Seeds initialization, shuffling and noise.
    encoder : ThresholdEncoder
        The full input encoding, of which the program may use a part.
    n_rows : int
        Different rows that the network was made for.
    module : dict
        Parameters of `BudgetedMLP`, the encoding apart.
    """

    seed: int
    encoder: ThresholdEncoder
    n_rows: int
    module: dict[str, Any]


class BaseNeuralNet(EncryptedPredictorMixin, BaseEstimator):
    """Common part of `NeuralNetClassifier` and `NeuralNetRegressor`."""

    _net_class: type
    _default_criterion: type[nn.Module]
    _bits = [Interval(Integral, 1, 16, closed="both")]
    _parameter_constraints: dict[str, list] = {
        "module__n_layers": [Interval(Integral, 1, None, closed="left")],
        "module__n_w_bits": [Interval(Integral, 1, 8, closed="both")],
        "module__n_a_bits": [Interval(Integral, 1, 8, closed="both")],
        "module__n_accum_bits": _bits,
        "module__n_input_bits": [Interval(Integral, 1, 8, closed="both")],
        "module__n_output_w_bits": [Interval(Integral, 2, 8, closed="both")],
        "module__n_output_bits": _bits,
        "module__n_thresholds_per_neuron": [Interval(Integral, 1, None, closed="left")],
        "module__n_hidden_neurons_multiplier": [Interval(Real, 0, None, closed="neither")],
        "module__input_noise": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "module__skip_connection": ["boolean"],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"cosine", "constant"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "callbacks": [list, None],
        "train_split": [callable, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    @without_kwargs
    def __init__(
        self,
        module__n_layers: int = 2,
        module__n_w_bits: int = 2,
        module__n_a_bits: int = 2,
        module__n_accum_bits: int = 4,
        module__n_hidden_neurons_multiplier: float = 0.75,
        module__activation_function: type[nn.Module] = nn.ReLU,
        module__n_input_bits: int = 5,
        module__n_output_w_bits: int = 3,
        module__n_output_bits: int = 6,
        module__n_thresholds_per_neuron: int = 4,
        module__input_noise: float | str = "auto",
        module__skip_connection: bool = True,
        max_epochs: int = 60,
        lr: float = 0.01,
        lr_schedule: str = "cosine",
        batch_size: int = 32,
        optimizer: type[torch.optim.Optimizer] = torch.optim.AdamW,
        criterion: type[nn.Module] | None = None,
        callbacks: Any = None,
        train_split: Any = None,
        device: str = "cpu",
        rounding_threshold_bits: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        **kwargs: Any,
    ) -> None:
        self.module__n_layers = module__n_layers
        self.module__n_w_bits = module__n_w_bits
        self.module__n_a_bits = module__n_a_bits
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
        self._open_params = kwargs

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
        return super().get_params(deep=deep) | self._open_params

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
            elif name.startswith(PREFIXES):
                self._open_params = self._open_params | {name: value}
            else:
                raise ValueError(_unknown_parameter(self, name))
        return self

    @property
    def module_(self) -> BudgetedMLP:
        """The Brevitas network."""
        check_is_fitted(self, "net_")
        return self.net_.module_

    @property
    def pruning_factor_(self) -> int:
        """Largest number of non-zero weights of one hidden neuron.

        ``floor((2**P - 1) / s)`` with P the accumulator's bits and s the span of the layer's inputs: 1 for
        the bits of the input encoding, ``2**n_a_bits - 1`` for hidden activations. A weight of
        magnitude m spends m of it, up to ``2**(n_w_bits - 1) - 1``. The first hidden layer's is the
        largest; ``module_.budgets`` has every layer's. Without hidden layers it is that of the output layer,
        whose accumulator has ``module__n_output_bits``.
        """
        check_is_fitted(self, "net_")
        output = self.module_.output
        return max(self.module_.budgets, default=output.weight_quant.tensor_quant.budget)

    def __getstate__(self) -> dict[str, Any]:
        """Replace the net, whose Brevitas layers do not pickle, by what rebuilds it."""
        state = dict(super().__getstate__())
        if "net_" in state:
            net = state.pop("net_")
            state["_net_state"] = (net.module_.state_dict(), net.history)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the net."""
        rebuild = state.get("_net_state")
        super().__setstate__({name: value for name, value in state.items() if name != "_net_state"})
        if rebuild is not None:
            weights, history = rebuild
            self.net_ = self._make_net(self._plan).initialize()
            if self.net_.module_.hidden:
                self.net_.module_.prune_inputs(weights["kept_bits"])
            self.net_.module_.load_state_dict(weights)
            self.net_.module_.eval()
            self.net_.history = history

    def _check_params(self) -> None:
        """Validate the parameters.

        Raises
        ------
        ValueError
            Naming the parameter, what was given and what is expected.
        """
        self._validate_params()
        check_activation(self.module__activation_function)
        check_rounding(self.rounding_threshold_bits)
        criterion = self.criterion or self._default_criterion
        if "reduction" not in inspect.signature(criterion).parameters:
            raise ValueError(
                f"criterion must be the class of a torch loss that takes reduction='none', got {criterion!r}"
            )
        for name in self._open_params:
            if name == "criterion__reduction":
                raise ValueError("criterion__reduction cannot be set: rows are weighted before the mean")
            if not name.startswith(PREFIXES):
                raise ValueError(_unknown_parameter(self, name))

    @staticmethod
    def _check_weight(X: NDArray, sample_weight: ArrayLike | None) -> NDArray[np.float64]:
        """Return the rows' weights, ones by default."""
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not (weight > 0).any():
            raise ValueError("sample_weight is zero for every row; at least one must be positive")
        return weight

    def _fit(self, X: NDArray, y: NDArray, weight: NDArray, n_outputs: int) -> None:
        """Train on validated rows and prepared targets; nothing is kept if that fails."""
        X, y, weight = merge_equal_rows(X, y, weight)
        plan = self._make_plan(X, n_outputs)
        order = np.random.RandomState(plan.seed).permutation(len(X))
        with reproducible(plan.seed):
            net = self._make_net(plan).fit(_rows(plan, X[order], weight[order]), y[order])
        self._finish(plan, net)

    def _partial_fit(self, X: NDArray, y: NDArray, weight: NDArray, n_outputs: int) -> None:
        """Train one more epoch on validated rows, with the constraint in full force."""
        if hasattr(self, "net_"):
            plan, net = self._plan, self.net_
            changed = [
                k
                for k, v in self._module_params(n_outputs, plan.encoder, plan.n_rows).items()
                if v != plan.module[k]
            ]
            if changed:
                raise ValueError(
                    f"{', '.join(f'module__{name}' for name in changed)} changed since the network was made; "
                    "partial_fit goes on training that network, call fit to make another"
                )
        else:
            plan = self._make_plan(X, n_outputs)
            with reproducible(plan.seed):
                net = self._make_net(plan).initialize()
        net.module_.relax(1.0)
        net.callbacks_ = [c for c in net.callbacks_ if c[0] not in ("anneal", "lr_schedule")]
        with reproducible(plan.seed + len(net.history)):
            net.partial_fit(_rows(plan, X, weight), y, epochs=1)
        self._finish(plan, net)

    def _finish(self, plan: Plan, net: Any) -> None:
        """Keep a trained network and lower it to the program."""
        net.module_.eval()
        lowered = lower_mlp(net.module_, check_rounding(self.rounding_threshold_bits))
        self._plan, self.net_ = plan, net
        self._keep(*lowered)

    def lower(self) -> BaseNeuralNet:
        """Lower the trained network anew, after ``rounding_threshold_bits`` was set; no training.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "net_")
        self._check_params()
        self._keep(*lower_mlp(self.net_.module_, check_rounding(self.rounding_threshold_bits)))
        return self

    def _keep(self, program: Program, kept: list[NDArray], decoders: list[AffineDecoder]) -> None:
        """Keep a lowered network, and forget the circuit of an earlier one."""
        assert all(bits <= self._plan.module["n_accum_bits"] for bits in program.accumulator_bits)
        self._drop_circuit()
        self.program_, self._output_decoders = program, decoders
        read = self.net_.module_.kept_bits.numpy(force=True)[kept[0]]
        self.input_encoder_ = self._plan.encoder.select(read)
        self._kept_levels = kept[1] if len(kept) > 1 else None

    def _make_plan(self, X: NDArray, n_outputs: int) -> Plan:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        encoder = calibrate_thresholds(X, self.module__n_input_bits)
        return Plan(seed, encoder, len(X), self._module_params(n_outputs, encoder, len(X)))

    def _module_params(self, n_outputs: int, encoder: ThresholdEncoder, n_rows: int) -> dict[str, Any]:
        """Return what the module is made with, the input encoding apart."""
        unit = max(math.sqrt(encoder.n_features * max(2, n_outputs)), math.cbrt(n_rows))
        noise = self.module__input_noise
        if noise == "auto":  # a tenth of a feature's range, and less where many rows regularize by themselves
            noise = (1 << self.module__n_input_bits) * min(0.1, 1 / math.cbrt(n_rows))
        return {
            "n_outputs": n_outputs,
            "n_hidden": max(2, round(self.module__n_hidden_neurons_multiplier * unit)),
            "n_layers": self.module__n_layers,
            "n_w_bits": self.module__n_w_bits,
            "n_a_bits": self.module__n_a_bits,
            "n_accum_bits": self.module__n_accum_bits,
            "n_output_w_bits": self.module__n_output_w_bits,
            "n_output_bits": self.module__n_output_bits,
            "activation_function": self.module__activation_function,
            "input_noise": noise,
            "skip_connection": self.module__skip_connection,
        }

    def _make_net(self, plan: Plan) -> Any:
        """Return the skorch net of ``plan``, not yet initialized."""
        n_inputs = self.module__n_thresholds_per_neuron * plan.module["n_hidden"]
        callbacks: list[Any] = [("anneal", BudgetAnnealing(n_inputs))]
        if self.lr_schedule == "cosine":
            policy = torch.optim.lr_scheduler.CosineAnnealingLR
            callbacks.append(("lr_schedule", LRScheduler(policy, T_max=self.max_epochs)))
        options = {f"module__{name}": value for name, value in plan.module.items()}
        options |= (
            {"iterator_train__shuffle": True} | _fastest(self.optimizer, self.device) | self._open_params
        )
        if is_classifier(self):
            options["classes"] = np.arange(plan.module["n_outputs"])
        options |= {
            "module__features": torch.as_tensor(plan.encoder.features),
            "module__thresholds": torch.as_tensor(plan.encoder.thresholds),
            "module__level_weights": torch.as_tensor(plan.encoder.level_weights),
            "iterator_train__collate_fn": take_batch,
            "iterator_valid__collate_fn": take_batch,
            "criterion__reduction": "none",
        }
        return self._net_class(
            module=BudgetedMLP,
            dataset=RowDataset,
            criterion=self.criterion or self._default_criterion,
            optimizer=self.optimizer,
            lr=self.lr,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            callbacks=[*callbacks, *(self.callbacks or [])],
            train_split=self.train_split,
            device=self.device,
            verbose=self.verbose,
            **options,
        )

    def _scores(self, X: ArrayLike, fhe: str) -> NDArray[np.float64]:
        """Return the network's outputs, shape (n_rows, n_outputs), evaluated as ``fhe`` says."""
        check_is_fitted(self, "program_")
        X = validate_data(self, X, reset=False, dtype=np.float64)
        outputs = self._evaluate(self._encode(X), fhe)
        return sum(
            (decoder.decode(q) for decoder, q in zip(self._output_decoders, outputs, strict=True)),
            start=np.zeros(outputs[0].shape),
        )

    def _encode(self, X: ArrayLike) -> list[NDArray[np.int64]]:
        """Return what the program takes: the bits, and with a skip connection the levels."""
        bits = self.input_encoder_.quantize(X)
        if self._kept_levels is None:
            return [bits]
        return [bits, self._plan.encoder.levels(X)[:, self._kept_levels]]

    @property
    def output_decoder_(self) -> AffineDecoder:
        """Turns the first output of the program, the output layer's accumulators, into scores."""
        check_is_fitted(self, "program_")
        return self._output_decoders[0]


def _fastest(optimizer: type, device: str) -> dict[str, Any]:
    """Return the option that lets torch update all parameters in one call, where the optimizer has it."""
    fused = "fused" in inspect.signature(optimizer).parameters and device == "cpu"
    return {"optimizer__fused": True} if fused else {}


def _rows(plan: Plan, X: NDArray, weight: NDArray) -> dict[str, NDArray]:
    """Return what the network takes in training."""
    rows = {"x": X, "sample_weight": weight}
    return (
        rows | {"levels": plan.encoder.levels(X).astype(np.float32)}
        if plan.module["skip_connection"]
        else rows
    )


def _unknown_parameter(estimator: BaseNeuralNet, name: str) -> str:
    known = estimator._get_param_names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"{type(estimator).__name__} has no parameter {name!r}; {hint}Known are {', '.join(known)}, and "
        f"what begins with {', '.join(PREFIXES)}"
    )
