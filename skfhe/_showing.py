"""What texts, diagrams and tables say of a fitted estimator beside its parameters, and of a network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skfhe.cost import Cost, ReportRow

__all__ = ["state", "tables"]

MOST_LAYERS = 12


def state(model: Any, mode: Any) -> str:
    """Return in a line whether a model is compiled, what a row costs, and its mode.

    Parameters
    ----------
    model : EncryptedModel or None
        Of an estimator; None before ``fit``.
    mode : Mode
        Of the estimator.

    Returns
    -------
    str
        Empty if there is nothing to say.
    """
    said = []
    if model is not None:
        from skfhe.cost import readable_seconds

        cost = model.cost
        widths = ", ".join(f"{count} of {bits} bits" for bits, count in sorted(cost.lookups.items()))
        lookups = f"lookups: {widths}" if widths else "no lookups"
        ready = "not compiled" if model.circuit is None else "compiled"
        said += (
            ["cannot be compiled", lookups]
            if cost.refusal
            else [ready, lookups, f"about {readable_seconds(cost.seconds)} a row"]
        )
    if mode.fhe != "disable":
        said.append(f"mode {mode.fhe!r}" + (", clear evaluation forbidden" if mode.clear == "forbid" else ""))
    return "; ".join(said)


def tables(model: Any) -> str:
    """Return what a row costs, and what its accumulators take, as HTML for the diagram, or by itself.

    It is in the classes that scikit-learn's tables of parameters have, so that it is as readable in the dark.

    Parameters
    ----------
    model : EncryptedModel or None
        Of an estimator; None before ``fit``.

    Returns
    -------
    str
        Empty before ``fit``.
    """
    if model is None:
        return ""
    from skfhe.cost import report_rows

    error_rate = None if model.circuit is None else model.circuit.error_rate
    return _cost_table(model.cost) + _layer_table(report_rows(model.program, error_rate))


def _cost_table(cost: Cost) -> str:
    from skfhe.cost import readable_bytes, readable_seconds

    lookups = ", ".join(f"{count} × {bits} bits" for bits, count in sorted(cost.lookups.items()))
    rows = [("lookups", lookups or "none")]
    if cost.refusal:
        rows.append(("cannot be compiled", cost.refusal))
    else:
        rows += [
            ("time", f"about {readable_seconds(cost.seconds)}"),
            ("ciphertexts up", readable_bytes(cost.input_bytes)),
            ("ciphertexts down", readable_bytes(cost.output_bytes)),
            ("keys, sent once", readable_bytes(cost.key_bytes) if cost.key_bytes else "none"),
        ]
    return _table("Cost of an encrypted row", (), rows, is_open=True)


def _layer_table(layers: list[ReportRow]) -> str:
    rows = [
        (
            layer.layer,
            f"{layer.accumulator_bits} bits, {layer.range_source}",
            f"{layer.lookups} × {layer.lookup_bits} bits" if layer.lookups else "none",
            "" if layer.cost_share != layer.cost_share else f"{layer.cost_share:.0%}",
        )
        for layer in layers[:MOST_LAYERS]
    ]
    if len(layers) > MOST_LAYERS:
        rows.append((f"… {len(layers) - MOST_LAYERS} more", "", "", ""))
    return _table("Accumulators", ("layer", "accumulator", "lookups", "of the cost"), rows)


def _table(title: str, head: tuple[str, ...], rows: list[Any], is_open: bool = False) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f'<tr class="default">{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>' for row in rows
    )
    return (
        f'<div class="estimator-table"><details{" open" if is_open else ""}>'
        f"<summary>{escape(title)}</summary>"
        f'<table class="parameters-table"><tbody>{f"<tr>{heads}</tr>" if heads else ""}{body}</tbody></table>'
        "</details></div>"
    )
