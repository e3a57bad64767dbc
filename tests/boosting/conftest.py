"""Models with a compiled circuit and keys, each built once a session."""

import pytest

from tests.boosting.models import CLASSIFIERS


@pytest.fixture(scope="session", params=CLASSIFIERS)
def compiled(request, iris):
    cls, params = CLASSIFIERS[request.param]
    size = {"num_leaves": 4} if request.param == "lightgbm" else {"max_depth": 2, "depth": None}
    if request.param == "xgboost":
        del size["depth"]
    X, y = iris
    model = cls(**params | {"n_estimators": 3} | size).fit(X[:100], y[:100])
    model.compile().keygen()
    return model, X
