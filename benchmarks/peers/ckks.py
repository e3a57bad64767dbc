"""Encrypted models against CKKS: ``python -m benchmarks.peers.ckks --tenseal-python PATH``.

``make tenseal-environment`` builds TenSEAL's environment and prints its PATH.

CKKS computes sums and products of approximate numbers, so its network has a square for activation;
it has 32 hidden neurons. Logistic regression needs no activation. Both are trained in the clear, in
floats. skfhe's network is the default `NeuralNetClassifier`, and its logistic regression the same with
one layer, which has no lookup either. Seconds are of one row, encryption and decryption included, on the
split of ``benchmarks.peers.neural_network``.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import load
from benchmarks.measure import machine, save, seconds
from skfhe.neural_network import NeuralNetClassifier

SCRIPT = Path(__file__).with_name("tenseal_models.py")
N_HIDDEN = 32

Layers = list[tuple[np.ndarray, np.ndarray]]


class Square(torch.nn.Module):
    """x², the activation that CKKS can compute."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the squares of ``x``."""
        return x * x


def square_network(X: np.ndarray, y: np.ndarray) -> Layers:
    """Train a network with square activation in floats and return its weights."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], N_HIDDEN), Square(), torch.nn.Linear(N_HIDDEN, len(np.unique(y)))
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.005)
    rows, labels = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)
    for _ in range(60):
        for batch in torch.randperm(len(rows)).split(32):
            loss = torch.nn.functional.cross_entropy(net(rows[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in (net[0], net[2])]


def logistic_regression(X: np.ndarray, y: np.ndarray) -> Layers:
    """Train a logistic regression and return its weights, one score a class."""
    model = LogisticRegression(max_iter=1000).fit(X, y)
    weight, bias = model.coef_, model.intercept_
    if len(weight) == 1:
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return [(weight.T, bias)]


def scores(layers: Layers, X: np.ndarray) -> np.ndarray:
    for i, (weight, bias) in enumerate(layers):
        X = X @ weight + bias
        X = X**2 if i + 1 < len(layers) else X
    return X


def measure_tenseal(python: str, layers: Layers, rows: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.npz"
        weights = {
            f"{kind}{i}": w for i, layer in enumerate(layers) for kind, w in zip("wb", layer, strict=True)
        }
        np.savez(path, rows=rows, **weights)
        done = subprocess.run([python, str(SCRIPT), str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"TenSEAL's process failed:\n{done.stderr[-2000:]}")
    accuracy = float(np.mean(scores(layers, rows).argmax(axis=1) == labels))
    return {"accuracy": accuracy} | json.loads(done.stdout.splitlines()[-1])


def measure_ours(
    X: np.ndarray, y: np.ndarray, rows: np.ndarray, labels: np.ndarray, **settings: Any
) -> dict[str, Any]:
    model = NeuralNetClassifier(random_state=0, **settings).fit(X, y)
    circuit = model.compile()
    keygen = seconds(circuit.keygen)
    statistics = circuit.statistics
    encrypted = model.predict_proba(rows[:5], fhe="execute")
    clear = model.predict_proba(rows[:5])
    return {
        "accuracy": model.score(rows, labels),
        "keygen": keygen,
        "key_bytes": statistics["key_bytes"],
        "input_bytes": statistics["input_bytes"],
        "row": seconds(lambda: model.predict(rows[:1], fhe="execute"), 15, warm_up=2),
        "largest_difference": float(np.abs(encrypted - clear).max()),
        "equal_classes": int((encrypted.argmax(axis=1) == clear.argmax(axis=1)).sum()),
        "rows": len(encrypted),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tenseal-python", required=True, help="interpreter of an environment with TenSEAL")
    parser.add_argument("--data", nargs="*", default=("iris", "breast_cancer", "digits"))
    parser.add_argument("--no-save", action="store_true")
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    for name in arguments.data:
        X, y = load(name)
        X, rows, y, labels = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
        scaler = StandardScaler().fit(X)
        X, rows = scaler.transform(X), scaler.transform(rows)
        for model, train, settings in (
            ("network", square_network, {}),
            ("logistic regression", logistic_regression, {"module__n_layers": 1}),
        ):
            ours = measure_ours(X, y, rows, labels, **settings)
            theirs = measure_tenseal(arguments.tenseal_python, train(X, y), rows, labels)
            results += [
                {"data": name, "model": model, "by": "skfhe"} | ours,
                {"data": name, "model": model, "by": "TenSEAL"} | theirs,
            ]
    where = machine("skfhe", "concrete-python", "torch", "scikit-learn", "numpy")
    table = Table("data", "model", "by", "split", "s/row", "keygen s", "keys MB", "in kB", "equal classes",
                  "largest difference", box=None)  # fmt: skip
    for r in results:
        table.add_row(
            r["data"],
            r["model"],
            r["by"],
            f"{r['accuracy']:.3f}",
            f"{r['row']:.4f}",
            f"{r['keygen']:.1f}",
            f"{r['key_bytes'] / 1e6:.0f}",
            f"{r['input_bytes'] / 1e3:.0f}",
            f"{r['equal_classes']} of {r['rows']}",
            f"{r['largest_difference']:.1e}",
        )
    console = Console(width=160)
    console.print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}")
    console.print(table)
    if not arguments.no_save:
        path = save("ckks", {"machine": where, "results": results})
        console.print(f"\nsaved: benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
