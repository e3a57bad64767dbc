"""Steps before a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skfhe._typing import IntArray

if TYPE_CHECKING:
    from skfhe.deployment._client_model import Predictor
    from skfhe.deployment._steps.composition import Step

__all__ = ["AfterSteps"]


@dataclass(frozen=True, eq=False)
class AfterSteps:
    """A predictor whose rows are first transformed.

    Parameters
    ----------
    steps : Step
    predictor : Predictor
        Of one input: rows as the last step gives them.
    """

    steps: Step
    predictor: Predictor

    @property
    def methods(self) -> tuple[str, ...]:
        """What the predictor answers."""
        return self.predictor.methods

    @property
    def n_inputs(self) -> int:
        """Inputs of the program."""
        return self.predictor.n_inputs

    @property
    def n_outputs(self) -> int:
        """Outputs of the program."""
        return self.predictor.n_outputs

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the integers of transformed rows."""
        return self.predictor.encode(*self._transformed(rows))

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Sequence[Any] | None = None) -> Any:
        """Return what the predictor answers."""
        return self.predictor.answer(method, outputs, rows if rows is None else self._transformed(rows))

    def _transformed(self, rows: Sequence[Any]) -> tuple[Any, ...]:
        if len(rows) != 1:
            raise ValueError(f"The steps of a pipeline take one table of rows, got {len(rows)}.")
        return (self.steps.transform(rows[0]),)
