"""Small models that the displays show, and figures that are closed after each test."""

import matplotlib
import pytest
from sklearn.datasets import load_iris

from skfhe.linear_model import LogisticRegression
from skfhe.tree import DecisionTreeClassifier

matplotlib.use("Agg")
X, Y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="package")
def tree():
    """With lookups, not compiled."""
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, Y)


@pytest.fixture(scope="package")
def linear():
    """Of two features, without lookups, compiled."""
    model = LogisticRegression(max_iter=500).fit(X[:, :2], Y)
    model.compile()
    return model
