"""The ``skfhe`` command."""

import codecs
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Predictions on encrypted data.",
)

SPELLED = {"…": "...", "×": "x", "·": "-", "→": "->", "≤": "<=", "≥": ">=", "µ": "u", "–": "-"}
"""What terminals that do not know a character are shown in its place; a question mark for others."""


def _print_version(wanted: bool) -> None:
    if wanted:
        import skfhe

        print(skfhe.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


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


@app.command()
def serve(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="MODEL…", help="Folders that skfhe.deployment.save wrote.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on, by default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any; by default 8000.")] = None,
    keys: Annotated[str | None, typer.Option(help="Folder or fsspec URL of evaluation keys.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that compute, by default 2.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key of the certificate, PEM.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Bearer tokens, in lines of NAME TOKEN.")] = None,
    grace: Annotated[
        float | None, typer.Option(help="Seconds to finish what runs at the end, by default 30.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; by default info.")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting; may be repeated.")
    ] = None,
    settings: Annotated[bool, typer.Option("--settings", help="List all settings, and end.")] = False,
) -> None:
    """Serve models over HTTP, by the Open Inference Protocol v2.

    Every setting is an environment variable, too: SKFHE_PORT is --port. Log lines are JSON, on stderr.
    """
    try:
        from skfhe.deployment import ServerSettings, run_server
    except ModuleNotFoundError as error:
        raise _failed(f'{error.name} is not installed: pip install "skfhe[server]"') from None
    if settings:
        _list_settings(ServerSettings)
        return
    _answer_to_closed_pipes(signal.SIG_IGN)  # a client that hangs up must not end the server
    named = [pair.partition("=") for pair in more or []]
    given: dict[str, Any] = {name.replace("-", "_"): value for name, _, value in named}
    options = {
        **{"host": host, "port": port, "keys": keys, "workers": workers, "tls_cert": tls_cert},
        **{"tls_key": tls_key, "token_file": token_file, "grace": grace, "log_level": log_level},
        "folders": tuple(folders) if folders else None,
    }
    given.update({name: value for name, value in options.items() if value is not None})
    try:
        run_server(ServerSettings.from_environment(os.environ, **given), lambda line: print(line, flush=True))
    except (ValueError, OSError) as error:
        raise _failed(str(error)) from None


def _failed(message: str) -> typer.Exit:
    """Print why a command cannot do what it was asked for, and return what ends it."""
    typer.echo(f"skfhe: {message}", err=True)
    return typer.Exit(1)


def _list_settings(settings: Any) -> None:
    """Print all settings of a server."""
    table = Table("setting", "default", "what it is", title="SKFHE_… in capitals, or --set")
    for row in settings.describe():
        table.add_row(*row)
    Console(width=110).print(table)


def _answer_to_closed_pipes(handler: Any) -> None:
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, handler)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Answer to a character that an encoding does not have, as an error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(SPELLED.get(character, "?") for character in unknown), error.end


def main() -> None:
    """Run the command line.

    It ends without a word when whoever reads its output has had enough, as ``head`` has, and spells out what
    a terminal cannot show.
    """
    _answer_to_closed_pipes(getattr(signal, "SIG_DFL", None))
    codecs.register_error("skfhe.spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="skfhe.spelled")
    app()


if __name__ == "__main__":
    main()
