"""Meta-estimators on the client answer what they answer in one process."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE
from sklearn.linear_model import RANSACRegressor
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from skfhe.deployment._reading._meta_estimators import META_ESTIMATORS
from skfhe.linear_model import LinearRegression, LogisticRegression
from skfhe.program import run_batched
from skfhe.svm import LinearSVC
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor


@dataclass
class Leaf:
    model: Any

    @property
    def methods(self):
        return tuple(
            name
            for name in ("predict_proba", "predict_log_proba", "decision_function", "predict")
            if hasattr(self.model, name)
        )

    @property
    def n_inputs(self):
        return len(self.model.program_.inputs)

    @property
    def n_outputs(self):
        return len(self.model.program_.outputs)

    def encode(self, X):
        return self.model.encoder_.encode(np.asarray(X, dtype=float))

    def answer(self, method, outputs):
        scores = self.model.decoder_.decode(*outputs)
        if method == "decision_function":
            return scores[:, 0] if scores.shape[1] == 1 else scores
        if method == "predict_log_proba":
            with np.errstate(divide="ignore"):
                return np.log(self.model.head_.predict_proba(scores))
        return getattr(self.model.head_, method)(scores)


CANCER, IRIS = (load(return_X_y=True) for load in (load_breast_cancer, load_iris))
DIABETES = load_diabetes(return_X_y=True)
LABELS = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
TWO = (IRIS[0], np.where(IRIS[1] == 1, "yes", "no"))
LR, SVC, TREE = LogisticRegression(max_iter=300), LinearSVC(), DecisionTreeClassifier(max_depth=2)
LINEAR, REGRESSION_TREE = LinearRegression(), DecisionTreeRegressor(max_depth=3)
NAMED = (IRIS[0], np.array(["setosa", "versicolor", "virginica"])[IRIS[1]])
CASES = {
    "soft voting": (VotingClassifier([("a", LR), ("b", TREE)], voting="soft"), NAMED),
    "soft voting, weighted": (
        VotingClassifier([("a", LR), ("x", "drop"), ("b", TREE)], voting="soft", weights=[1, 9, 2.5]),
        NAMED,
    ),
    "hard voting": (VotingClassifier([("a", LR), ("b", TREE), ("c", SVC)], weights=[1, 2, 1]), NAMED),
    "voting of values": (VotingRegressor([("a", LINEAR), ("b", REGRESSION_TREE)], weights=[1, 3]), DIABETES),
    "bagging": (BaggingClassifier(TREE, 4, max_features=0.5, random_state=0), NAMED),
    "bagging of scores": (BaggingClassifier(LR, 3, random_state=0), NAMED),
    "bagging by votes": (BaggingClassifier(SVC, 3, random_state=0), NAMED),
    "bagging, a class unseen": (BaggingClassifier(TREE, 6, max_samples=4, random_state=3), NAMED),
    "bagging of values": (BaggingRegressor(LINEAR, 3, max_features=0.7, random_state=0), DIABETES),
    "one against the rest": (OneVsRestClassifier(LR), NAMED),
    "one against the rest by trees": (OneVsRestClassifier(TREE), NAMED),
    "one against the rest by values": (OneVsRestClassifier(LINEAR), NAMED),
    "one against the rest, two classes": (OneVsRestClassifier(LR), TWO),
    "labels": (OneVsRestClassifier(LR), LABELS),
    "labels, some constant": (OneVsRestClassifier(TREE), (LABELS[0], LABELS[1] * [1, 0, 1] | [[0, 0, 0]])),
    "pairs": (OneVsOneClassifier(LR), NAMED),
    "pairs of trees": (OneVsOneClassifier(TREE), NAMED),
    "pairs, two classes": (OneVsOneClassifier(SVC), TWO),
    "codes": (OutputCodeClassifier(LR, code_size=2, random_state=0), NAMED),
    "several targets": (MultiOutputClassifier(TREE), LABELS),
    "several targets by scores": (MultiOutputClassifier(SVC), LABELS),
    "several values": (MultiOutputRegressor(LINEAR), (DIABETES[0], np.c_[DIABETES[1], -DIABETES[1]])),
    "calibrated by a sigmoid": (CalibratedClassifierCV(SVC, cv=3), NAMED),
    "calibrated, two classes": (CalibratedClassifierCV(LR, cv=2), TWO),
    "calibrated by points": (CalibratedClassifierCV(SVC, method="isotonic", cv=3), NAMED),
    "calibrated trees": (CalibratedClassifierCV(TREE, method="isotonic", cv=2, ensemble=False), TWO),
    "calibrated trees by a sigmoid": (CalibratedClassifierCV(TREE, cv=2), NAMED),
    "a threshold": (FixedThresholdClassifier(LR, threshold=0.2), TWO),
    "a threshold of scores": (
        FixedThresholdClassifier(SVC, threshold=0.1, pos_label="no", response_method="decision_function"),
        TWO,
    ),
    "a threshold, searched": (TunedThresholdClassifierCV(TREE, cv=3), CANCER),
    "standard targets": (TransformedTargetRegressor(LINEAR, transformer=StandardScaler()), DIABETES),
    "targets of a range": (TransformedTargetRegressor(LINEAR, transformer=MinMaxScaler()), DIABETES),
    "logarithms": (TransformedTargetRegressor(LINEAR, func=np.log, inverse_func=np.exp), DIABETES),
    "selected features": (RFE(LR, n_features_to_select=2), NAMED),
    "self-training": (SelfTrainingClassifier(LR), (IRIS[0], np.where(np.arange(150) % 3, IRIS[1], -1))),
    "consensus": (RANSACRegressor(LINEAR, random_state=0, min_samples=20), DIABETES),
    "boosting by votes": (AdaBoostClassifier(TREE, n_estimators=3, random_state=0), NAMED),
    "boosting by votes, two classes": (AdaBoostClassifier(TREE, n_estimators=3, random_state=0), TWO),
    "boosting of values": (AdaBoostRegressor(REGRESSION_TREE, n_estimators=4, random_state=0), DIABETES),
}
ROUNDED = ("calibrated", "boosting by votes", "standard targets", "targets of a range")
"""Whose probabilities or values are computed by a function that need not round as NumPy's."""


def read(fitted, leaves):
    build = META_ESTIMATORS.get(type(fitted))
    if build is not None:
        return build(fitted, lambda member: read(member, leaves))
    leaves.append(fitted)
    return Leaf(fitted)


@pytest.mark.parametrize("name", CASES)
def test_a_meta_estimator_answers_as_in_one_process(name):
    """The members' programs are evaluated one after another, on the integers of the client's encoding."""
    model, (X, y) = CASES[name]
    leaves = []
    with np.errstate(all="ignore"):
        model.fit(X, y)
    predictor = read(model, leaves)
    given = iter(predictor.encode(X))
    outputs = []
    for leaf in leaves:
        program = leaf.program_
        outputs.extend(run_batched(program, *(next(given) for _ in program.inputs)))
    assert next(given, None) is None
    assert predictor.n_outputs == len(outputs)
    offered = [
        method
        for method in ("predict", "predict_proba", "decision_function")
        if hasattr(model, method) and (method in predictor.methods or method != "predict_proba")
    ]
    assert "predict" in predictor.methods
    for method in predictor.methods:
        found, expected = predictor.answer(method, tuple(outputs)), getattr(model, method)(X)
        assert type(found) is type(expected)
        for one, other in zip(
            found if isinstance(found, list) else [found],
            expected if isinstance(expected, list) else [expected],
            strict=True,
        ):
            assert one.shape == other.shape
            if name.startswith(ROUNDED) and one.dtype.kind == "f":
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
            else:
                np.testing.assert_array_equal(one, other)
    assert set(offered) <= set(predictor.methods) | {"decision_function"}
