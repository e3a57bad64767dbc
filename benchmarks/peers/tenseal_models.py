"""A linear model or a network with square activation under CKKS, measured in TenSEAL's own environment.

Run by ``benchmarks.peers.ckks``. Reads weights and rows that the caller wrote and prints one line of JSON.
"""

import argparse
import json
import time

import numpy as np


def median_seconds(call, repetitions):
    taken = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="npz with rows, labels, and weights w0, b0, w1, b1, …")
    parser.add_argument("--rows", type=int, default=5)
    arguments = parser.parse_args()

    import tenseal as ts

    data = np.load(arguments.data)
    layers = [(data[f"w{i}"].tolist(), data[f"b{i}"].tolist()) for i in range(sum(k[0] == "w" for k in data))]
    # Two primes of 50 bits at the ends and one of 38 for each multiplication keep 128 bits of security.
    sizes = [50, *[38] * (2 * len(layers) - 1), 50]
    start = time.perf_counter()
    context = ts.context(ts.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=sizes)
    context.global_scale = 2**38
    context.generate_galois_keys()
    keygen = time.perf_counter() - start
    key_bytes = len(context.serialize(save_secret_key=False))

    # A matrix product reads the vector's copies in the other slots, and a bias is added to the first copy
    # alone. So all biases but the last are weights of an input that is always 1.
    (first, bias), *others = layers
    if others:
        layers = [([*first, bias], None), *others]

    def evaluate(x):
        for i, (weight, bias) in enumerate(layers):
            x = x.mm(weight)
            if bias is not None:
                x = x + bias
            if i + 1 < len(layers):
                x = x.square()
        return x

    rows = data["rows"][: arguments.rows]
    if others:
        rows = np.column_stack([rows, np.ones(len(rows))])
    scores = [np.array(evaluate(ts.ckks_vector(context, row.tolist())).decrypt()) for row in rows]
    clear = rows
    for i, (weight, bias) in enumerate(layers):
        clear = clear @ np.array(weight) + np.array(0.0 if bias is None else bias)
        clear = clear**2 if i + 1 < len(layers) else clear
    vector = ts.ckks_vector(context, rows[0].tolist())
    print(
        json.dumps(
            {
                "keygen": keygen,
                "key_bytes": key_bytes,
                "input_bytes": len(vector.serialize()),
                "row": median_seconds(
                    lambda: evaluate(ts.ckks_vector(context, rows[0].tolist())).decrypt(), arguments.rows
                ),
                "largest_difference": float(np.abs(np.array(scores) - clear).max()),
                "equal_classes": int((np.argmax(scores, axis=1) == clear.argmax(axis=1)).sum()),
                "rows": len(rows),
            }
        )
    )


if __name__ == "__main__":
    main()
