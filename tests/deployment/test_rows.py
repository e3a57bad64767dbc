"""Rows on the client: taken, refused and warned of as scikit-learn does in the process that trained."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from skfhe.boosting import CatBoostClassifier, LGBMClassifier, XGBClassifier
from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.ensemble import HistGradientBoostingClassifier
from skfhe.linear_model import LinearRegression, LogisticRegression
from skfhe.neural_network import NeuralNetRegressor
from skfhe.program import run_batched
from skfhe.tree import DecisionTreeClassifier
from tests.digested_models import CAT, LGBM, NET, XGB, classes, labels, rows, targets

X = rows(0)
R = rows(1)[:6]
NAMED = pd.DataFrame(R, columns=list("abcd"))
FEW_LEAVES = {"max_iter": 3, "max_leaf_nodes": 5, "min_samples_leaf": 5}


def changed(*places_and_values):
    """Return rows as objects with some values in other places."""
    found = R.astype(object)
    for place, value in places_and_values:
        found[place] = value
    return found


def floats(*places_and_values):
    return changed(*places_and_values).astype(np.float64)


FIRST, SECOND = (0, 0), (1, 1)
CASES = {
    "a list": R.tolist(),
    "tuples": tuple(map(tuple, R)),
    "integers": (R * 3).astype(int),
    "narrow integers": (R * 3).astype(np.int8),
    "unsigned integers": np.abs(R * 3).astype(np.uint64),
    "truth values": R > 0,
    "single precision": R.astype(np.float32),
    "half precision": R.astype(np.float16),
    "columns first": np.asfortranarray(R),
    "objects": R.astype(object),
    "objects, None among them": changed((FIRST, None)),
    "objects, a text among them": changed((FIRST, "a")),
    "texts that are numbers": R.astype(str),
    "a list of mixed types": [[1, "a", 2, 3]],
    "rows of different lengths": [[1, 2], [1, 2, 3]],
    "a single row": R[0],
    "a number": 3.0,
    "three axes": R[None],
    "None": None,
    "a text": "abc",
    "a dict": {"a": [1, 2]},
    "no rows": R[:0],
    "no columns": R[:, :0],
    "too few columns": R[:, :3],
    "too many columns": np.hstack([R, R[:, :1]]),
    "NaN": floats((FIRST, np.nan)),
    "infinity": floats((FIRST, np.inf)),
    "infinity and NaN": floats((FIRST, -np.inf), (SECOND, np.nan)),
    "beyond single precision": floats((FIRST, 1e300)),
    "below single precision": floats((FIRST, 1e-300)),
    "complex numbers": R.astype(complex),
    "a matrix": np.asmatrix(R),
    "a masked array": np.ma.masked_array(R, mask=R > 2),
    "times": np.full((3, 4), np.datetime64("2020-01-01")),
    "CSR": sparse.csr_matrix(np.where(R > 0, R, 0)),
    "CSC": sparse.csc_matrix(np.where(R > 0, R, 0)),
    "COO": sparse.coo_array(np.where(R > 0, R, 0)),
    "DOK": sparse.dok_matrix(np.where(R > 0, R, 0)),
    "sparse integers": sparse.csr_matrix((R * 3).astype(int)),
    "sparse NaN": sparse.csr_matrix(floats((FIRST, np.nan))),
    "sparse infinity": sparse.csr_matrix(floats((FIRST, np.inf))),
    "sparse complex numbers": sparse.csr_matrix(R.astype(complex)),
    "sparse, too few columns": sparse.csr_matrix(R[:, :3]),
    "a frame": NAMED,
    "a frame named by numbers": pd.DataFrame(R),
    "a frame in another order": NAMED[list("badc")],
    "a frame with another name": NAMED.rename(columns={"a": "z"}),
    "a frame with a column too many": NAMED.assign(e=1.0),
    "a frame that lacks a column": NAMED[list("abc")],
    "a frame named by texts and numbers": NAMED.rename(columns={"a": 1}),
    "a frame with equal names": pd.DataFrame(R, columns=list("aabc")),
    "a frame of several types": NAMED.astype({"a": "f4"}).assign(c=np.arange(6)),
    "a frame of single precision": NAMED.astype("f4"),
    "a frame of narrow types": NAMED.astype({"a": "int8", "b": "f4", "c": "f4", "d": "int8"}),
    "a frame of truth values": NAMED > 0,
    "a frame with truth values": NAMED.assign(a=NAMED.a > 0),
    "a frame with integers that miss one": NAMED.assign(a=pd.array([1, 2, 3, 4, 5, None], dtype="Int64")),
    "a frame of nullable floats": NAMED.astype("Float64"),
    "a frame of nullable single precision": NAMED.astype("Float32"),
    "a frame of objects": NAMED.astype(object),
    "a frame with texts": NAMED.assign(a="x"),
    "a frame with categories": NAMED.assign(a=pd.Categorical([1, 2, 3, 1, 2, 3])),
    "a frame with NaN": NAMED.where(NAMED > 0),
    "a sparse frame": NAMED.astype(pd.SparseDtype("float", 0.0)),
    "a frame with a sparse column": NAMED.assign(a=pd.arrays.SparseArray(R[:, 0])),
    "a series": NAMED.a,
}


def with_category(rows):
    return np.column_stack([rows[:, 0], (rows[:, 1] * 2).astype(int) % 4, rows[:, 2:]])


def fitted(model, target, named=False):
    return model.fit(pd.DataFrame(X, columns=list("abcd")) if named else X, target)


MODELS = {
    "linear": lambda: fitted(LogisticRegression(), labels(X)),
    "linear, named": lambda: fitted(LogisticRegression(), labels(X), named=True),
    "linear, single precision": lambda: LinearRegression().fit(
        X.astype(np.float32), targets(X).astype(np.float32)
    ),
    "tree": lambda: fitted(DecisionTreeClassifier(max_depth=3), labels(X)),
    "tree of 3 bits, named": lambda: fitted(
        DecisionTreeClassifier(max_depth=3, n_bits=3), labels(X), named=True
    ),
    "network": lambda: fitted(NeuralNetRegressor(**NET), targets(X)),
    "histograms, named": lambda: fitted(HistGradientBoostingClassifier(**FEW_LEAVES), classes(X), named=True),
    "XGBoost": lambda: fitted(XGBClassifier(**XGB), classes(X)),
    "LightGBM": lambda: fitted(LGBMClassifier(**LGBM), classes(X)),
    "LightGBM, named": lambda: fitted(LGBMClassifier(**LGBM), classes(X), named=True),
    "CatBoost, named": lambda: fitted(CatBoostClassifier(**CAT), classes(X), named=True),
}


def outcome(predict):
    """Return what a call returned or raised, and of what it warned."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = predict()
        except Exception as error:
            result = error
    kinds = (RuntimeWarning, DeprecationWarning)
    texts = {str(each.message)[:40] for each in caught if not issubclass(each.category, kinds)}
    return result, texts


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_taken_and_refused_as_in_the_process_that_trained(name):
    """A client has neither scikit-learn nor pandas to ask, and must not take what the model does not."""
    model = MODELS[name]()
    predictor = estimator_predictor(model)

    def on_client(rows):
        outputs = run_batched(model.program_, *predictor.encode(rows))
        return predictor.answer("predict", outputs, (rows,))

    for case, given in CASES.items():
        expected, warned = outcome(lambda given=given: model.predict(given))
        found, said = outcome(lambda given=given: on_client(given))
        if case == "a frame with equal names" and not isinstance(expected, Exception):
            assert isinstance(found, ValueError)  # scikit-learn refuses them, too, from 1.9 on
            continue
        assert said == warned, case
        if isinstance(expected, Exception):
            alike = ValueError if isinstance(expected, ValueError) else type(expected)
            assert isinstance(found, alike), (case, expected, found)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=case, strict=True)


def test_categories_of_histogram_based_boosting_are_numbered_as_in_training():
    """Unknown and missing ones have no number; they come first, as the trees read them."""
    model = HistGradientBoostingClassifier(categorical_features=[1], **FEW_LEAVES)
    model.fit(with_category(X), classes(X))
    predictor = estimator_predictor(model)
    unknown = with_category(R)
    unknown[:2, 1] = 9, np.nan
    for given in (with_category(R), unknown, unknown.tolist(), pd.DataFrame(unknown)):
        outputs = run_batched(model.program_, *predictor.encode(given))
        np.testing.assert_array_equal(predictor.answer("predict", outputs), model.predict(given))
    for wrong in (R[:, :3], R[0], R[:0], R.astype(complex), sparse.csr_matrix(R), None):
        with pytest.raises((TypeError, ValueError)):
            predictor.encode(wrong)
