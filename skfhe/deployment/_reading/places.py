"""Where a transformer stands, for messages, and what is read of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from skfhe.deployment._steps.composition import Step
from skfhe.deployment._steps.rows import FittedOn
from skfhe.exceptions import UnsupportedModelError

__all__ = ["DENSE_OUTPUT", "Place", "Read", "fitted_on", "full_name"]

DENSE_OUTPUT = "Let the step before give dense rows, by sparse_output=False or sparse_threshold=0."


@dataclass(frozen=True)
class Read:
    """A step, and whether the original gives a sparse matrix."""

    step: Step
    sparse: bool = False


@dataclass(frozen=True)
class Place:
    """Where a transformer stands.

    Parameters
    ----------
    path : tuple of str
        Names of the step and of what is around it, the outermost first.
    sparse : bool
        Whether the original gets a sparse matrix there.
    trusted : frozenset of str
        Types that may stay in skops' format.
    """

    path: tuple[str, ...] = ()
    sparse: bool = False
    trusted: frozenset[str] = frozenset()

    def at(self, name: str, transformer: Any) -> Place:
        """Return the place of a step in it."""
        return replace(self, path=(*self.path, f"{name!r} ({type(transformer).__name__})"))

    def __str__(self) -> str:
        return f"Step {' in '.join(reversed(self.path))}" if self.path else "The transformer"

    def refusal(self, reason: str, way_out: str | None = None) -> UnsupportedModelError:
        """Return the error that names the step, the reason, and what to do."""
        return UnsupportedModelError(f"{self} {reason}. {way_out}" if way_out else f"{self} {reason}.")

    def check_dense(self, reason: str) -> None:
        """Raise an `UnsupportedModelError` where the original gets a sparse matrix."""
        if self.sparse:
            raise self.refusal(f"gets a sparse matrix, {reason}", DENSE_OUTPUT)


def full_name(transformer: Any) -> str:
    """Return the name by which skops calls a class."""
    return f"{type(transformer).__module__}.{type(transformer).__qualname__}"


def fitted_on(transformer: Any) -> FittedOn:
    """Return what a transformer was fitted on."""
    names = getattr(transformer, "feature_names_in_", None)
    n_features = getattr(transformer, "n_features_in_", None)
    return FittedOn(
        type(transformer).__name__,
        None if n_features is None else int(n_features),
        None if names is None else tuple(str(name) for name in names),
    )
