"""What is set on an estimator reaches the original that trains."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfhe._originals.inherited import method_of
from skfhe.linear_model import LogisticRegression, SGDClassifier
from skfhe.svm import LinearSVC
from tests.with_originals import original_of

HAS_CALLBACKS = hasattr(LogisticRegression, "set_callbacks")
needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has callbacks from 1.9 on")


def two_classes():
    X = np.random.default_rng(0).normal(size=(60, 3))
    return X, (X[:, 0] > 0).astype(int)


class Recorder:
    """Callback of scikit-learn that records which hooks were called, and of what estimator."""

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append(("setup", type(estimator).__name__))

    def on_fit_task_begin(self, estimator, context, **kwargs):
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, **kwargs):
        self.events.append(("end", context.task_name))
        return False

    def teardown(self, estimator, context):
        self.events.append(("teardown", type(estimator).__name__))


def recorded(estimator, X, y, recorder=None):
    recorder = recorder or Recorder()
    fitted = estimator.set_callbacks(recorder).fit(X, y)
    return fitted, recorder


@needs_callbacks
def test_callbacks_see_the_training():
    X, y = two_classes()
    model, ours = recorded(LogisticRegression(), X, y)
    original, theirs = recorded(original_of(LogisticRegression()), X, y)
    assert ours.events == theirs.events
    assert len(ours.events) > 4
    n_events = len(ours.events)
    model.fit(X, y)
    assert len(ours.events) == 2 * n_events
    clone(model).fit(X, y)
    assert len(ours.events) == 3 * n_events
    converted = LogisticRegression.from_sklearn_model(original, X).fit(X, y)
    assert len(theirs.events) == 2 * n_events
    converted.set_callbacks().fit(X, y)
    assert len(theirs.events) == 2 * n_events
    assert not [name for name in vars(model) if "ctx" in name or "teardown" in name]


class Propagated(Recorder):
    """A recorder that meta-estimators hand on to what they fit."""

    max_propagation_depth = None


@needs_callbacks
@pytest.mark.parametrize(
    "build",
    [
        lambda estimator: make_pipeline(StandardScaler(), estimator),
        lambda estimator: GridSearchCV(estimator, {"C": [0.1, 1.0]}, cv=2),
    ],
)
def test_callbacks_reach_the_training_through_pipelines_and_searches(build):
    X, y = two_classes()
    _, ours = recorded(build(LogisticRegression()), X, y, Propagated())
    _, theirs = recorded(build(LogisticRegression._original()), X, y, Propagated())
    assert ours.events == theirs.events
    assert ("begin", "lbfgs-iter") in ours.events
    from sklearn.callback import ScoringMonitor

    monitors = [ScoringMonitor(scoring="accuracy") for _ in range(2)]
    for cls, monitor in zip((LogisticRegression, LogisticRegression._original), monitors, strict=True):
        build(cls().set_callbacks(monitor)).fit(X, y)
    logs = [monitor.get_logs(select="all") for monitor in monitors]
    assert [log.data for log in logs[0]] == [log.data for log in logs[1]]


def test_attributes_of_a_user_reach_the_original_and_learnt_ones_do_not():
    seen = []

    class Original(LogisticRegression._original):
        def fit(self, X, y, sample_weight=None):
            seen.append({name: vars(self).get(name) for name in ("note", "_private", "coef_", "_kept")})
            self._kept = "learnt"
            return super().fit(X, y, sample_weight)

    class Ours(LogisticRegression):
        _original = Original
        fit = method_of(Original.fit)

    X, y = two_classes()
    model = Ours()
    model.note, model._private = "a", [1]
    model.fit(X, y).fit(X, y)
    assert seen == 2 * [{"note": "a", "_private": [1], "coef_": None, "_kept": None}]
    assert model._kept == "learnt"


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_a_method_that_the_original_lacks_is_missing_for_the_same_reason(method):
    with pytest.raises(AttributeError, match=f"'SGDClassifier' has no attribute '{method}'") as caught:
        getattr(SGDClassifier(loss="hinge"), method)
    assert "probability estimates are not available for loss='hinge'" in str(caught.value.__cause__)
    assert not hasattr(LinearSVC(), method)
