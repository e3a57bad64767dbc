"""What a program costs under encryption, without the engine: prices, error rates, limits, report.

All prices come from one table, which `skfhe.cost._prices` reads.
"""

from skfhe.cost._advice import Advice
from skfhe.cost._error_rate import DEFAULT_P_ERROR, ErrorRate, resolve_error_rate
from skfhe.cost._estimate import (
    Cost,
    LayerCost,
    count_bootstraps,
    estimate_cost,
    key_generation_seconds,
    layer_costs,
    lookup_p_error,
    readable_bytes,
    readable_seconds,
)
from skfhe.cost._limits import MAX_CELLS, MAX_LOOKUP_BITS, advising, check_limits, explain
from skfhe.cost._machine import KINDS, VARIABLE, Machine, machine, machine_path, write_machine
from skfhe.cost._prices import (
    encryption_seconds,
    lookup_seconds,
    lookup_shape,
    precision_steps,
    reference_seconds,
    truncated_lookup_complexity,
)
from skfhe.cost._report import Report, ReportRow, report_rows
from skfhe.cost._shared_noise import engine_p_error, levelled_p_error, noise_gains

__all__ = [
    "DEFAULT_P_ERROR",
    "KINDS",
    "MAX_CELLS",
    "MAX_LOOKUP_BITS",
    "VARIABLE",
    "Advice",
    "Cost",
    "ErrorRate",
    "LayerCost",
    "Machine",
    "Report",
    "ReportRow",
    "advising",
    "check_limits",
    "count_bootstraps",
    "encryption_seconds",
    "engine_p_error",
    "estimate_cost",
    "explain",
    "key_generation_seconds",
    "layer_costs",
    "levelled_p_error",
    "lookup_p_error",
    "lookup_seconds",
    "lookup_shape",
    "machine",
    "machine_path",
    "noise_gains",
    "precision_steps",
    "readable_bytes",
    "readable_seconds",
    "reference_seconds",
    "report_rows",
    "resolve_error_rate",
    "truncated_lookup_complexity",
    "write_machine",
]
