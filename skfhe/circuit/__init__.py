"""Programs on ciphertexts: compilation, keys, batches, and what it all costs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skfhe.circuit.configuration import DEFAULT_P_ERROR, ErrorRate, resolve_error_rate
from skfhe.circuit.cost import Cost, estimate_cost, lookup_costs
from skfhe.circuit.prices import lookup_complexity, lookup_seconds, precision_steps

if TYPE_CHECKING:
    from skfhe.circuit.circuit import Circuit, compile_program

__all__ = [
    "DEFAULT_P_ERROR",
    "Circuit",
    "Cost",
    "ErrorRate",
    "compile_program",
    "estimate_cost",
    "lookup_complexity",
    "lookup_costs",
    "lookup_seconds",
    "precision_steps",
    "resolve_error_rate",
]


def __getattr__(name: str) -> Any:
    """Load what needs the engine on first use: predicting a cost does not."""
    if name in ("Circuit", "compile_program"):
        return getattr(import_module("skfhe.circuit.circuit"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
