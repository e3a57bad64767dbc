"""The program as a graph."""

from __future__ import annotations

from typing import Any

from skfhe.inspection._plotting import load_pyplot, wrapped
from skfhe.inspection._subject import subject_of
from skfhe.program import Box, Drawing, Program, draw

__all__ = ["ProgramDisplay"]

_PIXELS = 80.0
"""Of a drawing for an inch of paper."""
_TITLE_LINE = 14.0
"""Pixels of a line of the title beyond the first."""


class ProgramDisplay:
    """The integer program of an estimator as boxes and arrows: what is evaluated on ciphertexts.

    It is recommended to use `ProgramDisplay.from_estimator`. All parameters are stored as attributes. In a
    notebook ``program_`` shows itself likewise, without matplotlib.

    Parameters
    ----------
    program : Program
    drawing : Drawing
        As `skfhe.program.draw` returns it.
    estimator_name : str, default=None

    Attributes
    ----------
    boxes_ : list of matplotlib FancyBboxPatch
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.inspection import ProgramDisplay
    >>> from skfhe.tree import DecisionTreeClassifier
    >>> model = DecisionTreeClassifier(max_depth=3).fit(*load_iris(return_X_y=True))
    >>> display = ProgramDisplay.from_estimator(model)
    >>> display.program is model.program_
    True
    >>> plt.show()
    """

    def __init__(self, *, program: Program, drawing: Drawing, estimator_name: str | None = None) -> None:
        self.program = program
        self.drawing = drawing
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        max_layers: int = 16,
        max_width: int = 5,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> ProgramDisplay:
        """Plot the program of a fitted estimator; it need not be compiled.

        Parameters
        ----------
        estimator : estimator, Pipeline, search or QuantizedModule
            Fitted; of skfhe, or with one at its end.
        max_layers, max_width : int, default=16, 5
            How much is drawn of a program that is long or wide; see `skfhe.program.draw`.
        name : str, default=None
            For the title; None takes that of its class.
        ax : matplotlib Axes, default=None
            None makes new ones, as large as the drawing.
        **kwargs
            For the texts: matplotlib's ``Axes.text``.

        Returns
        -------
        ProgramDisplay
        """
        load_pyplot(f"{cls.__name__}.from_estimator")
        subject = subject_of(estimator)
        program = subject.predictor.program_
        drawing = draw(program, max_layers=max_layers, max_width=max_width)
        display = cls(program=program, drawing=drawing, estimator_name=subject.name)
        return display.plot(ax, name=name, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> ProgramDisplay:
        """Plot the boxes and arrows.

        Parameters are those of `from_estimator`.

        Returns
        -------
        ProgramDisplay
            This one.
        """
        plt = load_pyplot(f"{type(self).__name__}.plot")
        from matplotlib.patches import Patch

        drawing = self.drawing
        width = max(drawing.width, 260.0)
        name = self.estimator_name if name is None else name
        title = wrapped(name or "", int(width // 9))
        height = drawing.height + 60.0 + _TITLE_LINE * title.count("\n")
        if ax is None:
            _, ax = plt.subplots(figsize=(width / _PIXELS, height / _PIXELS), layout="constrained")
        middle = drawing.width / 2
        ax.set_xlim(middle - width / 2, middle + width / 2)
        ax.set_ylim(drawing.height, 0)
        ax.set_aspect("equal")
        ax.set_axis_off()
        for arrow in drawing.arrows:
            _draw_arrow(ax, arrow.points)
        self.boxes_ = [_draw_box(ax, box, kwargs) for box in drawing.boxes]
        handles = [
            Patch(facecolor=(color, 0.16), edgecolor=color, label=meaning) for color, meaning in drawing.key
        ]
        ax.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=max(1, min(len(handles), int(width // 170))),
            frameon=False,
            fontsize=7.5,
        )
        if title:
            ax.set_title(title, fontsize="medium")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _draw_box(ax: Any, box: Box, texts: dict[str, Any]) -> Any:
    from matplotlib.patches import FancyBboxPatch

    color = box.color
    patch = FancyBboxPatch(
        (box.x - box.width / 2 + 4, box.y + 4),
        box.width - 8,
        box.height - 8,
        boxstyle="round,pad=4,rounding_size=5",
        facecolor=(color, 0.16),
        edgecolor=color,
        linewidth=2.2 if box.kind == "lookup" else 1.1,
        linestyle="--" if box.kind == "rest" else "-",
    )
    ax.add_patch(patch)
    for i, line in enumerate(box.lines):
        y = box.y + box.height * (i + 0.5 + 0.12) / (len(box.lines) + 0.24)
        style = {
            "fontsize": 7.5,
            "fontweight": "bold" if i == 0 else "normal",
            "ha": "center",
            "va": "center",
        }
        if box.is_output and i == len(box.lines) - 1:
            style["fontstyle"] = "italic"
        ax.text(box.x, y, line, **{**style, "parse_math": False, **texts})
    return patch


def _draw_arrow(ax: Any, points: tuple[tuple[float, float], ...]) -> None:
    from matplotlib.patches import FancyArrowPatch, PathPatch
    from matplotlib.path import Path

    (x, y), *others = points
    vertices, codes = [(x, y)], [Path.MOVETO]
    for to_x, to_y in others:
        middle = (y + to_y) / 2
        vertices += [(x, middle), (to_x, middle), (to_x, to_y)]
        codes += [Path.CURVE4] * 3
        x, y = to_x, to_y
    ax.add_patch(PathPatch(Path(vertices, codes), facecolor="none", edgecolor="0.4", linewidth=0.9))
    ax.add_patch(
        FancyArrowPatch((x, y - 6), (x, y + 1), arrowstyle="-|>", mutation_scale=8, color="0.4", linewidth=0)
    )
