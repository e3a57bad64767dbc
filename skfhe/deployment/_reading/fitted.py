"""Which kind of model is read how."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfhe._originals.searches import best_of, is_search
from skfhe.base import EncryptedPredictorMixin, NotCompiledEstimatorError
from skfhe.deployment._predictors import ModulePredictor
from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.deployment._reading.meta_estimators import META_ESTIMATORS, SEVERAL_ROUNDS
from skfhe.deployment._reading.pipelines import read_pipeline
from skfhe.deployment._reading.reading import Reading
from skfhe.exceptions import NotCompiledError, UnsupportedModelError

if TYPE_CHECKING:
    from skfhe.circuit import CompiledCircuit
    from skfhe.deployment._client_model import Predictor

__all__ = ["read_predictor"]


def read_predictor(fitted: Any, trusted: Collection[str] = ()) -> Reading:
    """Return the two halves of a fitted and compiled model.

    Parameters
    ----------
    fitted : estimator, Pipeline, search or QuantizedModule
    trusted : collection of str, default=()
        Full names of types that are kept in skops' format where a client cannot compute a step by itself.

    Returns
    -------
    Reading

    Raises
    ------
    NotFittedError
        If it is not fitted.
    NotCompiledError
        If an estimator inside is not compiled.
    UnsupportedModelError
        If a part of it cannot be evaluated by a client and a server in one round; the message says which.
    """
    if _is_module(fitted):
        return _read_module(fitted)
    if isinstance(fitted, EncryptedPredictorMixin):
        return _read_estimator(fitted)
    if is_search(fitted):
        return read_predictor(best_of(fitted), trusted)
    if isinstance(fitted, Pipeline):
        check_is_fitted(fitted)
        return read_pipeline(fitted, lambda last: read_predictor(last, trusted), trusted=trusted)
    if type(fitted) in META_ESTIMATORS:
        return _read_members(fitted, trusted)
    if type(fitted) in SEVERAL_ROUNDS:
        raise UnsupportedModelError(
            f"a {type(fitted).__name__} cannot be evaluated in one round: {SEVERAL_ROUNDS[type(fitted)]}. "
            "Save its members, and combine their predictions on the client"
        )
    raise UnsupportedModelError(
        f"a {type(fitted).__name__} cannot be saved for two machines; expected a compiled estimator of "
        "skfhe, a Pipeline that ends in one, a search whose best estimator is one, a QuantizedModule, or of "
        f"such estimators a {', '.join(sorted(each.__name__ for each in META_ESTIMATORS))}"
    )


def _read_members(fitted: Any, trusted: Collection[str]) -> Reading:
    check_is_fitted(fitted)
    circuits: list[CompiledCircuit] = []

    def read(member: Any) -> Predictor:
        reading = read_predictor(member, trusted)
        circuits.extend(reading.members)
        return reading.predictor

    predictor = META_ESTIMATORS[type(fitted)](fitted, read)
    return Reading(predictor, tuple(circuits))


def _is_module(fitted: Any) -> bool:
    """Whether this is an imported network; who has one has loaded the importers."""
    importers = sys.modules.get("skfhe.importers")
    return importers is not None and isinstance(fitted, importers.QuantizedModule)


def _read_module(module: Any) -> Reading:
    try:
        circuit = module.fhe_circuit_
    except AttributeError:
        raise NotCompiledError("this QuantizedModule is not compiled; call compile() first") from None
    shapes = tuple(tuple(int(n) for n in shape) for shape in module.input_shapes_)
    predictor = ModulePredictor(shapes, module.encoder_, module.decoder_, module.output_structure_)
    return Reading(predictor, (circuit.compiled,))


def _read_estimator(estimator: Any) -> Reading:
    check_is_fitted(estimator, "program_")
    try:
        circuit = estimator.fhe_circuit_
    except AttributeError:
        raise NotCompiledEstimatorError(
            f"this {type(estimator).__name__} has no circuit since it was last fitted; call compile() first"
        ) from None
    return Reading(estimator_predictor(estimator), (circuit.compiled,))
