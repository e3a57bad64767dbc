"""What is trained on levels of the features in place of their values, beside the rows themselves."""

from __future__ import annotations

from typing import Any

from skfhe.encoding import LevelQuantizer

__all__ = ["EvaluationSetsMixin", "no_quantized_categories"]


def no_quantized_categories(estimator: Any) -> str:
    """Return the message that categories are not quantized."""
    return (
        f"n_bits={estimator.n_bits} quantizes features by their order, and there are categories; encode them "
        "as numbers before, or use n_bits=None"
    )


class EvaluationSetsMixin:
    """Mixin of estimators whose ``fit`` takes rows to evaluate on; goes before `TreePredictorMixin`."""

    def _represented(self: Any, arguments: dict[str, Any], quantizer: LevelQuantizer) -> dict[str, Any]:
        """Return the arguments of ``fit`` with rows of what their levels stand for, all alike."""
        found = {"X": self._on_levels(arguments["X"], quantizer)}
        sets = arguments.get("eval_set")
        if sets is not None:
            pairs = [sets] if isinstance(sets, tuple) else sets
            found["eval_set"] = [(self._on_levels(X, quantizer), y) for X, y in pairs]
        rows = arguments.get("eval_X")
        if rows is not None:
            several = isinstance(rows, tuple)
            quantized = tuple(self._on_levels(X, quantizer) for X in (rows if several else (rows,)))
            found["eval_X"] = quantized if several else quantized[0]
        return arguments | found
