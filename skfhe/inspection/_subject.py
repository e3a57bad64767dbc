"""What is looked at: the one estimator of skfhe, or the module, in whatever was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Subject", "subject_of"]


@dataclass(frozen=True)
class Subject:
    """What predicts encrypted, and the steps that come before it in the clear.

    Parameters
    ----------
    predictor : estimator or QuantizedModule
    steps : tuple of transformer
        In the order in which they are taken.
    name : str
        Of its class.
    """

    predictor: Any
    steps: tuple[Any, ...]
    name: str

    @property
    def error_rate(self) -> Any:
        """What it was compiled for; None before."""
        circuit = getattr(self.predictor, "fhe_circuit_", None)
        return None if circuit is None else circuit.error_rate

    def rows(self, X: Any) -> Any:
        """Return rows as the predictor takes them."""
        for step in self.steps:
            X = step.transform(X)
        return X

    def integers(self, X: Any) -> tuple[Any, ...]:
        """Return the integers that are encrypted, an array for each input of the program."""
        found = self.predictor.quantize_input(*self._arguments(self.rows(X)))
        return found if isinstance(found, tuple) else (found,)

    @property
    def is_module(self) -> bool:
        """Whether it is a network, which may have several inputs, given as a tuple."""
        return not hasattr(self.predictor, "fit")

    def _arguments(self, rows: Any) -> tuple[Any, ...]:
        return rows if self.is_module and isinstance(rows, tuple) else (rows,)

    def answers(self, predictor: Any, rows: Any, fhe: str) -> Any:
        """Return what a predictor, this one or a copy, makes of rows that have passed the steps."""
        for method in ("predict", "transform", "forward"):
            if hasattr(predictor, method):
                return getattr(predictor, method)(*self._arguments(rows), fhe=fhe)
        raise TypeError(f"{self.name} has no predict, transform or forward")


def subject_of(estimator: Any) -> Subject:
    """Return what predicts encrypted in an estimator, a pipeline or a search.

    Parameters
    ----------
    estimator : estimator, Pipeline, search or QuantizedModule
        Fitted. Of a pipeline it is the last step, of a search the best estimator.

    Returns
    -------
    Subject

    Raises
    ------
    NotFittedError
        If it is not fitted.
    TypeError
        If it is none of these.
    """
    found, steps = estimator, []
    while not hasattr(type(found), "program_"):
        if hasattr(found, "best_estimator_"):
            found = found.best_estimator_
        elif hasattr(found, "steps"):
            steps += [step for _, step in found.steps[:-1] if step not in (None, "passthrough")]
            found = found.steps[-1][1]
        else:
            raise _not_ours(estimator, found)
    if hasattr(found, "fit"):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(found, "program_")
    return Subject(found, tuple(steps), type(found).__name__)


def _not_ours(given: Any, found: Any) -> Exception:
    """Return the error for what has no program."""
    if hasattr(found, "fit"):
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            check_is_fitted(found)
        except NotFittedError as error:
            return error
        except TypeError:
            pass
    inside = "" if found is given else f" with {type(found).__name__} inside"
    return TypeError(
        "expected a fitted estimator of skfhe, a pipeline that ends in one, a search that has trained its "
        f"best one (refit=True), or a QuantizedModule; got {type(given).__name__}{inside}. skfhe.convert "
        "makes estimators of skfhe of fitted ones; of a meta-estimator give one that is inside"
    )
