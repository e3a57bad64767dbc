"""The tables that ``benchmarks.tabular.compare`` prints from its results."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.tabular.models import MODELS

Result = dict[str, Any]
SPEED_DATA = "breast_cancer"
SPEED_TARGETS = {("tree", None): 18.0, ("tree", 4): 9.0, ("forest", None): 10.0, ("xgboost", None): 15.0}
"""The peer's seconds over ours, by model and our bits; the peer has its default bits where we have none."""
DIGITS_SECONDS = {"forest": 0.8, "forest_leaves": 0.5}
MILLIONS = {("gradient", 6): 5000.0, ("catboost6", None): 0.7 * 19968.0}
"""Operations of a row; for CatBoost of depth 6 a share of those that its twenty lookups of 6 bits take."""
LINEAR_ROW, LINEAR_BATCH = 1.0, 3.0
PROCESSOR_TARGET = 1.6


def shown(result: Result, key: str, form: str = ".3f", factor: float = 1.0) -> str:
    """Return one value as text, empty if it was not measured."""
    value = result.get(key)
    return "" if value is None else format(value * factor, form)


def label(result: Result) -> list[str]:
    """Return data, model, whose, and bits."""
    bits = "none" if result["bits"] is None else str(result["bits"])
    return [result["data"], result["model"], result["whose"], bits]


def lookups(result: Result) -> str:
    counts = result.get("lookups")
    if isinstance(counts, dict):
        return ", ".join(f"{n} × {bits}b" for bits, n in counts.items()) or "0"
    return "" if counts is None else str(counts)


def peers_of(result: Result, results: list[Result]) -> list[Result]:
    """Return the peer's results for the same model and data."""
    same = [r for r in results if (r["data"], r["model"]) == (result["data"], result["model"])]
    return [r for r in same if r["whose"] == "peer" and "failed" not in r]


def paired(result: Result, results: list[Result]) -> Result | None:
    """Return the peer's result to compare with: that of equal bits, or else of its default ones."""
    peers = peers_of(result, results)
    return next((r for r in peers if r["bits"] == result["bits"]), peers[0] if peers else None)


def ratio(peer: Result | None, ours: Result, key: str) -> float | None:
    """Return the peer's time over ours, if both were measured."""
    if peer is None or key not in peer or key not in ours:
        return None
    return float(peer[key] / ours[key])


def accuracy_table(results: list[Result]) -> Table:
    """Scores, and how far the integers and the encrypted runs are from the float original."""
    table = Table("data", "model", "", "bits", "float", "clear", "encrypted", "rows", "agreement", "Δ prob.",
                  "Δ score", "score_error_", "encrypted = clear", "fit s", "float fit s", "remark",
                  box=None)  # fmt: skip
    for r in results:
        checked = f"{r['equal_rows']} of {r['checked_rows']}" if "checked_rows" in r else ""
        table.add_row(
            *label(r),
            shown(r, "float_score"),
            shown(r, "score"),
            shown(r, "encrypted_score"),
            shown(r, "encrypted_rows", ".0f"),
            shown(r, "agreement", ".4f"),
            shown(r, "probability_difference", ".1e"),
            shown(r, "score_difference", ".1e"),
            shown(r, "score_error", ".1e"),
            checked,
            shown(r, "fit"),
            shown(r, "float_fit"),
            remark(r),
        )
    return table


def remark(result: Result) -> str:
    """Say what was left out, and what is wrong."""
    remarks = [result["skipped"]] if "skipped" in result else []
    if "failed" in result:
        remarks.append(f"failed: {result['failed']}")
    if result.get("equal_rows") != result.get("checked_rows"):
        remarks.append("encrypted differs from clear")
    if result.get("beyond_score_error"):
        remarks.append("beyond score_error_")
    return "; ".join(remarks)


def speed_table(results: list[Result]) -> Table:
    """Lookups and seconds a row; the last columns are the peer's time over ours."""
    table = Table("data", "model", "", "bits", "lookups", "M", "compile s", "keygen s", "keys MB", "in kB",
                  "out kB", "s/row, 1", "cpu/wall", "others", "s/row, batch", "rows", "peer bits",
                  "peer s/row, 1", "batch", "ratio, 1", "ratio, batch", box=None)  # fmt: skip
    for r in results:
        peer = paired(r, results) if r["whose"] == "skfhe" else None
        ratios = [ratio(peer, r, key) for key in ("row", "batch_row")]
        table.add_row(
            *label(r),
            lookups(r),
            shown(r, "complexity", ".0f", 1e-6),
            shown(r, "compile", ".2f"),
            shown(r, "keygen", ".2f"),
            shown(r, "key_bytes", ".0f", 1e-6),
            shown(r, "input_bytes", ".0f", 1e-3),
            shown(r, "output_bytes", ".0f", 1e-3),
            shown(r, "row", ".4f"),
            shown(r, "processor", ".2f"),
            shown(r, "others", ".2f"),
            shown(r, "batch_row", ".4f"),
            shown(r, "batch_rows", ".0f"),
            str(peer["bits"]) if peer else "",
            shown(peer or {}, "row", ".4f"),
            shown(peer or {}, "batch_row", ".4f"),
            *("" if value is None else f"{value:.1f}" for value in ratios),
        )
    return table


Target = tuple[str, Result, str, float | None, float, Callable[[float, float], bool], str]


def targets(results: list[Result]) -> Iterator[Target]:
    """Yield what is aimed at: its name, the result, the unit, found, wanted, how to compare, a remark."""
    ours = [r for r in results if r["whose"] == "skfhe" and "failed" not in r]
    at_least, at_most = np.greater_equal, np.less_equal
    for r in ours:
        key, peer = (r["model"], r["bits"]), paired(r, results)
        if peer is not None:
            against = f"peer at {peer['bits']} bits, {shown(peer, 'score')}, ours {shown(r, 'score')}"
            if r["bits"] == peer["bits"] and r["score"] < peer["score"]:
                against += ": less accurate"
            single, batch = ratio(peer, r, "row"), ratio(peer, r, "batch_row")
            if r["data"] == SPEED_DATA and key in SPEED_TARGETS:
                yield "speed", r, "peer/ours, 1 row", single, SPEED_TARGETS[key], at_least, against
            if MODELS[r["model"]].family == "linear":
                yield "linear", r, "peer/ours, 1 row", single, LINEAR_ROW, at_least, against
                yield "linear", r, "peer/ours, batch", batch, LINEAR_BATCH, at_least, against
        if r["data"] == "digits" and r["bits"] is None and r["model"] in DIGITS_SECONDS:
            yield "classes", r, "s/row", r.get("row"), DIGITS_SECONDS[r["model"]], at_most, ""
        if r["data"] == SPEED_DATA and key in MILLIONS:
            millions = r["complexity"] / 1e6 if "complexity" in r else None
            yield "operations", r, "M", millions, MILLIONS[key], at_most, ""
        if r.get("lookups"):
            yield "cores", r, "cpu/wall, 1 row", r.get("processor"), PROCESSOR_TARGET, at_least, ""


def target_table(results: list[Result]) -> Table:
    """Return what was found beside what is aimed at."""
    table = Table("target", "data", "model", "bits", "quantity", "found", "wanted", "", "remark", box=None)
    for name, r, quantity, found, wanted, compare, against in sorted(targets(results), key=lambda t: t[0]):
        less = compare is np.less_equal
        reached = "" if found is None else "reached" if compare(found, wanted) else "missed"
        if reached and "less accurate" in against:
            reached = "missed"
        table.add_row(
            name,
            r["data"],
            r["model"],
            label(r)[-1],
            quantity,
            "not measured" if found is None else f"{found:.2f}",
            f"{'≤' if less else '≥'} {wanted:g}",
            reached,
            against,
        )
    return table
