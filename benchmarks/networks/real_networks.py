"""Four kinds of networks on real data, by default arguments: ``python -m benchmarks.networks.real_networks``.

- ``attention``: digits read as eight tokens of eight pixels; one block of a transformer.
- ``lstm``: an EEG, the sample of 800 values that matplotlib ships; the next value from the last six.
- ``onnxruntime``: a residual CNN on the digits, quantized by ``onnxruntime.quantize_static`` to weights of 4
  bits: with 8, the sums of the last layer have to be more precise than the engine can keep them.
- ``torch.ao``: a perceptron on the digits, trained with torch.ao's ``prepare_qat`` in few bits.

Prints accuracy (of the EEG, the coefficient of determination) on held-out rows in float, of the integers in
the clear, and in simulation; what a row is predicted to cost and what would make it cheaper; and, where rows
are affordable, whether encrypted ones equal those in the clear, with the seconds that one takes. Where
accumulators are rounded approximately, the clear evaluation is not the encrypted one: see the simulation.
"""

import argparse
import copy
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measure import machine, save, seconds
from benchmarks.networks.digits_networks import digits_split
from skfhe import compile_onnx_model, compile_torch_model
from skfhe.exceptions import CompilationError
from skfhe.importers import QuantizedModule

BATCH = 32
MOST_KEY_BYTES = 2e9
"""Rows are not encrypted under larger keys, which take minutes to make."""
STEPS = 6
"""Values of the EEG that the next one is told from."""
EEG_MARGIN = 1.0
"""What the EEG's last quarter needs: it reaches farther than those before it."""
FOUR_BIT_OPSET = 21
"""The first that knows integers of 4 bits."""
QAT_BITS = 3


@dataclass(frozen=True)
class Trained:
    """A trained network, and what it is judged by.

    Parameters
    ----------
    quantize : callable
        Imports it.
    predict : callable
        The network's own results on rows.
    X_test, y_test : ndarray
    score : callable
        From labels and results; larger is better.
    """

    quantize: Callable[[], QuantizedModule]
    predict: Callable[[np.ndarray], np.ndarray]
    X_test: np.ndarray
    y_test: np.ndarray
    score: Callable[[np.ndarray, np.ndarray], float]


def accuracy(y: np.ndarray, scores: np.ndarray) -> float:
    return float(np.mean(scores.argmax(axis=1) == y))


def determination(y: np.ndarray, predicted: np.ndarray) -> float:
    return float(1 - np.mean(np.square(y - predicted)) / np.var(y))


def fit(
    net: nn.Module,
    X: np.ndarray,
    y: np.ndarray,
    loss: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
    rate: float = 0.01,
    after_epoch: Callable[[int], Any] = lambda epoch: None,
) -> nn.Module:
    """Train a network with Adam on shuffled batches."""
    rows, targets = torch.from_numpy(X).float(), torch.from_numpy(y)
    targets = targets.float() if targets.is_floating_point() else targets
    optimizer = torch.optim.Adam(net.parameters(), rate)
    steps = epochs * -(-len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    net.train()
    for epoch in range(epochs):
        for batch in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            loss(net(rows[batch]), targets[batch]).backward()
            optimizer.step()
            schedule.step()
        after_epoch(epoch)
    return net.eval()


def predictor(net: nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    def predict(X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(torch.from_numpy(X).float()).double().numpy()

    return predict


# --------------------------------------------------------------------------------------------- the networks


class Tokens(nn.Module):
    """One block of a transformer over the rows of an image, and the mean of its tokens."""

    def __init__(self, size: int = 8, n_heads: int = 2) -> None:
        super().__init__()
        self.embed, self.places = nn.Linear(8, size), nn.Parameter(torch.randn(8, size) / 4)
        self.attention = nn.MultiheadAttention(size, n_heads, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))
        self.inner = nn.Sequential(nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, size))
        self.head = nn.Linear(8 * size, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score a digit."""
        x = self.embed(x) + self.places
        x = self.norms[0](x + self.attention(x, x, x, need_weights=False)[0])
        x = self.norms[1](x + self.inner(x))
        return self.head(x.flatten(1))


def attention(epochs: int) -> Trained:
    X_train, X_test, y_train, y_test = digits_split()
    X_train, X_test = X_train[:, 0], X_test[:, 0]
    net = fit(Tokens(), X_train, y_train, functional.cross_entropy, epochs)
    return Trained(lambda: compile_torch_model(net, X_train), predictor(net), X_test, y_test, accuracy)


class Series(nn.Module):
    """An LSTM, and a linear layer of its last output."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(1, size, batch_first=True), nn.Linear(size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next value."""
        return self.head(self.layer(x.unsqueeze(-1))[0][:, -1]).squeeze(-1)


def eeg() -> tuple[np.ndarray, np.ndarray]:
    """Return windows of an EEG of one electrode, and the value that follows each."""
    from matplotlib import cbook

    file = cbook.get_sample_data("eeg.dat", asfileobj=False)
    series = np.fromfile(file, dtype=np.float64).reshape(-1, 4)[:, 0]
    windows = np.lib.stride_tricks.sliding_window_view(series, STEPS + 1)
    return windows[:, :-1].copy(), windows[:, -1].copy()


def lstm(epochs: int) -> Trained:
    X, y = eeg()
    n = 3 * len(X) // 4  # the last quarter is told; windows that overlap it are left out
    net = fit(Series(), X[: n - STEPS], y[: n - STEPS], functional.mse_loss, 2 * epochs, 0.02)
    return Trained(
        lambda: compile_torch_model(net, X[: n - STEPS], margin=EEG_MARGIN),
        predictor(net),
        X[n:],
        y[n:],
        determination,
    )


class ResidualCNN(nn.Module):
    """One residual block behind a convolution that halves the image."""

    def __init__(self, n_channels: int = 6) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, n_channels, 3, 2, 1), nn.ReLU())
        self.inner = nn.Sequential(
            nn.Conv2d(n_channels, n_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(n_channels, n_channels, 3, padding=1),
        )
        self.head = nn.Linear(16 * n_channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score a digit."""
        x = self.first(x)
        return self.head(torch.relu(x + self.inner(x)).flatten(1))


def residual(epochs: int) -> Trained:
    X_train, X_test, y_train, y_test = digits_split()
    net = fit(ResidualCNN(), X_train, y_train, functional.cross_entropy, epochs)
    model = statically_quantized(net, X_train)
    return Trained(
        lambda: compile_onnx_model(model, X_train, import_qat=True), runtime(model), X_test, y_test, accuracy
    )


def statically_quantized(net: nn.Module, X: np.ndarray) -> Any:
    """Export a network to ONNX, and have onnxruntime quantize it."""
    import onnx.version_converter
    from onnxruntime import quantization

    class Rows(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.rest: Iterator[np.ndarray] = iter(X[:256])

        def get_next(self) -> Any:
            row = next(self.rest, None)
            return None if row is None else {"x": row[None]}

    with tempfile.TemporaryDirectory() as folder:
        path, quantized = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        example = torch.from_numpy(X[:2])
        torch.onnx.export(
            net, (example,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}
        )
        onnx.save(onnx.version_converter.convert_version(onnx.load(path), FOUR_BIT_OPSET), path)
        quantization.quantize_static(
            path, quantized, Rows(), per_channel=True, weight_type=quantization.QuantType.QInt4
        )
        return onnx.load(quantized)


def runtime(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda X: session.run(None, {"x": X.astype(np.float32)})[0].astype(np.float64)


def prepared(n_bits: int) -> nn.Module:
    """Return a perceptron between torch.ao's stubs, prepared for training in few bits."""
    from torch.ao import quantization
    from torch.ao.quantization import fake_quantize, observer

    highest = (1 << n_bits) - 1
    values = fake_quantize.FakeQuantize.with_args(
        observer=observer.MovingAverageMinMaxObserver, quant_min=0, quant_max=highest, dtype=torch.quint8
    )
    weights = fake_quantize.FakeQuantize.with_args(
        observer=observer.MovingAveragePerChannelMinMaxObserver,
        quant_min=-(highest // 2),
        quant_max=highest // 2,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
    net = nn.Sequential(
        quantization.QuantStub(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10), quantization.DeQuantStub()
    )
    net.train()
    quantization.fuse_modules_qat(net, [["1", "2"]], inplace=True)
    net.qconfig = quantization.QConfig(activation=values, weight=weights)
    net[3].qconfig = quantization.QConfig(activation=nn.Identity, weight=weights)  # scores stay as they are
    return quantization.prepare_qat(net)


def qat(epochs: int) -> Trained:
    from torch.ao import quantization

    X_train, X_test, y_train, y_test = digits_split()
    X_train, X_test = (X.reshape(len(X), -1) for X in (X_train, X_test))
    net = prepared(QAT_BITS)

    def freeze(epoch: int) -> None:
        if epoch == epochs // 2:
            net.apply(quantization.disable_observer)

    fit(net, X_train, y_train, functional.cross_entropy, epochs, after_epoch=freeze)
    net.apply(quantization.disable_observer)
    return Trained(
        lambda: compile_torch_model(net, X_train, import_qat=True),
        predictor(copy.deepcopy(net)),
        X_test,
        y_test,
        accuracy,
    )


NETWORKS = {"attention": attention, "lstm": lstm, "onnxruntime": residual, "torch.ao": qat}

# --------------------------------------------------------------------------------------------- measurements


def measured(
    trained: Trained, simulated_rows: int, encrypted_rows: int, most_seconds: float
) -> dict[str, Any]:
    """Import a network, and evaluate it in the clear, in simulation and encrypted."""
    X, y = trained.X_test, trained.y_test
    results: dict[str, Any] = {"rows": len(X), "float": trained.score(y, trained.predict(X))}
    made: list[QuantizedModule] = []
    try:
        results["seconds of the import"] = seconds(lambda: made.append(trained.quantize()))
    except CompilationError as error:
        return results | {"not compiled": str(error)}
    module = made[0]
    results["clear"] = trained.score(y, module.forward(X))
    results["predicted"] = str(module.cost_)
    results["advice"] = [str(advice) for advice in module.report().advice]
    n = min(simulated_rows, len(X))
    results["simulated rows"] = n
    results["simulated"] = trained.score(y[:n], module.forward(X[:n], fhe="simulate"))
    results["clear, of these rows"] = trained.score(y[:n], module.forward(X[:n]))
    results["float, of these rows"] = trained.score(y[:n], trained.predict(X[:n]))
    if module.cost_.seconds <= most_seconds and module.cost_.key_bytes <= MOST_KEY_BYTES:
        rows = module.quantize_input(X[:encrypted_rows])
        found: list[Any] = []
        results["seconds a row"] = seconds(
            lambda: found.append(
                [module.quantized_forward(rows[i : i + 1], fhe="execute") for i in range(len(rows))]
            )
        ) / len(rows)
        encrypted = np.concatenate(found[0])
        clear = module.quantized_forward(rows)
        results["encrypted rows"] = len(rows)
        results["equal to the clear"] = int(
            np.all((encrypted == clear).reshape(len(clear), -1), axis=1).sum()
        )
        results["encrypted"] = trained.score(y[: len(rows)], module.dequantize_output(encrypted))
        results["clear, of the same rows"] = trained.score(y[: len(rows)], module.dequantize_output(clear))
    return results


def main() -> None:
    """Train, import, evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--simulated-rows", type=int, default=100)
    parser.add_argument("--encrypted-rows", type=int, default=5)
    parser.add_argument(
        "--most-seconds",
        type=float,
        default=60.0,
        help="predicted seconds a row up to which rows are encrypted",
    )
    parser.add_argument("--save", action="store_true", help="write the results among benchmarks/results")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # onnxruntime's, that the graph might be simplified before
    torch.set_num_threads(1)
    every = {}
    for name in arguments.networks:
        torch.manual_seed(0)
        trained = NETWORKS[name](arguments.epochs)
        every[name] = measured(
            trained, arguments.simulated_rows, arguments.encrypted_rows, arguments.most_seconds
        )
        print(name)
        for key, value in every[name].items():
            print(f"  {key}: {value}", flush=True)
    if arguments.save:
        packages = ("torch", "onnxruntime", "matplotlib", "concrete-python", "numpy")
        print(save("real-networks", {"machine": machine(*packages), "results": every}))


if __name__ == "__main__":
    main()
