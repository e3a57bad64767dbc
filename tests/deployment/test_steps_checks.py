"""Steps that a file describes check themselves: what does not fit is refused before any row is seen."""

import copy

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from skfhe.deployment._values import from_values, to_values
from tests.deployment.light_steps import read_steps

X = np.random.default_rng(0).normal(size=(30, 2))
WHOLE = np.random.default_rng(0).integers(0, 3, (30, 2))
Y = WHOLE[:, 0] > 0


def described(transformer, rows=X):
    return to_values(read_steps(transformer.fit(rows, Y)))


@pytest.mark.parametrize(
    ("transformer", "path", "value"),
    [
        (StandardScaler(), ["fitted_on", "n_features"], 3),
        (StandardScaler(), ["fitted_on", "n_features"], -1),
        (StandardScaler(), ["fitted_on", "feature_names"], ["a"]),
        (PowerTransformer(), ["fitted_on", "n_features"], 1),
        (PowerTransformer(), ["form"], "eval"),
        (QuantileTransformer(n_quantiles=5), ["fitted_on", "n_features"], 3),
        (KBinsDiscretizer(3), ["edges"], []),
        (PolynomialFeatures(), ["max_degree"], 10**6),
        (PolynomialFeatures(), ["min_degree"], 5),
        (SplineTransformer(), ["degree"], 9),
        (SplineTransformer(), ["n_splines"], 1),
        (PCA(1), ["fitted_on", "n_features"], 3),
        (PCA(1), ["memory"], "by chance"),
        (SelectKBest(k=1), ["fitted_on", "n_features"], 3),
        (SimpleImputer(), ["fitted_on", "n_features"], 1),
        (SimpleImputer(strategy="constant"), ["fill_dtype"], "datetime64[ns]"),
        (MissingIndicator(features="all"), ["fitted_on", "n_features"], 1),
        (ColumnTransformer([("s", "passthrough", [1])]), ["fitted_on", "n_features"], 1),
        (
            ColumnTransformer([("s", "passthrough", [0, 1])]),
            ["parts", 0, "part", "step", "class"],
            "os.system",
        ),
    ],
    ids=str,
)
def test_a_step_of_numbers_that_does_not_fit_is_refused(transformer, path, value):
    refuses(described(transformer), path, value)


@pytest.mark.parametrize(
    ("transformer", "path", "value"),
    [
        (OneHotEncoder(), ["categories", "values"], []),
        (OneHotEncoder(), ["categories", "groups"], [None]),
        (OneHotEncoder(drop="first"), ["dropped"], [0, 3]),
        (OneHotEncoder(drop="first"), ["dropped"], [0]),
        (OneHotEncoder(), ["dtype"], "object"),
        (OrdinalEncoder(), ["dtype"], "O"),
        (TargetEncoder(), ["encodings"], []),
    ],
    ids=str,
)
def test_a_step_of_categories_that_does_not_fit_is_refused(transformer, path, value):
    refuses(described(transformer, WHOLE), path, value)


def refuses(described_step, path, value):
    values, arrays = described_step
    from_values(values, arrays, "Step")
    changed = copy.deepcopy(values)
    *before, last = path
    inner = changed
    for key in before:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(ValueError, match=r"\S"):
        from_values(changed, arrays, "Step")
