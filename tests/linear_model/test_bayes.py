"""Bayesian regressions."""

import numpy as np
import pytest

from skfhe.exceptions import UnsupportedModelError
from skfhe.linear_model import ARDRegression, BayesianRidge


@pytest.mark.parametrize("cls", [BayesianRidge, ARDRegression])
def test_deviations_are_refused_and_means_are_not(cls, diabetes):
    """A quadratic form is not what the program computes, and the float model's would not be encrypted."""
    X, y = diabetes
    model = cls().fit(X, y)
    with pytest.raises(UnsupportedModelError, match=r"return_std=True needs a quadratic form"):
        model.predict(X, return_std=True)
    np.testing.assert_array_equal(model.predict(X, return_std=False), model.predict(X))
