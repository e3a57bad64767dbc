"""The candidates of a search over several estimators: which there are, what each is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline

__all__ = ["Candidate", "candidates_of", "is_estimator", "named_estimators"]

Grid = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]]


@dataclass(frozen=True)
class Candidate:
    """One estimator with one setting of its parameters.

    Parameters
    ----------
    family : int
        Place of the estimator among those that were given.
    name : str
        Name of the estimator.
    params : dict
    """

    family: int
    name: str
    params: Mapping[str, Any]

    def made_from(self, estimator: Any) -> Any:
        """Return an unfitted copy of the candidate's estimator with its parameters."""
        return clone(estimator).set_params(**clone(dict(self.params), safe=False))

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in sorted(self.params.items()))
        return f"{self.name}({shown})"


def is_estimator(given: Any) -> bool:
    return hasattr(given, "fit") and hasattr(given, "get_params") and not isinstance(given, type)


def named_estimators(estimators: Any) -> dict[str, Any]:
    """Return what a search was given as estimators, by name.

    Parameters
    ----------
    estimators : estimator, list of estimators, list of (str, estimator), or mapping of str to estimator
        Without a name it is that of the class in small letters, with a number from its second use on; of a
        pipeline that of the last step's class.

    Raises
    ------
    TypeError
        If that is not what was given.
    ValueError
        If there are none, names repeat, or some are classifiers and others are not.
    """
    if is_estimator(estimators):
        named = [(None, estimators)]
    elif isinstance(estimators, Mapping):
        named = list(estimators.items())
    elif isinstance(estimators, list | tuple):
        named = [tuple(each) if isinstance(each, list | tuple) else (None, each) for each in estimators]
    else:
        named = [(None, estimators)]
    if not named:
        raise ValueError("estimators is empty; give at least one estimator")
    found: dict[str, Any] = {}
    for each in named:
        if len(each) != 2 or not isinstance(each[0], str | None) or not is_estimator(each[1]):
            shown = each[1] if len(each) == 2 and each[0] is None else each
            raise TypeError(
                "estimators must be an estimator, or a list of estimators or of (name, estimator), or a "
                f"mapping of names to estimators; got {shown!r}"
            )
        name, estimator = each
        if name is None:
            name = _name_of(estimator, found)
        elif name in found:
            raise ValueError(f"names of estimators must differ, and {name!r} is given twice")
        found[name] = estimator
    return found


def _name_of(estimator: Any, taken: Mapping[str, Any]) -> str:
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    name = type(last).__name__.lower()
    names = [name, *(f"{name}-{n}" for n in range(2, len(taken) + 2))]
    return next(each for each in names if each not in taken)


def candidates_of(estimators: Mapping[str, Any], param_grid: Any) -> list[Candidate]:
    """Return every setting of every estimator, in order.

    Parameters
    ----------
    estimators : mapping of str to estimator
    param_grid : dict, list or None
        A grid of scikit-learn's for a single estimator; a list of grids in order, or a mapping of names to
        grids, for several. An estimator without a grid, or with None for one, is taken as it is.

    Raises
    ------
    TypeError, ValueError
        If that is not what was given, as `sklearn.model_selection.ParameterGrid` raises them, too.
    """
    return [
        Candidate(family, name, params)
        for family, (name, grid) in enumerate(_grids(estimators, param_grid).items())
        for params in ParameterGrid(grid if grid is not None else {})
    ]


def _grids(estimators: Mapping[str, Any], param_grid: Any) -> dict[str, Any]:
    """Return the grid of each estimator, by its name."""
    names = list(estimators)
    if param_grid is None:
        return dict.fromkeys(names)
    if isinstance(param_grid, Mapping):
        by_name = any(name in estimators for name in param_grid) and all(
            grid is None or isinstance(grid, Mapping | list | tuple) for grid in param_grid.values()
        )
        if len(names) == 1 and not by_name:
            return {names[0]: param_grid}
        unknown = [name for name in param_grid if name not in estimators]
        if unknown:
            raise ValueError(
                f"param_grid has {unknown[0]!r}, which is not the name of an estimator; for several "
                f"estimators it maps their names, here {', '.join(map(repr, names))}, to grids"
            )
        return {name: param_grid.get(name) for name in names}
    if isinstance(param_grid, list | tuple):
        if len(names) == 1:
            return {names[0]: param_grid}
        if len(param_grid) != len(names):
            raise ValueError(
                f"param_grid is a list of {len(param_grid)} for {len(names)} estimators; it needs a grid for "
                "each, in order, with None for one that is taken as it is; or map their names to grids"
            )
        return dict(zip(names, param_grid, strict=True))
    raise TypeError(
        "param_grid must be a grid as GridSearchCV takes it, or for several estimators a list of grids or a "
        f"mapping of their names to grids; got {param_grid!r}"
    )
