"""Histogram-based gradient boosting: categories."""

import numpy as np
import pandas as pd
import pytest

from skfhe.ensemble import HistGradientBoostingClassifier
from skfhe.exceptions import UnsupportedModelError
from tests.with_originals import original_of


def cars(rng, n=300):
    frame = pd.DataFrame(
        {
            "power": rng.normal(size=n),
            "make": pd.Categorical(rng.choice(list("abcdef"), n)),
            "doors": rng.integers(2, 6, n).astype(float),
        }
    )
    y = (frame["make"].isin(["b", "e", "f"]) ^ (frame["power"] > 0.3)).astype(int)
    return frame, y


@pytest.mark.parametrize("n_bits", [None, 3])
def test_categorical_splits_are_membership(n_bits):
    rng = np.random.default_rng(0)
    X, y = cars(rng)
    model = HistGradientBoostingClassifier(
        max_iter=3, max_leaf_nodes=5, categorical_features="from_dtype", n_bits=n_bits, random_state=0
    )
    if n_bits is not None:
        with pytest.raises(UnsupportedModelError, match="categories"):
            model.fit(X, y)
        return
    model.fit(X, y)
    original = original_of(model).fit(X, y)
    assert any(split.categories for split in model.encoder_)
    rows = X.copy()
    rows["make"] = rows["make"].cat.add_categories(["new"])
    rows.loc[:9, "make"] = "new"
    rows.loc[10:19, "make"] = np.nan
    np.testing.assert_allclose(
        model.decision_function(rows), original.decision_function(rows), atol=model.score_error_
    )
    model.compile()
    np.testing.assert_array_equal(model.predict(rows[5:15], fhe="execute"), model.predict(rows[5:15]))
