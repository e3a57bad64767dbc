"""One network of Concrete ML, measured in its own environment: run by ``benchmarks.peers.neural_network``.

Reads a data file that the caller wrote and prints one line of JSON, a result for each error rate.
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="npz with X, y, one split and five folds")
    parser.add_argument("--settings", type=json.loads, default={}, help="constructor parameters as JSON")
    parser.add_argument("--p-error", type=float, nargs="+", default=[2.0**-40])
    parser.add_argument("--rows", type=int, default=3, help="rows timed one at a time")
    parser.add_argument(
        "--batch-seconds", type=float, default=60.0, help="stop a batch of 64 rows after this"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    import torch
    from concrete.ml.sklearn import NeuralNetClassifier
    from sklearn.preprocessing import StandardScaler

    data = np.load(arguments.data)
    X, y = data["X"], data["y"]

    def fitted(train, test):
        torch.manual_seed(0)
        scaler = StandardScaler().fit(X[train])
        settings = {"module__activation_function": torch.nn.ReLU, "verbose": 0, **arguments.settings}
        model = NeuralNetClassifier(**settings)
        rows = scaler.transform(X).astype(np.float32)
        _, seconds = timed(lambda: model.fit(rows[train], y[train]))
        return model, rows[train], rows[test], y[test], seconds

    scores = []
    for fold in range(5):
        train, test = np.flatnonzero(data["fold"] != fold), np.flatnonzero(data["fold"] == fold)
        model, _, rows, labels, _ = fitted(train, test)
        scores.append(float(np.mean(model.predict(rows) == labels)))

    fits = [fitted(data["train"], data["test"]) for _ in range(3)]
    model, rows_train, rows, labels, _ = fits[0]
    trained = {
        "folds": scores,
        "accuracy": float(np.mean(model.predict(rows) == labels)),
        "fit": float(np.median([seconds for *_, seconds in fits])),
    }
    results = []
    for p_error in arguments.p_error:
        circuit, compile_seconds = timed(lambda p=p_error: model.compile(rows_train[:500], p_error=p))
        _, keygen_seconds = timed(circuit.client.keygen)
        model.predict(rows[:1], fhe="execute")
        one = [
            timed(lambda i=i: model.predict(rows[i : i + 1], fhe="execute"))[1] for i in range(arguments.rows)
        ]
        n_batch = int(np.clip(arguments.batch_seconds / np.median(one), 1, 64))
        batch = np.resize(rows, (n_batch, rows.shape[1]))
        _, batch_seconds = timed(lambda x=batch: model.predict(x, fhe="execute"))
        measured = {
            "p_error": p_error,
            "lookups": int(circuit.programmable_bootstrap_count),
            "largest_bits": int(circuit.graph.maximum_integer_bit_width()),
            "complexity": float(circuit.complexity),
            "compile": compile_seconds,
            "keygen": keygen_seconds,
            "row": float(np.median(one)),
            "batch_row": batch_seconds / n_batch,
            "batch_rows": n_batch,
            "key_bytes": int(circuit.size_of_bootstrap_keys + circuit.size_of_keyswitch_keys),
            "input_bytes": int(circuit.size_of_inputs),
            "output_bytes": int(circuit.size_of_outputs),
        }
        results.append({**trained, **measured})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
