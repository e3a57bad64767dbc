"""What the displays share: matplotlib if it is there, colours, axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import Any

__all__ = [
    *("BLUE", "COLORS", "GREY", "MARKERS", "ORANGE", "VERMILION"),
    *("axes_for", "counted", "literally", "load_pyplot", "shortened", "styled", "wrapped"),
]

BLUE, ORANGE, GREEN, SKY, VERMILION, PURPLE, YELLOW = (
    *("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7", "#F0E442"),
)
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
"""Told apart by people with any kind of colour vision: those of Okabe and Ito, 2008."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""So that groups are told apart without colours, too."""
GREY = "#8C8C8C"
MOST_LETTERS = 40


def load_pyplot(caller: str) -> Any:
    """Return matplotlib's pyplot, for a function of that name."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError(
            f'{caller} needs matplotlib, which is not installed: pip install "skfhe[plot]"'
        ) from None
    return plt


def axes_for(ax: Any, caller: str, size: tuple[float, float] | None = None) -> Any:
    """Return the axes to draw on: those given, or new ones, of a size in inches."""
    plt = load_pyplot(caller)
    if ax is not None:
        return ax
    _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def styled(artist: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords for matplotlib: those given, by whatever alias, before the defaults.

    Parameters
    ----------
    artist : str
        The class that they are of: "Line2D" or "Patch".
    defaults, given : mapping

    Returns
    -------
    dict
    """
    from matplotlib import cbook, lines, patches

    kinds = {"Line2D": lines.Line2D, "Patch": patches.Patch}
    return {**defaults, **cbook.normalize_kwargs(dict(given), kinds[artist])}


def counted(n_rows: int) -> str:
    """Return a number of rows in words."""
    return f"{n_rows} row{'s' * (n_rows != 1)}"


def shortened(label: str) -> str:
    """Return a name that a layer, a feature or a class was given as one line that leaves room for bars.

    It is left out of the middle: names of layers tell most at their ends.
    """
    line = "".join(letter if letter.isprintable() else " " for letter in label)
    half = MOST_LETTERS // 2
    return line if len(line) <= MOST_LETTERS else f"{line[: half - 1]}…{line[-half:]}"


def wrapped(title: str, letters: int = 72) -> str:
    """Return a title in lines that are no longer than axes of the usual size are wide."""
    return "\n".join(fill(line, letters) for line in title.splitlines())


def literally(texts: Iterable[Any]) -> None:
    """Let matplotlib's texts be shown as they are: dollars in names are no formulas."""
    for text in texts:
        text.set_parse_math(False)
