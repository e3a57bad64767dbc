"""Gaussian naive Bayes: training in parts, priors, and classes that there are not."""

import numpy as np

from skfhe.naive_bayes import GaussianNB
from tests._polynomial.examples import rows
from tests.with_originals import original_of


def test_training_in_parts_represents_all_parts():
    (X, y), (other, labels) = rows(0), rows(1)
    model = GaussianNB().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(other * 5, labels)
    original = original_of(model).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(other * 5, labels)
    every = np.vstack([X, other * 5])
    np.testing.assert_allclose(
        model.predict_joint_log_proba(every), original.predict_joint_log_proba(every), atol=0.05
    )
    assert not model.encoder_.watch.beyond(every).any()


def test_a_class_of_no_weight_is_never_predicted():
    X, y = rows()
    model = GaussianNB(priors=[0.5, 0.5, 0.0]).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), original_of(model).fit(X, y).predict(X))
    assert (model.predict_proba(X)[:, 2] == 0).all()
