"""Programs on ciphertexts: compilation, keys, batches, and what it all costs."""

from skfhe.circuit.circuit import Circuit, compile_program
from skfhe.circuit.configuration import DEFAULT_P_ERROR, ErrorRate, resolve_error_rate
from skfhe.circuit.cost import Cost, estimate_cost, lookup_complexity

__all__ = [
    "DEFAULT_P_ERROR",
    "Circuit",
    "Cost",
    "ErrorRate",
    "compile_program",
    "estimate_cost",
    "lookup_complexity",
    "resolve_error_rate",
]
