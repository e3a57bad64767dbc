"""How wide accumulators are: as proven for every row, and as rows use them."""

from __future__ import annotations

from typing import Any

import numpy as np

from skfhe._typing import IntArray, RangeSource
from skfhe.cost import layer_costs
from skfhe.inspection._plotting import (
    BLUE,
    GREY,
    ORANGE,
    axes_for,
    counted,
    load_pyplot,
    shortened,
    styled,
    wrapped,
)
from skfhe.inspection._subject import subject_of
from skfhe.program import Program, bit_width, ops, trace

__all__ = ["AccumulatorDisplay"]


class AccumulatorDisplay:
    """Bits of the accumulators of each layer: proven for every row, used by rows, and looked up.

    It is recommended to use `AccumulatorDisplay.from_estimator`. All parameters are stored as attributes.

    Parameters
    ----------
    layers : list of str
        Names of the layers of lookups, and of outputs that no lookup reads, in the order of evaluation.
    proven_bits : ndarray of int, shape (n_layers,)
        ``accumulator_bits_`` of the estimator and, for outputs, ``output_bits_``.
    lookup_bits : ndarray of int, shape (n_layers,)
        Bits that the lookup reads, after rounding; 0 for an output. Of values that are summed with wider
        ones it may be more than their own.
    used_bits : ndarray of int, shape (n_layers,), default=None
        Bits that hold every sum that the rows lead to; None without rows. Of an accumulator that wraps these
        are the bits of the sums before they wrap, which may be more than it has.
    n_rows : int, default=0
    range_source : {"proven", "calibrated"}, default="proven"
        Whether widths follow from interval arithmetic, or from calibration rows.
    estimator_name : str, default=None

    Attributes
    ----------
    proven_bars_, used_bars_ : matplotlib BarContainer
        One bar a layer; ``used_bars_`` is None without rows.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    CostDisplay : What the lookups of each layer cost.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.inspection import AccumulatorDisplay
    >>> from skfhe.tree import DecisionTreeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DecisionTreeClassifier(max_depth=3).fit(X, y)
    >>> display = AccumulatorDisplay.from_estimator(model, X)
    >>> display.proven_bits[:1].tolist() == model.accumulator_bits_
    True
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        layers: list[str],
        proven_bits: IntArray,
        lookup_bits: IntArray,
        used_bits: IntArray | None = None,
        n_rows: int = 0,
        range_source: RangeSource = "proven",
        estimator_name: str | None = None,
    ) -> None:
        self.layers = layers
        self.proven_bits = proven_bits
        self.lookup_bits = lookup_bits
        self.used_bits = used_bits
        self.n_rows = n_rows
        self.range_source = range_source
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> AccumulatorDisplay:
        """Plot the widths of a fitted estimator's accumulators; it need not be compiled.

        Parameters
        ----------
        estimator : estimator, Pipeline, search or QuantizedModule
            Fitted; of skfhe, or with one at its end.
        X : array-like, default=None
            Rows as it takes them, whose widths are compared with the proven ones. They are evaluated in the
            clear.
        name : str, default=None
            For the title; None takes that of its class.
        ax : matplotlib Axes, default=None
            None makes new ones.
        **kwargs
            For matplotlib's ``barh``, which draws the proven widths.

        Returns
        -------
        AccumulatorDisplay

        Raises
        ------
        ClearEvaluationError
            If there are rows, and the estimator's mode forbids to evaluate them in the clear.
        ValueError
            If ``X`` has no rows.
        """
        load_pyplot(f"{cls.__name__}.from_estimator")
        subject = subject_of(estimator)
        program: Program = subject.predictor.program_
        outputs = set(program.outputs) - set(program.lookups)
        accumulators = [program.accumulator_of(lookup) for lookup in program.lookups]
        proven = dict(zip(program.lookups, program.accumulator_bits, strict=True))
        costs = layer_costs(program, subject.error_rate)
        shown = list(costs)
        summed = {**dict(zip(program.lookups, accumulators, strict=True)), **{at: at for at in outputs}}
        used, n_rows = None, 0
        if X is not None:
            rows = subject.rows(X)
            if not subject.is_module:  # raises an error if nothing may be evaluated in the clear
                subject.answers(subject.predictor, rows[:1], "disable")
            integers = subject.integers(X)
            if not len(integers[0]):
                raise ValueError("X has no rows, so that none use any bits; leave it out")
            values = trace(program, *integers)
            used = np.array([_bits_used(program, values, summed[at]) for at in shown], dtype=np.int64)
            n_rows = len(integers[0])
        display = cls(
            layers=[
                program.values[at].label + (" (output)" if at in program.outputs else "") for at in shown
            ],
            proven_bits=np.array([proven.get(at, program.values[at].type.bits) for at in shown]),
            lookup_bits=np.array([costs[at].bits for at in shown], dtype=np.int64),
            used_bits=used,
            n_rows=n_rows,
            range_source=program.range_source,
            estimator_name=subject.name,
        )
        return display.plot(ax, name=name, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> AccumulatorDisplay:
        """Plot the widths of each layer: a light bar as proven, a dark one inside it as used.

        Parameters are those of `from_estimator`.

        Returns
        -------
        AccumulatorDisplay
            This one.
        """
        n_layers = len(self.layers)
        ax = axes_for(ax, f"{type(self).__name__}.plot", (7.0, 1.9 + 0.36 * max(n_layers, 2)))
        places = np.arange(n_layers)
        proven = "proven for every row" if self.range_source == "proven" else "calibrated, with a margin"
        light = {"color": "#CFE3F1", "edgecolor": BLUE, "linewidth": 1.0, "height": 0.78, "label": proven}
        self.proven_bars_ = ax.barh(places, self.proven_bits, **styled("Patch", light, kwargs))
        self.used_bars_ = None
        if self.used_bits is not None:
            self.used_bars_ = ax.barh(
                places,
                self.used_bits,
                color=BLUE,
                height=0.36,
                label=f"used by {counted(self.n_rows)}",
            )
        rounded = (self.lookup_bits > 0) & (self.lookup_bits < self.proven_bits)
        if rounded.any():
            ax.scatter(
                self.lookup_bits[rounded],
                places[rounded],
                marker="D",
                s=40,
                color=ORANGE,
                edgecolor="black",
                linewidth=0.7,
                zorder=3,
                label="read by its lookups, after rounding",
            )
        ends = self.proven_bits if self.used_bits is None else np.maximum(self.proven_bits, self.used_bits)
        for place, end, text in zip(places, ends, self._texts(), strict=True):
            ax.annotate(text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize="small")
        ax.set_yticks(places, [shortened(each) for each in self.layers], parse_math=False)
        ax.set_ylim(n_layers - 0.4, -0.6)
        ax.set_xlim(0, max(ends.max(initial=1), 1) * 1.3)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("bits")
        name = self.estimator_name if name is None else name
        title = wrapped(f"{name}: accumulators") if name else "Accumulators"
        ax.set_title(title, fontsize="medium", pad=26)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color=GREY, alpha=0.3)
        ax.set_axisbelow(True)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _texts(self) -> list[str]:
        """Return what is said beside the bars of each layer."""
        if self.used_bits is None:
            return [str(bits) for bits in self.proven_bits]
        return [
            f"{used} of {proven}" if used <= proven else f"{used}, wraps to {proven}"
            for used, proven in zip(self.used_bits, self.proven_bits, strict=True)
        ]


def _bits_used(program: Program, values: list[IntArray], accumulator: int) -> int:
    """Return the bits that hold every number that rows lead an accumulator to, before it wraps."""
    value = program.values[accumulator]
    numbers = values[value.arguments[0] if isinstance(value.op, ops.Modulo) else accumulator]
    return bit_width(int(numbers.min()), int(numbers.max()))
