"""The ``skfhe`` command."""

import time

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Predictions on encrypted data.")


@app.callback()
def _root() -> None:
    """Keep ``demo`` a command of its own while it is the only one."""


@app.command()
def demo(
    rows: int = typer.Option(10, min=1, max=38, help="Rows of the test part to predict encrypted."),
    seed: int = typer.Option(0, help="Seed of the split and of training."),
) -> None:
    """Train on Iris, compile, and predict encrypted rows of the test part."""
    from sklearn.datasets import load_iris
    from sklearn.model_selection import train_test_split

    from skfhe.neural_network import NeuralNetClassifier

    console = Console(width=100)
    X, y = load_iris(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
    start = time.perf_counter()
    model = NeuralNetClassifier(random_state=seed).fit(X_train, y_train)
    console.print(f"Trained on {len(X_train)} rows of Iris in {time.perf_counter() - start:.1f} s.")
    start = time.perf_counter()
    circuit = model.compile()
    console.print(f"Compiled in {time.perf_counter() - start:.1f} s. Predicted cost: {circuit.cost}.")
    start = time.perf_counter()
    circuit.keygen()
    console.print(f"Generated keys in {time.perf_counter() - start:.1f} s.")

    chosen = X_test[:rows]
    model.predict(chosen[:1], fhe="execute")  # the first call sets aside memory that later ones use again
    start = time.perf_counter()
    encrypted = model.predict(chosen, fhe="execute")
    seconds = (time.perf_counter() - start) / rows
    clear = model.predict(chosen)
    statistics = circuit.statistics

    table = Table(title="Neural network on encrypted Iris", show_header=False)
    accuracies = {
        f"accuracy, clear ({len(X_test)} test rows)": model.score(X_test, y_test),
        f"accuracy, simulated ({len(X_test)} test rows)": np.mean(
            model.predict(X_test, fhe="simulate") == y_test
        ),
        f"accuracy, encrypted ({rows} rows)": np.mean(encrypted == y_test[:rows]),
        f"accuracy, clear (the same {rows} rows)": np.mean(clear == y_test[:rows]),
        "encrypted = clear": np.mean(encrypted == clear),
    }
    for name, value in accuracies.items():
        table.add_row(name, f"{value:.1%}")
    keys = statistics["key_bytes"]
    widths = ", ".join(f"{n} of {bits} bits" for bits, n in sorted(circuit.cost.lookups.items()))
    table.add_row("seconds a row, encrypted", f"{seconds:.2f}")
    table.add_row("lookups a row", widths)
    table.add_row("accumulators, proven", f"{model.accumulator_bits_} bits")
    table.add_row("p_error of a lookup", f"{statistics['p_error']:.1e}")
    table.add_row("evaluation keys", f"{keys / 1e6:.0f} MB")
    table.add_row(
        "a row, encrypted",
        f"{statistics['input_bytes'] / 1e3:.1f} kB up, {statistics['output_bytes'] / 1e3:.1f} kB down",
    )
    console.print(table)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
