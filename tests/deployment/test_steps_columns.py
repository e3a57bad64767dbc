"""Steps on columns, side by side and one after another equal the originals, names between them included."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from skfhe.exceptions import UnsupportedModelError
from tests.deployment.light_steps import assert_equal_on, assert_same_outcome, outcome, read_steps

RNG = np.random.default_rng(0)
N_ROWS = 50
AGE = RNG.normal(40, 10, N_ROWS).round(1)
AGE[::7] = np.nan
FRAME = pd.DataFrame(
    {
        "age": AGE,
        "income": RNG.lognormal(10, 1, N_ROWS),
        "children": RNG.integers(0, 4, N_ROWS),
        "town": pd.Series(RNG.choice(["Aix", "Bonn", "Cork", "Delft"], N_ROWS), dtype=object),
        "grade": pd.Series(RNG.choice(["a", "b", None], N_ROWS), dtype=object),
        "owner": RNG.random(N_ROWS) > 0.5,
    }
)
Y = RNG.random(N_ROWS) > 0.5
NUMBERS = ["age", "income"]
WORDS = ["town", "grade"]


def frames():
    """Yield tables as users give them: other order, more or fewer columns, other dtypes, strange values."""
    new = FRAME.copy()
    new.loc[:5, "town"] = [
        "Rome",
        "",
        None,
        "aix",
        "Aix ",
        "Bonn",
    ][:6]
    yield FRAME
    yield FRAME[:1]
    yield FRAME[::-1]
    yield FRAME[list(reversed(FRAME.columns))]
    yield FRAME.assign(extra=1)[["extra", *FRAME.columns]]
    yield FRAME.drop(columns="age")
    yield FRAME.drop(columns="owner")
    yield FRAME.rename(columns={"age": "Age"})
    yield FRAME.set_axis(range(6), axis=1)
    yield FRAME.set_axis([*FRAME.columns[:5], 5], axis=1)
    yield new
    yield FRAME.astype({"town": "category", "grade": "category"})
    yield FRAME.astype({"town": "string"})
    yield FRAME.astype({"children": "Int64", "income": "Float64", "owner": "boolean"})
    yield FRAME.astype({"children": "float32", "income": "float32"})
    yield FRAME.assign(age=FRAME["age"].astype("Float64").convert_dtypes())
    yield FRAME.assign(age="old")
    yield FRAME.assign(age=np.inf)
    yield FRAME.assign(age=-0.0, income=5e-324)
    yield FRAME.assign(income=pd.Timestamp("2020-01-01"))
    yield FRAME.assign(town=1)
    yield FRAME.assign(town=np.nan)
    yield FRAME.set_index(np.zeros(N_ROWS))
    yield FRAME.to_numpy()
    yield FRAME.to_numpy().tolist()
    yield FRAME.iloc[:, :5].to_numpy()
    yield FRAME.iloc[0].to_numpy()
    yield FRAME[:0]


def column_transformers():
    impute = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encode = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(handle_unknown="ignore")
    )
    dense = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    yield [("n", impute, NUMBERS), ("w", encode, WORDS)], {}
    yield [("n", impute, NUMBERS), ("w", encode, WORDS)], {"sparse_threshold": 1.0}
    yield [("n", impute, NUMBERS), ("w", dense, WORDS)], {"remainder": "passthrough"}
    yield [("w", dense, WORDS)], {"remainder": SimpleImputer()}
    yield [("n", "passthrough", NUMBERS), ("w", "drop", WORDS)], {"transformer_weights": {"n": 0.3}}
    yield (
        [
            ("n", impute, [0, 1]),
            ("w", dense, slice(3, 5)),
            ("c", MinMaxScaler(), slice("children", "children")),
        ],
        {},
    )
    yield [("n", impute, [True, True, False, False, False, False]), ("w", OrdinalEncoder(), [-3])], {}
    yield (
        [
            ("n", impute, make_column_selector(dtype_include="float")),
            ("w", dense, make_column_selector(pattern="town")),
        ],
        {},
    )
    yield [("none", StandardScaler(), []), ("c", KBinsDiscretizer(3), ["children"])], {"remainder": "drop"}
    inner = ColumnTransformer([("t", dense, ["town"])], remainder="drop")
    yield [("inner", inner, WORDS), ("n", make_pipeline(SimpleImputer(), PCA(1)), NUMBERS)], {}
    yield [("n", "passthrough", ["age"])], {"remainder": "passthrough", "verbose_feature_names_out": False}
    yield [("m", MissingIndicator(features="all"), ["age", "grade"]), ("o", "passthrough", ["owner"])], {}


@pytest.mark.parametrize("pandas", [False, True])
@pytest.mark.parametrize("case", range(12))
def test_columns_are_chosen_and_put_together_as_in_the_original(case, pandas):
    parts, options = list(column_transformers())[case]
    fitted = clone(ColumnTransformer(parts, **options))
    if pandas:
        fitted.set_output(transform="pandas")
    if pandas and case in (0, 1, 8):
        with pytest.raises(ValueError, match="sparse"):
            fitted.fit(FRAME)
        return
    fitted.fit(FRAME)
    assert_equal_on(fitted, frames())


def test_columns_of_arrays_are_chosen_by_their_place():
    X = RNG.normal(size=(30, 5))
    tables = [
        X,
        X[:1],
        X.astype(np.float32),
        pd.DataFrame(X),
        pd.DataFrame(X, columns=list("abcde")),
        X[:, :4],
        X.tolist(),
    ]
    tables += [np.asfortranarray(X), X[::2], X.astype(int), X.astype(object)]
    for parts in (
        [("s", StandardScaler(), [4, 0]), ("m", MaxAbsScaler(), slice(1, 3)), ("p", "passthrough", [3])],
        [("s", PCA(2), slice(0, None, 2)), ("m", PCA(2), slice(0, 9))],
        [("s", PCA(2), slice(4, None, -1)), ("m", PCA(2), [False, True, True, False, True])],
        [("s", make_union(PCA(1), StandardScaler()), np.array([1, 2]))],
    ):
        assert_equal_on(ColumnTransformer(parts, remainder="passthrough").fit(X), tables)
        assert_equal_on(ColumnTransformer(parts).set_output(transform="pandas").fit(X), tables)


@pytest.mark.parametrize("pandas", [False, True])
def test_unions_put_the_same_rows_outputs_side_by_side(pandas):
    X = RNG.normal(size=(30, 4))
    tables = [
        X,
        X[:1],
        X.astype(np.float32),
        np.asfortranarray(X),
        pd.DataFrame(X, columns=list("abcd")),
        X[:, :3],
    ]
    for fitted_on in (X, tables[4]):
        union = FeatureUnion(
            [("s", StandardScaler()), ("p", "passthrough"), ("d", "drop"), ("k", SelectKBest(k=2))],
            transformer_weights={"s": 2.5, "p": 0.1},
        )
        if pandas:
            union.set_output(transform="pandas")
        assert_equal_on(union.fit(fitted_on, Y[:30]), tables)
    assert_equal_on(make_union(KBinsDiscretizer(3), RobustScaler()).fit(X), [*tables, X * -0.0])


@pytest.mark.parametrize("pandas", [False, True])
def test_names_and_memory_order_pass_from_step_to_step(pandas):
    X = RNG.normal(size=(40, 4))
    frame = pd.DataFrame(X, columns=list("abcd"))
    mixed = frame.astype({"b": "float32", "c": "int64"})
    for steps in (
        [StandardScaler(), PCA(3), SelectKBest(k=2)],
        [PolynomialFeatures(2, order="F"), VarianceThreshold(), PCA(2)],
        [SelectKBest(k=3), PCA(2, whiten=True), MinMaxScaler(clip=True)],
        [ColumnTransformer([("s", StandardScaler(), [0, 1])], remainder="passthrough"), PCA(2)],
        [
            FunctionTransformer(feature_names_out="one-to-one"),
            ColumnTransformer([("p", PCA(2), [1, 2])]),
            "passthrough",
        ],
        [SimpleImputer(), None, PCA(2)],
    ):
        fitted = Pipeline([(f"{place}", step) for place, step in enumerate(steps)])
        if pandas:
            fitted.set_output(transform="pandas")
        for rows in (X, frame):
            fitted.fit(rows, Y[:40])
            assert_equal_on(
                fitted,
                [X, X[:1], np.asfortranarray(X), frame, frame[:1], mixed, frame[list("dcba")], X.astype(int)],
            )


def test_after_a_sparse_matrix_scalers_and_projections_keep_its_arithmetic():
    """Rows are multiplied by 1 / scale, and products added one feature after another."""
    words = FRAME[WORDS].fillna("none")
    new = pd.concat([words, words.assign(town="Rome")])
    for step in (
        StandardScaler(with_mean=False),
        MaxAbsScaler(),
        RobustScaler(with_centering=False),
        TruncatedSVD(3),
        PCA(2),
    ):
        for dtype in (np.float64, np.float32):
            fitted = make_pipeline(OneHotEncoder(handle_unknown="ignore", dtype=dtype), step).fit(words)
            assert_equal_on(fitted, [words, words[:1], new])
    weighted = ColumnTransformer(
        [("w", OneHotEncoder(), WORDS), ("n", SimpleImputer(), ["age"])],
        sparse_threshold=1,
        transformer_weights={"w": 0.7},
    )
    for step in (
        MaxAbsScaler(),
        TruncatedSVD(4),
        SelectKBest(k=5),
        StandardScaler(with_mean=False),
        SimpleImputer(),
    ):
        assert_equal_on(
            make_pipeline(weighted, step).fit(FRAME, Y), [FRAME, FRAME[:1], FRAME.assign(age=-0.0)]
        )


@pytest.mark.parametrize("step", [PolynomialFeatures(2), SelectKBest(k=2)])
def test_what_a_sparse_matrix_would_change_is_refused(step):
    fitted = make_pipeline(OneHotEncoder(), step).fit(FRAME[WORDS].fillna(""), Y)
    if isinstance(step, PolynomialFeatures):
        with pytest.raises(
            UnsupportedModelError, match=r"'polynomialfeatures' \(PolynomialFeatures\).*sparse_output=False"
        ):
            read_steps(fitted)
    else:
        assert_equal_on(fitted, [FRAME[WORDS].fillna("")])


def test_pandas_own_missing_values_are_refused_where_the_original_refuses_them():
    fitted = ColumnTransformer([("p", "passthrough", ["children"])]).fit(FRAME)
    nullable = FRAME.assign(children=pd.array([None, *FRAME["children"][1:]], dtype="Int64"))
    step = read_steps(fitted)
    original = outcome(fitted.transform, nullable)
    assert isinstance(original, ValueError)
    assert_same_outcome(outcome(step.transform, nullable), original)


@pytest.mark.parametrize("step", [SimpleImputer(), StandardScaler()])
def test_a_text_among_numbers_is_told_with_its_column(step):
    numbers = FRAME[["age", "income"]]
    text = numbers.assign(income=["12,5", *numbers["income"][1:].astype(str)])
    light = read_steps(make_column_transformer((step, ["age", "income"])).fit(numbers))
    with pytest.raises(ValueError, match=r"Column 'income': could not convert string to float: '12,5'"):
        light.transform(text)
    with pytest.raises(ValueError, match=r"^could not convert string to float: '12,5'"):
        read_steps(step.fit(numbers.to_numpy(dtype=float))).transform(text.to_numpy(dtype=object))
