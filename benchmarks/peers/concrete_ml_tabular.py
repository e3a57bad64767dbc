"""One linear or tree model of Concrete ML, measured in its own environment.

Run by ``benchmarks.tabular.compare``. Reads a data file that the caller wrote and prints one line of JSON,
a result for each number of bits. Predictions are the peer's own: it encrypts, runs and decrypts one row after
another.
"""

import argparse
import json
import time
import warnings

import numpy as np


def timed(call):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def score(labels, predicted, regression):
    from sklearn.metrics import accuracy_score, r2_score

    return float((r2_score if regression else accuracy_score)(labels, np.ravel(predicted)))


def agreement(clear, original, regression):
    """Share of equal classes, or the largest difference in standard deviations of the predictions."""
    clear, original = np.ravel(clear), np.ravel(original)
    if regression:
        return float(np.max(np.abs(clear - original)) / np.std(original))
    return float(np.mean(clear == original))


def in_the_clear(model, data, rows, regression, repetitions):
    """Fit the model and its float original, and compare them on the held-out rows."""
    train, test, y = data["train"], data["test"], data["y"]
    _, original = model.fit_benchmark(rows[train], y[train])
    fits = [
        np.median([timed(lambda m=m: m.fit(rows[train], y[train]))[1] for _ in range(repetitions)])
        for m in (model, original)
    ]
    clear, of_float = model.predict(rows[test]), original.predict(rows[test])
    return {
        "score": score(y[test], clear, regression),
        "float_score": score(y[test], of_float, regression),
        "agreement": agreement(clear, of_float, regression),
        "fit": float(fits[0]),
        "float_fit": float(fits[1]),
    }


def encrypted(model, rows, circuit, arguments):
    """Time encrypted predictions, within the budget of seconds."""
    _, keygen_seconds = timed(circuit.client.keygen)
    _, first = timed(lambda: model.predict(rows[:1], fhe="execute"))
    if first > arguments.max_seconds:
        slow = {"row": first, "rows_timed": 1, "skipped": f"one row alone, which took {first:.0f} s"}
        return {"keygen": keygen_seconds, **slow}
    n = int(np.clip(arguments.seconds / first, 2, 5 * arguments.repetitions))
    busy, one = time.process_time(), []
    for i in range(n):
        row = rows[[i % len(rows)]]
        one.append(timed(lambda x=row: model.predict(x, fhe="execute"))[1])
    busy = time.process_time() - busy
    n_batch = int(np.clip(arguments.seconds / np.median(one), 2, 64))
    batch = np.resize(rows, (n_batch, rows.shape[1]))
    predicted, batch_seconds = timed(lambda: model.predict(batch, fhe="execute"))
    clear = model.predict(batch)
    return {
        "keygen": keygen_seconds,
        "row": float(np.median(one)),
        "rows_timed": n,
        "processor": busy / sum(one),
        "batch_row": batch_seconds / n_batch,
        "batch_rows": n_batch,
        "key_bytes": int(circuit.size_of_bootstrap_keys + circuit.size_of_keyswitch_keys),
        "equal_rows": int(np.isclose(np.ravel(predicted), np.ravel(clear)).sum()),
        "checked_rows": n_batch,
    }


def measure(n_bits, data, rows, arguments):
    from concrete.ml import sklearn as peer

    regression = bool(data["regression"])
    model = getattr(peer, arguments.estimator)(n_bits=n_bits, **arguments.settings)
    found = {"bits": n_bits, **in_the_clear(model, data, rows, regression, arguments.repetitions)}
    circuit, compile_seconds = timed(
        lambda: model.compile(rows[data["train"]][:500], p_error=arguments.p_error)
    )
    found |= {
        "compile": compile_seconds,
        "lookups": int(circuit.programmable_bootstrap_count),
        "complexity": float(circuit.complexity),
    }
    if found["complexity"] > arguments.max_complexity:
        return found | {"skipped": "over the limit by its complexity"}
    return found | encrypted(model, rows[data["test"]], circuit, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="npz with X, y and one split, and whether it is a regression")
    parser.add_argument("estimator", help="name of a class of concrete.ml.sklearn")
    parser.add_argument("--settings", type=json.loads, default={}, help="constructor parameters as JSON")
    parser.add_argument("--bits", type=int, nargs="+", required=True)
    parser.add_argument("--p-error", type=float, default=2.0**-40)
    parser.add_argument("--max-complexity", type=float, default=float("inf"), help="of one row that is run")
    parser.add_argument("--max-seconds", type=float, default=20.0, help="of one row, to go on with others")
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of single rows, and of the batch")
    parser.add_argument("--repetitions", type=int, default=3, help="a fifth of the single rows")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    from sklearn.preprocessing import StandardScaler

    data = np.load(arguments.data)
    rows = StandardScaler().fit(data["X"][data["train"]]).transform(data["X"])
    print(json.dumps([measure(n_bits, data, rows, arguments) for n_bits in arguments.bits]))


if __name__ == "__main__":
    main()
