"""Networks imported with default arguments, and a grid: ``python -m benchmarks.networks.default_imports``.

Each network is trained in float on three quarters of the rows. ``compile_torch_model(net, X_train)`` then
chooses bit-widths and rounding by itself. Printed for each, on the other quarter: accuracy in float, clear
and simulated, the share of simulated rows whose largest output is the float network's, the predicted cost,
how many settings were tried and the seconds of processor time that took. Below it, the cheapest setting of an
exhaustive grid that agrees with the float network on .99 of these held-out rows, and the cheapest that is
within .01 of its accuracy there. Both are chosen by the very rows they are judged on, which flatters them.

With ``--encrypted-rows`` some held-out rows are encrypted, and their accuracy printed beside that of the same
rows in the other ways; so is how many of them are no farther from the clear outputs than one of 20
simulations is.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn

from benchmarks.measure import machine, save
from skfhe import compile_torch_model
from skfhe.cost import DEFAULT_P_ERROR, ErrorRate
from skfhe.importers import QuantizedModule
from skfhe.importers._search import Options, Setting
from skfhe.importers._search.trials import Trials, measured_rows
from skfhe.importers._torch.reader import in_double_precision, read_torch

TOLERANCE = 0.01
GRID = {
    "rounding": (2, 3, 4, 5, 6),
    "op_weights": (2, 3, 4, 5, 6, 8),
    "op_inputs": (2, 3, 4, 5),
    "model_inputs": (4, 8),
}
N_DRAWS = 5
"""Simulations of the default import."""
N_COMPARED = 20
"""Simulations that encrypted rows are compared with."""


def split(name: str) -> tuple[np.ndarray, ...]:
    """Return the rows to train on and those held out, and their labels."""
    load = load_breast_cancer if name == "breast_cancer" else load_digits
    X, y = load(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    if name == "digits":
        return X_train / 16, X_test / 16, y_train, y_test
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


def trained(net: nn.Module, X: np.ndarray, y: np.ndarray, epochs: int = 40) -> nn.Module:
    """Train a classifier in float."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    rows, labels = torch.tensor(X).float(), torch.tensor(y)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(rows[batch]), labels[batch]).backward()
            optimizer.step()
    return net.eval()


def mlp(name: str, n_hidden: int) -> tuple[nn.Module, tuple[np.ndarray, ...]]:
    """Return a network of one hidden layer."""
    data = split(name)
    net = nn.Sequential(
        nn.Linear(data[0].shape[1], n_hidden), nn.ReLU(), nn.Linear(n_hidden, len(set(data[2])))
    )
    return trained(net, data[0], data[2]), data


def cnn() -> tuple[nn.Module, tuple[np.ndarray, ...]]:
    """Return a convolutional network on the digits."""
    X_train, X_test, y_train, y_test = split("digits")
    data = X_train.reshape(-1, 1, 8, 8), X_test.reshape(-1, 1, 8, 8), y_train, y_test
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64, 10)),
    )
    return trained(net, data[0], data[2], 30), data


def mlp_classifier() -> tuple[nn.Module, tuple[np.ndarray, ...]]:
    """Return scikit-learn's network on the digits, as a torch module."""
    data = split("digits")
    fitted = MLPClassifier((32,), max_iter=300, random_state=0).fit(data[0], data[2])
    layers: list[nn.Module] = []
    for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True):
        layers += [nn.Linear(*weight.shape), nn.ReLU()]
        with torch.no_grad():
            layers[-2].weight.copy_(torch.tensor(weight.T))
            layers[-2].bias.copy_(torch.tensor(bias))
    return nn.Sequential(*layers[:-1]).eval(), data


NETWORKS: dict[str, Callable[[], tuple[nn.Module, tuple[np.ndarray, ...]]]] = {
    "mlp": lambda: mlp("digits", 32),
    "cnn": cnn,
    "MLPClassifier": mlp_classifier,
    "breast_cancer": lambda: mlp("breast_cancer", 8),
}


def outputs(net: nn.Module, X: np.ndarray) -> np.ndarray:
    """Return what a network returns in float."""
    with torch.no_grad():
        return net(torch.tensor(X).float()).numpy()


def encrypted(module: QuantizedModule, net: nn.Module, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Evaluate rows encrypted, and compare with the same rows in the clear and in simulation."""
    module.compile()
    clear = module.forward(X)

    def farthest(scores: np.ndarray) -> np.ndarray:
        return np.abs(scores - clear).max(axis=1)

    simulated = [module.forward(X, fhe="simulate") for _ in range(N_COMPARED)]
    start = time.perf_counter()
    found = module.forward(X, fhe="execute")
    taken = time.perf_counter() - start
    within = farthest(found) <= np.max([farthest(scores) for scores in simulated], axis=0)
    return {
        "encrypted rows": len(X),
        "encrypted": float(np.mean(found.argmax(axis=1) == y)),
        "float, of the same rows": float(np.mean(outputs(net, X).argmax(axis=1) == y)),
        "clear, of the same rows": float(np.mean(clear.argmax(axis=1) == y)),
        "simulated, of the same rows": float(np.mean([s.argmax(axis=1) == y for s in simulated])),
        "within their simulations": int(within.sum()),
        "seconds, keys included": taken,
    }


def default_import(net: nn.Module, data: tuple[np.ndarray, ...], n_encrypted: int) -> dict[str, Any]:
    """Import with default arguments, and evaluate on the rows held out."""
    X_train, X_test, _, y_test = data
    start = time.process_time()
    module = compile_torch_model(net, X_train)
    taken = time.process_time() - start
    simulated = [module.forward(X_test, fhe="simulate").argmax(axis=1) for _ in range(N_DRAWS)]
    wanted = outputs(net, X_test).argmax(axis=1)
    print(module.quantization_)
    some = {} if not n_encrypted else encrypted(module, net, X_test[:n_encrypted], y_test[:n_encrypted])
    return {
        "float": float(np.mean(wanted == y_test)),
        "clear": float(np.mean(module.forward(X_test).argmax(axis=1) == y_test)),
        "simulated": float(np.mean([each == y_test for each in simulated])),
        "agreement": float(np.mean([each == wanted for each in simulated])),
        "complexity": module.cost_.complexity,
        "seconds a row": module.cost_.seconds,
        "settings": len(module.quantization_),
        "processor seconds": taken,
        **some,
    }


def grid_search(net: nn.Module, data: tuple[np.ndarray, ...]) -> list[dict[str, Any]]:
    """Try every setting of the grid on the rows held out, with the error of approximate rounding."""
    X_train, X_test, _, y_test = data
    network = read_torch(in_double_precision(net), [torch.from_numpy(X_train)])
    rows = measured_rows(network, [torch.from_numpy(X_test)])
    trials = Trials(rows, Options(False, "mse", "calibrated", 0.25), TOLERANCE, ErrorRate(DEFAULT_P_ERROR))
    found = []
    for n_bits, *widths in itertools.product(*GRID.values()):
        op_weights, op_inputs, model_inputs = widths
        setting = Setting(model_inputs, op_inputs, op_weights, None, (n_bits, "approximate"))
        tried = trials(setting)
        if tried is None:
            continue
        (scores,), _ = trials.outputs(trials.lowered(setting))
        accuracy = np.mean(scores.argmax(axis=1) == np.tile(y_test, len(scores) // len(y_test)))
        found.append(
            {
                "setting": str(setting),
                "complexity": tried.complexity,
                "seconds a row": tried.seconds,
                "agreement": tried.agreement,
                "accuracy": float(accuracy),
            }
        )
    return found


def main() -> None:
    """Train, import, search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--no-grid", action="store_true", help="leave the grid out, which takes minutes")
    parser.add_argument("--encrypted-rows", type=int, default=0, help="held-out rows to encrypt")
    parser.add_argument("--save", action="store_true", help="write the results among benchmarks/results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for name in arguments.networks:
        torch.manual_seed(0)
        net, data = NETWORKS[name]()
        print(f"\n{name}")
        results[name] = {"default": default_import(net, data, arguments.encrypted_rows)}
        for key, value in results[name]["default"].items():
            print(f"  {key}: {value:.4g}")
        if arguments.no_grid:
            continue
        tried = grid_search(net, data)
        float_accuracy = results[name]["default"]["float"]
        for criterion, fits in (
            ("agreement", lambda one: one["agreement"] >= 1 - TOLERANCE),
            ("accuracy", lambda one, least=float_accuracy - TOLERANCE: one["accuracy"] >= least),
        ):
            best = min(filter(fits, tried), key=lambda one: one["seconds a row"], default=None)
            results[name][f"cheapest of {len(tried)} by {criterion}"] = best
            print(f"  cheapest of {len(tried)} by {criterion}: {best}")
            if best is not None:
                ratio = results[name]["default"]["seconds a row"] / best["seconds a row"]
                print(f"    the default import costs {ratio:.2f} times as much")
    if arguments.save:
        packages = ("torch", "scikit-learn", "concrete-python", "numpy")
        print(save("default-imports", {"machine": machine(*packages), "results": results}))


if __name__ == "__main__":
    main()
