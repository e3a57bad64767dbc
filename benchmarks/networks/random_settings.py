"""Random settings of the neural networks: ``python -m benchmarks.networks.random_settings``.

Draws every parameter of both estimators, fits on small data for few epochs, and checks what is promised:
predictions in the clear are finite, every accumulator fits ``module__n_accum_bits``, outputs fit
``module__n_output_bits``, and circuits of narrow accumulators compile and predict in simulation what they
predict in the clear. Counts what came out; an exception that the documentation does not name is a failure.
"""

import argparse
import collections
import warnings
from typing import Any

import numpy as np
import torch
from rich.console import Console
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn

from skfhe.exceptions import AccumulatorBudgetError, CompilationError
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor

ACTIVATIONS = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardtanh, nn.ReLU6,
    nn.SiLU, nn.GELU, nn.Softplus, nn.Softsign, nn.Identity,
)  # fmt: skip
OPTIMIZERS = ("AdamW", "Adam", "SGD", "RMSprop", "LBFGS", "Adafactor", "NAdam", "Adagrad", "Rprop", "ASGD")
WIDEST_COMPILED = 6


def setting(rng: np.random.Generator, regression: bool) -> dict[str, Any]:
    """Draw a setting; each parameter is left at its default in a part of them."""

    def bits(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    drawn: dict[str, Any] = {
        "module__n_layers": bits(1, 4),
        "module__n_w_bits": rng.choice(np.array(["auto", 1, 2, 3, 4, 8], dtype=object)),
        "module__n_a_bits": bits(1, 4),
        "module__n_accum_bits": bits(1, 8),
        "module__n_hidden_neurons_multiplier": float(rng.choice([0.1, 0.75, 1.5, 4.0])),
        "module__activation_function": ACTIVATIONS[rng.integers(len(ACTIVATIONS))],
        "module__n_input_bits": bits(1, 8),
        "module__n_output_w_bits": bits(2, 8),
        "module__n_output_bits": bits(2, 12),
        "module__n_thresholds_per_neuron": bits(1, 8),
        "module__input_noise": rng.choice(np.array(["auto", 0.0, 3.0], dtype=object)),
        "module__skip_connection": bool(rng.integers(2)),
        "max_epochs": bits(1, 6),
        "lr": float(rng.choice([1e-4, 0.01, 0.3])),
        "lr_schedule": str(rng.choice(["cosine", "constant"])),
        "batch_size": rng.choice(np.array(["auto", 1, 7, 64, 1000], dtype=object)),
        "optimizer": getattr(torch.optim, OPTIMIZERS[rng.integers(len(OPTIMIZERS))]),
        "callbacks": [EarlyStopping(patience=2, load_best=bool(rng.integers(2)))],
        "train_split": ValidSplit(3),
        "early_stopping": bool(rng.integers(2)),
        "validation_fraction": float(rng.choice([0.1, 0.3])),
        "n_iter_no_change": bits(1, 3),
        "warm_start": bool(rng.integers(2)),
        "rounding_threshold_bits": rng.choice(
            np.array([1, 2, 3, {"n_bits": 2, "method": "approximate"}], dtype=object)
        ),
        "criterion": nn.SmoothL1Loss if regression else nn.MultiMarginLoss,
    }
    if not regression:
        drawn["class_weight"] = "balanced"
    chosen = {name: value for name, value in drawn.items() if rng.random() < 0.5}
    if rng.random() < 0.4:
        chosen["module__accumulator"] = "wrapping"
        chosen.pop("module__activation_function", None)
        chosen.pop("rounding_threshold_bits", None)
    if "callbacks" in chosen:  # it watches the loss on validation rows
        chosen["train_split"] = drawn["train_split"]
    if chosen.get("batch_size") == 1 or chosen.get("optimizer") is torch.optim.LBFGS:
        chosen["max_epochs"] = min(chosen.get("max_epochs", 3), 3)
    return {"max_epochs": 4, "random_state": int(rng.integers(1000))} | chosen


def data(rng: np.random.Generator, regression: bool) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows: continuous, bits, ranks or a mixture, some of them constant or of extreme scale."""
    n_rows, n_features = int(rng.integers(30, 150)), int(rng.integers(1, 7))
    X = rng.normal(size=(n_rows, n_features))
    for feature in range(n_features):
        kind = rng.integers(5)
        if kind == 0:
            X[:, feature] = rng.integers(0, 2, size=n_rows)
        elif kind == 1:
            X[:, feature] = rng.integers(0, 6, size=n_rows)
        elif kind == 2:
            X[:, feature] *= 10.0 ** rng.integers(-200, 200)
    signal = np.argsort(np.argsort(X[:, 0])) / n_rows + 0.3 * rng.random(n_rows)
    if regression:
        return X, signal if rng.integers(2) else np.column_stack([signal, -signal * 1e9])
    return X, np.digitize(signal, np.linspace(0, 1.3, int(rng.integers(2, 5)) + 1)[1:-1])


def outcome(rng: np.random.Generator, compiled: bool) -> str:
    """Draw a setting and data, run them, and say what came of it."""
    regression = bool(rng.integers(2))
    options = setting(rng, regression)
    X, y = data(rng, regression)
    model = (NeuralNetRegressor if regression else NeuralNetClassifier)(**options)
    try:
        model.fit(X, y)
        if options.get("warm_start"):
            model.fit(X, y)
    except AccumulatorBudgetError:
        return "refused: no network of this shape fits the accumulator"
    except ValueError as error:
        if "did not converge" in str(error):
            return "refused: training diverged"
        raise
    width, output = model._plan.module["n_accum_bits"], model._plan.module["n_output_bits"]
    assert max(model.accumulator_bits_, default=0) <= width, "an accumulator is too wide"
    assert model.output_bits_[0] <= output, "an output is too wide"
    assert model.n_iter_ == len(model.loss_curve_)
    clear = model.predict(X)
    scores = clear if regression else model.predict_proba(X)
    assert np.isfinite(scores).all(), "a prediction is not finite"
    if not compiled or max(model.accumulator_bits_, default=0) > WIDEST_COMPILED:
        return "fitted"
    try:
        model.compile()
    except CompilationError:
        return "fitted; refused by compile: the engine has no parameters for it"
    exact = not isinstance(options.get("rounding_threshold_bits"), dict)
    simulated = model.predict(X, fhe="simulate")
    assert not exact or np.array_equal(simulated, clear), "simulation differs"
    return "fitted, compiled and simulated"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile-every", type=int, default=8)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console(width=110)
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(arguments.settings):
        rng = np.random.default_rng([arguments.seed, number])
        try:
            result = outcome(rng, number % arguments.compile_every == 0)
        except Exception as error:
            result = f"FAILED: {type(error).__name__}"
            console.print(f"setting {number}: {type(error).__name__}: {error}")
        outcomes[result] += 1
    for result, count in outcomes.most_common():
        console.print(f"{count:4d}  {result}")
    raise SystemExit(any(result.startswith("FAILED") for result in outcomes))


if __name__ == "__main__":
    main()
