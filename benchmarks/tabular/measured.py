"""One linear or tree model of skfhe, and one of the peer: what ``benchmarks.tabular.compare`` measures."""

import json
import os
import subprocess
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import REGRESSION, load
from benchmarks.engine.floors import between
from benchmarks.measure import seconds
from benchmarks.tabular.models import Bits, Model
from skfhe.cost._prices import seconds_a_operation
from skfhe.program import run_batched

PEER = Path(__file__).parent.parent / "peers" / "concrete_ml_tabular.py"
BATCH = 64
LEAST_ROWS = 2
FLOAT_ROUNDING = 1e-6
"""What originals that add in single precision may be off by, as a part of the largest score."""


@dataclass(frozen=True)
class Options:
    """How long to measure.

    Parameters
    ----------
    p_error : float
    max_seconds : float
        Circuits that are estimated to take longer a row are compared in the clear only.
    seconds : float
        Budget of the single rows of one model, and that of its batch.
    repetitions : int
        Batches timed where the budget allows; single rows five times as often.
    peer_timeout : float
        Seconds after which a process of the peer is given up.
    rows : int
        Encrypted rows that are compared with clear ones, whatever the budget.
    """

    p_error: float
    max_seconds: float
    seconds: float
    repetitions: int
    peer_timeout: float
    rows: int = BATCH

    @property
    def max_complexity(self) -> float:
        """The limit in elementary operations, by the package's own price of one."""
        return self.max_seconds / seconds_a_operation(4)


@dataclass(frozen=True, eq=False)
class Split:
    """Scaled rows and labels of one data set, and the file that the peer's process reads them from."""

    name: str
    rows: np.ndarray
    labels: np.ndarray
    test_rows: np.ndarray
    test_labels: np.ndarray
    path: Path

    @property
    def regression(self) -> bool:
        """Whether labels are numbers to be predicted."""
        return self.name in REGRESSION

    def score(self, predicted: np.ndarray, which: Any = slice(None)) -> float:
        """Return accuracy or R² on the test rows ``which``."""
        return float((r2_score if self.regression else accuracy_score)(self.test_labels[which], predicted))

    def agreement(self, predicted: np.ndarray, original: np.ndarray) -> float:
        """Share of equal classes, or the largest difference in standard deviations of the predictions."""
        if self.regression:
            return float(np.max(np.abs(predicted - original)) / np.std(original))
        return float(np.mean(predicted == original))


def prepare(name: str, directory: Path) -> Split:
    """Split and scale a data set, and write it where the peer's process reads it."""
    X, y = load(name)
    regression = name in REGRESSION
    train, test = train_test_split(
        np.arange(len(X)), test_size=0.25, stratify=None if regression else y, random_state=0
    )
    path = directory / f"{name}.npz"
    np.savez(path, X=X, y=y, train=train, test=test, regression=regression)
    rows = StandardScaler().fit(X[train]).transform(X)
    return Split(name, rows[train], y[train], rows[test], y[test], path)


def measure_ours(model: Model, n_bits: Bits, split: Split, options: Options) -> dict[str, Any]:
    """Train a model and its float original, compare them in the clear, and measure encrypted predictions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator, original = model.ours(split.name, n_bits), model.float_original(split.name)
        found = {
            "bits": n_bits,
            "fit": seconds(lambda: estimator.fit(split.rows, split.labels), options.repetitions),
            "float_fit": seconds(lambda: original.fit(split.rows, split.labels), options.repetitions),
        }
        found |= compare(estimator, original, split)
        cost = estimator.cost_
        found |= {"lookups": dict(sorted(cost.lookups.items())), "estimated_seconds": cost.seconds,
                  "estimated_complexity": cost.complexity}  # fmt: skip
        if cost.seconds > options.max_seconds:
            return found | {"skipped": f"estimated at {cost.seconds:.0f} s a row"}
        return found | measure_encrypted(estimator, split, options)


def compare(estimator: Any, original: Any, split: Split) -> dict[str, Any]:
    """Compare the integers' predictions with the original's on every test row."""
    rows = split.test_rows
    clear, of_float = (np.ravel(m.predict(rows)) for m in (estimator, original))
    error = getattr(estimator, "score_error_", None)
    found = difference(scored_by(estimator), estimator, original, rows)
    rounding = FLOAT_ROUNDING * (np.abs(of_float).max() if split.regression else 1.0)
    equal_trees = getattr(estimator, "n_bits", None) is None
    return {
        "score": split.score(clear),
        "float_score": split.score(of_float),
        "agreement": split.agreement(clear, of_float),
        "probability_difference": difference("predict_proba", estimator, original, rows),
        "score_error": error,
        "score_difference": found,
        "beyond_score_error": bool(equal_trees and found is not None and found > error + rounding),
    }


def difference(method: str | None, estimator: Any, original: Any, rows: np.ndarray) -> float | None:
    """Largest difference of what ``method`` returns, or None if it is missing."""
    if method is None or not (hasattr(estimator, method) and hasattr(original, method)):
        return None
    return float(np.max(np.abs(getattr(estimator, method)(rows) - getattr(original, method)(rows))))


def scored_by(estimator: Any) -> str | None:
    """Return the method that returns the scores which ``score_error_`` is about, as far as there is one."""
    if not hasattr(estimator, "score_error_"):
        return None
    if not hasattr(estimator, "predict_proba"):
        return "predict"
    if hasattr(estimator, "decision_function"):
        return "decision_function"
    return "predict_proba" if hasattr(estimator, "estimators_") or hasattr(estimator, "tree_") else None


class Recorder:
    """Compares every integer that a compiled estimator decrypts with the clear program's."""

    def __init__(self, estimator: Any) -> None:
        self.calls: list[tuple[Any, Any]] = []
        self._program = estimator.program_
        self._circuit = estimator.fhe_circuit_
        execute = self._circuit.execute

        def recorded(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
            outputs = execute(*inputs)
            self.calls.append((inputs, outputs))
            return outputs

        self._circuit.execute = recorded

    def equal_rows(self) -> tuple[int, int]:
        """Return how many rows were equal in all their integers, and how many there were."""
        equal = []
        for inputs, outputs in self.calls:
            clear = run_batched(self._program, *inputs)
            rows = [(e == c).reshape(len(e), -1).all(axis=1) for e, c in zip(outputs, clear, strict=True)]
            equal.append(np.all(rows, axis=0))
        return int(np.concatenate(equal).sum()), sum(map(len, equal))


def measure_encrypted(estimator: Any, split: Split, options: Options) -> dict[str, Any]:
    """Compile a fitted estimator and predict encrypted rows, one by one and in a batch."""
    compile_seconds = seconds(lambda: estimator.compile(p_error=options.p_error))
    circuit = estimator.fhe_circuit_
    keygen_seconds = seconds(circuit.keygen)
    recorder = Recorder(estimator)
    singles, predicted = single_rows(estimator, split.test_rows, options)
    n_batch = int(np.clip(options.seconds / singles["row"], LEAST_ROWS, BATCH))
    batch = np.resize(split.test_rows, (n_batch, split.test_rows.shape[1]))
    often = options.repetitions if n_batch * singles["row"] * options.repetitions < options.seconds else 1
    results: list[np.ndarray] = []
    batch_seconds = seconds(lambda: results.append(estimator.predict(batch, fhe="execute")), often)
    predicted |= dict(enumerate(np.ravel(results[-1])[: len(split.test_rows)]))
    missing = options.rows - sum(len(outputs[0]) for _, outputs in recorder.calls)
    for rows in further_rows(split.test_rows, sorted(predicted), missing, max(circuit.batch_sizes)):
        found = np.ravel(estimator.predict(split.test_rows[rows], fhe="execute"))
        predicted |= dict(zip(rows.tolist(), found, strict=True))
    equal, checked = recorder.equal_rows()
    one_row = next(inputs for inputs, outputs in recorder.calls if len(outputs[0]) == 1)
    statistics, which = circuit.statistics, sorted(predicted)
    return {
        "complexity": circuit.complexity,
        "compile": compile_seconds,
        "keygen": keygen_seconds,
        **singles,
        **between(circuit, one_row, singles["row"], 5 * options.repetitions),
        "batch_row": batch_seconds / n_batch,
        "batch_rows": n_batch,
        "key_bytes": statistics["key_bytes"],
        "input_bytes": statistics["input_bytes"],
        "output_bytes": statistics["output_bytes"],
        "encrypted_score": split.score(np.array([predicted[i] for i in which]), which),
        "encrypted_rows": len(which),
        "equal_rows": equal,
        "checked_rows": checked,
    }


def further_rows(rows: np.ndarray, known: list[int], missing: int, a_call: int) -> Iterator[np.ndarray]:
    """Yield the numbers of ``missing`` more rows, those that are not ``known`` first, some for each call."""
    order = np.concatenate([np.setdiff1d(np.arange(len(rows)), known), np.asarray(known, dtype=np.int64)])
    chosen = np.resize(order, max(0, missing))
    for start in range(0, len(chosen), a_call):
        yield chosen[start : start + a_call]


def single_rows(estimator: Any, rows: np.ndarray, options: Options) -> tuple[dict[str, Any], dict[int, Any]]:
    """Time single calls of ``predict``, everything in them, after one that is not counted."""
    first = seconds(lambda: estimator.predict(rows[:1], fhe="execute"))
    n = int(np.clip(options.seconds / first, LEAST_ROWS, 5 * options.repetitions))
    taken, predicted = [], {}
    busy, machine = time.process_time(), busy_seconds()
    start_all = time.perf_counter()
    for i in range(n):
        index = i % len(rows)
        start = time.perf_counter()
        (predicted[index],) = np.ravel(estimator.predict(rows[index : index + 1], fhe="execute"))
        taken.append(time.perf_counter() - start)
    busy, wall = time.process_time() - busy, time.perf_counter() - start_all
    others = max(0.0, busy_seconds() - machine - busy) / wall
    times = {"row": float(np.median(taken)), "rows_timed": n, "processor": busy / wall, "others": others}
    return times, predicted


def busy_seconds() -> float:
    """Return the processor seconds that all processes have used, or 0 where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text("ascii").split(maxsplit=5)
    except OSError:
        return 0.0
    return sum(map(int, fields[1:4])) / os.sysconf("SC_CLK_TCK")


def measure_peer(python: str, model: Model, split: Split, options: Options) -> list[dict[str, Any]]:
    """Measure the peer's model at each of its bits, in a process of its own environment."""
    command = [python, str(PEER), str(split.path), str(model.class_name(split.name)),
               "--settings", json.dumps(model.settings), "--bits", *map(str, model.peer_bits),
               "--p-error", str(options.p_error), "--max-complexity", str(options.max_complexity),
               "--max-seconds", str(options.max_seconds), "--seconds", str(options.seconds),
               "--repetitions", str(options.repetitions)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=options.peer_timeout)
    if done.returncode:
        raise RuntimeError(f"the peer's process failed:\n{done.stderr[-2000:]}")
    return list(json.loads(done.stdout.splitlines()[-1]))
