"""``skfhe report``: layers, widths, cost, error rate, and who learns what."""

from __future__ import annotations

import json
import warnings
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from skfhe._cli.describing import described_files, described_object
from skfhe._cli.terminal import console, failed

__all__ = ["report"]

HARMLESS = ("builtins.frozenset",)
"""Types that skops does not trust by itself, and that hold nothing but values."""
PICKLES = (".pkl", ".pickle", ".joblib")


def report(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Folder that skfhe.deployment.save wrote, or a .zip, .skops or pickle file."
        ),
    ],
    pickle: Annotated[
        bool,
        typer.Option("--pickle", help="Load a pickle, which RUNS WHATEVER CODE IS IN IT: only your own."),
    ] = False,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE", help="Full name of a type that a .skops file may load; may be repeated."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell what a model costs under encryption, layer by layer, and who learns what of it.

    Nothing is compiled, and nothing is run but what --pickle allows.
    """
    try:
        found = _described(model, pickle, trust or [])
    except (OSError, ValueError, ImportError) as error:
        raise failed(str(error)) from None
    if as_json:
        typer.echo(json.dumps(found, indent=1, allow_nan=False))
        return
    _print(console(), found)


def _described(path: Path, pickle: bool, trust: list[str]) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    if path.suffix == ".skops" and not path.is_dir():
        return described_object(_of_skops(path, trust))
    if path.is_dir() or (zipfile.is_zipfile(path) and path.suffix not in PICKLES):
        from skfhe.deployment import describe

        return described_files(describe(path))
    if not pickle:
        raise ValueError(
            f"{path} is no folder that skfhe.deployment.save wrote. If it is a pickle, loading it runs "
            "whatever code is in it: add --pickle if you made it, or trust whoever did"
        )
    return described_object(_of_pickle(path))


def _of_skops(path: Path, trust: list[str]) -> Any:
    """Load a file of skops: types of skfhe, what skops trusts, and what is named."""
    try:
        from skops.io import get_untrusted_types, load
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "skops":
            raise
        raise ImportError('skops is not installed: pip install "skfhe[skops]"') from None
    try:
        untrusted = get_untrusted_types(file=path)
        allowed = [name for name in untrusted if name in HARMLESS or name in trust or _is_ours(name)]
        if len(allowed) == len(untrusted):
            return load(path, trusted=allowed)
    except OSError:
        raise
    except Exception as error:  # whatever skops, and zip files, raise
        raise ValueError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    strange = [name for name in untrusted if name not in allowed]
    raise ValueError(
        f"{path} has types that are neither of skfhe nor trusted by skops: {', '.join(strange)}. Allow "
        "each by --trust TYPE if you know where it comes from"
    )


def _is_ours(name: str) -> bool:
    """Whether a type is of skfhe, and not another's that one of its modules has imported."""
    module, _, last = name.rpartition(".")
    if not module.startswith("skfhe."):
        return False
    found = getattr(import_module(module), last, None)
    return isinstance(found, type) and found.__module__ == module


def _of_pickle(path: Path) -> Any:
    """Load a pickle, as pickle or joblib wrote it."""
    import joblib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            return joblib.load(path)
    except Exception as error:  # whatever a pickle raises
        raise ValueError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


# What is printed.


def _print(to: Console, found: dict[str, Any]) -> None:
    found = _shown(found)
    parts: list[Any] = [Text(found["name"], style="bold")]
    head = _lines(
        steps=", ".join(found.get("steps", ())),
        answers=", ".join(found.get("methods", ())),
        files=", ".join(f"{name} {_bytes(n)}" for name, n in found.get("files", {}).items()),
        circuit=found.get("circuit_id", "")[:12],
        **{"written by": ", ".join(f"{k} {v}" for k, v in found.get("versions", {}).items())},
    )
    parts += [head] if head.row_count else []
    members = found["members"]
    for member in members:
        if len(members) > 1:
            parts += [Text(), Text(member["name"], style="bold")]
        parts += [Text(), *_member(member)]
    if "cost" in members[0]:
        parts.append(Text(_whose_seconds(found["machine"]), style="dim"))
    parts += [Text(), _learning(found)]
    to.print(Group(*parts))


def _member(member: dict[str, Any]) -> list[Any]:
    if "cost" not in member:
        return [
            Text("What it costs is not known of client.zip alone: the program is in server.zip."),
            _lines(**_sent(member)),
        ]
    cost, error = member["cost"], member["error_rate"]
    widths = ", ".join(f"{n} of {bits} bits" for bits, n in cost["lookups"].items())
    state = "compiled" if member["compiled"] else "not compiled"
    told = {
        "state": state + (f", mode {member['mode']}" if "mode" in member else ""),
        "lookups a row": widths or "none",
        "accumulators": _widths(member["accumulator_bits"], member["range_source"]),
        "results": _widths(member["output_bits"], member["range_source"]),
        "error rate": f"{error['p_error']:.2g} a lookup, {error['row']:.2g} a row",
    }
    if cost["refusal"]:
        told["cannot be compiled"] = cost["refusal"]
    else:
        told |= {
            "seconds a row": f"about {cost['seconds']:.2g}, of which {cost['seconds_a_call']:.2g} a call",
            "complexity": f"{cost['complexity'] / 1e6:.0f} M operations",
            "bytes a row": f"{_bytes(cost['input_bytes'])} up, {_bytes(cost['output_bytes'])} down",
            "evaluation keys": (
                f"{_bytes(cost['key_bytes'])}, made in about {cost['key_seconds']:.2g} s"
                if cost["key_bytes"]
                else "none"
            ),
        }
    return [_lines(**(told | _sent(member))), Text(), _layers(member["layers"])]


def _widths(bits: list[int], range_source: str) -> str:
    return f"{', '.join(map(str, dict.fromkeys(bits)))} bits, {range_source}" if bits else "none"


def _sent(member: dict[str, Any]) -> dict[str, str]:
    told = {}
    if "sent" in member:
        sent = member["sent"]
        up, down = _bytes(sent["input_bytes"]), _bytes(sent["output_bytes"])
        told["sent"] = f"{up} a row up, {down} down; keys of {_bytes(sent['key_bytes'])}, once"
    if "batch_sizes" in member:
        told["rows of a call"] = ", ".join(map(str, member["batch_sizes"]))
    return told


def _layers(layers: list[dict[str, Any]]) -> Table:
    table = Table(title="layers", title_justify="left", title_style="bold")
    for name in ("layer", "bits in", "accumulator", "ranges", "lookup reads", "lookups", "of the cost"):
        justify: Any = "left" if name in ("layer", "ranges") else "right"
        table.add_column(name, justify=justify, overflow="fold")
    for row in layers:
        share = row["cost_share"]
        table.add_row(
            Text(row["layer"]),
            *(str(row["bits_in"]), f"{row['accumulator_bits']} bits", row["range_source"]),
            f"{row['lookup_bits']} bits" if row["lookups"] else "–",
            str(row["lookups"]),
            "–" if share is None else f"{share:.1%}",
        )
    return table


def _learning(found: dict[str, Any]) -> Table:
    table = Table(title="who learns what", title_justify="left", title_style="bold", show_header=False)
    members = [line for member in found["members"] for line in member.get("learns", ())]
    if members:
        table.add_row("client", _listed(dict.fromkeys(members)), end_section=True)
    table.add_row("server", _listed(found["learns"]["server"]), end_section=True)
    table.add_row("who listens", _listed(found["learns"]["wire"]))
    return table


def _listed(lines: Any) -> Text:
    return Text("\n".join(f"- {line}" for line in lines))


def _shown(value: Any) -> Any:
    """Return what is described, without characters that a terminal would obey instead of showing them."""
    if isinstance(value, dict):
        return {_shown(key): _shown(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, str):
        return "".join(letter if letter.isprintable() else "?" for letter in value)
    return value


def _lines(**told: str) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in told.items():
        if value:
            table.add_row(Text(name, style="cyan"), Text(value))
    return table


def _whose_seconds(machine: dict[str, Any] | None) -> str:
    if machine is None:
        return "Seconds are those of the cost table's machine, two cores; skfhe bench measures this one."
    name, threads, measured = (machine[key] for key in ("name", "threads", "measured"))
    return f"Seconds are those of {name}, {threads} threads, measured {measured}."


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"
