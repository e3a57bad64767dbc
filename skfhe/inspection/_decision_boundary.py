"""Where classes meet: in the clear, simulated, encrypted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from skfhe._typing import Array, FloatArray
from skfhe.inspection._plotting import COLORS, axes_for, literally, load_pyplot, shortened, wrapped
from skfhe.inspection._subject import Subject, subject_of

__all__ = ["DecisionBoundaryDisplay"]

_TITLES = {"disable": "in the clear", "simulate": "simulated", "execute": "encrypted"}
MODES = tuple(_TITLES)


class DecisionBoundaryDisplay:
    """What an estimator answers over two features: in the clear, simulated and encrypted, side by side.

    It is recommended to use `DecisionBoundaryDisplay.from_estimator`. Parameters are stored as attributes.

    Parameters
    ----------
    xx0, xx1 : ndarray of float, shape (grid_resolution, grid_resolution)
        The first and the second feature of the rows of a grid.
    response : mapping of str to ndarray, shape (grid_resolution, grid_resolution)
        What each mode, "disable", "simulate" or "execute", makes of these rows. Of predicted classes these
        are their places in ``classes``.
    classes : ndarray, default=None
        The classes, clusters or kinds, if they are what is predicted.
    xlabel, ylabel : str, default=""
    estimator_name : str, default=None

    Attributes
    ----------
    differs : mapping of str to ndarray of bool
        Where each mode answers otherwise than the first one.
    surface_ : list of matplotlib QuadMesh
        One a mode.
    ax_ : matplotlib Axes, or ndarray of them if there are several modes
    figure_ : matplotlib Figure

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : That of scikit-learn, which takes ours, too.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.inspection import DecisionBoundaryDisplay
    >>> from skfhe.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X[:, :2], y)
    >>> circuit = model.compile()
    >>> display = DecisionBoundaryDisplay.from_estimator(model, X[:, :2], grid_resolution=10)
    >>> int(display.differs["execute"].sum())
    0
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        xx0: FloatArray,
        xx1: FloatArray,
        response: Mapping[str, FloatArray],
        classes: Array | None = None,
        xlabel: str = "",
        ylabel: str = "",
        estimator_name: str | None = None,
    ) -> None:
        self.xx0 = xx0
        self.xx1 = xx1
        self.response = response
        self.classes = classes
        self.xlabel = xlabel
        self.ylabel = ylabel
        self.estimator_name = estimator_name
        first = next(iter(response.values()))
        self.differs = {mode: found != first for mode, found in response.items()}

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        fhe: str | Sequence[str] = MODES,
        grid_resolution: int = 25,
        eps: float = 1.0,
        response_method: str = "predict",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> DecisionBoundaryDisplay:
        """Plot what a fitted estimator answers over two features.

        Every cell of the grid is a row that is evaluated, encrypted ones too, so that a fine grid takes as
        long as that many predictions do: see ``cost_.seconds``.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted on two features, and compiled unless ``fhe`` is "disable".
        X : array-like of shape (n_rows, 2)
            Rows that say how far the grid reaches.
        fhe : {"disable", "simulate", "execute"} or sequence of them, default=all three
            How the rows are evaluated, in axes of their own.
        grid_resolution : int, default=25
            Rows of the grid in each direction.
        eps : float, default=1.0
            How far the grid reaches beyond the rows.
        response_method : {"predict", "predict_proba", "decision_function"}, default="predict"
            What is shown. Probabilities and scores are those of the second of two classes.
        name : str, default=None
            For the title; None takes that of its class.
        ax : matplotlib Axes or sequence of them, default=None
            One a mode. None makes new ones.
        **kwargs
            For matplotlib's ``pcolormesh``.

        Returns
        -------
        DecisionBoundaryDisplay

        Raises
        ------
        NotCompiledError
            If a mode needs a circuit and there is none.
        ValueError
            If there are other than two features, or more than two classes with probabilities or scores.
        """
        load_pyplot(f"{cls.__name__}.from_estimator")
        modes: tuple[Any, ...] = tuple(fhe) if isinstance(fhe, Iterable) and fhe not in MODES else (fhe,)
        wrong = [mode for mode in modes if mode not in MODES]
        if wrong or not modes or len(set(modes)) < len(modes):
            raise ValueError(f"fhe= must be one or several different ones of {MODES}, got {fhe!r}")
        subject = subject_of(estimator)
        columns = [str(column) for column in getattr(X, "columns", [])]
        rows = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows):
            raise ValueError(
                f"the plane has two features, and X has the shape {rows.shape}; give rows of two columns"
            )
        if not isinstance(grid_resolution, Integral) or grid_resolution < 1:
            raise ValueError(f"grid_resolution= is a number of rows, at least 1, got {grid_resolution!r}")
        ends = [(column.min() - eps, column.max() + eps) for column in rows.T]
        xx0, xx1 = np.meshgrid(*(np.linspace(low, high, grid_resolution) for low, high in ends))
        grid: Any = np.stack([xx0.ravel(), xx1.ravel()], axis=1)
        if columns:  # an estimator that knows its features by name is asked by name
            is_pandas = hasattr(X, "iloc")
            grid = (
                type(X)(grid, columns=X.columns)
                if is_pandas
                else type(X)(dict(zip(columns, grid.T, strict=True)))
            )
        grid = subject.rows(grid)
        answers = {mode: _answered(subject, response_method, grid, mode) for mode in modes}
        classes = _classes(subject.predictor, answers) if response_method == "predict" else None
        found = {
            mode: np.asarray(
                answer if classes is None else np.searchsorted(classes, answer), dtype=np.float64
            ).reshape(xx0.shape)
            for mode, answer in answers.items()
        }
        display = cls(
            xx0=xx0,
            xx1=xx1,
            response=found,
            classes=classes,
            xlabel=columns[0] if columns else "",
            ylabel=columns[1] if columns else "",
            estimator_name=subject.name,
        )
        return display.plot(ax, name=name, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> DecisionBoundaryDisplay:
        """Plot the answers of each mode, with a cross wherever they differ from those of the first.

        Parameters are those of `from_estimator`.

        Returns
        -------
        DecisionBoundaryDisplay
            This one.
        """
        caller = f"{type(self).__name__}.plot"
        plt = load_pyplot(caller)
        n_modes = len(self.response)
        if ax is None and n_modes > 1:
            _, ax = plt.subplots(
                1, n_modes, figsize=(0.6 + 3.4 * n_modes, 3.7), sharex=True, sharey=True, layout="constrained"
            )
        elif ax is None:
            ax = axes_for(None, caller)
        axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(axes) != n_modes:
            raise ValueError(f"there are {n_modes} modes to draw, and ax= has {len(axes)} axes; give as many")
        name = self.estimator_name if name is None else name
        style = {**self._colors(kwargs.get("cmap")), "shading": "nearest", "rasterized": True}
        style |= {key: value for key, value in kwargs.items() if key != "cmap"}
        self.surface_ = []
        for own, (mode, found) in zip(axes, self.response.items(), strict=True):
            self.surface_.append(own.pcolormesh(self.xx0, self.xx1, found, **style))
            differs = self.differs[mode]
            own.plot(self.xx0[differs], self.xx1[differs], "kx", markersize=5)
            said = _TITLES[mode]
            if mode != next(iter(self.response)):
                said += f"\n{differs.size - differs.sum()} of {differs.size} rows equal"
            own.set_title(
                said if n_modes > 1 or not name else wrapped(f"{name}, {said}", 60), fontsize="medium"
            )
            own.set_xlabel(shortened(self.xlabel), parse_math=False)
        axes[0].set_ylabel(shortened(self.ylabel), parse_math=False)
        self._add_key(axes)
        if name and n_modes > 1:
            axes[0].figure.suptitle(wrapped(name, 36 * n_modes), fontsize="medium")
        self.ax_ = axes[0] if n_modes == 1 else axes
        self.figure_ = axes[0].figure
        return self

    def _colors(self, cmap: Any) -> dict[str, Any]:
        """Return how answers are coloured: classes apart, numbers by one scale for all modes."""
        from matplotlib import colormaps
        from matplotlib.colors import BoundaryNorm, ListedColormap

        if self.classes is None:
            found = np.concatenate([each.ravel() for each in self.response.values()])
            return {"cmap": cmap or "cividis", "vmin": found.min(), "vmax": found.max()}
        n_classes = len(self.classes)
        colors: Any = COLORS[:n_classes]
        if cmap is not None or n_classes > len(COLORS):
            name = cmap or ("tab20" if n_classes <= 20 else "turbo")
            colors = colormaps.get_cmap(name)(np.linspace(0, 1, n_classes))
        return {
            "cmap": ListedColormap(colors),
            "norm": BoundaryNorm(np.arange(n_classes + 1) - 0.5, n_classes),
            "alpha": 0.55,
        }

    def _add_key(self, axes: Any) -> None:
        """Say which colour is which class or number."""
        from matplotlib.patches import Patch

        surface = self.surface_[0]
        if self.classes is None:
            axes[0].figure.colorbar(surface, ax=list(axes), shrink=0.85)
            return
        handles = [
            Patch(facecolor=surface.cmap(surface.norm(i)), alpha=surface.get_alpha(), label=f"{each}")
            for i, each in enumerate(self.classes)
        ]
        legend = axes[-1].legend(
            handles=handles,
            labels=[shortened(str(each)) for each in self.classes],
            title="predicted",
            fontsize="small",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            ncols=1 + (len(handles) - 1) // 20,
        )
        literally(legend.get_texts())


def _classes(predictor: Any, answers: Mapping[str, Array]) -> Array | None:
    """Return what is told apart: classes, or clusters and whatever else is whole numbers."""
    classes = getattr(predictor, "classes_", None)
    found = np.concatenate(list(answers.values()))
    return np.unique(found) if classes is None and found.dtype.kind in "iu" else classes


def _answered(subject: Subject, method: str, grid: Any, mode: str) -> Array:
    """Return what a method makes of rows, a number or a class each."""
    methods = ("predict", "predict_proba", "decision_function")
    if method not in methods:
        raise ValueError(
            f'response_method must be "predict", "predict_proba" or "decision_function", got {method!r}'
        )
    if not hasattr(subject.predictor, method):
        there = [each for each in methods if hasattr(subject.predictor, each)]
        instead = f"; it has {' and '.join(there)}" if there else ", nor anything else that is drawn here"
        raise ValueError(f"{subject.name} has no {method}{instead}")
    found = np.asarray(getattr(subject.predictor, method)(grid, fhe=mode))
    if method == "predict_proba" and found.ndim == 2 and found.shape[1] == 2:
        found = found[:, 1]
    if found.ndim > 1:
        instead = "fit it on a single target" if method == "predict" else 'use response_method="predict"'
        raise ValueError(
            f"{method} of {subject.name} has the shape {found.shape}, and a colour shows one number a row; "
            f"{instead}"
        )
    return found
