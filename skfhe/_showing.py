"""What the text and the diagram of a fitted estimator say beside its parameters."""

from __future__ import annotations

from typing import Any

__all__ = ["state"]


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
        cost = model.cost
        widths = ", ".join(f"{count} of {bits} bits" for bits, count in sorted(cost.lookups.items()))
        lookups = f"lookups: {widths}" if widths else "no lookups"
        ready = "not compiled" if model.circuit is None else "compiled"
        said += (
            ["cannot be compiled", lookups]
            if cost.refusal
            else [ready, lookups, f"about {cost.seconds:.2g} s a row"]
        )
    if mode.fhe != "disable":
        said.append(f"mode {mode.fhe!r}" + (", clear evaluation forbidden" if mode.clear == "forbid" else ""))
    return "; ".join(said)
