"""Every estimator that has an original, and comparing it with that."""

import inspect
import warnings

from sklearn.utils.estimator_checks import check_estimator

from skfhe import (
    additive,
    boosting,
    cluster,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    ensemble,
    linear_model,
    mixture,
    naive_bayes,
    neighbors,
    svm,
    tree,
)

ORIGINALS = [
    getattr(module, name)
    for module in (
        *(linear_model, svm, naive_bayes, discriminant_analysis, tree, ensemble, boosting, additive),
        *(decomposition, cross_decomposition, cluster, neighbors, mixture),
    )
    for name in module.__all__
]
"""Every estimator that has an original."""


def original_of(estimator):
    """Return the unfitted original with the same parameters."""
    params = estimator.get_params(deep=False)
    return type(estimator)._original(**{k: v for k, v in params.items() if k not in estimator._own_params})


def seeded(cls, **params):
    """Return an estimator that draws the same numbers in every run, if it draws any."""
    if "random_state" in inspect.signature(cls).parameters:
        params = {"random_state": 0} | params
    return cls(**params)


def failed_checks(estimator):
    """Return the names of scikit-learn's checks that ``estimator`` fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    return {result["check_name"] for result in results if result["status"] == "failed"}


def failed_alone(estimator, original):
    """Return the names of scikit-learn's checks that ``estimator`` fails, and its original passes."""
    failed = failed_checks(estimator)
    return failed and failed - failed_checks(original)
