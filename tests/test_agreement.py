"""Predictions are compared with the original's after training, and what differs is warned of once, truly."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import linear_model as float_linear_model
from sklearn import neighbors
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.metrics import accuracy_score

import skfhe
from skfhe import _agreement
from skfhe._agreement import agreement_of, part_alike, rows_like, some_rows
from skfhe.exceptions import ToleranceWarning
from skfhe.linear_model import LogisticRegression, Ridge, SGDClassifier
from skfhe.mixture import GaussianMixture
from skfhe.naive_bayes import CategoricalNB, GaussianNB
from skfhe.neighbors import KNeighborsClassifier
from skfhe.svm import SVC, OneClassSVM


@pytest.fixture(scope="module")
def close_classes():
    """Return rows of three classes, with scores so close together that eight bits do not tell all apart."""
    rng = np.random.default_rng(7)
    hidden = rng.normal(size=(600, 8))
    X = np.logspace(-3, 3, 8) * hidden
    return X, np.digitize(hidden @ rng.normal(size=8), [-0.5, 0.5])


def test_the_part_of_values_is_that_of_the_worst_column():
    expected = np.column_stack([np.arange(5.0), np.arange(5.0), np.full(5, 7.0)])
    found = expected + np.array([0.0, 0.1, 0.2])  # a constant column varies by roundings alone: no count
    assert part_alike(expected, found, of_labels=False) == pytest.approx(1 - 0.1**2 / 2)
    for size in (1e300, 1e-200):  # whose squares are no floats
        assert part_alike(expected * size, found * size, of_labels=False) == pytest.approx(0.995)
    assert part_alike(expected[:0], expected[:0], of_labels=False) == 1


def test_what_is_warned_of_is_true_and_its_remedy_helps(close_classes):
    X, y = close_classes
    with pytest.warns(ToleranceWarning) as warned:
        model = LogisticRegression(n_bits=5, solver="newton-cholesky").fit(X, y)
    (warning,) = [each for each in warned if each.category is ToleranceWarning]
    message = str(warning.message)
    original = float_linear_model.LogisticRegression(solver="newton-cholesky").fit(X, y)
    equal = accuracy_score(original.predict(X), model.predict(X))
    assert message.startswith(f"LogisticRegression: {np.floor(1e4 * equal) / 100:.2f}% of predictions of 600")
    assert "for features and weights are rounded to n_bits=5; n_bits=" in message
    n_bits = int(message.partition("; n_bits=")[2].partition(" ")[0])
    better = accuracy_score(original.predict(X), model.set_params(n_bits=n_bits).fit(X, y).predict(X))
    assert f"n_bits={n_bits} makes it {np.floor(1e4 * better) / 100:.2f}%" in message
    assert warning.filename == __file__


@pytest.mark.filterwarnings("error::skfhe.exceptions.ToleranceWarning")
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(max_iter=1000),
        SGDClassifier(random_state=0),
        GaussianNB(),
        GaussianMixture(3, random_state=0),
        SVC(kernel="poly", degree=2),
        OneClassSVM(kernel="poly", degree=2, nu=0.1),
    ],
    ids=lambda model: type(model).__name__,
)
def test_good_models_are_not_warned_of(model):
    """Not even where support vectors lie on the original's boundary, at a side that roundings choose."""
    X, y = load_iris(return_X_y=True, as_frame=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*feature names")
        model.fit(X, y)


def test_values_are_compared_by_the_variance_they_explain():
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(
        ToleranceWarning, match=r"Ridge: 9\d\.\d\d% of the variance of predictions of 442 training"
    ):
        Ridge(n_bits=3).fit(X, y)


def test_converted_models_are_compared_on_the_rows_that_are_given(close_classes):
    X, y = close_classes
    original = float_linear_model.LogisticRegression(solver="newton-cholesky").fit(
        pd.DataFrame(X).add_prefix("x"), y
    )
    with pytest.warns(ToleranceWarning, match="of 300 training rows"):
        LogisticRegression.from_sklearn_model(original, pd.DataFrame(X).add_prefix("x")[:300], n_bits=4)


def test_rows_are_taken_as_they_were_given():
    """An original that counts categories is not given the bits that a program takes."""
    X = np.random.default_rng(0).integers(0, 3, (60, 2))
    model = CategoricalNB().fit(X, X[:, 0])
    found = agreement_of(model, model._original().fit(X, X[:, 0]), X, "predict")
    assert (found.part, found.n_rows) == (1.0, 60)


def test_few_rows_are_compared_and_none_that_do_not_count(monkeypatch):
    monkeypatch.setattr(_agreement, "MOST_ROWS", 4)
    X = np.arange(10.0)[:, None]
    assert some_rows(X).ravel().tolist() == [0, 3, 6, 9]
    assert some_rows(X.tolist(), np.arange(10) % 2).tolist() == [[1.0], [5.0], [9.0]]
    assert some_rows(pd.DataFrame(X), [1] * 3 + [0] * 7).index.tolist() == [0, 1, 2]
    assert some_rows(X[:4]) is not None


def test_a_subclass_and_a_mode_are_not_in_the_way(close_classes):
    """Training is in the clear whatever the mode, and what a class adds may not be fitted yet."""

    class Own(LogisticRegression):
        def fit(self, X, y):
            super().fit(X, y)
            self.names_ = np.array(["a", "b", "c"])
            return self

        def predict(self, X, *, fhe=None):
            return self.names_[super().predict(X, fhe=fhe)]

    X, y = close_classes
    model = skfhe.set_mode(Own(n_bits=4), "execute", clear="forbid")
    with pytest.warns(ToleranceWarning, match="Own: "):
        model.fit(X, y)


def test_rows_like_those_of_training_are_others_within_the_same_ranges():
    X = load_iris().data
    found = rows_like(X)
    np.testing.assert_array_equal(found, rows_like(X))
    assert (found >= X.min(axis=0)).all()
    assert (found <= X.max(axis=0)).all()
    assert (found != X).any(axis=1).mean() > 0.9
    np.testing.assert_allclose(np.corrcoef(found.T), np.corrcoef(X.T), atol=0.1)  # they vary together alike
    for few in (X[:1], np.ones((3, 2)), np.array([[-1.7e308], [1.7e308], [0.0]])):
        assert np.isfinite(rows_like(few)).all()


def test_prototypes_are_judged_beside_the_rows_that_they_were_made_of():
    """Rows of training may be labelled as by the original, and others not: prototypes were made of these."""
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    with pytest.warns(ToleranceWarning, match="of predictions of 89 rows like those of training are equal"):
        model = KNeighborsClassifier().fit(X[::2], y[::2])
    original = neighbors.KNeighborsClassifier().fit(X[::2], y[::2])
    on_rows = (model.predict(X[::2]) == original.predict(X[::2])).mean()
    assert model.agreement_ < min(on_rows, 0.998)
    assert (model.predict(X[1::2]) == original.predict(X[1::2])).mean() < 0.998  # so the warning was right
