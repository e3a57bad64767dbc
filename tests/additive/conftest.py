"""Small models that are fitted once, for the library's training is slow."""

import warnings

import numpy as np
import pandas as pd
import pytest

from skfhe.additive import ExplainableBoostingClassifier, ExplainableBoostingRegressor

FEW = {"outer_bags": 1, "max_rounds": 40, "n_jobs": 1, "random_state": 0}


def table(seed=0, n_rows=160):
    """Return a data frame with numbers, categories and missing values, and two classes that interact."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n_rows).astype(float),
            "plan": rng.choice(["basic", "plus", "pro"], n_rows),
            "region": pd.Categorical(rng.choice([1.0, 2.0, 3.5], n_rows)),
            "use": rng.normal(size=n_rows),
        }
    )
    both = (X["age"] > 45) ^ (X["use"] > 0)
    y = np.where(both + 0.5 * (X["plan"] == "pro") + rng.normal(0, 0.2, n_rows) > 0.7, "left", "stays")
    X.loc[rng.random(n_rows) < 0.1, "age"] = np.nan
    X.loc[rng.random(n_rows) < 0.1, "plan"] = None
    return X, y


def numbers(seed=0, n_rows=120):
    """Return rows of numbers."""
    return np.random.default_rng(seed).normal(size=(n_rows, 3)).round(2)


def _fitted(cls, X, y, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns of what it cannot show
        return cls._original(**FEW | params).fit(X, y)


@pytest.fixture(scope="session")
def mixed():
    """A fitted original of two classes, with categories and missing values, its rows and targets."""
    X, y = table()
    return _fitted(ExplainableBoostingClassifier, X, y, interactions=3), X, y


@pytest.fixture(scope="session")
def three_classes():
    """A fitted original of three classes, its rows and targets."""
    X = numbers()
    y = (X[:, 0] > 0).astype(int) + ((X[:, 1] > 0) & (X[:, 2] > 0))
    return _fitted(ExplainableBoostingClassifier, X, y, interactions=1), X, y


@pytest.fixture(scope="session")
def counts():
    """A fitted original of counts behind a logarithm, its rows and targets."""
    X = numbers()
    y = np.random.default_rng(1).poisson(np.exp(0.5 * X[:, 0] + (X[:, 1] > 0) * (X[:, 2] > 0)))
    params = {"objective": "poisson_deviance", "interactions": 2}
    return _fitted(ExplainableBoostingRegressor, X, y, **params), X, y
