"""Naive Bayes of counts, bits and categories."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.exceptions import InputClippingWarning
from skfhe.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, MultinomialNB
from skfhe.program import run_batched
from tests.deployment.test_predictors import through_a_file
from tests.with_originals import failed_alone, original_of, seeded

CLASSES = [MultinomialNB, ComplementNB, BernoulliNB, CategoricalNB]
RNG = np.random.default_rng(0)
X = RNG.integers(0, 5, size=(120, 6)) * RNG.integers(0, 2, size=(120, 6))
Y = np.array(["no", "perhaps", "yes"])[np.digitize(X[:, 0] + X[:, 1] - X[:, 2], [0, 3])]


@pytest.mark.parametrize(
    "cls", [MultinomialNB, CategoricalNB, *(pytest.param(c, marks=pytest.mark.slow) for c in CLASSES[1:3])]
)
def test_no_check_fails_that_the_original_passes(cls):
    assert not failed_alone(seeded(cls), original_of(seeded(cls)))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_those_of_the_original(cls, n_classes):
    y = Y if n_classes == 3 else np.where(Y == "yes", "yes", "no")
    model = cls().fit(X, y)
    original = original_of(model).fit(X, y)
    some = X.any(axis=1)  # of others ComplementNB finds no class likelier
    assert (model.predict(X) == original.predict(X))[some].mean() >= 0.99
    np.testing.assert_allclose(model.predict_proba(X), original.predict_proba(X), atol=0.01)
    np.testing.assert_allclose(model.predict_log_proba(X), original.predict_log_proba(X), atol=0.1)


@pytest.mark.parametrize("cls", CLASSES)
def test_encrypted_predictions_equal_the_clear_ones(cls):
    model = cls().fit(X, Y)
    assert model.program_.lookups == ()
    model.compile()
    np.testing.assert_array_equal(
        model.predict_log_proba(X[:3], fhe="execute"), model.predict_log_proba(X[:3])
    )


def test_logarithms_stay_exact_where_probabilities_are_zero():
    """On the client, too."""
    counts = 1000 * X
    model = MultinomialNB().fit(counts, Y)
    found = model.predict_log_proba(counts)
    assert np.isfinite(found).all()
    assert found.min() < -1000
    predictor = through_a_file(estimator_predictor(model))
    outputs = run_batched(model.program_, *predictor.encode(counts))
    np.testing.assert_array_equal(predictor.answer("predict_log_proba", outputs, [counts]), found)


def test_bits_that_training_never_saw_count_as_in_the_original():
    """Whether a bit occurred or not, it is 0 or 1: nothing is clipped."""
    never = X.copy()
    never[:, 0] = 0
    model = BernoulliNB().fit(never, Y)
    original = original_of(model).fit(never, Y)
    np.testing.assert_allclose(model.predict_log_proba(X), original.predict_log_proba(X), atol=0.1)
    assert model.program_.values[model.program_.inputs[0]].type.max == 1


def test_rows_that_are_not_made_bits_are_sent_as_they_are():
    model = BernoulliNB(binarize=None).fit((X > 1).astype(float), Y)
    with pytest.warns(InputClippingWarning):
        model.predict(np.full((1, 6), 1e6))


def test_sparse_rows_are_those_of_dense_ones():
    for cls in (MultinomialNB, ComplementNB, BernoulliNB):
        sparse = cls().fit(csr_matrix(X), Y)
        np.testing.assert_array_equal(sparse.predict_proba(csr_matrix(X)), sparse.predict_proba(X))


def test_fewer_indicators_are_sent_than_there_are_categories():
    """The first of a feature is what the others are compared with."""
    model = CategoricalNB().fit(X, Y)
    assert model.program_.values[model.program_.inputs[0]].type.shape == (sum(model.n_categories_ - 1),)
    with pytest.raises(ValueError, match=r"feature 1 is 9, and this CategoricalNB knows .* 0 to 4; min_cat"):
        model.predict(np.where(np.arange(6) == 1, 9, X[:1]))
    assert CategoricalNB(min_categories=10).fit(X, Y).predict(np.full((1, 6), 9)).shape == (1,)


@pytest.mark.parametrize("cls", CLASSES)
def test_classes_that_come_later_and_categories_that_do(cls):
    """The first rows are of one class, which leaves the others a prior probability of 0."""
    first = X.max(axis=1) < 4
    one = first & (Y == "no")
    model, classes = cls(), np.unique(Y)
    original = original_of(model)
    for which in (one, first, ~first):
        model.partial_fit(X[which], Y[which], classes=classes)
        original.partial_fit(X[which], Y[which], classes=classes)
        rows = X[one]
        np.testing.assert_allclose(model.predict_proba(rows), original.predict_proba(rows), atol=0.01)
        logarithms = model.predict_log_proba(rows), original.predict_log_proba(rows)
        np.testing.assert_array_equal(*map(np.isneginf, logarithms))


@pytest.mark.parametrize("cls", CLASSES)
def test_scores_follow_what_was_learnt(cls):
    model = cls().fit(X, Y)
    before = model.predict_proba(X)
    model.class_log_prior_ = np.log([0.98, 0.01, 0.01])
    assert (model.predict_proba(X) == before).all() == (cls is ComplementNB)
    with pytest.raises(AttributeError, match="how much likelier one class is"):
        model.predict_joint_log_proba(X)


@pytest.mark.parametrize("cls", [MultinomialNB, BernoulliNB, CategoricalNB])
def test_probabilities_of_zero_are_refused(cls):
    with pytest.raises(ValueError, match=rf"this {cls.__name__} has .* probability 0.*positive alpha"):
        cls(alpha=0.0).fit(np.where(Y[:, None] == "no", 0, X), Y)
