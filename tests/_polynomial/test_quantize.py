"""Polynomials on integers: exact digits, sums that the engine takes, and what is refused or warned of."""

import warnings

import numpy as np
import pytest

from skfhe._polynomial.calibration import Calibration
from skfhe._polynomial.polynomials import KernelScores, QuadraticScores, n_terms_of
from skfhe._polynomial.quantize import MAX_PRECISION, quantize
from skfhe.encoding import LogDensities, Values
from skfhe.exceptions import CoarseInputWarning, InputClippingWarning, UnsupportedModelError
from skfhe.naive_bayes import GaussianNB
from skfhe.program import ops, run_batched
from skfhe.svm import SVR
from tests.with_originals import original_of


def quadratic(rng, n_scores=2, n_features=3):
    factor = rng.normal(size=(n_scores, n_features, n_features))
    return QuadraticScores(
        rng.normal(size=(n_scores, n_features)), factor, rng.normal(size=n_scores), LogDensities()
    )


def kernel(rng, degree, n_features=3):
    support = rng.normal(size=(5, n_features))
    return KernelScores(
        rng.normal(size=(2, 5)), support, support, rng.normal(size=2), 0.5, degree, Values(), None
    )


def diagonal(rng):
    return QuadraticScores(rng.normal(size=(2, 3)), rng.random((2, 3)), np.zeros(2), LogDensities())


def values(scores, X):
    """Return scores as their class defines them."""
    if isinstance(scores, KernelScores):
        return ((X @ scores.support.T + scores.coef0) ** scores.degree) @ scores.dual.T + scores.intercept
    away = X[:, None] - scores.mean
    factor = scores.factor
    projected = away * factor if factor.ndim == 2 else np.einsum("rsf,sfd->rsd", away, factor)
    return scores.constant - np.square(projected).sum(axis=2) / 2


DESCRIBED = {
    "quadratic": quadratic,
    "diagonal": diagonal,
    "linear kernel": lambda rng: kernel(rng, 1),
    "kernel of degree 2": lambda rng: kernel(rng, 2),
    "kernel of degree 4": lambda rng: kernel(rng, 4),
}


@pytest.mark.parametrize("kind", DESCRIBED)
def test_a_polynomial_on_a_grid_is_the_scores_there(kind):
    """Also when steps are doubled; and scores of the program are, but for the rounding of weights."""
    rng = np.random.default_rng(0)
    scores = DESCRIBED[kind](rng)
    origin, step = rng.normal(size=3), np.array([0.5, 0.125, 1.0])
    polynomial = scores.on_grid(origin, step, np.arange(3))
    q = rng.integers(-5, 6, size=(20, 3))
    for doublings in (np.zeros(3, dtype=np.int64), np.array([2, 0, 1])):
        coarse = polynomial.coarser(doublings)
        products = np.column_stack([q, np.ones(20)])[:, coarse.terms].prod(axis=2)
        expected = values(scores, origin + np.ldexp(step, doublings) * q)
        np.testing.assert_allclose(products @ coarse.weight + coarse.constant, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", DESCRIBED)
@pytest.mark.parametrize("spike", [1.0, 1e3, 1e7])
def test_programs_fit_the_engine_and_are_exact_on_the_rounded_row(kind, spike):
    """Whatever cancels, the score is that of the rounded row, up to the rounding of weights alone."""
    rng = np.random.default_rng(1)
    scores, X = DESCRIBED[kind](rng), rng.normal(size=(80, 3))
    X[0] *= spike
    quantized = quantize(scores, Calibration.on(X, np.ones(80), 10, 1.0))
    found = quantized.model
    (linear,) = [value.op for value in found.program.values if isinstance(value.op, ops.Linear)]
    norm = np.sqrt(np.square(linear.weight.astype(float)).sum(axis=0).max())
    assert max(found.program.output_bits) + np.log2(norm) <= MAX_PRECISION
    grid = found.encoder.factors.grid
    (q,) = found.encoder.factors.encode(X[1:])
    rounded = values(scores, grid.origin + grid.step * q)
    (outputs,) = run_batched(found.program, *found.encoder.encode(X[1:]))
    off = np.abs(found.decoder.decode(outputs) - rounded).max()
    assert off <= 0.003 * np.ptp(rounded) + quantized.input_error.max()


def test_constant_scores_are_exact():
    nothing = KernelScores(
        np.zeros((1, 2)), np.zeros((2, 3)), np.zeros((2, 3)), np.array([0.7]), 0.0, 3, Values(), None
    )
    found = quantize(nothing, Calibration.on(np.eye(3), np.ones(3), 8, 1.0)).model
    np.testing.assert_array_equal(found.scores(np.eye(3)), [[0.7]] * 3)


def test_values_on_a_grid_of_their_own_are_exact_and_not_warned_of():
    """A pixel that is constant in one class has a spike for a density there: only exact values can tell.

    Those of counts are; the steps of others shrink, down to what the engine takes, and then it is warned of.
    """
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    X = rng.integers(0, 17, size=(300, 6)).astype(float)
    X[y == 1, 0] = 4.0
    model = GaussianNB(range_margin=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CoarseInputWarning)
        found = model.fit(X, y).predict_log_proba(X)
    original = original_of(model).fit(X, y)
    np.testing.assert_array_equal(found.argmax(axis=1), original.predict(X))
    expected = original.predict_joint_log_proba(X)
    np.testing.assert_allclose(model.predict_joint_log_proba(X), expected, atol=0.02, rtol=1e-7)
    X = X / 7 + 0.01 * rng.normal(size=X.shape)
    X[y == 1, 0] = 4.0 / 7
    with pytest.warns(CoarseInputWarning, match=r"hardly varies .* raise var_smoothing or n_bits"):
        GaussianNB(var_smoothing=1e-15).fit(X, y)


def test_too_many_products_are_refused_and_too_wide_ones_get_larger_steps():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 40))
    with pytest.raises(
        UnsupportedModelError, match=r"12340 terms, .* lower degree, or the number of features"
    ):
        quantize(kernel(rng, 3, 40), Calibration.on(X, np.ones(50), 8, 1.0))
    assert n_terms_of(40, 3) == 12340
    X = rng.normal(size=(50, 3))
    wide, narrow = (quantize(kernel(rng, 4), Calibration.on(X, np.ones(50), b, 0.5)).model for b in (16, 8))
    steps = [each.encoder.factors.grid.step for each in (wide, narrow)]
    assert (steps[0] <= steps[1]).all()
    with pytest.raises(UnsupportedModelError, match="wider than the engine takes"):
        quantize(kernel(rng, 9), Calibration.on(X, np.ones(50), 10, 0.5))


def test_steps_that_an_outlier_makes_too_large_are_warned_of():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = X[:, 0] * X[:, 1]
    X[0] = 1e9
    with pytest.warns(CoarseInputWarning, match="SVR: rounding the features to n_bits=12 changes"):
        SVR(kernel="poly", coef0=1.0, gamma=1e-3, max_iter=1000).fit(X, y)


def test_rows_beyond_the_margin_are_clipped_with_a_warning():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(size=(90, 2)), np.arange(90) % 2
    model = GaussianNB(range_margin=0.5).fit(X, y)
    low, high = X.min(axis=0), X.max(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputClippingWarning)
        model.predict(np.stack([low - 0.5 * (high - low), high + 0.5 * (high - low)]))
    with pytest.warns(InputClippingWarning, match=r"1 of 2 rows .* feature 1 is"):
        model.predict(np.stack([low, high + 0.6 * (high - low)]))


def test_constant_features_say_nothing_and_are_watched():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(60, 2)), np.full(60, 7.0)])
    model = GaussianNB().fit(X, np.arange(60) % 2)
    assert 2 not in model.encoder_.features
    X[0, 2] = 8.0
    with pytest.warns(InputClippingWarning, match="always 7 in training"):
        model.predict(X)


def test_parameters_that_are_not_finite_are_refused():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    model = GaussianNB().fit(X, y)
    model.theta_[0, 0] = np.nan
    with pytest.raises(ValueError, match="this GaussianNB cannot be evaluated on integers"):
        model.predict(X)
    with pytest.raises(ValueError, match="no density where variances are zero"):
        GaussianNB().fit(np.ones((4, 2)), [0, 1, 0, 1])
