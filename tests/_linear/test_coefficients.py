"""Coefficients and types as the original has them."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import is_classifier

from skfhe.exceptions import NotCompiledError
from skfhe.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from tests._linear.examples import ALL as EVERY
from tests.with_originals import original_of, seeded

ALL = [type(estimator) for estimator in EVERY]
METHODS = ("predict", "decision_function", "predict_proba", "predict_log_proba")


def problem(cls, n_rows=60, kind=np.float64):
    X = np.random.default_rng(0).normal(size=(n_rows, 3)).astype(kind)
    y = np.exp(X[:, 0])
    return X, (y > 1).astype(int) if is_classifier(cls()) else y.astype(kind)


# Coefficients that are assigned or changed in place.


def assign(model):
    model.coef_ = -3 * model.coef_ + 1
    model.intercept_ = model.intercept_ + 2


def change_in_place(model):
    model.coef_[...] = -3 * model.coef_ + 1
    model.intercept_ += 2


@pytest.mark.parametrize("change", [assign, change_in_place])
@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_predictions_follow_the_coefficients(cls, change):
    X, y = problem(cls)
    model, original = seeded(cls, n_bits=14).fit(X, y), seeded(cls._original).fit(X, y)
    original.coef_, original.intercept_ = model.coef_.copy(), np.copy(model.intercept_)
    change(model)
    change(original)
    method = "decision_function" if is_classifier(model) else "predict"
    expected = getattr(original, method)(X)
    np.testing.assert_allclose(getattr(model, method)(X), expected, atol=1e-3 * np.ptp(expected))


@pytest.mark.parametrize("change", [assign, change_in_place])
def test_changed_coefficients_are_compiled_anew(change):
    X, y = problem(LogisticRegression)
    model = LogisticRegression().fit(X, y)
    model.compile()
    before = model.decision_function(X[:9], fhe="execute")
    change(model)
    with pytest.raises(NotCompiledError, match=r"call compile\(\)"):
        model.decision_function(X, fhe="execute")
    model.compile()
    encrypted = model.decision_function(X[:9], fhe="execute")
    np.testing.assert_array_equal(encrypted, model.decision_function(X[:9]))
    assert not np.isclose(encrypted, before).any()


def test_the_program_and_the_compiled_circuit_follow_the_coefficients():
    """Whichever is asked for first."""
    X, y = problem(Ridge)
    model = Ridge().fit(X, y)
    before = model.program_
    assert model.program_ is before
    model.coef_ *= [1, 0, 0]
    assert len(model.compile().program.inputs) == 1
    assert model.program_ is not before
    assert model.program_.values[0].type.shape == (1,)
    model.coef_ = np.zeros(3)
    assert model.output_bits_ == [1]
    assert not hasattr(model, "fhe_circuit_")


def test_zero_coefficients_leave_the_intercept():
    X, y = problem(LogisticRegression)
    model = LogisticRegression().fit(X, y)
    model.coef_[:] = 0
    model.intercept_[:] = 0.125
    np.testing.assert_array_equal(model.decision_function(X), np.full(len(X), 0.125))
    model.compile()
    np.testing.assert_array_equal(model.decision_function(X[:2], fhe="execute"), [0.125, 0.125])


def test_coefficients_that_are_the_same_keep_the_circuit():
    X, y = problem(SGDClassifier)
    model = SGDClassifier(random_state=0).fit(X, y)
    circuit = model.compile()
    expected = model.decision_function(X)
    model.coef_ = model.coef_.copy()
    np.testing.assert_array_equal(model.decision_function(X), expected)
    model.sparsify()
    np.testing.assert_array_equal(model.decision_function(csr_matrix(X)), expected)
    model.densify()
    np.testing.assert_array_equal(model.decision_function(X), expected)
    assert model.fhe_circuit_ is circuit
    loaded = pickle.loads(pickle.dumps(model))
    loaded.coef_ = loaded.coef_ * 2
    assert not np.array_equal(loaded.decision_function(X), expected)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("coef_", np.ones(4), r"coef_ has shape \(4,\), which does not fit the 3 features"),
        ("intercept_", np.ones(2), r"intercept_ has shape \(2,\), and coef_ has 1 row"),
        ("coef_", np.array([1.0, np.nan, 0.0]), "coefficients or intercepts are not finite"),
        ("intercept_", np.inf, "coefficients or intercepts are not finite"),
    ],
)
def test_coefficients_that_fit_nothing_are_refused_and_can_be_taken_back(name, value, said):
    X, y = problem(LinearRegression)
    model = LinearRegression().fit(X, y)
    before, expected = getattr(model, name), model.predict(X)
    setattr(model, name, value)
    with pytest.raises(ValueError, match=said):
        model.predict(X)
    setattr(model, name, before)
    np.testing.assert_array_equal(model.predict(X), expected)


def test_training_goes_on_from_changed_coefficients():
    X, y = problem(SGDRegressor)
    model = SGDRegressor(random_state=0, warm_start=True).fit(X, y)
    original = original_of(model).fit(X, y)
    for estimator in (model, original):
        estimator.coef_ = estimator.coef_ * 2
        estimator.fit(X, y)
        estimator.partial_fit(X, y)
    np.testing.assert_array_equal(model.coef_, original.coef_)


# Types.


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_predictions_have_the_type_of_the_original_s(cls):
    for trained in (np.float32, np.float64):
        X, y = problem(cls, kind=trained)
        model, original = seeded(cls).fit(X, y), seeded(cls._original).fit(X, y)
        for asked in (np.float16, np.float32, np.float64, np.int8, np.int64):
            rows = (2 * X).astype(asked)
            for method in METHODS:
                if hasattr(original, method):
                    ours, theirs = getattr(model, method)(rows), getattr(original, method)(rows)
                    assert ours.dtype == theirs.dtype, (trained, asked, method)


def test_encrypted_float32_predictions_equal_the_clear_ones():
    X, y = problem(LogisticRegression, kind=np.float32)
    model = LogisticRegression().fit(X, y)
    model.compile()
    encrypted, clear = model.predict_proba(X[:5], fhe="execute"), model.predict_proba(X[:5])
    assert encrypted.dtype == clear.dtype
    np.testing.assert_array_equal(encrypted, clear)
