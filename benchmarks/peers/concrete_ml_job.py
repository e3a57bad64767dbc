"""One model of Concrete ML on the folds of one job, measured in its own environment.

Run by ``benchmarks.jobs``. Reads a file of folds that the caller wrote and prints one line of JSON. Scores
are those of its quantized model in the clear, the integers that it would run encrypted. A circuit that
cannot be compiled is a result, too. Nothing is timed.
"""

import argparse
import json
import warnings

import numpy as np

P_ERROR = 2.0**-40
CALIBRATION_ROWS = 500


def score(model, rows, labels, scoring):
    from sklearn.metrics import accuracy_score, roc_auc_score

    if scoring == "accuracy":
        return float(accuracy_score(labels, model.predict(rows)))
    return float(roc_auc_score(labels, model.predict_proba(rows)[:, 1]))


def compiled(model, rows, held_out):
    """Compile, and compare encrypted predictions of held-out rows with clear ones."""
    try:
        circuit = model.compile(rows[:CALIBRATION_ROWS], p_error=P_ERROR)
    except Exception as error:  # whatever the peer raises
        return {"refused": f"{type(error).__name__}: {error}"[:300]}
    found = {
        "lookups": int(circuit.programmable_bootstrap_count),
        "complexity": float(circuit.complexity),
        "key_bytes": int(circuit.size_of_bootstrap_keys + circuit.size_of_keyswitch_keys),
        "input_bytes": int(circuit.size_of_inputs),
        "output_bytes": int(circuit.size_of_outputs),
    }
    if len(held_out):
        circuit.client.keygen()
        equal = np.ravel(model.predict(held_out, fhe="execute")) == np.ravel(model.predict(held_out))
        found |= {"equal_rows": int(equal.sum()), "checked_rows": len(held_out)}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="npz with y, and rows, train and test of five folds")
    parser.add_argument("estimator", help="name of a class of concrete.ml.sklearn")
    parser.add_argument("--settings", type=json.loads, default={}, help="constructor parameters as JSON")
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--scoring", choices=["roc_auc", "accuracy"], required=True)
    parser.add_argument("--rows", type=int, default=0, help="rows that are predicted encrypted")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    from concrete.ml import sklearn as peer

    data = np.load(arguments.data)
    y = data["y"]

    def fold(number):
        rows = data[f"rows{number}"].astype(np.float32)
        train, test = data[f"train{number}"], data[f"test{number}"]
        model = getattr(peer, arguments.estimator)(n_bits=arguments.bits, **arguments.settings)
        return model.fit(rows[train], y[train]), rows[train], rows[test], y[test]

    folds = []
    for number in range(5):
        model, _, held_out, labels = fold(number)
        folds.append(score(model, held_out, labels, arguments.scoring))
    model, rows, held_out, _ = fold(0)
    found = {"score": float(np.mean(folds)), "folds": folds}
    print(json.dumps(found | compiled(model, rows, held_out[: arguments.rows])))


if __name__ == "__main__":
    main()
