"""What is fixed before training: the network's shape, and the skorch net that is made of an estimator."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from skorch.callbacks import LRScheduler
from torch import nn

from skfhe.encoding import ThresholdEncoder
from skfhe.neural_network._activation import check_activation
from skfhe.neural_network._budget import largest_magnitude, weight_budget
from skfhe.neural_network._budgeted_mlp import DISCRETE, BudgetedMLP
from skfhe.neural_network._rows import RowDataset, Rows, take_batch
from skfhe.neural_network._training import Annealing, ValidationStopping
from skfhe.neural_network._wrapping import TentWave

__all__ = [
    "TrainingPlan",
    "check_accumulator",
    "encoded",
    "input_bits",
    "make_net",
    "module_parameters",
    "rebuilt",
]

MANY_ROWS = 5000
"""Rows from which on features are quantized to one bit more."""
VALIDATION_BATCH = 1024
"""Rows that are validated at a time, where ``iterator_valid__batch_size`` does not say."""


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """What is fixed before training, and rebuilds the network after unpickling.

    Parameters
    ----------
    seed : int
        Seeds initialization, shuffling and noise.
    encoder : ThresholdEncoder
        The full input encoding, of which the program may use a part.
    n_rows : int
        Rows that the network was made for.
    module : dict
        Parameters of `BudgetedMLP`, the encoding apart.
    """

    seed: int
    encoder: ThresholdEncoder
    n_rows: int
    module: dict[str, Any]


def accumulator_kind(estimator: Any, discrete: bool = False) -> str:
    """Return how the sums of an estimator's hidden layers are counted, "bounded" or "wrapping".

    "auto" means "wrapping", and "bounded" if the user asks for what only that can do, or features are mostly
    ``discrete``: what depends on bits and ranks is found more surely by sums that are not periodic.
    """
    if estimator.module__accumulator != "auto":
        return str(estimator.module__accumulator)
    own_activation = estimator.module__activation_function not in ("auto", TentWave)
    asked_for = own_activation or estimator.rounding_threshold_bits is not None
    return "bounded" if asked_for or discrete else "wrapping"


def check_accumulator(estimator: Any) -> None:
    """Check that an estimator's activation and rounding suit its accumulators.

    Raises
    ------
    ValueError
        Naming the parameter at fault.
    """
    activation = estimator.module__activation_function
    if not (isinstance(activation, str) and activation == "auto"):
        check_activation(activation)
    if accumulator_kind(estimator) == "bounded":
        return
    if activation not in ("auto", TentWave):
        raise ValueError(
            f"module__activation_function={activation.__name__} does not suit "
            "module__accumulator='wrapping', whose sums are counted modulo a power of two: its activation "
            "has to be periodic. Leave it at 'auto' (skfhe.neural_network.TentWave), or set "
            "module__accumulator='bounded'"
        )
    if estimator.rounding_threshold_bits is not None:
        raise ValueError(
            f"rounding_threshold_bits={estimator.rounding_threshold_bits!r} does not suit "
            "module__accumulator='wrapping', whose lookups read their sums modulo a power of two, with "
            "nothing to round: lower module__n_accum_bits instead, or set module__accumulator='bounded'"
        )


def module_parameters(
    estimator: Any, n_outputs: int, encoder: ThresholdEncoder, n_rows: int
) -> dict[str, Any]:
    """Return what the module of an estimator is made with, the input encoding apart."""
    discrete = mostly_discrete(encoder)
    kind = accumulator_kind(estimator, discrete)
    auto = {"n_accum_bits": 4, "n_a_bits": 2, "activation_function": nn.ReLU}
    if kind == "wrapping":
        auto = {"n_accum_bits": 3, "n_a_bits": 3, "activation_function": TentWave}
    chosen = {name: getattr(estimator, f"module__{name}") for name in auto}
    chosen = {name: auto[name] if value == "auto" else value for name, value in chosen.items()}
    unit = max(math.sqrt(encoder.n_features * max(2, n_outputs)), math.cbrt(n_rows))
    n_input_bits = input_bits(estimator, n_rows)
    noise = estimator.module__input_noise
    if noise == "auto":  # a tenth of a feature's range, and less where many rows regularize by themselves
        noise = (1 << n_input_bits) * min(0.1, 1 / math.cbrt(n_rows))
        noise *= min(1.0, 2000 / n_rows) if kind == "wrapping" else 1.0
    multiplier = estimator.module__n_hidden_neurons_multiplier
    if multiplier == "auto":
        multiplier = min(0.5, 0.25 + 0.025 * n_outputs) if kind == "wrapping" else 0.75
        multiplier *= 2 if discrete else 1
    n_output_bits = estimator.module__n_output_bits
    if n_output_bits == "auto":
        n_output_bits = 7 if discrete else 6
    n_w_bits = estimator.module__n_w_bits
    if n_w_bits == "auto":
        n_w_bits = 3 if kind == "wrapping" else weight_bits(chosen["n_accum_bits"], encoder.n_bits)
    return chosen | {
        "accumulator": kind,
        "n_outputs": n_outputs,
        "n_hidden": max(2, round(multiplier * unit)),
        "n_layers": estimator.module__n_layers,
        "n_w_bits": n_w_bits,
        "n_output_w_bits": estimator.module__n_output_w_bits,
        "n_output_bits": n_output_bits,
        "input_noise": noise,
        "skip_connection": estimator.module__skip_connection,
    }


def input_bits(estimator: Any, n_rows: int) -> int:
    """Return the bits that features are quantized to; many rows tell finer thresholds apart."""
    if estimator.module__n_input_bits != "auto":
        return int(estimator.module__n_input_bits)
    return 6 if n_rows >= MANY_ROWS and accumulator_kind(estimator) == "wrapping" else 5


def mostly_discrete(encoder: ThresholdEncoder) -> bool:
    """Return whether half of the features that vary have few values, and so get no noise in training.

    What depends on such values is seldom smooth, and takes more neurons; without noise it can be learned.
    """
    n_thresholds = np.bincount(encoder.features, minlength=encoder.n_features)
    varying = n_thresholds[n_thresholds > 0]
    return bool(2 * (varying <= DISCRETE).sum() >= len(varying))


def weight_bits(n_accum_bits: int, n_inputs: int) -> int:
    """Return the bits of the weights of bounded hidden layers, where none are given.

    They are 2, and up to 4 for so few inputs that a neuron could not spend its budget on weights of 1.
    """
    budget = weight_budget(n_accum_bits, input_span=1)
    return next((bits for bits in (2, 3) if n_inputs * largest_magnitude(bits) >= budget), 4)


def make_net(
    estimator: Any, plan: TrainingPlan, *, n_rows: int | None = None, fresh: bool = True, stopping: Any = None
) -> Any:
    """Return the skorch net of an estimator, not yet initialized.

    Parameters
    ----------
    estimator : BaseNeuralNet
    plan : TrainingPlan
    n_rows : int, default=None
        Rows of an epoch; None takes those of the plan.
    fresh : bool, default=True
        Whether the weights are new, so that training begins with wide budgets.
    stopping : callable, default=None
        Score that stops the training, see `ValidationStopping`.
    """
    callbacks: list[Any] = []
    own = list(estimator.callbacks or [])
    if estimator.lr_schedule == "cosine" and not any(map(_schedules, own)):
        policy = torch.optim.lr_scheduler.CosineAnnealingLR
        callbacks.append(("lr_schedule", LRScheduler(policy, T_max=estimator.max_epochs)))
    if stopping is not None:
        callbacks.append(("stopping", ValidationStopping(stopping, estimator.n_iter_no_change)))
    options = {f"module__{name}": value for name, value in plan.module.items()}
    options |= {"iterator_train__shuffle": True, "iterator_valid__batch_size": VALIDATION_BATCH}
    options |= _fastest(estimator.optimizer, estimator.device) | open_options(
        estimator, plan.module["n_outputs"]
    )
    if is_classifier(estimator):
        options["classes"] = np.arange(plan.module["n_outputs"])
    options |= {
        "module__features": torch.as_tensor(plan.encoder.features),
        "module__thresholds": torch.as_tensor(plan.encoder.thresholds),
        "module__level_weights": torch.as_tensor(plan.encoder.level_weights),
        "iterator_train__collate_fn": take_batch,
        "iterator_valid__collate_fn": take_batch,
        "criterion__reduction": "none",
    }
    net = estimator._net_class(
        module=BudgetedMLP,
        dataset=RowDataset,
        criterion=estimator.criterion or estimator._default_criterion,
        optimizer=estimator.optimizer,
        lr=estimator.lr,
        max_epochs=estimator.max_epochs,
        batch_size=batch_size(estimator.batch_size, n_rows or plan.n_rows),
        callbacks=[*callbacks, *own],
        train_split=None,
        device=estimator.device,
        verbose=estimator.verbose,
        **options,
    )
    if fresh:
        per_neuron = estimator.module__n_thresholds_per_neuron
        if per_neuron == "auto":
            per_neuron = 8 if plan.module["accumulator"] == "wrapping" else 4
        net.annealing = Annealing.of(estimator.max_epochs, per_neuron * plan.module["n_hidden"])
    return net


def rebuilt(net: Any, weights: dict[str, Any]) -> Any:
    """Return ``net``, initialized, with a module of these weights."""
    net.initialize()
    if net.module_.hidden:
        net.module_.prune_inputs(weights["kept_bits"])
    net.module_.load_state_dict(weights)
    return net


def encoded(plan: TrainingPlan, rows: Rows) -> RowDataset:
    """Return rows as the network takes them in training."""
    weight = rows.weight / rows.weight.mean()
    counts = plan.encoder.counts(rows.X)
    return RowDataset(
        {"counts": counts.astype(np.float32), "sample_weight": weight.astype(np.float32)}, rows.y
    )


def batch_size(given: int | str, n_rows: int) -> int:
    """Return the rows of a training step.

    "auto" means 32, and from 16,000 rows on a 500th of them, up to 200.
    """
    return int(given) if given != "auto" else int(np.clip(n_rows // 500, 32, 200))


def open_options(estimator: Any, n_outputs: int) -> dict[str, Any]:
    """Return the parameters that are passed on to skorch; a list of weights as the tensor that torch takes.

    Raises
    ------
    ValueError
        If the weights of the classes are not numbers, or not one a class.
    """
    options = dict(estimator._open_params)
    weight = options.get("criterion__weight")
    if weight is not None:
        try:
            weight = torch.as_tensor(weight, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"criterion__weight must be one number a class, got {weight!r}") from error
        if weight.shape != (n_outputs,):
            raise ValueError(
                f"criterion__weight must have one number for each of the {n_outputs} classes or targets, "
                f"got {tuple(weight.shape)}"
            )
        options["criterion__weight"] = weight
    return options


def _schedules(callback: Any) -> bool:
    """Return whether a callback of the user sets the learning rate."""
    callback = callback[1] if isinstance(callback, tuple) else callback
    return isinstance(callback, LRScheduler) or callback is LRScheduler


def _fastest(optimizer: type, device: str) -> dict[str, Any]:
    """Return the option that lets torch update all parameters in one call, where the optimizer has it."""
    fused = "fused" in inspect.signature(optimizer).parameters and device == "cpu"
    return {"optimizer__fused": True} if fused else {}
