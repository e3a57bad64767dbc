"""Every original has one estimator of ours, which takes over what a fitted one has learnt."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn import linear_model as float_linear_model
from sklearn.datasets import load_diabetes
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skfhe import linear_model
from skfhe._originals.conversion import estimator_for, from_original, public_name
from tests.boosting.models import REGRESSORS, original
from tests.with_originals import ORIGINALS


@pytest.mark.parametrize("cls", ORIGINALS, ids=lambda cls: cls.__name__)
def test_the_estimator_of_an_original_is_found_by_its_name(cls):
    """So no two estimators can have one original, and no list of them is to be kept."""
    assert estimator_for(cls._original) is cls
    *module, name = public_name(cls._original).split(".")
    assert getattr(sys.modules[".".join(module)], name) is cls._original


@pytest.mark.parametrize("cls", [Pipeline, StandardScaler, KernelRidge, dict, Exception])
def test_other_classes_have_none(cls):
    assert estimator_for(cls) is None


def test_subclasses_of_originals_and_our_own_classes_are_no_originals():
    class Ridge(float_linear_model.Ridge):
        pass

    assert estimator_for(Ridge) is None
    assert estimator_for(linear_model.Ridge) is None


def test_only_the_room_of_the_estimator_is_imported():
    code = (
        "import sys; from sklearn import linear_model\n"
        "from skfhe._originals.conversion import estimator_for\n"
        "estimator_for(linear_model.Ridge)\n"
        "print([m for m in ('skfhe.tree', 'skfhe.boosting', 'torch', 'concrete') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("cls", "params"),
    [(linear_model.Ridge, {"alpha": 0.5}), *(REGRESSORS[library] for library in REGRESSORS)],
    ids=["inherited", *REGRESSORS],
)
def test_inherited_and_held_originals_are_converted_alike(cls, params):
    """Parameters are kept, and nothing is shared: what happens to the original later does not matter."""
    X, y = load_diabetes(return_X_y=True)
    fitted = cls._original(**params).fit(X, y)
    model = from_original(cls, fitted, n_bits=4)
    assert model.get_params() | params | {"n_bits": 4} == model.get_params()
    assert model.n_features_in_ == X.shape[1]
    expected = fitted.predict(X)
    fitted.fit(-X[:, :5], 3 * y)
    np.testing.assert_array_equal(original(model).predict(X), expected)


def test_parameters_that_only_a_subclass_of_the_original_has_are_left_out():
    class Ridge(float_linear_model.Ridge):
        def __init__(self, alpha=1.0, note=None):
            super().__init__(alpha=alpha)
            self.note = note

    X, y = load_diabetes(return_X_y=True)
    model = linear_model.Ridge.from_sklearn_model(Ridge(alpha=0.5, note="mine").fit(X, y), X)
    assert model.get_params() == linear_model.Ridge(alpha=0.5).get_params()


def test_a_wrong_class_is_told_whose_it_is():
    X, y = load_diabetes(return_X_y=True)
    lasso = float_linear_model.Lasso().fit(X, y)
    with pytest.raises(TypeError, match=r"got Lasso; use skfhe\.linear_model\.Lasso\.from_sklearn_model$"):
        linear_model.Ridge.from_sklearn_model(lasso, X)
    with pytest.raises(TypeError, match=r"a fitted sklearn\.linear_model\.Ridge, got KernelRidge$"):
        linear_model.Ridge.from_sklearn_model(KernelRidge().fit(X, y), X)
