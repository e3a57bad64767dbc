"""``skfhe bench``: measures this machine, so that costs are told in its seconds."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from skfhe._cli.terminal import console, failed
from skfhe._telling import progress, showing
from skfhe.cost import KINDS, VARIABLE, Machine, machine_path, reference_seconds, write_machine

__all__ = ["bench"]


def bench(
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write there, for SKFHE_MACHINE=FILE, and not to this user's cache."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and print, and keep nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the file holds.")] = False,
) -> None:
    """Measure this machine in about half a minute; cost_.seconds are its seconds from then on.

    Let it do nothing else meanwhile. Predictions are for as many threads as OMP_NUM_THREADS allows now.
    SKFHE_MACHINE=off goes back to the seconds of the cost table, and so does removing the file.
    """
    from skfhe._bench import STEPS, measure_machine

    where = _where(output, dry_run)
    shown = console()
    to_terminal = shown.is_terminal and not as_json
    if not as_json:
        shown.print("Measuring this machine; it should do nothing else for half a minute.")
    with (
        warnings.catch_warnings(record=True) as warned,
        showing(to_terminal),
        progress("measured", STEPS, "step", leave=False) as done,
    ):
        warnings.simplefilter("always", UserWarning)
        found = measure_machine(lambda what: done(1))
    for each in warned:
        if "was busy" in str(each.message):
            typer.echo(f"skfhe: {each.message}", err=True)
    path = None
    if not dry_run:
        try:
            path = write_machine(found, where)
        except OSError as error:
            raise failed(f"cannot write {where}: {error.strerror or error}") from None
    if as_json:
        typer.echo(json.dumps(json.loads(found.to_json())))
        return
    shown.print(_table(found))
    if path is not None:
        used = _when_used(output, os.environ.get(VARIABLE, ""))
        shown.print(f"Written to {path}: cost_.seconds are this machine's {used}.", markup=False)


def _where(output: Path | None, dry_run: bool) -> Path | None:
    """Return the file to write, before half a minute is spent for nothing."""
    if output is not None or dry_run:
        return output
    try:
        return machine_path()
    except RuntimeError:
        raise failed("there is no home to write to: set HOME or XDG_CACHE_HOME, or give --output") from None


def _when_used(output: Path | None, given: str) -> str:
    """Say when the file is read, of which the environment variable is another one."""
    if output is not None:
        return f"with {VARIABLE}={output}"
    return f"without {VARIABLE}={given}" if given else "from now on"


def _table(found: Machine) -> Table:
    title = f"{found.name}: {found.processor}, {found.threads} threads"
    table = Table("work", "seconds", "of the cost table's", title=title, title_justify="left")
    known = reference_seconds()
    for kind, what in KINDS.items():
        table.add_row(what, f"{found.seconds[kind]:.2g}", _factor(found.seconds[kind], known.get(kind)))
    for size, rates in sorted(found.operations.items()):
        for levels, rate in enumerate(rates, start=1):
            what = f"an operation of lookups, polynomials of {size}, {levels} level{'s' * (levels > 1)}"
            table.add_row(what, f"{rate:.2g}", _factor(rate, known.get(size)))
    return table


def _factor(seconds: float, known: Any) -> str:
    return f"× {seconds / known:.2f}" if known else "–"
