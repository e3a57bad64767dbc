"""A table of what each layer of a program costs, and how its accumulators are bounded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from skfhe._typing import RangeSource
from skfhe.cost._advice import Advice, advise
from skfhe.cost._error_rate import ErrorRate
from skfhe.cost._estimate import layer_costs
from skfhe.program import Program, ops

__all__ = ["Report", "ReportRow", "report_rows"]


@dataclass(frozen=True)
class ReportRow:
    """One layer of lookups, or one output that no lookup reads.

    Parameters
    ----------
    layer : str
        Its label in the program.
    bits_in : int
        Bits of the integers that its accumulator sums.
    accumulator_bits : int
        Bits of the accumulator, before rounding.
    range_source : {"proven", "calibrated"}
        Whether the accumulator's interval follows from interval arithmetic, or from calibration rows.
    lookup_bits : int
        Bits that a lookup reads; 0 without lookup.
    lookups : int
        Lookups of one row, without those that rounding is made of.
    cost_share : float
        Share of the complexity of all lookups, those of rounding included, in [0, 1]. NaN if the engine
        cannot evaluate the program.
    """

    layer: str
    bits_in: int
    accumulator_bits: int
    range_source: RangeSource
    lookup_bits: int
    lookups: int
    cost_share: float


class Report:
    """What each layer of a program costs.

    Parameters
    ----------
    rows : list of ReportRow
        In the order of evaluation.
    note : str, default=""
        What else there is to say; printed below the table.
    advice : sequence of Advice, default=()
        What rounding accumulators further would save: of the layer that costs most, by one step, and of all
        layers step by step. Only what helps; what it does to the results has to be measured.
    """

    def __init__(self, rows: list[ReportRow], note: str = "", advice: Sequence[Advice] = ()) -> None:
        self.rows, self.note, self.advice = rows, note, tuple(advice)

    @classmethod
    def of(cls, program: Program, error_rate: ErrorRate | None = None, note: str = "") -> Report:
        """Describe a program at an error rate, 2**-40 a lookup by default."""
        return cls(report_rows(program, error_rate), note, advise(program, error_rate))

    def to_frame(self) -> Any:
        """Return the rows as a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas

        return pandas.DataFrame(
            [asdict(row) for row in self.rows], columns=[f.name for f in fields(ReportRow)]
        )

    def __str__(self) -> str:
        head = [field.name.replace("_", " ") for field in fields(ReportRow)]
        body = [
            [f"{v:.1%}" if isinstance(v, float) else str(v) for v in asdict(row).values()]
            for row in self.rows
        ]
        widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(w) if i in (0, 3) else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in (head, *body)
        ]
        return "\n".join([*lines, *([self.note] if self.note else []), *map(str, self.advice)])

    __repr__ = __str__


def report_rows(program: Program, error_rate: ErrorRate | None = None) -> list[ReportRow]:
    """Return the rows of the report of a program, without advice.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.

    Returns
    -------
    list of ReportRow
    """
    costs = layer_costs(program, error_rate)
    total = sum(cost.complexity for cost in costs.values())
    accumulator_bits = dict(zip(program.lookups, program.accumulator_bits, strict=True))
    rows = []
    for position, cost in costs.items():
        value = program.values[position]
        is_lookup = isinstance(value.op, ops.Lookup)
        range_source, bits_in = _summed(program, value.arguments[0] if is_lookup else position)
        rows.append(
            ReportRow(
                value.label,
                bits_in,
                accumulator_bits.get(position, value.type.bits),
                range_source,
                cost.bits,
                value.type.size if is_lookup else 0,
                math.nan if math.isinf(total) else cost.complexity / (total or 1.0),
            )
        )
    return rows


def _summed(program: Program, position: int) -> tuple[RangeSource, int]:
    """Return how a value is bounded, and the bits of what the linear layers before it sum."""
    range_source: RangeSource = "proven"
    bits = 0
    seen, waiting = {position}, [position]
    while waiting:
        value = program.values[waiting.pop()]
        if isinstance(value.op, ops.Bound) and program.range_source == "calibrated":
            range_source = "calibrated"
        if isinstance(value.op, ops.Lookup | ops.Input):
            bits = max(bits, value.type.bits)
        else:
            waiting.extend(set(value.arguments) - seen)
            seen.update(value.arguments)
    return range_source, bits
