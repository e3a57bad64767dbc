"""Fitted meta-estimators of scikit-learn, read as the client's half of them.

Each reader takes a fitted meta-estimator and ``read``, which reads a member. Only those are here whose
members all see the rows as they come, so that one round answers; what reads decrypted results is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from sklearn import (
    calibration,
    ensemble,
    feature_selection,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    semi_supervised,
)
from sklearn.base import is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from skfhe._originals import compat
from skfhe.deployment._client_model import Predictor
from skfhe.deployment._combined import (
    FUNCTIONS,
    AdaBoosted,
    Averaged,
    Bagged,
    Calibrated,
    Calibrator,
    Isotonic,
    MedianBoosted,
    MultiOutput,
    OfArray,
    OfColumns,
    OneVsOne,
    OneVsRest,
    OutputCode,
    Retargeted,
    Sigmoid,
    Temperature,
    Thresholded,
    Voting,
)
from skfhe.deployment._steps.rows import FittedOn
from skfhe.exceptions import UnsupportedModelError

__all__ = ["META_ESTIMATORS", "SEVERAL_ROUNDS"]

Read: TypeAlias = Callable[[Any], Predictor]
Reader: TypeAlias = Callable[[Any, Read], Predictor]


def _all(estimators: Any, read: Read) -> tuple[Predictor, ...]:
    return tuple(read(estimator) for estimator in estimators)


def _weights(fitted: Any) -> Any:
    """Return the weights of members that were not dropped."""
    if fitted.weights is None:
        return None
    kept = [w for (_, member), w in zip(fitted.estimators, fitted.weights, strict=True) if member != "drop"]
    return np.asarray(kept, dtype=np.float64)


def _uses(member: Predictor, fitted: Any) -> Any:
    """Return what a meta-estimator of binary members compares."""
    if is_regressor(fitted):
        return "predict"
    return "decision_function" if "decision_function" in member.methods else "predict_proba"


def _voting(fitted: Any, read: Read) -> Predictor:
    members = _all(fitted.estimators_, read)
    return Voting(members, np.asarray(fitted.classes_), _weights(fitted), fitted.voting == "soft")


def _voting_regressor(fitted: Any, read: Read) -> Predictor:
    return Averaged(_all(fitted.estimators_, read), _weights(fitted))


def _of_bagging(fitted: Any, read: Read) -> tuple[Predictor, ...]:
    members = _all(fitted.estimators_, read)
    return tuple(
        OfColumns(np.asarray(columns, dtype=np.int64), int(fitted.n_features_in_), member)
        for columns, member in zip(fitted.estimators_features_, members, strict=True)
    )


def _bagging(fitted: Any, read: Read) -> Predictor:
    seen = tuple(np.asarray(member.classes_, dtype=np.int64) for member in fitted.estimators_)
    return Bagged(_of_bagging(fitted, read), np.asarray(fitted.classes_), seen)


def _bagging_regressor(fitted: Any, read: Read) -> Predictor:
    return Averaged(_of_bagging(fitted, read), summed=True)


def _binary(fitted: Any, read: Read) -> tuple[tuple[Predictor, ...], Any, Any]:
    """Return members for what is not constant, what of theirs is compared, and the place of each."""
    members: list[Predictor] = []
    places = []
    for estimator in fitted.estimators_:
        if hasattr(estimator, "y_"):  # scikit-learn's stand-in for a member that saw one class alone
            places.append(-2 if estimator.y_[0] else -1)
        else:
            places.append(len(members))
            members.append(read(estimator))
    if not members:
        raise UnsupportedModelError(
            f"every member of this {type(fitted).__name__} is constant: there is nothing to evaluate"
        )
    uses = _uses(members[0], fitted.estimators_[places.index(0)])
    return tuple(members), uses, np.asarray(places, dtype=np.int64)


def _one_vs_rest(fitted: Any, read: Read) -> Predictor:
    members, uses, places = _binary(fitted, read)
    return OneVsRest(members, np.asarray(fitted.classes_), bool(fitted.multilabel_), uses, places)


def _one_vs_one(fitted: Any, read: Read) -> Predictor:
    members = _all(fitted.estimators_, read)
    return OneVsOne(members, np.asarray(fitted.classes_), _uses(members[0], fitted.estimators_[0]))


def _output_code(fitted: Any, read: Read) -> Predictor:
    members, uses, places = _binary(fitted, read)
    codes = np.asarray(fitted.code_book_, dtype=np.float64)
    return OutputCode(members, np.asarray(fitted.classes_), codes, uses, places)


def _multi_output(fitted: Any, read: Read) -> Predictor:
    return MultiOutput(_all(fitted.estimators_, read))


def _calibrator(fitted: Any) -> Calibrator:
    """Return one fitted calibrator, which scikit-learn has no public class for but the isotonic one."""
    if isinstance(fitted, IsotonicRegression):
        return Isotonic(
            np.asarray(fitted.X_thresholds_, dtype=np.float64),
            np.asarray(fitted.y_thresholds_, dtype=np.float64),
        )
    if hasattr(fitted, "beta_"):
        return Temperature(float(fitted.beta_))
    return Sigmoid(float(fitted.a_), float(fitted.b_))


def _calibrated(fitted: Any, read: Read) -> Predictor:
    pairs = fitted.calibrated_classifiers_
    classes = np.asarray(fitted.classes_)
    return Calibrated(
        _all([pair.estimator for pair in pairs], read),
        classes,
        tuple(tuple(_calibrator(each) for each in pair.calibrators) for pair in pairs),
        tuple(np.searchsorted(classes, pair.estimator.classes_) for pair in pairs),
    )


def _thresholded(fitted: Any, read: Read) -> Predictor:
    estimator = getattr(fitted, "estimator_", None) or fitted.estimator
    member = read(estimator)
    asked, classes = fitted.response_method, np.asarray(fitted.classes_)
    order = ("predict_proba", "decision_function") if asked == "auto" else (asked,)
    uses: Any = next(name for name in order if name in member.methods)
    if isinstance(fitted, model_selection.TunedThresholdClassifierCV):
        threshold, label = fitted.best_threshold_, compat.positive_label(fitted)
    else:
        threshold, label = fitted.threshold, fitted.pos_label
        if threshold == "auto":
            threshold = 0.5 if uses == "predict_proba" else 0.0
    positive = 1 if label is None else int(np.flatnonzero(classes == label)[0])
    return Thresholded((member,), classes, uses, float(threshold), positive)


def _retargeted(fitted: Any, read: Read) -> Predictor:
    transformer = fitted.transformer_
    member = read(fitted.regressor_)
    one, zero = np.ones(1), np.zeros(1)
    flat = compat.has_flat_target(fitted)
    if type(transformer) is StandardScaler:
        n = transformer.n_features_in_
        scale = transformer.scale_ if transformer.with_std else np.ones(n)
        offset = transformer.mean_ if transformer.with_mean else np.zeros(n)
        return Retargeted((member,), "affine", np.asarray(scale), np.asarray(offset), flat)
    if type(transformer) is MinMaxScaler and not transformer.clip:
        scale = 1 / transformer.scale_
        return Retargeted((member,), "affine", scale, -transformer.min_ * scale, flat)
    if type(transformer) is FunctionTransformer:
        function = transformer.inverse_func
        if function is None:
            return Retargeted((member,), "affine", one, zero, flat)
        name = getattr(function, "__name__", "")
        if name in FUNCTIONS and getattr(np, name, None) is function and not transformer.inv_kw_args:
            return Retargeted((member,), name, one, zero, flat)
    raise UnsupportedModelError(
        f"the target of this TransformedTargetRegressor was transformed by {transformer!r}, whose inverse "
        f"the client does not know; it knows StandardScaler, MinMaxScaler and an inverse_func of NumPy's "
        f"{', '.join(FUNCTIONS[1:])}"
    )


def _selected(fitted: Any, read: Read) -> Predictor:
    (columns,) = np.nonzero(fitted.get_support())
    return OfColumns(columns.astype(np.int64), int(fitted.n_features_in_), read(fitted.estimator_))


def _inner(fitted: Any, read: Read) -> Predictor:
    return read(fitted.estimator_)


def _ada_boost(fitted: Any, read: Read) -> Predictor:
    weights = np.asarray(fitted.estimator_weights_, dtype=np.float64)
    return AdaBoosted(_all(fitted.estimators_, read), np.asarray(fitted.classes_), weights)


def _ada_boost_regressor(fitted: Any, read: Read) -> Predictor:
    weights = np.asarray(fitted.estimator_weights_, dtype=np.float64)
    return MedianBoosted(_all(fitted.estimators_, read), weights)


def _of_array(reader: Reader) -> Reader:
    """Return a reader of what checks rows itself, and hands its members arrays."""

    def read_checked(fitted: Any, read: Read) -> Predictor:
        names = getattr(fitted, "feature_names_in_", None)
        fitted_on = FittedOn(
            type(fitted).__name__,
            int(fitted.n_features_in_),
            None if names is None else tuple(str(name) for name in names),
        )
        return OfArray(fitted_on, reader(fitted, read))

    return read_checked


META_ESTIMATORS: Mapping[type, Reader] = {
    ensemble.VotingClassifier: _voting,
    ensemble.VotingRegressor: _voting_regressor,
    ensemble.BaggingClassifier: _of_array(_bagging),
    ensemble.BaggingRegressor: _of_array(_bagging_regressor),
    ensemble.AdaBoostClassifier: _of_array(_ada_boost),
    ensemble.AdaBoostRegressor: _of_array(_ada_boost_regressor),
    multiclass.OneVsRestClassifier: _one_vs_rest,
    multiclass.OneVsOneClassifier: _of_array(_one_vs_one),
    multiclass.OutputCodeClassifier: _output_code,
    multioutput.MultiOutputClassifier: _multi_output,
    multioutput.MultiOutputRegressor: _multi_output,
    calibration.CalibratedClassifierCV: _calibrated,
    model_selection.FixedThresholdClassifier: _thresholded,
    model_selection.TunedThresholdClassifierCV: _thresholded,
    TransformedTargetRegressor: _retargeted,
    feature_selection.RFE: _of_array(_selected),
    feature_selection.RFECV: _of_array(_selected),
    semi_supervised.SelfTrainingClassifier: _of_array(_inner),
    linear_model.RANSACRegressor: _of_array(_inner),
}
"""By the class itself: a subclass may predict otherwise."""
SEVERAL_ROUNDS: Mapping[type, str] = {
    ensemble.StackingClassifier: "its final estimator reads what the others predicted",
    ensemble.StackingRegressor: "its final estimator reads what the others predicted",
    multioutput.ClassifierChain: "each of its members reads what those before it predicted",
    multioutput.RegressorChain: "each of its members reads what those before it predicted",
}
"""What would need a second round, and why."""
