"""The client's half of every family gives what the estimator gives, to the bit."""

import json
import warnings

import numpy as np
import pytest

from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.deployment._values import from_values, to_values
from skfhe.program import run_batched
from tests.digested_models import MODELS, frame, rows, with_missing

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def through_a_file(predictor):
    """Return a predictor as a file gives it back."""
    values, arrays = to_values(predictor)
    return from_values(json.loads(json.dumps(values)), arrays, "Predictor")


def assert_alike(model, predictor, X):
    """Compare every method of a model with its client's half, on the integers of the program in the clear."""
    outputs = run_batched(model.program_, *predictor.encode(X))
    assert predictor.methods == tuple(name for name in METHODS if hasattr(model, name))
    for method in predictor.methods:
        found, expected = predictor.answer(method, outputs, (X,)), getattr(model, method)(X)
        pairs = zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]
        for one, other in pairs:
            np.testing.assert_array_equal(one, other, strict=True)


def rows_for(name):
    if "categories" in name:
        return frame(1)
    return with_missing(rows(1)) if "missing" in name or name.startswith("XGBoost, three") else rows(1)


@pytest.mark.parametrize("name", MODELS)
def test_every_family_predicts_alike_on_the_client(name):
    """The client encodes and decodes; between the two there are the integers that the server computes."""
    model = MODELS[name]().model
    predictor = through_a_file(estimator_predictor(model))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (RuntimeWarning, UserWarning))
        assert_alike(model, predictor, rows_for(name))
