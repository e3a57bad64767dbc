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
got). The floor is a bare table on ciphertexts: as many lookups of the same widths, one call, evaluation
alone; the quotient says what all the rest costs. Of skfhe's 64 encrypted rows every integer is compared
with the clear one.

Fit is also compared at equal epochs (50) and equal batches (64 rows).
"""

import argparse
import itertools
import json
import subprocess
import tempfile
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
from benchmarks.engine.cost_table import lookups
from benchmarks.measure import machine, save, seconds
from skfhe.circuit import compile_program
from skfhe.cost._error_rate import ErrorRate
from skfhe.neural_network import NeuralNetClassifier
from skfhe.program import run

DATA = ("iris", "wine", "breast_cancer", "digits", "checkerboard")
TARGETS = ("digits", "breast_cancer", "iris")
PEER = Path(__file__).with_name("concrete_ml_network.py")
BATCH = 64

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


def floor_seconds(counts: dict[int, int], p_error: float, n_rows: int, repetitions: int) -> float:
    """Return the seconds that a bare table takes for the lookups of ``n_rows`` rows, in one call a width."""
    total = 0.0
    for bits, count in counts.items():
        program = lookups(bits, bits, n=count)
        circuit = compile_program(program, ErrorRate(p_error), batch_sizes=(1, n_rows))
        circuit.keygen()
        ciphertext = circuit.encrypt(np.zeros((n_rows, count), dtype=np.int64))
        total += seconds(lambda c=circuit, x=ciphertext: c.run(x), repetitions, warm_up=1)
    return total


def measure_ours(
    data: dict[str, np.ndarray], settings: dict[str, Any], p_errors: list[float], repetitions: int
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
        trained | measure_encrypted(model, scaled[data["test"]], p_error, repetitions) for p_error in p_errors
    ]


def measure_encrypted(model: Any, rows: np.ndarray, p_error: float, repetitions: int) -> dict[str, Any]:
    """Measure a fitted network of skfhe at one error rate."""
    compile_seconds = seconds(lambda: model.compile(p_error=p_error))
    circuit = model.fhe_circuit_
    keygen_seconds = seconds(circuit.keygen)
    batch = np.resize(rows, (BATCH, rows.shape[1]))
    inputs = model.encoder_.encode(batch)
    encrypted, clear = circuit.execute(*inputs), run(model.program_, *inputs)
    next_row = itertools.cycle(range(len(rows)))

    def one_row() -> None:
        i = next(next_row)
        model.predict(rows[i : i + 1], fhe="execute")

    counts = dict(model.cost_.lookups)
    statistics = circuit.statistics
    first = [x[:1] for x in inputs]
    ciphertext = circuit.encrypt(*first)
    return {
        "p_error": p_error,
        "lookups": counts,
        "complexity": circuit.complexity,
        "compile": compile_seconds,
        "keygen": keygen_seconds,
        "row": seconds(one_row, 5 * repetitions, warm_up=2),
        "encrypt_row": seconds(lambda: circuit.encrypt(*first), 5 * repetitions),
        "run_row": seconds(lambda: circuit.run(ciphertext), 5 * repetitions),
        "floor_row": floor_seconds(counts, p_error, 1, 5 * repetitions),
        "batch_row": seconds(lambda: model.predict(batch, fhe="execute"), repetitions) / BATCH,
        "batch_rows": BATCH,
        "floor_batch_row": floor_seconds(counts, p_error, BATCH, repetitions) / BATCH,
        "key_bytes": statistics["key_bytes"],
        "input_bytes": statistics["input_bytes"],
        "output_bytes": statistics["output_bytes"],
        "equal_rows": int(
            np.all([np.all(e == c, axis=1) for e, c in zip(encrypted, clear, strict=True)], axis=0).sum()
        ),
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
        ours = "floor_row" in r
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
            f"{r['row'] / r['floor_row']:.2f}" if ours else "",
            f"{r['batch_row']:.4f}",
            f"{r['batch_row'] / r['floor_batch_row']:.2f}" if ours else "",
            f"{r['key_bytes'] / 1e6:.0f}",
            f"{r['input_bytes'] / 1e3:.0f}",
            f"{r['output_bytes'] / 1e3:.0f}",
            f"{r['equal_rows']} of {r['batch_rows']}" if ours else "",
        )
    return table


def ratio_table(results: list[dict[str, Any]]) -> Table:
    """Peer over ours, the peer at its better trained settings."""
    table = Table("p_error", "skfhe", "data", "1 row", "64 rows", "fit, equal epochs and batches",
                  "accuracy, ours - peer's", box=None)  # fmt: skip
    found = {(r["data"], r["model"], r["p_error"]): r for r in results}
    for p_error in dict.fromkeys(r["p_error"] for r in results):
        for model in ("skfhe", "skfhe tuned"):
            rows = []
            for name in dict.fromkeys(r["data"] for r in results):
                ours, peer = found.get((name, model, p_error)), found.get((name, "peer 50 epochs", p_error))
                if ours is None or peer is None:
                    continue
                rows.append((name, peer["row"] / ours["row"]))
                table.add_row(
                    f"{p_error:.0e}",
                    model,
                    name,
                    f"{rows[-1][1]:.1f}",
                    f"{peer['batch_row'] / ours['batch_row']:.1f}",
                    f"{peer['fit'] / ours['fit_equal']:.1f}",
                    f"{np.mean(ours['folds']) - np.mean(peer['folds']):+.3f}",
                )
            ratios = [ratio for name, ratio in rows if name in TARGETS]
            if len(ratios) == len(TARGETS):
                table.add_row(
                    f"{p_error:.0e}", model, f"geometric mean of {len(TARGETS)}", f"{gmean(ratios):.1f}"
                )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="interpreter of an environment with concrete-ml 1.9.0")
    parser.add_argument("--data", nargs="*", default=DATA, choices=DATA)
    parser.add_argument("--p-error", type=float, nargs="*", default=[2.0**-40, 1e-5])
    parser.add_argument(
        "--repetitions", type=int, default=3, help="batches timed; single rows five times as often"
    )
    parser.add_argument("--no-save", action="store_true")
    arguments = parser.parse_args()

    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        for name in track(arguments.data, description="data sets", console=Console(stderr=True)):
            data, path = prepare(name, Path(directory))
            measured = [
                ("skfhe", measure_ours(data, OURS[name], arguments.p_error, arguments.repetitions)),
                ("skfhe tuned", measure_ours(data, TUNED[name], arguments.p_error, arguments.repetitions)),
            ]
            if arguments.peer_python:
                for label, settings in (("peer", PEER_SETTINGS), ("peer 50 epochs", peer_trained(name))):
                    found = measure_peer(
                        arguments.peer_python, path, settings, arguments.p_error, arguments.repetitions
                    )
                    measured.append((label, found))
            results += [
                {"data": name, "model": label} | result for label, found in measured for result in found
            ]
    where = machine("skfhe", "concrete-python", "torch", "brevitas", "skorch", "scikit-learn", "numpy")
    console = Console(width=220)
    console.print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}")
    results.sort(key=lambda r: arguments.p_error.index(r["p_error"]))
    console.print(detailed_table(results))
    if arguments.peer_python:
        console.print("\nThe peer's time over ours")
        console.print(ratio_table(results))
    if not arguments.no_save:
        path = save("neural_network", {"machine": where, "batch_rows": BATCH, "results": results})
        console.print(f"\nsaved: benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
