"""Rows that the original may overwrite while it is trained."""

import numpy as np
import pytest
from sklearn.base import clone

from skfhe.cross_decomposition import PLSRegression
from skfhe.decomposition import PCA
from skfhe.linear_model import ElasticNet, LinearRegression
from tests._linear.examples import name

MODELS = [
    (LinearRegression(copy_X=False), "copy_X"),
    (ElasticNet(copy_X=False), "copy_X"),
    (PLSRegression(copy=False), "copy"),
    (PCA(2, copy=False, svd_solver="full"), "copy"),
]


@pytest.fixture
def far_rows():
    """Rows far from zero: centred, they are others."""
    rng = np.random.default_rng(0)
    return np.asfortranarray(1000 + rng.normal(size=(20, 3)) * [1, 2, 3])


@pytest.mark.parametrize(
    ("model", "parameter"), MODELS, ids=lambda value: value if isinstance(value, str) else name(value)
)
def test_the_program_is_for_rows_as_they_were(model, parameter, far_rows):
    y = far_rows @ [1.0, -1.0, 0.5]
    kept = clone(model).set_params(**{parameter: True}).fit(far_rows, y)
    free = clone(model).fit(far_rows.copy(order="F"), y.copy())
    method = "predict" if hasattr(model, "predict") else "transform"
    np.testing.assert_array_equal(getattr(free, method)(far_rows), getattr(kept, method)(far_rows))
    if hasattr(model, "fit_transform"):
        found = clone(model).fit_transform(far_rows.copy(order="F"), y.copy())
        projected = found[0] if isinstance(found, tuple) else found
        np.testing.assert_array_equal(projected, kept.transform(far_rows))
        if isinstance(found, tuple):
            np.testing.assert_array_equal(found[1], kept.transform(far_rows, y)[1])
