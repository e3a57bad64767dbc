"""What a better score costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.inspection._plotting import COLORS, GREY, MARKERS, axes_for, load_pyplot, styled

__all__ = ["ParetoDisplay"]

NARROW = 5.0
"""Times that differ by this factor at most are on a linear scale, for ticks of a logarithmic one collide."""


class ParetoDisplay:
    """Score against the predicted seconds of an encrypted row, of all candidates of a search.

    It is recommended to use `ParetoDisplay.from_estimator`. All parameters are stored as attributes.

    Parameters
    ----------
    seconds, score : ndarray of float, shape (n_candidates,)
        Infinite seconds are those of candidates that cannot be compiled; they are not drawn.
    front : ndarray of int
        Which candidates no other one is as good as for as little, the cheapest first.
    names : list of str
        Of the families that candidates belong to, one a candidate.
    stopped : list of str, default=None
        Why a candidate was not evaluated to the end, empty if it was. Its score is of fewer rows then, and it
        is drawn faint.
    best : int, default=None
        The candidate that was taken.
    max_seconds : float, default=None
        The budget.
    score_name : str, default="score"

    Attributes
    ----------
    line_ : matplotlib Line2D
        The front.
    points_ : list of matplotlib PathCollection
        The candidates, one collection a family and one of those that were stopped.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    skfhe.model_selection.ParetoSearchCV : The search whose front it is.
    CostDisplay : What one model's layers cost.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.inspection import ParetoDisplay
    >>> from skfhe.linear_model import LogisticRegression
    >>> from skfhe.model_selection import ParetoSearchCV
    >>> search = ParetoSearchCV(LogisticRegression(max_iter=1000), {"n_bits": [2, 4, 8]})
    >>> display = ParetoDisplay.from_estimator(search.fit(*load_iris(return_X_y=True)))
    >>> (display.score[display.front] == search.front_["score"]).all()
    True
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        seconds: FloatArray,
        score: FloatArray,
        front: IntArray,
        names: list[str],
        stopped: list[str] | None = None,
        best: int | None = None,
        max_seconds: float | None = None,
        score_name: str = "score",
    ) -> None:
        self.seconds = seconds
        self.score = score
        self.front = front
        self.names = names
        self.stopped = stopped
        self.best = best
        self.max_seconds = max_seconds
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        cost: str = "neg_seconds",
        score_name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> ParetoDisplay:
        """Plot what a fitted search has found.

        Parameters
        ----------
        estimator : ParetoSearchCV, search of scikit-learn or QuantizedModule
            A `skfhe.model_selection.ParetoSearchCV`; or a search with several metrics, of which one is
            `skfhe.model_selection.cost_scorer`; or a module, or an estimator around a network, whose bits
            were searched for, with ``n_bits="auto"``.
        cost : str, default="neg_seconds"
            The name that a search of scikit-learn was given `cost_scorer` by.
        score_name : str, default=None
            Of a search with several metrics, which one; None takes that of ``refit``, or the only one that is
            not ``cost``. Of others, how the axis is named.
        ax : matplotlib Axes, default=None
            None makes new ones.
        **kwargs
            For matplotlib's ``plot``, which draws the front.

        Returns
        -------
        ParetoDisplay

        Raises
        ------
        ValueError
            If the search knows no cost, or several scores of which none was named.
        TypeError
            If it is no fitted search.
        """
        load_pyplot(f"{cls.__name__}.from_estimator")
        while hasattr(estimator, "steps") and not hasattr(estimator, "cv_results_"):
            estimator = estimator.steps[-1][1]
        estimator = getattr(estimator, "quantized_module_", estimator)  # of an estimator around a network
        if hasattr(estimator, "front_"):
            found = _of_race(cls, estimator, score_name)
        elif hasattr(estimator, "cv_results_"):
            found = _of_search(cls, estimator, cost, score_name)
        elif getattr(estimator, "quantization_", None) is not None:
            found = _of_module(cls, estimator.quantization_, score_name)
        else:
            raise TypeError(
                "expected a fitted ParetoSearchCV, a fitted search of scikit-learn with cost_scorer among "
                'its metrics, or a module that was made with n_bits="auto"; got '
                f"{type(estimator).__name__}"
            )
        return found.plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> ParetoDisplay:
        """Plot candidates as points and the front as steps: the better above, the cheaper at the left.

        Parameters are those of `from_estimator`.

        Returns
        -------
        ParetoDisplay
            This one.
        """
        ax = axes_for(ax, f"{type(self).__name__}.plot")
        stopped = np.array([bool(why) for why in self.stopped or [""] * len(self.names)])
        drawn = np.isfinite(self.seconds) & np.isfinite(self.score)
        families = list(dict.fromkeys(self.names))
        of = np.array([families.index(name) for name in self.names])
        (self.line_,) = ax.plot(
            self.seconds[self.front],
            self.score[self.front],
            **styled(
                "Line2D",
                {
                    **{"color": "black", "linewidth": 1.2, "drawstyle": "steps-post", "zorder": 1},
                    "label": "front",
                },
                kwargs,
            ),
        )
        self.points_ = []
        for i, family in enumerate(families):
            own = drawn & ~stopped & (of == i)
            style = {"marker": MARKERS[i % len(MARKERS)], "color": COLORS[i % len(COLORS)]}
            self.points_.append(
                ax.scatter(self.seconds[own], self.score[own], s=46, label=family, zorder=3, **style)
            )
        faint = drawn & stopped
        if faint.any():
            self.points_.append(
                ax.scatter(
                    self.seconds[faint],
                    self.score[faint],
                    s=22,
                    marker="x",
                    color=GREY,
                    label="stopped early",
                    zorder=2,
                )
            )
        if self.best is not None and drawn[self.best]:
            at = self.seconds[[self.best]], self.score[[self.best]]
            ring = {"facecolor": "none", "edgecolor": "black", "linewidth": 1.3, "zorder": 4}
            ax.scatter(*at, s=170, label="taken", **ring)
        if self.max_seconds is not None:
            ax.axvline(self.max_seconds, color=GREY, linestyle="--", linewidth=1, label="budget")
        shown = self.seconds[drawn & (self.seconds > 0)]
        if len(shown) and shown.max() > NARROW * shown.min():
            ax.set_xscale("log")
        elif not len(shown):
            text = "no candidate can be compiled"
            ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center")
        ax.set_xlabel("predicted seconds of an encrypted row")
        ax.set_ylabel(self.score_name.replace("_", " "))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color=GREY, alpha=0.25)
        ax.set_axisbelow(True)
        ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _of_race(cls: type[ParetoDisplay], search: Any, score_name: str | None) -> ParetoDisplay:
    """Return the display of a `ParetoSearchCV`."""
    table, refit = search.cv_results_, search.refit
    metric = refit if isinstance(refit, str) else "score"
    scoring = search.scoring if isinstance(search.scoring, str) else None
    seconds, front = np.asarray(table["mean_seconds"], dtype=np.float64), np.asarray(search.front_["index"])
    if isinstance(refit, str) and score_name not in (None, refit):
        metrics = [key.removeprefix("mean_test_") for key in table if key.startswith("mean_test_")]
        if score_name not in metrics:
            raise ValueError(
                f"score_name= must be one of the search's metrics {', '.join(metrics)}, got {score_name!r}"
            )
        metric = str(score_name)
        complete = np.array([not why for why in table["stopped"]])
        front = _front(np.where(complete, seconds, np.inf), np.asarray(table[f"mean_test_{metric}"]))
    return cls(
        seconds=seconds,
        score=np.asarray(table[f"mean_test_{metric}"], dtype=np.float64),
        front=front,
        names=[str(name) for name in table["estimator"]],
        stopped=[str(why) for why in table["stopped"]],
        best=int(search.best_index_),
        max_seconds=search.max_seconds,
        score_name=score_name or (metric if isinstance(refit, str) else scoring or "score"),
    )


def _of_search(cls: type[ParetoDisplay], search: Any, cost: str, score_name: str | None) -> ParetoDisplay:
    """Return the display of a search of scikit-learn."""
    table = search.cv_results_
    metrics = [key.removeprefix("mean_test_") for key in table if key.startswith("mean_test_")]
    if cost not in metrics:
        raise ValueError(
            f"the search has no costs: among its metrics, {', '.join(metrics)}, is no {cost!r}; give it "
            'scoring={"score": …, "neg_seconds": skfhe.model_selection.cost_scorer}, or name the metric that '
            "is cost_scorer by cost="
        )
    others = [metric for metric in metrics if metric != cost]
    if score_name is None and isinstance(search.refit, str) and search.refit != cost:
        score_name = search.refit
    if score_name is None and len(others) == 1:
        score_name = others[0]
    if score_name is None or score_name not in others:
        raise ValueError(
            f"score_name= must be one of the search's metrics {', '.join(others)}, got {score_name!r}"
        )
    seconds = -np.asarray(table[f"mean_test_{cost}"], dtype=np.float64)
    score = np.asarray(table[f"mean_test_{score_name}"], dtype=np.float64)
    best = getattr(search, "best_index_", None)
    return cls(
        seconds=seconds,
        score=score,
        front=_front(seconds, score),
        names=[type(search.estimator).__name__] * len(seconds),
        best=None if best is None else int(best),
        score_name=score_name,
    )


def _of_module(cls: type[ParetoDisplay], quantization: Any, score_name: str | None) -> ParetoDisplay:
    """Return the display of the settings that were tried for a module."""
    tried = list(quantization)
    seconds = np.array([each.seconds for each in tried])
    score = np.array([1.0 - each.loss for each in tried])
    taken = [i for i, each in enumerate(tried) if each.taken]
    return cls(
        seconds=seconds,
        score=score,
        front=_front(seconds, score),
        names=[
            f"{each.setting.rounding[1]} rounding" if each.setting.rounding else "no rounding"
            for each in tried
        ],
        best=taken[0] if taken else None,
        score_name=score_name or "1 - loss, against the float network",
    )


def _front(seconds: FloatArray, score: FloatArray) -> IntArray:
    """Return which candidates no other is as good as for as little, the cheapest first."""
    front: list[int] = []
    for at in np.lexsort((-score, seconds)):
        usable = np.isfinite(seconds[at]) and np.isfinite(score[at])
        if usable and (not front or score[at] > score[front[-1]]):
            front.append(int(at))
    return np.array(front, dtype=np.int64)
