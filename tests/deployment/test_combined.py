"""Meta-estimators on the client answer what they answer in one process."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE
from sklearn.linear_model import RANSACRegressor
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

import skfhe
from skfhe.circuit import ClientSession
from skfhe.compose._members import fitted_members
from skfhe.deployment import Server, save
from skfhe.deployment._client_model import ClientModel
from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.deployment._reading.meta_estimators import META_ESTIMATORS
from skfhe.deployment._values import from_values, to_values
from skfhe.exceptions import UnsupportedModelError
from skfhe.linear_model import LinearRegression, LogisticRegression
from skfhe.program import run_batched
from skfhe.svm import LinearSVC
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor

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
    """Return the client's half as a file gives it back, and the estimators that make up the server's."""
    build = META_ESTIMATORS.get(type(fitted))
    if build is not None:
        return build(fitted, lambda member: read(member, leaves))
    leaves.append(fitted)
    return estimator_predictor(fitted)


def through_a_file(predictor):
    values, arrays = to_values(predictor)
    return from_values(json.loads(json.dumps(values)), arrays, "Predictor")


@pytest.mark.parametrize("name", CASES)
def test_columns_in_another_order_are_refused_as_in_one_process(name):
    """Members that were fitted on arrays know no names, and would take any column for any other."""
    model, (X, y) = CASES[name]
    frame = pd.DataFrame(X, columns=[f"feature {i}" for i in range(X.shape[1])])
    model = clone(model)
    with np.errstate(all="ignore"):
        model.fit(frame, y)
    predictor = through_a_file(read(model, []))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = predictor.encode(frame)
    for given, found in zip(predictor.encode(frame.copy()), expected, strict=True):
        np.testing.assert_array_equal(given, found)
    other = frame[frame.columns[::-1]]
    with pytest.raises(ValueError, match="same order"):
        model.predict(other)
    with pytest.raises(ValueError, match="same order"):
        predictor.encode(other)
    with pytest.raises(ValueError, match=r"features|columns|names"):
        predictor.encode(frame.iloc[:, 1:])


@pytest.mark.parametrize("name", CASES)
def test_a_meta_estimator_answers_as_in_one_process(name):
    """The members' programs are evaluated one after another, on the integers of the client's encoding."""
    model, (X, y) = CASES[name]
    leaves = []
    with np.errstate(all="ignore"):
        model.fit(X, y)
    predictor = through_a_file(read(model, leaves))
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
        found, expected = predictor.answer(method, tuple(outputs), (X,)), getattr(model, method)(X)
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


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a vote of two families and the folder that it was saved to."""
    model = VotingClassifier([("a", LogisticRegression(max_iter=300)), ("b", TREE)], voting="soft")
    model.fit(*NAMED)
    assert len(skfhe.compile(model)) == 2
    folder = tmp_path_factory.mktemp("voting")
    save(model, folder)
    return model, folder


def test_members_are_evaluated_in_one_round(saved):
    """One request and one set of keys, whatever the members are."""
    model, folder = saved
    client, server = ClientModel.read(folder), Server(folder)
    assert len(client.specs.parts) == 2
    session = ClientSession(client.specs)
    batch = session.encrypt(*client.predictor.encode(IRIS[0][::20]))
    outputs = session.decrypt(server.run(batch, session.evaluation_keys))
    for method in ("predict", "predict_proba"):
        expected = getattr(model, method)(IRIS[0][::20])
        np.testing.assert_array_equal(client.predictor.answer(method, outputs), expected)


@pytest.mark.parametrize(
    "model",
    [StackingClassifier([("a", TREE)], cv=2), ClassifierChain(LogisticRegression(max_iter=300))],
    ids=lambda model: type(model).__name__,
)
def test_what_needs_a_second_round_is_refused(model, tmp_path):
    """Its reason is named, and nothing is written."""
    model.fit(*(LABELS if isinstance(model, ClassifierChain) else NAMED))
    with pytest.raises(UnsupportedModelError, match="in one round"):
        save(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", CASES)
def test_compile_finds_every_fitted_member(name):
    """Members that were trained, and no others: parameters hold estimators that are not fitted."""
    model, (X, y) = CASES[name]
    if not hasattr(model, "n_features_in_") and not hasattr(model, "estimator_"):
        model.fit(X, y)
    leaves = []
    read(model, leaves)
    found = fitted_members(model)
    assert {id(leaf) for leaf in leaves} <= {id(member) for member in found}
    assert all(hasattr(member, "program_") for member in found)
