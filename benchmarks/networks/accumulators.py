"""The guarantee of bounded accumulators on digits: ``python -m benchmarks.networks.accumulators``.

For each width P: accuracy on a quarter of the data held out, proven bits of each accumulator, the largest
accumulator that inputs made to be the worst case reach, lookups, and predicted against actual complexity.

The worst inputs of the first hidden layer set exactly the bits of a neuron's positive weights, or
exactly those of its negative ones. A deeper layer's are searched for: the rows of the data and random
flips of input bits, kept while they push a neuron further.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split

from benchmarks.datasets import load
from skfhe.neural_network import NeuralNetClassifier
from skfhe.program import Program, trace


def extremes(program: Program, rows: np.ndarray, rng: np.random.Generator, steps: int = 300) -> list[int]:
    """Return the largest accumulator found for each lookup layer; accumulators start at zero."""
    weight = program.values[1].op.weight
    made = np.concatenate([(weight > 0).T, (weight < 0).T]).astype(np.int64)
    read = [program.values[position].arguments[0] for position in program.lookups]
    best = [int(v.max()) for v in (trace(program, np.concatenate([made, rows]))[r] for r in read)]
    for layer, position in enumerate(read[1:], start=1):
        row = rows[:1]
        score = -1
        for _ in range(steps):
            flips = rng.random((64, row.shape[1])) < 0.02
            candidates = np.where(flips, 1 - row, row)
            reached = trace(program, candidates)[position].max(axis=1)
            if reached.max() >= score:
                score, row = int(reached.max()), candidates[[int(reached.argmax())]]
        best[layer] = max(best[layer], score)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, nargs="*", default=list(range(4, 11)))
    parser.add_argument("--layers", type=int, nargs="*", default=[2, 3])
    parser.add_argument("--epochs", type=int, default=100)
    arguments = parser.parse_args()
    X, y = load("digits")
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    table = Table("P", "layers", "accuracy", "proven bits", "proven largest", "largest reached",
                  "output bits", "lookups", "predicted M", "actual M")  # fmt: skip
    for n_layers in arguments.layers:
        for bits in arguments.bits:
            model = NeuralNetClassifier(
                module__accumulator="bounded",
                module__n_accum_bits=bits,
                module__n_layers=n_layers,
                module__n_thresholds_per_neuron=64,
                module__n_output_bits=10,
                module__skip_connection=False,
                max_epochs=arguments.epochs,
                random_state=0,
            ).fit(X_train, y_train)
            program = model.program_
            read = [program.values[position].arguments[0] for position in program.lookups]
            rows = model.encoder_.quantize(X_test)
            circuit = model.compile()
            table.add_row(
                str(bits),
                str(n_layers),
                f"{model.score(X_test, y_test):.3f}",
                str(model.accumulator_bits_),
                str([program.values[position].type.max for position in read]),
                str(extremes(program, rows, np.random.default_rng(0))),
                str(model.output_bits_),
                str(circuit.cost.lookups),
                f"{circuit.cost.complexity / 1e6:.0f}",
                f"{circuit.complexity / 1e6:.0f}",
            )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
