"""Numbers of any size: finite right results, or a refusal that says why."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LinearRegression as FloatLinearRegression

from skfhe._linear.scores import Calibration, LinearScores, precision_of, quantize_scores
from skfhe.encoding import Values
from skfhe.exceptions import CompilationError, InputClippingWarning
from skfhe.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from skfhe.program import run
from tests.with_originals import original_of

TWELVE_ROWS = np.array([[a, b] for a in (1.0, 2.0, 3.0) for b in (1.0, 2.0, 3.0, 4.0)])
TWO_CLASSES = np.repeat([1, 2, 1, 2], [4, 4, 2, 2])


def converted(coef, intercept, X, **parameters):
    """Return our model of these coefficients, and the original."""
    original = FloatLinearRegression()
    original.coef_, original.intercept_ = np.asarray(coef, dtype=float), intercept
    original.n_features_in_ = X.shape[1]
    return LinearRegression.from_sklearn_model(original, X, **parameters), original


def quantized(weight, bias, X, n_bits=8, range_margin=7.5):
    described = LinearScores(weight, bias, Values())
    return quantize_scores(described, Calibration.on(X, np.ones(len(X)), n_bits, range_margin))


def test_every_seed_of_a_small_problem_can_be_fitted():
    """Some of these seeds end with weights of 1e-14 beside an intercept of -75."""
    for seed in range(400):
        model = SGDClassifier(random_state=seed).fit(TWELVE_ROWS, TWO_CLASSES)
        scores = TWELVE_ROWS @ model.coef_[0] + model.intercept_
        off = np.abs(model.decision_function(TWELVE_ROWS) - scores).max()
        assert off <= 0.004 * np.ptp(scores) + 1e-12 * np.abs(scores).max(), seed


def test_small_weights_beside_a_large_intercept_compile():
    model = SGDClassifier(random_state=85).fit(TWELVE_ROWS, TWO_CLASSES)
    assert np.abs(model.coef_).max() < 1e-13 * np.abs(model.intercept_).max()
    model.compile()
    encrypted = model.decision_function(TWELVE_ROWS, fhe="execute")
    np.testing.assert_array_equal(encrypted, model.decision_function(TWELVE_ROWS))


@pytest.mark.parametrize(
    ("scale", "offset", "coef", "intercept"),
    [
        (1.0, 1e16, 1.0, -1e16),
        (1e300, 0.0, 1e-300, 1.0),
        (2.4e307, 0.0, 1e-307, 0.0),  # the range itself is more than the largest float
        (1.0, 0.0, 1e200, -1e200),
        (1e-310, 0.0, 1e300, 1.0),
        (5e-324, 0.0, 1e300, 1.0),
        (1e-310, 0.0, 1.0, 0.0),
        (1.0, 0.0, 5e-324, 0.0),
        (1.0, 0.0, 1e-14, -75.0),
        (1.0, 0.0, 1.0, 1e300),
        (0.0, 7.0, 3.0, 1.0),
        (0.0, 1e300, 3.0, 1.0),
        (0.0, 0.0, 0.0, 0.4),
    ],
)
def test_features_and_coefficients_of_any_size(scale, offset, coef, intercept):
    X = np.arange(-7.0, 8)[:, None] * scale + offset
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, original = converted([coef], intercept, X)
        expected, predicted = original.predict(X), model.predict(X)
    assert np.isfinite(predicted).all()
    # where weights are subnormal, so are the predictions, and the units of both are not much smaller
    tolerance = 0.003 * np.ptp(expected) + 1e-15 * np.abs(expected).max() + 1e-307
    assert np.abs(predicted - expected).max() <= tolerance
    model.compile()
    np.testing.assert_array_equal(model.predict(X[:8], fhe="execute"), predicted[:8])


def test_large_values_that_lie_close_together_are_fitted_and_told_apart():
    X, y = 1e16 + np.arange(15.0)[:, None], np.arange(15.0)
    model = LinearRegression().fit(X, y)
    original = original_of(model).fit(X, y)
    assert model.score(X, y) > original.score(X, y) - 0.01
    assert len(np.unique(model.encoder_.encode(X)[0])) == len(np.unique(X))


def test_scores_beyond_the_largest_float_are_refused():
    X = np.arange(15.0)[:, None]
    with pytest.raises(ValueError, match=r"LinearRegression cannot be evaluated .* exceed the largest float"):
        converted([1e308], 0.0, X)
    with pytest.raises(ValueError, match="scores exceed the largest float"):
        converted([1e307], 1.7e308, X + 9)


MAGNITUDES = [0.0, 5e-324, 1e-310, 1e-200, 1e-14, 1e-3, 1.0, 75.0, 1e4, 1e16, 1e200, 1e300]


def drawn(rng, size):
    """Draw numbers of any magnitude."""
    return rng.choice(MAGNITUDES, size=size) * rng.uniform(-1, 1, size=size)


@pytest.mark.parametrize("n_bits", [2, 8, 16])
@pytest.mark.parametrize("margin", [0.0, 7.5, 1e6])
@pytest.mark.filterwarnings("error")
def test_anything_finite_is_evaluated_in_its_intervals_or_refused(n_bits, margin):
    """No integer overflows: sums at the ends of every input, in integers of any size, are those stated.

    Each score lies as close to the float model's as bits, range and the smallest of floats allow.
    """
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n_rows, n_features = rng.integers(1, 7), rng.integers(1, 5)
        X = rng.uniform(-1, 1, size=(n_rows, n_features)) * rng.choice(MAGNITUDES, size=n_features)
        X += drawn(rng, n_features)
        weight, bias = drawn(rng, (n_features, 1)), drawn(rng, 1)
        with np.errstate(all="ignore"):
            expected = X @ weight + bias
            largest = (np.abs(X) @ np.abs(weight)).max() + np.abs(bias).max()
            reached = np.abs(weight).ravel() @ np.ptp(X, axis=0)
        if largest > 1e306:
            with pytest.raises(ValueError, match="largest float"):
                quantized(weight, bias, X, n_bits, margin)
            continue
        scores = quantized(weight, bias, X, n_bits, margin)
        assert not scores.encoder.watch.beyond(X).any()
        (inputs,) = [scores.program.values[position].type for position in scores.program.inputs]
        (output,) = [scores.program.values[position].type for position in scores.program.outputs]
        weights = scores.program.values[1].op.weight[:, 0]
        ends = np.where(weights > 0, [inputs.low, inputs.high], [inputs.high, inputs.low])
        exact = [sum(int(w) * int(x) for w, x in zip(weights, row, strict=True)) for row in ends]
        assert exact == [output.min, output.max]
        (found,) = run(scores.program, np.vstack([ends, scores.encoder.encode(X)[0]]))
        assert found[:2, 0].tolist() == exact
        part = 2.0 ** (1 - n_bits) * (n_features + 2)  # steps of inputs and of weights
        tolerance = part * reached + 1e-12 * largest + 1e-300
        assert np.abs(scores.decoder.decode(found[2:]) - expected).max() <= tolerance, seed


# Sums that are wide.


@pytest.mark.parametrize(
    ("n_features", "n_bits", "outlier"),
    [(1, 16, 1e9), (30, 12, 1e6), (30, 14, 1.0), (64, 16, 1.0), (3, 8, 1e12)],
)
def test_wide_sums_are_encrypted_exactly(n_features, n_bits, outlier):
    """At the very ends of what is represented, too, in both directions at once."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, n_features))
    X[0] *= outlier
    model = Ridge(n_bits=n_bits).fit(X, X @ rng.normal(size=n_features))
    assert 49 < precision_of(model.program_) < 57
    model.compile()
    ends = np.where(model.coef_ > 0, 1e300, -1e300)
    rows = np.vstack([X[:5], ends, -ends])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputClippingWarning)
        np.testing.assert_array_equal(model.predict(rows, fhe="execute"), model.predict(rows))


def test_sums_that_are_too_wide_are_refused_by_name():
    X = np.random.default_rng(0).normal(size=(20, 2000))
    model = Ridge(n_bits=16).fit(X, X[:, 0])
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(
        CompilationError, match=r"this Ridge are too wide .* n_bits=16 and 2000 features .* lower n_bits"
    ):
        model.compile()
    Ridge(n_bits=12).fit(X, X[:, 0]).compile()


def test_a_heavy_feature_does_not_cost_the_weights_of_the_others_or_its_own():
    """Its steps are many and its folded weight is small, yet most of the scores' variance is its."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(500, 2)), rng.lognormal(sigma=3, size=500)])
    for weight in (1e-4, 1e-2, 1.0):
        model, original = converted([1.0, -2.0, weight], 0.0, X)
        expected = original.predict(X)
        off = np.abs(model.predict(X) - expected)
        assert np.median(off) < 0.02 * np.median(np.abs(expected - np.median(expected)))
        assert off.max() < 0.02 * np.ptp(expected)


def test_sparse_rows_of_any_size():
    X = csr_matrix(np.array([[0.0, 1e300, 0.0], [5e-324, 0.0, 7.0], [0.0, -1e300, 7.0], [1e-3, 1e4, 0.0]]))
    weight = np.array([[1.0], [1e-300], [2.0]])
    described = LinearScores(weight, [0.5], Values())
    scores = quantize_scores(described, Calibration.on(X, np.ones(4), 12, 1.0))
    (found,) = run(scores.program, scores.encoder.encode(X)[0])
    np.testing.assert_allclose(scores.decoder.decode(found), X @ weight + 0.5, atol=0.02)
    y = [0, 1, 1, 0]
    assert np.isfinite(LogisticRegression().fit(X[:, [0, 2]], y).predict_proba(X[:, [0, 2]])).all()


def test_predictions_beyond_the_largest_float_are_refused():
    X = np.arange(15.0)[:, None]
    model, _ = converted([1e306], 0.0, X, range_margin=100)
    with pytest.raises(ValueError, match="scores of some of these rows exceed the largest float64"):
        model.predict(20 * X)
    single = Ridge().fit(X.astype(np.float32), X.ravel().astype(np.float32))
    single.coef_ = single.coef_ * np.float32(2e37)
    with pytest.raises(ValueError, match="scores of some of these rows exceed the largest float32"):
        single.predict(10 * X.astype(np.float32))
