"""``skfhe demo``: trains, compiles and predicts encrypted in one process, then between two."""

import os
import signal
import time
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from skfhe._cli.second_act import Refused, missing_extra, play
from skfhe._cli.terminal import answer_to_closed_pipes, console

__all__ = ["demo"]


def demo(
    rows: Annotated[
        int, typer.Option(min=1, max=38, help="Rows of the test part to predict encrypted.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the split and of training.")] = 0,
    two_processes: Annotated[
        bool, typer.Option(help="Play the second act: a client and a server, each a process of its own.")
    ] = True,
) -> None:
    """Train on Iris, compile, and predict encrypted rows of the test part; then do it as two machines would.

    The second act needs what a server and its clients need: pip install "skfhe[client,server]".
    """
    answer_to_closed_pipes(getattr(signal, "SIG_IGN", None))  # what was started is to be ended first
    try:
        _play(console(), rows, seed, two_processes)
    except BrokenPipeError:
        _end_as_by_closed_pipe()


def _play(to: Console, rows: int, seed: int, two_processes: bool) -> None:
    from sklearn.datasets import load_iris
    from sklearn.model_selection import train_test_split

    from skfhe.neural_network import NeuralNetClassifier

    X, y = load_iris(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
    start = time.perf_counter()
    model = NeuralNetClassifier(random_state=seed).fit(X_train, y_train)
    to.print(f"Trained on {len(X_train)} rows of Iris in {time.perf_counter() - start:.1f} s.")
    start = time.perf_counter()
    circuit = model.compile()
    to.print(f"Compiled in {time.perf_counter() - start:.1f} s. Predicted cost: {circuit.cost}.")
    start = time.perf_counter()
    circuit.keygen()
    to.print(f"Generated keys in {time.perf_counter() - start:.1f} s.")
    to.print(_first_table(model, X_test, y_test, rows))
    if not two_processes:
        return
    missing = missing_extra()
    if missing:
        to.print(
            f"The second act, a client and a server in two processes, needs {missing}: "
            'pip install "skfhe[client,server]"',
            markup=False,
        )
        return
    to.print("Second act: two machines, played by two processes.")
    try:
        to.print(_second_table(play(model, X_test[:rows], to.print), model.predict(X_test[:rows])))
    except Refused as error:
        to.print(f"The second act broke off: {error}", markup=False)
        raise typer.Exit(1) from None


def _first_table(model: Any, X: Any, y: Any, rows: int) -> Table:
    """Predict rows in three ways, and return what came of it."""
    chosen, circuit = X[:rows], model.fhe_circuit_
    model.predict(chosen[:1], fhe="execute")  # the first call sets aside memory that later ones use again
    start = time.perf_counter()
    encrypted = model.predict(chosen, fhe="execute")
    seconds = (time.perf_counter() - start) / rows
    clear = model.predict(chosen)
    statistics = circuit.statistics
    table = Table(title="Neural network on encrypted Iris", show_header=False)
    accuracies = {
        f"accuracy, clear ({len(X)} test rows)": model.score(X, y),
        f"accuracy, simulated ({len(X)} test rows)": np.mean(model.predict(X, fhe="simulate") == y),
        f"accuracy, encrypted ({rows} rows)": np.mean(encrypted == y[:rows]),
        f"accuracy, clear (the same {rows} rows)": np.mean(clear == y[:rows]),
        "encrypted = clear": np.mean(encrypted == clear),
    }
    for name, value in accuracies.items():
        table.add_row(name, f"{value:.1%}")
    widths = ", ".join(f"{n} of {bits} bits" for bits, n in sorted(circuit.cost.lookups.items()))
    table.add_row("seconds a row, encrypted", f"{seconds:.2f}")
    table.add_row("lookups a row", widths)
    table.add_row("accumulators, proven", f"{model.accumulator_bits_} bits")
    table.add_row("p_error of a lookup", f"{statistics['p_error']:.1e}")
    table.add_row("evaluation keys", f"{statistics['key_bytes'] / 1e6:.0f} MB")
    table.add_row(
        "a row, encrypted",
        f"{statistics['input_bytes'] / 1e3:.1f} kB up, {statistics['output_bytes'] / 1e3:.1f} kB down",
    )
    return table


def _second_table(told: dict[str, Any], clear: Any) -> Table:
    """Return what two processes did."""
    rows = len(clear)
    table = Table(title="The same rows, between two processes", show_header=False)
    table.add_row("predictions of the client = clear", f"{np.mean(np.array(told['predicted']) == clear):.1%}")
    table.add_row("the client has", f"client.zip, {told['client_file_bytes'] / 1e3:.1f} kB, rows, secret key")
    table.add_row("the client has loaded", ", ".join(told["loaded"]) or "neither torch nor scikit-learn")
    table.add_row("the server has", f"server.zip, {told['server_file_bytes'] / 1e3:.1f} kB, evaluation keys")
    table.add_row("sent up, once", f"evaluation keys, {told['key_bytes'] / 1e6:.1f} MB")
    up, down = told["input_bytes"] / 1e3, told["output_bytes"] / 1e3
    table.add_row("sent for a row", f"{up:.1f} kB up, {down:.1f} kB down")
    table.add_row("keys made and sent", f"{told['key_seconds']:.1f} s")
    table.add_row(f"{rows} rows, there and back", f"{told['seconds']:.2f} s")
    return table


def _end_as_by_closed_pipe() -> None:
    """End as a program does that writes to a pipe which nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still to be written when the process ends
    answer_to_closed_pipes(getattr(signal, "SIG_DFL", None))
    os.kill(os.getpid(), getattr(signal, "SIGPIPE", signal.SIGTERM))
