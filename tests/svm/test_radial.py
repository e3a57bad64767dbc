"""Support vector machines with a radial kernel: votes, warnings, changes, conversion, and encrypted runs."""

import pickle
import warnings

import numpy as np
import pytest
from concrete import fhe
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import skfhe
from skfhe.circuit import ClientSession
from skfhe.deployment import Server, save
from skfhe.deployment._client_model import ClientModel
from skfhe.encoding import GridBitsEncoder
from skfhe.exceptions import CostWarning, InputClippingWarning, ToleranceWarning
from skfhe.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from tests._polynomial.examples import rows
from tests.with_originals import failed_alone, original_of

CLASSES = [SVC, NuSVC, SVR, NuSVR, OneClassSVM]


def quiet(estimator, X, y=None, **params):
    """Fit without the warnings, which tests of their own are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (CostWarning, ToleranceWarning, FutureWarning))
        return estimator.fit(X, y, **params)


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES)
def test_no_check_fails_that_the_original_passes(cls):
    assert not failed_alone(cls(), original_of(cls()))


@pytest.mark.parametrize("cls", CLASSES)
def test_the_default_kernel_is_the_original_s(cls):
    """And scores follow the original's, of its type and shape, to what 8 bits of distances cost."""
    X, y = rows()
    model = quiet(cls(kernel_bits=8), X, y)
    assert model.kernel == original_of(cls()).kernel == "rbf"
    assert isinstance(model.encoder_, GridBitsEncoder)
    assert 0 < model.cost_.n_lookups <= np.count_nonzero(model._dual(model))
    assert set(model.cost_.lookups) == {8}
    original = original_of(model).fit(X, y)
    name = "decision_function" if hasattr(original, "decision_function") else "predict"
    found, expected = getattr(model, name)(X), getattr(original, name)(X)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if found.ndim == 1:
        assert np.sqrt(np.square(found - expected).mean()) < 0.05 * expected.std()
    assert hasattr(model, "score_samples") == hasattr(original, "score_samples")


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("shape", ["ovo", "ovr"])
def test_scores_of_pairs_are_signed_as_the_original_s(n_classes, shape):
    rng = np.random.default_rng(0)
    y = np.arange(80) % n_classes
    X = rng.normal(size=(80, 2)) + 2 * np.column_stack([y, y**2 / n_classes])
    model = SVC(kernel_bits=8, decision_function_shape=shape, probability=True, random_state=0)
    quiet(model, X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        original = original_of(model).fit(X, y)
    found, expected = model.decision_function(X), original.decision_function(X)
    assert found.shape == expected.shape
    if shape == "ovo" or n_classes == 2:
        sure = np.abs(expected) > 0.2
        np.testing.assert_array_equal((found > 0)[sure], (expected > 0)[sure])
    else:
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.97
    assert (model.predict(X) == original.predict(X)).mean() >= 0.97
    np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.05)


def test_what_is_dear_and_what_is_coarse_is_warned_of(iris):
    X, y = iris
    with (
        pytest.warns(CostWarning, match=r"up to 50 are sensible; .* seed is public") as dear,
        pytest.warns(ToleranceWarning, match="4 features have 4 levels; kernel_bits=3 has twice as many"),
    ):
        SVC(kernel_bits=2).fit(X, y)
    assert dear[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", (CostWarning, ToleranceWarning))
        model = SVC(C=100).fit(X[:100, 2:], y[:100])
    assert model.cost_.n_lookups <= 50
    with warnings.catch_warnings():
        warnings.simplefilter("error", ToleranceWarning)
        with pytest.raises(ToleranceWarning):
            model.set_params(kernel_bits=2).fit(X, y)
    assert model.n_features_in_ == 2  # as it was before


@pytest.fixture(scope="module")
def compiled(iris):
    X, y = iris[0][:, 2:], np.array(["setosa", "versicolor", "virginica"])[iris[1]]
    model = quiet(SVC(C=100, kernel_bits=3), X[::3], y[::3])
    model.compile(configuration=fhe.Configuration(parameter_selection_strategy="mono"))
    return model


def test_a_client_decrypts_the_scores_that_the_clear_integers_give(compiled, iris, tmp_path):
    """Of rows far beyond the range, too: they are clipped, and no sum leaves what lookups read."""
    X = np.vstack([iris[0][::50, 2:], [[1e9, -3.0]]])
    assert compiled.cost_.n_lookups <= 10
    save(compiled, tmp_path)
    client = ClientModel.read(tmp_path)
    session = ClientSession(client.specs)
    session.keygen()
    with pytest.warns(InputClippingWarning, match="1 of 4 rows"):
        batch = session.encrypt(*client.predictor.encode(X))
    outputs = session.decrypt(Server(tmp_path).run(batch, session.evaluation_keys))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputClippingWarning)
        for method in ("predict", "decision_function"):
            expected = getattr(compiled, method)(X)
            np.testing.assert_array_equal(client.predictor.answer(method, outputs, (X,)), expected)


def test_conversion_clones_and_pickles_keep_the_integers(iris):
    X, y = iris[0], iris[1] > 0
    model = quiet(SVR(kernel_bits=4, range_margin=0.5), X, y)
    original = original_of(model).fit(X, y)
    with pytest.warns(ToleranceWarning, match="rows like those of training"):
        converted = SVR.from_sklearn_model(original, X, kernel_bits=4, range_margin=0.5)
    with pytest.warns(ToleranceWarning):
        walked = skfhe.convert(original, X, kernel_bits=4, range_margin=0.5)
    again = quiet(clone(model), X, y)
    for other in (converted, walked, again, pickle.loads(pickle.dumps(model))):
        assert (other.kernel_bits, other.range_margin) == (4, 0.5)
        np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_predictions_follow_what_was_learnt(iris):
    X, y = iris[0], iris[1] > 0
    model, original = quiet(SVR(), X, y), original_of(SVR()).fit(X, y)
    before = model.program_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ToleranceWarning)
        for each in (model, original):
            each.intercept_ = each.intercept_ + 5.0
            each._intercept_ = each.intercept_
        np.testing.assert_allclose(model.predict(X), original.predict(X), atol=0.2)
    assert model.program_ is not before
    model.set_params(kernel="poly").intercept_ = model.intercept_ + 1.0
    with pytest.raises(ValueError, match="kernel was changed to 'poly' after fit"):
        model.predict(X)


def test_rows_of_zero_weight_stay_out_of_calibration_and_sparse_ones_are_alike():
    X, y = rows()
    X[np.abs(X) < 0.3] = 0.0
    far, labels = np.vstack([X, np.full((1, 3), 1e6)]), np.r_[y, 0]
    weight = np.r_[np.ones(len(X)), 0.0]
    model = quiet(SVC(gamma=0.3), X, y)
    weighted = quiet(SVC(gamma=0.3), csr_matrix(far), labels, sample_weight=weight)
    np.testing.assert_array_equal(weighted.encoder_.boundaries, model.encoder_.boundaries)
    np.testing.assert_array_equal(weighted.predict(csr_matrix(X)), model.predict(X))


def test_a_regression_without_support_vectors_is_its_constant(iris):
    X, y = iris
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SVR(epsilon=9.0).fit(X, y)
    original = original_of(model).fit(X, y)
    np.testing.assert_allclose(model.predict(X), original.predict(X))


@pytest.mark.parametrize("kernel_bits", [1, 9, 6.0, None])
def test_wrong_kernel_bits_are_refused_before_training(kernel_bits, iris):
    with pytest.raises(ValueError, match="kernel_bits must be an int from 2 to 8"):
        SVC(kernel_bits=kernel_bits).fit(*iris)
    with pytest.raises(ValueError, match="kernel_bits must be an int from 2 to 8"):
        SVC.from_sklearn_model(original_of(SVC()).fit(*iris), iris[0], kernel_bits=kernel_bits)


def test_what_is_to_be_lowered_is_what_counts(iris):
    """Said when the engine finds no parameters."""
    model = quiet(SVC(), *iris)
    assert model._widths()["n_bits"] is None
    model = quiet(SVC(kernel="linear"), *iris)
    assert model._widths()["kernel_bits"] is None


def test_a_search_over_kernels_compares_all_three(iris):
    X, y = iris
    search = GridSearchCV(SVC(C=10), {"kernel": ["linear", "poly", "rbf"]}, cv=2, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (CostWarning, ToleranceWarning, InputClippingWarning))
        assert search.fit(X[::2], y[::2]).best_score_ > 0.9
