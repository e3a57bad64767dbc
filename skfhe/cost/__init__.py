"""What a program costs under encryption, without the engine: prices, error rates, limits, report."""

from skfhe.cost._error_rate import DEFAULT_P_ERROR, SMALLEST_P_ERROR, ErrorRate, resolve_error_rate
from skfhe.cost._estimate import Cost, count_bootstraps, estimate_cost, lookup_costs, lookup_p_error
from skfhe.cost._limits import MAX_CELLS, MAX_LOOKUP_BITS, advising, check_limits, explain
from skfhe.cost._prices import lookup_complexity, lookup_seconds, precision_steps
from skfhe.cost._report import Report

__all__ = [
    "DEFAULT_P_ERROR",
    "MAX_CELLS",
    "MAX_LOOKUP_BITS",
    "SMALLEST_P_ERROR",
    "Cost",
    "ErrorRate",
    "Report",
    "advising",
    "check_limits",
    "count_bootstraps",
    "estimate_cost",
    "explain",
    "lookup_complexity",
    "lookup_costs",
    "lookup_p_error",
    "lookup_seconds",
    "precision_steps",
    "resolve_error_rate",
]
