"""What scikit-learn promises of estimators beyond its checks: names of features, output, files of skops."""

import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import load_iris

from skfhe.exceptions import AccumulatorOverflowError
from skfhe.linear_model import LogisticRegression
from skfhe.neural_network import NeuralNetClassifier
from tests.with_originals import ORIGINALS, seeded

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X[:, :2], columns=["long", "wide"])
SMALL = {
    **{"n_estimators": 2, "max_depth": 2, "depth": 2, "max_iter": 50, "verbose": 0},
    **{"n_components": 1, "kernel": "linear", "max_rounds": 2, "outer_bags": 1, "interactions": 0},
}
OF_LIBRARY = {
    "Explainable": {"max_rounds": 2, "outer_bags": 1, "interactions": 0, "n_jobs": 1},
    "OrthogonalMatchingPursuit": {},
    "CatBoost": {"iterations": 2, "depth": 2, "verbose": 0, "allow_writing_files": False},
    "LGBM": {"n_estimators": 2, "num_leaves": 3, "verbose": -1},
    "Hist": {"max_iter": 2, "max_depth": 2},
}


def fitted(cls):
    """Return a small estimator that was fitted on a data frame."""
    library = next((name for name in OF_LIBRARY if cls.__name__.startswith(name)), None)
    known = seeded(cls).get_params()
    small = {name: value for name, value in SMALL.items() if name in known}
    params = small if library is None else OF_LIBRARY[library]
    y = np.stack([Y, 2 - Y], axis=1) if cls.__name__.startswith("MultiTask") else Y + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return seeded(cls, **params).fit(FRAME, y)


@pytest.fixture(scope="module", params=ORIGINALS, ids=lambda cls: cls.__name__)
def model(request):
    return fitted(request.param)


def answer(model, rows):
    """Return what a model predicts of rows, or where it predicts nothing, what it makes of them."""
    return model.predict(rows) if hasattr(model, "predict") else model.transform(rows)


def test_names_of_features_are_checked(model):
    """In another order, or with others, they are an error."""
    assert list(model.feature_names_in_) == ["long", "wide"]
    for columns in (["wide", "long"], ["long", "high"]):
        with pytest.raises(ValueError, match="feature names"):
            answer(model, FRAME.set_axis(columns, axis=1))


def test_nothing_in_a_list_is_a_missing_value(model):
    """What scikit-learn's validation lets through as an object is a number or an error all the same."""
    try:
        wanted = answer(model, [[np.nan, 1.0]])
    except ValueError:
        with pytest.raises((ValueError, TypeError)) as caught:
            answer(model, [[None, 1.0]])
        assert not isinstance(caught.value, AccumulatorOverflowError)  # which is for faults of ours
    else:
        np.testing.assert_array_equal(answer(model, [[None, 1.0]]), wanted)


def test_rows_without_names_are_warned_of(model):
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        answer(model, FRAME.to_numpy())


def test_a_file_of_skops_predicts_alike(model):
    """Its types are named and have to be trusted; no pickle is in it."""
    assert_kept(model)


def assert_kept(model):
    data = skops.io.dumps(model)
    unknown = skops.io.get_untrusted_types(data=data)
    assert any(name.startswith("skfhe.") for name in unknown)
    kept = skops.io.loads(data, trusted=unknown)
    np.testing.assert_array_equal(answer(kept, FRAME), answer(model, FRAME))
    assert kept.cost_.seconds == model.cost_.seconds


def test_a_file_of_skops_of_a_network_predicts_alike():
    assert_kept(NeuralNetClassifier(max_epochs=1, module__n_layers=2, random_state=0).fit(FRAME, Y))


def test_a_file_of_skops_keeps_no_keys():
    """A compiled estimator is compiled still, and encrypts by keys of its own."""
    model = LogisticRegression(n_bits=4, max_iter=300).fit(FRAME, Y)
    model.compile().keygen()
    data = skops.io.dumps(model)
    assert not any("ecret" in name for name in skops.io.get_untrusted_types(data=data))
    kept = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    np.testing.assert_array_equal(
        kept.decision_function(FRAME[:2], fhe="execute"), model.decision_function(FRAME[:2])
    )


@pytest.mark.parametrize("cls", [cls for cls in ORIGINALS if hasattr(cls, "transform")])
def test_transformers_give_frames_when_asked_to(cls):
    """With the names that `get_feature_names_out` says."""
    model = fitted(cls)
    found = model.set_output(transform="pandas").transform(FRAME)
    assert list(found.columns) == list(model.get_feature_names_out())
    np.testing.assert_array_equal(found, model.set_output(transform="default").transform(FRAME))
