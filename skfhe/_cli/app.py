"""The command and its parts."""

from typing import Annotated

import typer

from skfhe._cli.bench import bench
from skfhe._cli.demo import demo
from skfhe._cli.report import report
from skfhe._cli.serving import serve
from skfhe._cli.terminal import prepare_streams

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Predictions on encrypted data.",
)
for command in (demo, report, bench, serve):
    app.command()(command)


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


def main() -> None:
    """Run the command line.

    It ends without a word when whoever reads its output has had enough, as ``head`` has, and spells out what
    a terminal cannot show.
    """
    prepare_streams()
    app()
