"""What a larger error rate of lookups does to predictions, and saves."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import FloatArray
from skfhe.cost import ErrorRate, count_bootstraps
from skfhe.inspection._plotting import BLUE, GREY, VERMILION, axes_for, counted, load_pyplot, styled, wrapped
from skfhe.inspection._subject import Subject, subject_of
from skfhe.program import Program, is_approximate

__all__ = ["AgreementDisplay"]

P_ERRORS = tuple(2.0**-k for k in (40, 24, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2))


class AgreementDisplay:
    """Share of rows whose simulated prediction is the clear one, against the error rate of lookups.

    It is recommended to use `AgreementDisplay.from_estimator`. All parameters are stored as attributes.

    Parameters
    ----------
    p_errors : ndarray of float, shape (n_rates,)
        Probability that one lookup reads a wrong cell, in rising order.
    agreement : ndarray of float, shape (n_rates, n_repeats)
        Share of the rows of each simulation whose prediction is the very one that is computed in the clear.
    bound : ndarray of float, shape (n_rates,), or None
        Probability that no lookup of a row goes wrong, those included that exact rounding is made of: what
        agreement is at least, on average. The rest are errors that do not reach the prediction. None if
        accumulators are rounded approximately: near ties predictions differ then without any error.
    seconds : ndarray of float, shape (n_rates,)
        Predicted seconds of an encrypted row.
    n_rows : int
    estimator_name : str, default=None

    Attributes
    ----------
    line_, bound_ : matplotlib Line2D
        ``bound_`` is None without a bound.
    errorbar_ : matplotlib ErrorbarContainer
    cost_ax_ : matplotlib Axes
        Of the seconds, at the right; None if they are not drawn.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skfhe.model_selection.ErrorRateSearch : Finds the largest error rate that keeps the score.

    Notes
    -----
    The engine draws the errors of a simulation, and takes no seed.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.inspection import AgreementDisplay
    >>> from skfhe.tree import DecisionTreeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DecisionTreeClassifier(max_depth=2).fit(X, y)
    >>> display = AgreementDisplay.from_estimator(model, X, p_errors=[2**-40], n_repeats=2)
    >>> display.agreement.tolist()
    [[1.0, 1.0]]
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        p_errors: FloatArray,
        agreement: FloatArray,
        bound: FloatArray | None,
        seconds: FloatArray,
        n_rows: int,
        estimator_name: str | None = None,
    ) -> None:
        self.p_errors = p_errors
        self.agreement = agreement
        self.bound = bound
        self.seconds = seconds
        self.n_rows = n_rows
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        p_errors: Sequence[float] | None = None,
        n_repeats: int = 5,
        name: str | None = None,
        show_cost: bool = True,
        ax: Any = None,
        **kwargs: Any,
    ) -> AgreementDisplay:
        """Plot how often a fitted estimator's predictions bear errors of lookups, by simulation.

        Parameters
        ----------
        estimator : estimator, Pipeline, search or QuantizedModule
            Fitted; of skfhe, or with one at its end. It is not modified: copies are compiled.
        X : array-like
            Rows as it takes them.
        p_errors : sequence of float, default=None
            Error rates; None takes twelve, from 2**-40 to 2**-2.
        n_repeats : int, default=5
            Simulations at each rate.
        name : str, default=None
            For the title; None takes that of its class.
        show_cost : bool, default=True
            Whether to draw the seconds, too, on an axis at the right.
        ax : matplotlib Axes, default=None
            None makes new ones.
        **kwargs
            For matplotlib's ``errorbar``, which draws the agreement.

        Returns
        -------
        AgreementDisplay

        Raises
        ------
        ValueError
            If there are no rates, no repeats, or a rate lies outside (0, 1) or below 2**-128.
        CompilationError
            If the engine finds no parameters at a rate.
        """
        load_pyplot(f"{cls.__name__}.from_estimator")
        rates = _rates(p_errors, n_repeats)
        subject = subject_of(estimator)
        rows = subject.rows(X)
        clear = subject.answers(subject.predictor, rows, "disable")
        agreement, seconds = np.empty((len(rates), n_repeats)), np.empty(len(rates))
        for at, rate in enumerate(rates):
            model = _compiled_at(subject, float(rate))
            seconds[at] = model.cost_.seconds
            for repeat in range(n_repeats):
                agreement[at, repeat] = _equal_rows(subject.answers(model, rows, "simulate"), clear).mean()
        display = cls(
            p_errors=rates,
            agreement=agreement,
            bound=_bound(subject.predictor.program_, rates),
            seconds=seconds,
            n_rows=len(_equal_rows(clear, clear)),
            estimator_name=subject.name,
        )
        return display.plot(ax, name=name, show_cost=show_cost, **kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, show_cost: bool = True, **kwargs: Any
    ) -> AgreementDisplay:
        """Plot the mean agreement of each rate, with the range of the repeats, and what a row costs.

        Parameters are those of `from_estimator`.

        Returns
        -------
        AgreementDisplay
            This one.
        """
        ax = axes_for(ax, f"{type(self).__name__}.plot")
        mean = self.agreement.mean(axis=1)
        spread = np.abs(np.stack([self.agreement.min(axis=1), self.agreement.max(axis=1)]) - mean)
        line = {"color": BLUE, "marker": "o", "markersize": 5, "capsize": 3, "label": "agreement"}
        self.errorbar_ = ax.errorbar(self.p_errors, mean, spread, **styled("Line2D", line, kwargs))
        self.line_ = self.errorbar_.lines[0]
        lines, self.bound_ = [self.errorbar_], None
        if self.bound is not None:
            style = {"color": "black", "linewidth": 1.2, "label": "no lookup of a row goes wrong"}
            (self.bound_,) = ax.plot(self.p_errors, self.bound, ":", **style)
            lines.append(self.bound_)
        ax.set_xscale("log", base=2)
        ax.set_ylim(-0.03, 1.05)
        ax.set_xlabel("probability that a lookup reads a wrong cell (p_error)")
        ax.set_ylabel("rows predicted as in the clear")
        ax.yaxis.set_major_formatter(load_pyplot("plot").matplotlib.ticker.PercentFormatter(1.0))
        ax.spines["top"].set_visible(False)
        ax.grid(color=GREY, alpha=0.25)
        self.cost_ax_ = None
        if show_cost:
            self.cost_ax_ = ax.twinx()
            lines += self.cost_ax_.plot(
                self.p_errors, self.seconds, "s--", color=VERMILION, markersize=4, label="seconds a row"
            )
            self.cost_ax_.set_ylim(0, self.seconds.max() * 1.15)
            self.cost_ax_.set_ylabel("predicted seconds of an encrypted row", color=VERMILION)
            self.cost_ax_.tick_params(axis="y", colors=VERMILION)
            self.cost_ax_.spines["top"].set_visible(False)
        name = self.estimator_name if name is None else name
        title = f"{f'{name}: ' if name else ''}{counted(self.n_rows)}, simulated"
        ax.set_title(wrapped(title, 60), fontsize="medium")
        ax.legend(lines, [each.get_label() for each in lines], loc="lower left", fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _rates(p_errors: Sequence[float] | None, n_repeats: int) -> FloatArray:
    """Return error rates in rising order, all of them checked before the first is simulated."""
    given: Any = P_ERRORS if p_errors is None else p_errors
    is_count = isinstance(n_repeats, Integral) and n_repeats >= 1
    if isinstance(given, str) or np.ndim(given) != 1 or not len(given) or not is_count:
        raise ValueError(
            "p_errors= is a list of one rate or more, and n_repeats= at least 1, got "
            f"{p_errors!r} and {n_repeats!r}"
        )
    for rate in given:
        ErrorRate(rate)
    return np.sort(np.asarray(given, dtype=np.float64))


def _bound(program: Program, rates: FloatArray) -> FloatArray | None:
    """Return the probability that nothing of a row goes wrong, if only lookups can."""
    if any(is_approximate(value.op) for value in program.values):
        return None
    return np.asarray((1.0 - rates) ** count_bootstraps(program), dtype=np.float64)


def _compiled_at(subject: Subject, rate: float) -> Any:
    """Return a copy of the predictor, compiled at an error rate, that shares no keys with others."""
    model = copy.copy(subject.predictor)
    if not subject.is_module:
        from skfhe.compose import set_mode

        set_mode(model, "disable")
    model.compile(p_error=rate)
    return model


def _equal_rows(found: Any, clear: Any) -> FloatArray:
    """Return which rows of two answers are the same in every number, and every array."""
    if isinstance(clear, dict):
        found, clear = list(found.values()), list(clear.values())
    if isinstance(clear, list | tuple):
        each = [_equal_rows(a, b) for a, b in zip(found, clear, strict=True)]
        return np.logical_and.reduce(each)
    found, clear = np.asarray(found), np.asarray(clear)
    equal = found == clear
    if clear.dtype.kind == "f":
        equal |= np.isnan(found) & np.isnan(clear)
    return equal.reshape(len(clear), -1).all(axis=1)
