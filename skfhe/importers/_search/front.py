"""What a search tried, as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from skfhe.importers._search.settings import Setting

__all__ = ["Quantization", "Tried", "pareto_front"]


@dataclass(frozen=True)
class Tried:
    """One setting, what it costs, and how near the network's outputs stay to those in float.

    Parameters
    ----------
    setting : Setting
    complexity, seconds, reference_seconds : float
        Predicted for one row at the error rate asked for; infinite if the engine cannot evaluate it. By the
        last, which are the same on all machines, settings are compared.
    agreement : float
        Share of the rows whose largest output is the float network's; NaN for outputs of one column.
    relative_error : float
        Mean square of what outputs differ by, in units of the variance of the float network's: 1 - R².
    loss : float
        What is compared with the tolerance: the share of rows that do not agree, or the relative error of
        outputs of one column; of several outputs, the largest.
    left : float
        Share of the rows with a value that left its calibrated interval.
    fits : bool
        Whether that is within the tolerance.
    taken : bool, default=False
    """

    setting: Setting
    complexity: float
    seconds: float
    reference_seconds: float
    agreement: float
    relative_error: float
    loss: float
    left: float
    fits: bool
    taken: bool = False

    def row(self) -> dict[str, Any]:
        """Return it as a row of a table."""
        setting = self.setting
        bits, method = setting.rounding or (None, "none")
        return {
            "model_inputs": setting.model_inputs,
            "op_inputs": setting.op_inputs,
            "op_weights": setting.op_weights,
            "rounding": bits,
            "method": method,
            "layers": ", ".join(f"{layer}: {n}" for layer, n in setting.layers),
            "calibration": setting.calibration,
            "complexity": self.complexity,
            "seconds": self.seconds,
            "agreement": self.agreement,
            "relative_error": self.relative_error,
            "left": self.left,
            "fits": self.fits,
            "taken": self.taken,
        }


class Quantization:
    """What was tried to find out how many bits a network needs, and what was taken.

    Prints the Pareto front as a table: the settings that no other is cheaper and nearer than, the cheapest
    first, with millions of elementary operations and seconds for a row.

    Parameters
    ----------
    tried : iterable of Tried
        In the order in which they were.
    tolerance : float
    measured_on : str
        Which rows agreement and error are of.
    in_the_way : str, default=""
        What keeps outputs from the tolerance, if nothing fits.

    Attributes
    ----------
    tried : list of Tried
    front : list of Tried
        Those that no other is cheaper and nearer than, the cheapest first.
    """

    def __init__(
        self, tried: Iterable[Tried], tolerance: float, measured_on: str, in_the_way: str = ""
    ) -> None:
        self.tried, self.tolerance, self.measured_on = list(tried), tolerance, measured_on
        self.in_the_way = in_the_way
        self.front = pareto_front(self.tried)

    @property
    def nearest(self) -> Tried:
        """The setting whose outputs are the nearest to the network's."""
        return min(self.tried, key=lambda one: (one.loss, one.relative_error, one.reference_seconds))

    @property
    def too_far(self) -> bool:
        """Whether nothing that was tried stays within the tolerance, whatever it costs."""
        return all(each.loss > self.tolerance or each.left > 0 for each in self.tried)

    @property
    def compromised(self) -> bool:
        """Whether what was taken does not fit."""
        return self.taken is not None and not self.taken.fits

    @property
    def taken(self) -> Tried | None:
        """What the module was made by; None if nothing fits."""
        return next((each for each in self.tried if each.taken), None)

    def __len__(self) -> int:
        return len(self.tried)

    def __iter__(self) -> Iterator[Tried]:
        return iter(self.tried)

    def with_taken(self, taken: Tried) -> Quantization:
        """Return the same with one of them taken."""
        tried = [replace(each, taken=each is taken) for each in self.tried]
        return Quantization(tried, self.tolerance, self.measured_on, self.in_the_way)

    def beyond_tolerance(self) -> str:
        """Say that nothing fits, what comes nearest, and what to change."""
        nearest = self.nearest
        what = "relative error" if math.isnan(nearest.agreement) else "share of rows that change"
        instead = "Raise tolerance"
        if self.taken is not None:
            nearest = self.taken
            instead = "The cheapest that comes near is taken. Give a tolerance that is kept to"
        return (
            f"no setting that was tried and can be compiled keeps the outputs within "
            f"tolerance={self.tolerance:.3g} of the network's: the {what} is {nearest.loss:.3g} at best, "
            f"measured on {self.measured_on}.{self.in_the_way} {instead}, give more rows like the data in "
            f"inputset, or train the network for fewer bits.\n{self}"
        )

    def to_frame(self) -> Any:
        """Return all that was tried as a pandas DataFrame, in the order in which it was.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas

        return pandas.DataFrame([each.row() for each in self.tried])

    def __str__(self) -> str:
        head = ["inputs", "values", "weights", "rounding", "M", "seconds", "agreement", "error", "loss", ""]
        body = [_cells(each) for each in self.front]
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if i in (3, len(head) - 1) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in (head, *body)
        ]
        return "\n".join([*lines, f"{len(self.tried)} settings tried, measured on {self.measured_on}"])

    __repr__ = __str__


def pareto_front(tried: Iterable[Tried]) -> list[Tried]:
    """Return those that no other is cheaper and nearer than, the cheapest first; and what was taken."""
    found: list[Tried] = []
    nearest = math.inf
    for each in sorted(tried, key=lambda one: (one.reference_seconds, one.loss, one.relative_error)):
        if each.loss < nearest or each.taken:
            found.append(each)
            nearest = min(nearest, each.loss)
    return found


def _cells(tried: Tried) -> list[str]:
    setting = tried.setting
    rounding = "none"
    if setting.rounding is not None:
        bits, method = setting.rounding
        rounding = f"{bits} {method}"
        rounding += "".join(f", {layer}: {n}" for layer, n in setting.layers)
        rounding += f", {setting.calibration}" if setting.calibration is not None else ""
    widths = (setting.model_inputs, setting.op_inputs, setting.op_weights)
    return [
        *("own" if bits is None else str(bits) for bits in widths),
        rounding,
        f"{tried.complexity / 1e6:.0f}",
        f"{tried.seconds:.2g}",
        "–" if math.isnan(tried.agreement) else f"{tried.agreement:.3f}",
        f"{tried.relative_error:.2g}",
        f"{tried.loss:.4f}",
        _remark(tried),
    ]


def _remark(tried: Tried) -> str:
    if tried.taken:
        return "taken"
    if tried.fits:
        return ""
    if math.isinf(tried.seconds):
        return "cannot be compiled"
    return f"{tried.left:.1%} of rows leave an interval" if tried.left else "beyond the tolerance"
