"""The client's half reads rows and predicts alike, from a file, without the library."""

import json

import numpy as np
import pytest

from skfhe.additive import ExplainableBoostingClassifier
from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.deployment._values import from_values, to_values
from skfhe.program import run_batched


def through_a_file(model):
    values, arrays = to_values(estimator_predictor(model))
    return from_values(json.loads(json.dumps(values)), arrays, "Predictor")


@pytest.fixture(scope="module", params=["lookups", "cells"])
def halves(request, mixed):
    """An estimator with categories, its client's half, and rows with categories that it does not know."""
    fitted, X, y = mixed
    model = ExplainableBoostingClassifier.from_sklearn_model(fitted, X, y, n_bits=3, pairs=request.param)
    rows = X.copy()
    rows.loc[0, "plan"] = "never"
    rows["region"] = rows["region"].astype(object)
    rows.loc[1:4, "region"] = [None, 2, "3.5", True]
    return model, through_a_file(model), rows


def test_rows_with_categories_are_predicted_alike(halves):
    model, client, rows = halves
    outputs = run_batched(model.program_, *client.encode(rows))
    assert client.methods == ("predict", "predict_proba", "decision_function")
    for method in client.methods:
        found, expected = client.answer(method, outputs, (rows,)), getattr(model, method)(rows)
        np.testing.assert_array_equal(found, expected, strict=True)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        plain = client.encode(rows.to_numpy(dtype=object))
    for one, other in zip(plain, client.encode(rows), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_that_the_estimator_refuses_the_client_refuses(halves):
    model, client, rows = halves
    wrong = [rows.iloc[:0], rows.iloc[:, :3], rows.rename(columns={"age": "years"}), rows.assign(use="much")]
    for each in wrong:
        for refusing in (model.predict, client.encode):
            with pytest.raises(ValueError):  # noqa: PT011  each has its own message
                refusing(each)
