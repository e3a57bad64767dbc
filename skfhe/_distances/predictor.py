"""What estimators share whose scores are distances."""

from __future__ import annotations

from typing import Any

import numpy as np

from skfhe._typing import FloatArray
from skfhe.encoding import GridEncoder

__all__ = ["DistanceMixin"]


class DistanceMixin:
    """Mixin of estimators by distances; goes before `skfhe._linear.LinearPredictorMixin`.

    Scores are of double precision, whatever rows are, for distances are differences of large numbers.
    """

    encoder_: GridEncoder

    def _scores_of_rows(self: Any, rows: Any, fhe: str | None) -> FloatArray:
        """Return the scores of validated rows, with what is the rows' own."""
        found: FloatArray = super()._scores_of_rows(rows, fhe)  # type: ignore[misc]
        squares = getattr(self.head_, "squares", None)
        return found if squares is None else squares.added(found, rows, self.encoder_)

    def _score_type(self, rows: Any) -> Any:
        return np.dtype(np.float64)
