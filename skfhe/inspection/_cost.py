"""What each layer costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.cost import Cost, layer_costs, readable_seconds
from skfhe.inspection._plotting import GREY, axes_for, load_pyplot, shortened, styled, wrapped
from skfhe.inspection._subject import subject_of

__all__ = ["CostDisplay"]


class CostDisplay:
    """Predicted cost of one encrypted row, by layer.

    It is recommended to use `CostDisplay.from_estimator`. All parameters are stored as attributes.

    Parameters
    ----------
    layers : list of str
        Names of the layers of lookups, and of outputs that no lookup reads, in the order of evaluation.
    complexity : ndarray of float, shape (n_layers,)
        Elementary operations that the lookups of each layer take, those of rounding included. 0 for an
        output; infinite if the engine cannot evaluate the program.
    lookups : ndarray of int, shape (n_layers,)
        Lookups of one row, without those that rounding is made of.
    lookup_bits : ndarray of int, shape (n_layers,)
        Bits that they read; 0 for an output.
    cost : Cost
        Of the whole program: ``cost_`` of the estimator.
    estimator_name : str, default=None

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        One bar a layer that is shown.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    AccumulatorDisplay : How wide the accumulators of each layer are, which is what its lookups cost by.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.inspection import CostDisplay
    >>> from skfhe.tree import DecisionTreeClassifier
    >>> model = DecisionTreeClassifier(max_depth=3).fit(*load_iris(return_X_y=True))
    >>> display = CostDisplay.from_estimator(model)
    >>> display.cost == model.cost_
    True
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        layers: list[str],
        complexity: FloatArray,
        lookups: IntArray,
        lookup_bits: IntArray,
        cost: Cost,
        estimator_name: str | None = None,
    ) -> None:
        self.layers = layers
        self.complexity = complexity
        self.lookups = lookups
        self.lookup_bits = lookup_bits
        self.cost = cost
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        max_layers: int = 25,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> CostDisplay:
        """Plot what a row costs with a fitted estimator; it need not be compiled.

        Parameters
        ----------
        estimator : estimator, Pipeline, search or QuantizedModule
            Fitted; of skfhe, or with one at its end. Compiled, the cost is that at its error rate.
        max_layers : int, default=25
            How many layers are shown at most: the dearest, and the others as one.
        name : str, default=None
            For the title; None takes that of its class.
        ax : matplotlib Axes, default=None
            None makes new ones.
        **kwargs
            For matplotlib's ``barh``.

        Returns
        -------
        CostDisplay
        """
        load_pyplot(f"{cls.__name__}.from_estimator")
        subject = subject_of(estimator)
        program = subject.predictor.program_
        costs = layer_costs(program, subject.error_rate)
        display = cls(
            layers=[program.values[position].label for position in costs],
            complexity=np.array([cost.complexity for cost in costs.values()], dtype=np.float64),
            lookups=np.array(
                [program.values[at].type.size if cost.bits else 0 for at, cost in costs.items()],
                dtype=np.int64,
            ),
            lookup_bits=np.array([cost.bits for cost in costs.values()], dtype=np.int64),
            cost=subject.predictor.cost_,
            estimator_name=subject.name,
        )
        return display.plot(ax, max_layers=max_layers, name=name, **kwargs)

    def plot(
        self, ax: Any = None, *, max_layers: int = 25, name: str | None = None, **kwargs: Any
    ) -> CostDisplay:
        """Plot a bar a layer, as long as its lookups are dear and the darker the more bits they read.

        Parameters are those of `from_estimator`.

        Returns
        -------
        CostDisplay
            This one.
        """
        layers, complexity, texts, bits = self._shown(max_layers)
        ax = axes_for(ax, f"{type(self).__name__}.plot", (7.0, 1.6 + 0.34 * max(len(layers), 2)))
        finite = np.where(np.isfinite(complexity), complexity, 0.0)
        unit, size = ("billions", 1e9) if finite.max(initial=0.0) >= 1e10 else ("millions", 1e6)
        lengths = finite / size
        self.bars_ = ax.barh(
            range(len(layers)),
            lengths,
            **styled("Patch", {"color": _colors(bits), "edgecolor": GREY, "linewidth": 0.5}, kwargs),
        )
        ax.bar_label(self.bars_, texts, padding=4, fontsize="small")
        ax.set_yticks(range(len(layers)), [shortened(each) for each in layers], parse_math=False)
        ax.set_ylim(len(layers) - 0.4, -0.6)
        widest = max(lengths.max(initial=0.0), 1e-9)
        ax.set_xlim(0, widest * 1.45)  # there is room for the text beside the longest bar
        ax.set_xlabel(f"operations for one row ({unit})")
        if not lengths.any():
            ax.set_xticks([0])
        name = self.estimator_name if name is None else name
        ax.set_title(wrapped(_title(name, self.cost)), fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="x", color=GREY, alpha=0.3)
        ax.set_axisbelow(True)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _shown(self, max_layers: int) -> tuple[list[str], FloatArray, list[str], IntArray]:
        """Return what is shown, a layer each: the dearest, in order, and all others as one."""
        if max_layers < 1:
            raise ValueError(f"max_layers must be at least 1, got {max_layers}")
        total = self.complexity.sum()
        n_kept = len(self.layers) if len(self.layers) <= max_layers else max_layers - 1
        kept = np.sort(np.argsort(-self.complexity, kind="stable")[:n_kept])
        shares = self.complexity / total if 0 < total < np.inf else np.zeros(len(self.layers))
        layers = [self.layers[i] for i in kept]
        complexity, bits = self.complexity[kept], self.lookup_bits[kept]
        texts = [
            f"{self.lookups[i]} × {self.lookup_bits[i]} bits, {shares[i]:.0%}"
            if self.lookup_bits[i]
            else "no lookup"
            for i in kept
        ]
        rest = np.setdiff1d(np.arange(len(self.layers)), kept)
        if len(rest):
            layers.append(f"{len(rest)} other layers")
            complexity = np.append(complexity, self.complexity[rest].sum())
            bits = np.append(bits, self.lookup_bits[rest].max())
            texts.append(f"{self.lookups[rest].sum()} lookups, {shares[rest].sum():.0%}")
        return layers, complexity, texts, bits


def _colors(bits: IntArray) -> list[Any]:
    """Return a colour for each width, of one hue and the darker the wider, told apart by anyone."""
    from matplotlib import colormaps

    return [colormaps["Blues"](0.3 + 0.7 * min(int(b), 10) / 10) if b else GREY for b in bits]


def _title(name: str | None, cost: Cost) -> str:
    """Return what is said above the bars: the whole cost in words."""
    head = f"{name}: " if name else ""
    if cost.refusal:
        return f"{head}cannot be compiled: {cost.refusal}"
    said = f"{head}about {readable_seconds(cost.seconds)} a row"
    if not cost.n_lookups:
        return f"{said}\nwithout lookups, nearly all of it for encryption and decryption"
    return said
