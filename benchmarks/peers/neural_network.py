"""Encrypted networks against Concrete ML 1.9.0.

``python -m benchmarks.peers.neural_network --peer-python PATH``

``make peer-environment`` builds the peer's environment and prints its PATH. Without one, skfhe alone is
measured.

Same split for both (a quarter of the rows held out, stratified), same five folds, ``StandardScaler``
fitted on the training part, same ``p_error``. Every model is measured at its documented defaults and
once more with settings of its own: skfhe tuned by data set, the peer trained for 50 epochs in place of
10. Clear accuracies are those of the quantized models, the integers that run encrypted.

Seconds a row: the median of single calls of ``predict`` with one row, everything in it, and one call
with 64 rows (the peer's own loop over rows; it is stopped after a minute and counted by the rows it
got). The floor is the row's lookups alone, bare tables of the same widths and precision, and the last table
says what stands between it and a row (`benchmarks.engine.floors`). Of skfhe's encrypted rows, 64 if not told
otherwise, every integer is compared with the clear one.

Fit is also compared at equal epochs (50) and equal batches (64 rows).

A few minutes take one data set at one error rate, with the peer as it is compared with:
``--data digits --p-error 9.1e-13 --models skfhe "peer 50 epochs"``.
"""

import argparse
import itertools
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import gmean
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import folds, load
from benchmarks.engine.floors import between, between_table
from benchmarks.measure import machine, save, seconds
from skfhe.neural_network import NeuralNetClassifier
from skfhe.program import run

DATA = ("iris", "wine", "breast_cancer", "digits", "checkerboard")
COMPARED = ("digits", "breast_cancer", "iris")
SPEED_TARGET = 60.0  # geometric mean of the peer's seconds over ours, both as they are compared
TARGETS = {"digits": (0.970, 0.075), "breast_cancer": (0.963, 0.024), "checkerboard": (0.94, 0.045)}
"""Accuracy on five folds, and seconds of a row at 2**-40 that a network of at least that accuracy takes."""
PEER = Path(__file__).with_name("concrete_ml_network.py")
BATCH = 64
MODELS = ("skfhe", "skfhe tuned", "peer", "peer 50 epochs")

OURS: dict[str, dict[str, Any]] = {name: {} for name in DATA}
TUNED: dict[str, dict[str, Any]] = {
    # for speed, where two neurons do
    "iris": {"module__n_hidden_neurons_multiplier": 0.25, "max_epochs": 200},
    "wine": {"module__n_hidden_neurons_multiplier": 0.25},
    "breast_cancer": {"module__n_hidden_neurons_multiplier": 0.25},
    # for accuracy
    "digits": {"module__n_hidden_neurons_multiplier": 1.0, "module__n_thresholds_per_neuron": 15},
    "checkerboard": {
        "module__n_hidden_neurons_multiplier": 1.5,
        "module__n_thresholds_per_neuron": 8,
        "module__n_output_bits": 7,
        "module__input_noise": 1.0,
    },
}
EQUAL = {"max_epochs": 50, "batch_size": 64}
PEER_SETTINGS = {"module__n_layers": 2}


def peer_trained(name: str) -> dict[str, Any]:
    """Return the settings of the peer's longer training."""
    return PEER_SETTINGS | EQUAL | {"lr": 0.005 if name == "digits" else 0.01}


def prepare(name: str, directory: Path) -> tuple[dict[str, np.ndarray], Path]:
    """Write data, split and folds where the peer's process reads them."""
    X, y = load(name)
    train, test = train_test_split(np.arange(len(X)), test_size=0.25, stratify=y, random_state=0)
    fold = np.empty(len(X), dtype=np.int64)
    for index, (_, rows) in enumerate(folds(name).split(X, y)):
        fold[rows] = index
    data = {"X": X, "y": y, "train": train, "test": test, "fold": fold}
    path = directory / f"{name}.npz"
    np.savez(path, **data)
    return data, path


def fitted(
    data: dict[str, np.ndarray], train: np.ndarray, settings: dict[str, Any]
) -> tuple[Any, np.ndarray]:
    """Return a fitted network and all rows, scaled."""
    rows = StandardScaler().fit(data["X"][train]).transform(data["X"])
    return NeuralNetClassifier(random_state=0, **settings).fit(rows[train], data["y"][train]), rows


def measure_ours(
    data: dict[str, np.ndarray], settings: dict[str, Any], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Train one network of skfhe and measure it at each error rate."""
    X, y = data["X"], data["y"]
    scores = []
    for fold in range(5):
        train, test = np.flatnonzero(data["fold"] != fold), np.flatnonzero(data["fold"] == fold)
        model, rows = fitted(data, train, settings)
        scores.append(model.score(rows[test], y[test]))
    scaled = StandardScaler().fit(X[data["train"]]).transform(X)
    rows, labels = scaled[data["train"]], y[data["train"]]
    model = NeuralNetClassifier(random_state=0, **settings)
    equal = NeuralNetClassifier(random_state=0, **settings | EQUAL)
    trained = {
        "settings": settings,
        "folds": scores,
        "fit": seconds(lambda: model.fit(rows, labels), 3),
        "fit_equal": seconds(lambda: equal.fit(rows, labels), 3),
        "accuracy": model.score(scaled[data["test"]], y[data["test"]]),
    }
    return [
        trained
        | measure_encrypted(model, scaled[data["test"]], p_error, arguments.repetitions, arguments.rows)
        for p_error in arguments.p_error
    ]


def measure_encrypted(
    model: Any, rows: np.ndarray, p_error: float, repetitions: int, n_checked: int
) -> dict[str, Any]:
    """Measure a fitted network of skfhe at one error rate."""
    compile_seconds = seconds(lambda: model.compile(p_error=p_error))
    circuit = model.fhe_circuit_
    keygen_seconds = seconds(circuit.keygen)
    batch = np.resize(rows, (BATCH, rows.shape[1]))
    inputs = model.encoder_.encode(np.resize(rows, (n_checked, rows.shape[1])))
    encrypted, clear = circuit.execute(*inputs), run(model.program_, *inputs)
    next_row = itertools.cycle(range(len(rows)))

    def one_row() -> None:
        i = next(next_row)
        model.predict(rows[i : i + 1], fhe="execute")

    equal = [np.all(e == c, axis=1) for e, c in zip(encrypted, clear, strict=True)]
    statistics = circuit.statistics
    row = seconds(one_row, 5 * repetitions, warm_up=2)
    return {
        "p_error": p_error,
        "lookups": dict(model.cost_.lookups),
        "complexity": circuit.complexity,
        "estimated_complexity": circuit.cost.complexity,
        "compile": compile_seconds,
        "keygen": keygen_seconds,
        "row": row,
        **between(circuit, tuple(x[:1] for x in inputs), row, 5 * repetitions),
        "batch_row": seconds(lambda: model.predict(batch, fhe="execute"), repetitions) / BATCH,
        "batch_rows": BATCH,
        "key_bytes": statistics["key_bytes"],
        "input_bytes": statistics["input_bytes"],
        "output_bytes": statistics["output_bytes"],
        "equal_rows": int(np.all(equal, axis=0).sum()),
        "checked_rows": n_checked,
    }


def measure_peer(
    python: str, path: Path, settings: dict[str, Any], p_errors: list[float], repetitions: int
) -> list[dict[str, Any]]:
    """Measure one network of the peer, in a process of its own environment."""
    command = [python, str(PEER), str(path), "--settings", json.dumps(settings), "--rows", str(repetitions),
               "--p-error", *map(str, p_errors)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the peer's process failed:\n{done.stderr[-2000:]}")
    return [{"settings": settings} | result for result in json.loads(done.stdout.splitlines()[-1])]


def detailed_table(results: list[dict[str, Any]]) -> Table:
    table = Table("data", "model", "p_error", "5 folds", "split", "lookups", "M", "fit s", "compile s",
                  "keygen s", "s/row, 1", "/ floor", "s/row, 64", "/ floor", "keys MB", "in kB", "out kB",
                  "equal", box=None)  # fmt: skip
    for r in results:
        ours, per_floor = "equal_rows" in r, dict.fromkeys(("row", "batch_row"), "")
        if r.get("floor"):
            per_floor = {key: f"{r[key] / r['floor']:.2f}" for key in per_floor}
        counts = (
            ", ".join(f"{n} × {bits}b" for bits, n in r["lookups"].items())
            if ours
            else f"{r['lookups']}, ≤ {r['largest_bits']}b"
        )
        table.add_row(
            r["data"],
            r["model"],
            f"{r['p_error']:.0e}",
            f"{np.mean(r['folds']):.3f} ± {np.std(r['folds']):.3f}",
            f"{r['accuracy']:.3f}",
            counts,
            f"{r['complexity'] / 1e6:.0f}",
            f"{r['fit']:.2f}",
            f"{r['compile']:.1f}",
            f"{r['keygen']:.1f}",
            f"{r['row']:.4f}",
            per_floor["row"],
            f"{r['batch_row']:.4f}",
            per_floor["batch_row"],
            f"{r['key_bytes'] / 1e6:.0f}",
            f"{r['input_bytes'] / 1e3:.0f}",
            f"{r['output_bytes'] / 1e3:.0f}",
            f"{r['equal_rows']} of {r['checked_rows']}" if ours else "",
        )
    return table


def ratios(results: list[dict[str, Any]]) -> Iterator[tuple[float, str, str, dict[str, Any], dict[str, Any]]]:
    """Yield error rate, model, data, our result and the peer's at its better trained settings."""
    found = {(r["data"], r["model"], r["p_error"]): r for r in results}
    for (name, model, p_error), ours in found.items():
        peer = found.get((name, "peer 50 epochs", p_error))
        if model.startswith("skfhe") and peer is not None:
            yield p_error, model, name, ours, peer


def ratio_table(results: list[dict[str, Any]]) -> Table:
    """Peer over ours, the peer at its better trained settings."""
    table = Table("p_error", "model", "data", "1 row", "64 rows", "fit, equal epochs and batches",
                  "accuracy, ours - peer's", box=None)  # fmt: skip
    for p_error, model, name, ours, peer in ratios(results):
        table.add_row(
            f"{p_error:.0e}",
            model,
            name,
            f"{peer['row'] / ours['row']:.1f}",
            f"{peer['batch_row'] / ours['batch_row']:.1f}",
            f"{peer['fit'] / ours['fit_equal']:.1f}",
            f"{np.mean(ours['folds']) - np.mean(peer['folds']):+.3f}",
        )
    return table


def target_table(results: list[dict[str, Any]]) -> Table:
    """Return what was found beside what is aimed at."""
    table = Table("target", "model", "p_error", "accuracy", "found", "wanted", "", box=None)
    compared: dict[tuple[str, float], list[float]] = {}
    for p_error, model, name, ours, peer in ratios(results):
        if name in COMPARED:
            compared.setdefault((model, p_error), []).append(peer["row"] / ours["row"])
    for (model, p_error), found in compared.items():
        if len(found) == len(COMPARED):
            mean = gmean(found)
            reached = "reached" if mean >= SPEED_TARGET else "missed"
            table.add_row("peer / ours, geometric mean", model, f"{p_error:.0e}", "", f"{mean:.1f}",
                          f"≥ {SPEED_TARGET:g}", reached)  # fmt: skip
    for r in results:
        if r["model"].startswith("skfhe") and r["data"] in TARGETS:
            accuracy, wanted = TARGETS[r["data"]]
            precise = np.mean(r["folds"]) >= accuracy - 5e-4  # to the digits that are stated
            reached = "reached" if precise and r["row"] <= wanted else "missed"
            table.add_row(f"{r['data']}, s/row", r["model"], f"{r['p_error']:.0e}",
                          f"{np.mean(r['folds']):.3f} ≥ {accuracy:.3f}", f"{r['row']:.4f}",
                          f"≤ {wanted:g}", reached)  # fmt: skip
    return table


def measure(name: str, directory: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the models on one data set."""
    data, path = prepare(name, directory)
    measured = []
    for label, settings in (("skfhe", OURS[name]), ("skfhe tuned", TUNED[name])):
        if label in arguments.models:
            measured.append((label, measure_ours(data, settings, arguments)))
    for label, settings in (("peer", PEER_SETTINGS), ("peer 50 epochs", peer_trained(name))):
        if label in arguments.models and arguments.peer_python:
            found = measure_peer(
                arguments.peer_python, path, settings, arguments.p_error, arguments.repetitions
            )
            measured.append((label, found))
    return [{"data": name, "model": label} | result for label, found in measured for result in found]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="interpreter of an environment with concrete-ml 1.9.0")
    parser.add_argument("--data", nargs="*", default=DATA, choices=DATA)
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
    parser.add_argument("--p-error", type=float, nargs="*", default=[2.0**-40, 1e-5])
    parser.add_argument(
        "--repetitions", type=int, default=3, help="batches timed; single rows five times as often"
    )
    parser.add_argument("--rows", type=int, default=BATCH, help="encrypted rows compared with clear ones")
    parser.add_argument("--no-save", action="store_true")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        for name in track(arguments.data, description="data sets", console=Console(stderr=True)):
            results += measure(name, Path(directory), arguments)
    where = machine("skfhe", "concrete-python", "torch", "brevitas", "skorch", "scikit-learn", "numpy")
    console = Console(width=220)
    console.print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}")
    results.sort(key=lambda r: arguments.p_error.index(r["p_error"]))
    console.print(detailed_table(results))
    console.print("\nWhat stands between a row and its lookups")
    labels = [[r["data"], r["model"], f"{r['p_error']:.0e}"] for r in results]
    console.print(between_table(labels, results, "data", "model", "p_error"))
    if arguments.peer_python:
        console.print("\nThe peer's time over ours")
        console.print(ratio_table(results))
    console.print("\nTargets")
    console.print(target_table(results))
    if not arguments.no_save:
        given = {"data": DATA, "models": MODELS}
        parts = [value for name, all_ in given.items() for value in getattr(arguments, name)
                 if len(getattr(arguments, name)) < len(all_)]  # fmt: skip
        path = save(
            " ".join(["neural_network", *parts]),
            {"machine": where, "batch_rows": BATCH, "results": results},
        )
        console.print(f"\nsaved: benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
