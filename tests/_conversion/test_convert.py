"""What is fitted becomes the same with ours inside, each by the rows that it sees, or is refused by name."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import compose, ensemble, multiclass, multioutput, neighbors
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RANSACRegressor, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import skfhe
from skfhe._conversion.members import members_of
from skfhe.base import EncryptedPredictorMixin
from skfhe.exceptions import UnsupportedModelError

X, Y = load_iris(return_X_y=True)
TWO = (Y > 0).astype(int)
LABELS = np.stack([Y == 1, Y == 2], axis=1).astype(int)
XR, YR = (values[:150] for values in load_diabetes(return_X_y=True))
YS = np.stack([YR, -YR], axis=1)


def logistic():
    return LogisticRegression(max_iter=300)


def tree():
    return DecisionTreeClassifier(max_depth=2, random_state=0)


CLASSIFIERS = {
    "pipeline": (lambda: make_pipeline(StandardScaler(), PCA(3), logistic()), Y),
    "search": (
        lambda: GridSearchCV(
            make_pipeline(StandardScaler(), logistic()), {"logisticregression__C": [1, 9]}, cv=2
        ),
        Y,
    ),
    "voting": (lambda: ensemble.VotingClassifier([("a", logistic()), ("b", tree())], voting="soft"), Y),
    "stacking": (
        lambda: ensemble.StackingClassifier(
            [("a", logistic()), ("b", tree())], logistic(), cv=2, passthrough=True
        ),
        Y,
    ),
    "bagging": (lambda: ensemble.BaggingClassifier(logistic(), 3, max_features=0.5, random_state=0), Y),
    "boosting": (lambda: ensemble.AdaBoostClassifier(tree(), n_estimators=2, random_state=0), Y),
    "calibrated": (lambda: CalibratedClassifierCV(logistic(), cv=2), Y),
    "one against the rest": (lambda: multiclass.OneVsRestClassifier(logistic()), Y),
    "one against one": (lambda: multiclass.OneVsOneClassifier(logistic()), Y),
    "codes": (lambda: multiclass.OutputCodeClassifier(logistic(), random_state=0), Y),
    "labels": (lambda: multioutput.MultiOutputClassifier(logistic()), LABELS),
    "chain": (lambda: multioutput.ClassifierChain(logistic(), order=[1, 0]), LABELS),
    "threshold": (lambda: FixedThresholdClassifier(logistic(), threshold=0.3), TWO),
    "threshold before": (
        lambda: FixedThresholdClassifier(FrozenEstimator(logistic().fit(X, TWO)), threshold=0.3),
        TWO,
    ),
    "tuned threshold": (lambda: TunedThresholdClassifierCV(logistic(), cv=2), TWO),
    "elimination": (lambda: RFE(logistic(), n_features_to_select=2), Y),
    "self-training": (lambda: SelfTrainingClassifier(logistic()), np.where(np.arange(150) % 3, Y, -1)),
    "nested": (
        lambda: ensemble.VotingClassifier(
            [
                ("a", CalibratedClassifierCV(make_pipeline(StandardScaler(), logistic()), cv=2)),
                ("b", ensemble.BaggingClassifier(tree(), 2, random_state=0)),
            ]
        ),
        Y,
    ),
}
REGRESSORS = {
    "voting": (lambda: ensemble.VotingRegressor([("a", Ridge(0.1)), ("b", LinearRegression())]), YR),
    "stacking": (
        lambda: ensemble.StackingRegressor([("a", Ridge(0.1)), ("b", Ridge(0.2))], Ridge(), cv=2),
        YR,
    ),
    "bagging": (lambda: ensemble.BaggingRegressor(Ridge(0.1), 2, max_features=0.6, random_state=0), YR),
    "boosting": (
        lambda: ensemble.AdaBoostRegressor(
            DecisionTreeRegressor(max_depth=2, random_state=0), n_estimators=2, random_state=0
        ),
        YR,
    ),
    "target": (lambda: compose.TransformedTargetRegressor(Ridge(0.1), transformer=StandardScaler()), YR),
    "targets": (lambda: multioutput.MultiOutputRegressor(Ridge(0.1)), YS),
    "chain": (lambda: multioutput.RegressorChain(Ridge(0.1)), YS),
    "outliers": (lambda: RANSACRegressor(Ridge(0.1), min_samples=40, random_state=0), YR),
}


def predicting(fitted):
    """Yield the estimators at the ends of a container."""
    inner = [] if isinstance(fitted, EncryptedPredictorMixin) else members_of(fitted)
    if not inner:
        yield fitted
    for _, member in inner:
        yield from predicting(member)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_is_around_classifiers_predicts_alike_with_ours_inside(name):
    make, y = CLASSIFIERS[name]
    fitted = make().fit(X, y)
    before = pickle.dumps(fitted)
    model = skfhe.convert(fitted, X)
    assert type(model) is type(fitted) or isinstance(model, EncryptedPredictorMixin)
    assert all(isinstance(member, EncryptedPredictorMixin) for member in predicting(model))
    assert np.mean(model.predict(X) == fitted.predict(X)) > 0.97
    assert pickle.dumps(fitted) == before


@pytest.mark.parametrize("name", REGRESSORS)
def test_what_is_around_regressors_predicts_alike_with_ours_inside(name):
    make, y = REGRESSORS[name]
    fitted = make().fit(XR, y)
    model = skfhe.convert(fitted, XR)
    assert all(isinstance(member, EncryptedPredictorMixin) for member in predicting(model))
    np.testing.assert_allclose(model.predict(XR), fitted.predict(XR), atol=0.05 * np.ptp(YR))


def test_each_member_is_calibrated_on_the_rows_that_it_sees():
    """Of a chain, on the predictions of those before it."""
    chain = multioutput.RegressorChain(Ridge(0.1)).fit(XR, YS)
    second = skfhe.convert(chain, XR).estimators_[1]
    seen = np.column_stack([XR, chain.estimators_[0].predict(XR)])
    expected = type(second).from_sklearn_model(chain.estimators_[1], seen)
    np.testing.assert_array_equal(second.predict(seen), expected.predict(seen))
    assert second.n_features_in_ == XR.shape[1] + 1


def test_what_a_meta_estimator_trains_clones_of_is_ours_too():
    """So that fitting it again trains ours, with the parameters that were given."""
    fitted = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression(tol=0.1)), {}, cv=2).fit(X, Y)
    model = skfhe.convert(fitted, X, n_bits=6)
    step = model.estimator[-1]
    assert isinstance(step, EncryptedPredictorMixin)
    assert (step.tol, step.n_bits) == (0.1, 6)
    again = clone(model).fit(X, Y).best_estimator_
    assert isinstance(again[-1], EncryptedPredictorMixin)
    assert isinstance(again[0], StandardScaler)
    assert type(fitted.estimator[-1]) is LogisticRegression


def test_members_that_are_listed_twice_stay_the_same():
    fitted = ensemble.VotingClassifier([("a", tree())]).fit(X, Y)
    model = skfhe.convert(fitted)
    assert model.named_estimators_["a"] is model.estimators_[0]


def test_names_of_features_stay():
    frame = pd.DataFrame(X, columns=list("abcd"))
    fitted = make_pipeline(logistic()).fit(frame, Y)
    model = skfhe.convert(fitted, frame)
    assert model[-1].feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])


def test_what_chooses_features_by_an_estimator_has_ours():
    fitted = SelectFromModel(Ridge(0.1)).fit(XR, YR)
    model = skfhe.convert(fitted, XR)
    assert isinstance(model.estimator_, EncryptedPredictorMixin)
    np.testing.assert_array_equal(model.transform(XR), fitted.transform(XR))


def test_estimators_of_ours_and_constants_stay():
    ours = skfhe.linear_model.LogisticRegression(max_iter=300, n_bits=5)
    fitted = ensemble.VotingClassifier([("a", ours), ("b", DummyClassifier()), ("c", logistic())]).fit(X, Y)
    model = skfhe.convert(fitted, X)
    assert [getattr(member, "n_bits", None) for member in model.estimators_] == [5, None, 8]
    assert model.estimators_[0] is not fitted.estimators_[0]
    assert type(skfhe.convert(fitted.estimators_[0])) is type(ours)


def test_a_multilayer_perceptron_becomes_a_network():
    fitted = make_pipeline(StandardScaler(), MLPClassifier([4], max_iter=300, random_state=0)).fit(X, Y)
    model = skfhe.convert(fitted, X, n_bits=6)
    assert type(model[-1]) is skfhe.importers.TorchClassifier
    assert model[-1].n_bits == 6
    assert np.mean(model.predict(X) == fitted.predict(X)) > 0.97


class Ensemble(ClassifierMixin, BaseEstimator):
    """Someone's own, which knows nothing of us."""

    def fit(self, X, y):
        self.first_ = logistic().fit(X[:, :2], y)
        self.others_ = {"second": [tree().fit(X, y)]}
        self._last = tree().fit(X, y)
        return self

    def predict(self, X):
        self.others_["second"][0].predict(X)
        self._last.predict(X)
        return self.first_.predict(X[:, :2])


def test_classes_that_are_not_known_are_converted_by_what_they_have_learnt():
    fitted = Ensemble().fit(X, Y)
    model = skfhe.convert(fitted, X)
    assert isinstance(model.first_, EncryptedPredictorMixin)
    assert isinstance(model.others_["second"][0], EncryptedPredictorMixin)
    assert isinstance(model._last, EncryptedPredictorMixin)
    assert np.mean(model.predict(X) == fitted.predict(X)) > 0.97


def test_what_was_converted_is_compiled_and_predicts_encrypted():
    fitted = ensemble.BaggingClassifier(logistic(), 2, max_features=0.5, random_state=0).fit(X, Y)
    model = skfhe.convert(fitted, X)
    skfhe.compile(model)
    for member, features in zip(model.estimators_, model.estimators_features_, strict=True):
        rows = X[::40, features]
        np.testing.assert_array_equal(
            member.decision_function(rows, fhe="execute"), member.decision_function(rows)
        )


# Refusals.


def test_all_that_cannot_be_converted_is_named_with_the_reason():
    class Own(LogisticRegression):
        def predict(self, X):
            return super().predict(X)[::-1]

    fitted = ensemble.VotingClassifier(
        [("a", logistic()), ("b", neighbors.KNeighborsTransformer()), ("c", Own(max_iter=300))]
    )
    members = [("a", logistic()), ("b", neighbors.RadiusNeighborsClassifier(9.0)), ("c", Own(max_iter=300))]
    fitted = ensemble.VotingClassifier(members).fit(X, Y)
    with pytest.raises(UnsupportedModelError) as raised:
        skfhe.convert(fitted, X)
    message = str(raised.value)
    assert "estimators_[0]" not in message
    assert "estimators_[1], a RadiusNeighborsClassifier: skfhe has no estimator that stands for" in message
    assert (
        "estimators_[2], a Own: Own.predict is not that of sklearn.linear_model.LogisticRegression" in message
    )
    with pytest.raises(UnsupportedModelError, match=r"estimators_\[0\], a LogisticRegression: .* needs rows"):
        skfhe.convert(fitted)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            neighbors.RadiusNeighborsClassifier(9.0).fit(X, Y),
            UnsupportedModelError,
            "no estimator that stands for",
        ),
        (make_pipeline(StandardScaler()).fit(X), UnsupportedModelError, "nothing"),
        (logistic(), NotFittedError, "not fitted"),
        (GridSearchCV(logistic(), {}), NotFittedError, "not fitted"),
        (GridSearchCV(logistic(), {}, cv=2, refit=False).fit(X, Y), NotFittedError, "refit=False"),
        (skfhe.tree.DecisionTreeClassifier(), NotFittedError, "not fitted"),
        (make_pipeline(logistic()), NotFittedError, "not fitted"),
        (logistic, TypeError, "got function"),
        (LogisticRegression, TypeError, "got the class LogisticRegression"),
        (logistic().fit(X, Y), ValueError, "needs rows"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_what_is_no_fitted_model_that_can_be_converted_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        skfhe.convert(copy.deepcopy(given))


def test_a_network_is_sent_to_its_own_functions():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="compile_torch_model"):
        skfhe.convert(torch.nn.Linear(2, 1))


def test_an_option_that_none_inside_takes_is_refused():
    with pytest.raises(TypeError, match=r"got n_bitz, .*LogisticRegression"):
        skfhe.convert(logistic().fit(X, Y), X, n_bitz=3)
