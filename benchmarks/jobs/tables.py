"""What a job has found, for the terminal."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from skfhe.cost import readable_bytes


def job_line(found: dict[str, Any]) -> str:
    """Return what the job is, and what is reached in the clear."""
    data, best = found["data"], found["float"]
    settings = ", ".join(f"{name}={value}" for name, value in best["params"].items())
    return (
        f"{data['question']} {data['rows']} × {data['features']}, {data['scoring']}; "
        f"float {best['model']} {best['score']:.4f} ({settings})"
    )


def budget_table(found: dict[str, Any]) -> Table:
    """Return a line for each budget."""
    table = Table("budget", "family", "parameters", "score", "s a row", "lookups", "up", "down", "keys",
                  "encrypted equal", box=None)  # fmt: skip
    for each in found["ours"]["budgets"]:
        if each["model"] is None:
            table.add_row(f"{each['budget']:g}", "none")
            continue
        table.add_row(
            f"{each['budget']:g}",
            each["model"],
            ", ".join(f"{name}={value}" for name, value in each["params"].items()),
            f"{each['score']:.4f}",
            f"{each['seconds']:.2g}",
            str(sum(each["lookups"].values())),
            readable_bytes(each["input_bytes"]),
            readable_bytes(each["output_bytes"]),
            readable_bytes(each["key_bytes"]) if each["key_bytes"] else "none",
            f"{each['equal_rows']} of {each['checked_rows']}" if "checked_rows" in each else "not run",
        )
    return table


def peer_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each of the peer's models."""
    for each in found.get("peer", []):
        name = f"Concrete ML {each['model']}, {each['bits']} bits"
        if "failure" in each:
            yield f"{name}: {each['failure']}"
            continue
        told = f"{name}: {each['score']:.4f}, {each.get('lookups', 'unknown')} lookups"
        if "complexity" in each:
            told += f", complexity {each['complexity'] / 1e6:.0f} M"
        if each.get("checked_rows"):
            told += f", {each['equal_rows']} of {each['checked_rows']} encrypted predictions equal"
        yield told
