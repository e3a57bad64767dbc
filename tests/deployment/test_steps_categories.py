"""Encoders and imputers equal the originals on categories never seen, missing, mixed, empty, of any dtype."""

import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from sklearn.base import clone
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from skfhe.exceptions import UnsupportedModelError
from tests.deployment.light_steps import assert_equal_on, outcome, read_steps

RNG = np.random.default_rng(0)
N_ROWS = 80


def chosen(values):
    return np.array([values[place] for place in RNG.integers(0, len(values), N_ROWS)], dtype=object)


WORDS = np.column_stack(
    [chosen(["a", "b", "c", "dd", ""]), chosen(["x", "y"]), chosen(["u", "v", None, np.nan])]
)
NUMBERS = RNG.integers(0, 5, (N_ROWS, 3)).astype(float)
NUMBERS[3, 1] = np.nan
MIXED = np.column_stack([chosen([1, 2, 3]), chosen([1.5, 2, np.nan]), chosen([True, False])])
WHOLE = RNG.integers(-2, 3, (N_ROWS, 3))
TEXT = np.array([["a", "bbb", "c"]] * 40 + [["q", "b", "ccc"]] * 40)
FITTED_ON = {
    "words": WORDS,
    "numbers": NUMBERS,
    "mixed": MIXED,
    "whole": WHOLE,
    "text": TEXT,
    "truth": RNG.random((N_ROWS, 3)) > 0.5,
    "frame of words": pd.DataFrame(WORDS, columns=list("pqr")),
    "frame of numbers": pd.DataFrame(NUMBERS, columns=list("pqr")),
    "frame of dtypes": pd.DataFrame(
        {
            "p": pd.Series(chosen(list("abc"))).astype("category"),
            "q": pd.array(RNG.integers(0, 3, N_ROWS), dtype="Int64"),
            "r": pd.array(RNG.random(N_ROWS) > 0.5, dtype="boolean"),
        }
    ),
}
Y = RNG.random(N_ROWS) > 0.5


def arrays():
    new = np.column_stack(
        [chosen(["a", "zzz", "", "c"]), chosen(["x", "q"]), chosen(["u", "NEW", None, np.nan])]
    )
    yield from (WORDS, new, NUMBERS, MIXED, WHOLE, TEXT, FITTED_ON["truth"], WORDS[:1], new[:1], NUMBERS[:2])
    yield from (WORDS.tolist(), new.tolist(), WHOLE.tolist(), MIXED.tolist(), TEXT.tolist(), [["a", "x", 1]])
    yield from (NUMBERS.astype(np.float32), WHOLE.astype(np.uint8), NUMBERS + 0.5, -NUMBERS * 0.0)
    yield from (np.array([["aaaaaaaaa", "x", "u"]]), np.full((2, 3), np.nan), np.full((2, 3), None))
    yield from (
        np.full((2, 3), np.nan, dtype=object),
        np.array([[{}, [], "a"]], dtype=object),
        np.array([[np.inf, 0, 1]]),
    )
    yield from (np.array([[b"a", b"x", b"u"]]), WORDS[:, :2], WORDS[0], np.array([[5e-324, 1e308, -0.0]]))
    yield np.array([["2020-01-01"] * 3], dtype="datetime64[D]")


def frames():
    frame = pd.DataFrame({"p": list("abc"), "q": list("xyx"), "r": pd.Series(["u", None, "v"], dtype=object)})
    numbers = pd.DataFrame({"p": [1, 2, 3], "q": [0, 2, 1], "r": [True, False, True]})
    yield from (frame, frame[:1], frame[["q", "p", "r"]], frame.assign(z=1), frame[["p", "q"]], numbers)
    yield from (
        frame.astype("category"),
        frame.astype("string"),
        frame.astype({"p": "category", "q": "string"}),
    )
    yield pd.DataFrame(
        {"p": pd.array([1, 2, None], "Int64"), "q": pd.array([1.5, None, 2], "Float64"), "r": 1}
    )
    yield numbers.assign(r=pd.array([True, False, None], dtype="boolean"))
    yield numbers.assign(r=pd.Categorical([True, False, True]), q=pd.Categorical([1, 2, 1]))
    yield numbers.assign(p=pd.to_datetime(["2020-01-01"] * 3))
    yield numbers.assign(p=pd.to_datetime(["2020-01-01"] * 3).tz_localize("UTC"))
    yield numbers.assign(p=pd.Series([1, 2, pd.NA], dtype=object))
    yield numbers.assign(p=["1", "2", "3"], q=[0.5, np.inf, 1])
    yield numbers.assign(p=np.array([1, 2, 3], dtype="uint64"), q=np.array([1, 2, 3], dtype="float32"))
    yield numbers.set_axis([5, 5, 7])
    yield pd.DataFrame(WHOLE)
    yield pd.DataFrame(WHOLE, columns=["p", "q", 3])
    yield pd.DataFrame(NUMBERS, columns=list("pqr")).astype("float32")
    yield pd.DataFrame(np.zeros((0, 3)), columns=list("pqr"))


TABLES = [*arrays(), *frames()]
ENCODERS = [
    *(
        OneHotEncoder(
            handle_unknown=unknown, drop=drop, min_frequency=rare, sparse_output=sparse, dtype=dtype
        )
        for unknown in ("error", "ignore", "infrequent_if_exist", "warn")
        for drop, rare, sparse, dtype in (
            (None, None, True, np.float64),
            ("first", None, False, np.float32),
            ("if_binary", None, True, np.int64),
            (None, 0.25, True, np.float64),
            ("first", 18, False, np.float64),
            ("if_binary", 20, True, np.float64),
        )
    ),
    OneHotEncoder(max_categories=1, handle_unknown="ignore"),
    OneHotEncoder(max_categories=2, handle_unknown="infrequent_if_exist"),
    OrdinalEncoder(),
    OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2, dtype=np.int64
    ),
    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, min_frequency=0.2),
    OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=99, encoded_missing_value=98, max_categories=2
    ),
    OrdinalEncoder(encoded_missing_value=-1, min_frequency=18, dtype=np.float32),
    *(TargetEncoder(), TargetEncoder(target_type="continuous", smooth=3.0)),
    *(SimpleImputer(strategy=strategy) for strategy in ("mean", "median", "most_frequent", "constant")),
    SimpleImputer(strategy="constant", fill_value="missing"),
    SimpleImputer(strategy="constant", fill_value=7),
    SimpleImputer(strategy="constant", add_indicator=True),
    SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
    SimpleImputer(missing_values=None, strategy="most_frequent"),
    SimpleImputer(missing_values="a", strategy="most_frequent", add_indicator=True),
    SimpleImputer(missing_values=2, strategy="most_frequent"),
    SimpleImputer(missing_values=pd.NA, strategy="most_frequent"),
    *(MissingIndicator(), MissingIndicator(features="all"), MissingIndicator(error_on_new=False)),
    *(
        MissingIndicator(missing_values=None),
        MissingIndicator(missing_values="a"),
        MissingIndicator(missing_values=2),
    ),
]


def fitted_encoders(family, kind, every):
    """Yield the encoders of a family that can be fitted on rows of a kind, one in some of them."""
    for encoder in [one for one in ENCODERS if type(one).__name__ == family][::every]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield clone(encoder).fit(FITTED_ON[kind], Y)
            except (TypeError, ValueError):  # numbers and text do not go together
                continue


FAMILIES = ["OneHotEncoder", "OrdinalEncoder", "TargetEncoder", "SimpleImputer", "MissingIndicator"]


@pytest.mark.parametrize("kind", FITTED_ON)
@pytest.mark.parametrize("family", FAMILIES)
def test_encoders_and_imputers_equal_the_originals(family, kind):
    every = 5 if family == "OneHotEncoder" else 1
    for fitted in fitted_encoders(family, kind, every):
        assert_equal_on(fitted, TABLES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FITTED_ON)
def test_every_one_hot_encoder_equals_the_original(kind):
    for fitted in fitted_encoders("OneHotEncoder", kind, 1):
        assert_equal_on(fitted, TABLES)


@pytest.mark.parametrize("family", FAMILIES)
def test_encoders_and_imputers_are_fitted_on_most_kinds_of_rows(family):
    """Else the comparisons above would compare nothing."""
    assert sum(1 for kind in FITTED_ON for _ in fitted_encoders(family, kind, 1)) >= len(FITTED_ON)


def test_a_column_without_any_value_is_left_out_or_kept():
    rows = NUMBERS.copy()
    rows[:, 1] = np.nan
    for keep in (True, False):
        for strategy in ("mean", "median", "most_frequent", "constant"):
            imputer = SimpleImputer(strategy=strategy, keep_empty_features=keep, add_indicator=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                imputer.fit(rows)
            assert_equal_on(imputer, TABLES)


def test_a_strategy_of_ones_own_is_a_number_to_a_client():
    assert_equal_on(SimpleImputer(strategy=lambda values: values.max()).fit(NUMBERS), TABLES)


def test_classes_of_a_target_each_have_a_column():
    y = RNG.integers(0, 3, N_ROWS)
    assert_equal_on(TargetEncoder(target_type="multiclass").fit(WORDS, y), TABLES)


def test_categories_given_by_hand_keep_their_order():
    encoder = OrdinalEncoder(categories=[["c", "b", "a"], ["y", "x"], ["v", "u", None, np.nan]]).fit(
        WORDS[np.isin(WORDS[:, 0], list("abc"))]
    )
    assert_equal_on(encoder, TABLES)
    given = OneHotEncoder(categories=[[-2, 0, 1], [0, 1], [0]], handle_unknown="ignore", drop=[0, 1, 0])
    assert_equal_on(given.fit(WHOLE), TABLES)


def test_categories_that_no_file_holds_are_refused():
    days = np.array([["2020-01-01"], ["2020-01-02"]], dtype="datetime64[D]")
    with pytest.raises(UnsupportedModelError, match=r"dtype datetime64\[D\]. Make numbers of dates"):
        read_steps(OneHotEncoder().fit(days))
    with pytest.raises(UnsupportedModelError, match=r"dtype \|S1. .*astype\(str\)"):
        read_steps(OneHotEncoder().fit(np.array([[b"a"], [b"b"]])))
    rows = np.empty((2, 1), dtype=object)
    rows[:, 0] = [(1, 2), (3,)]
    encoder = OrdinalEncoder().fit(rows)
    with pytest.raises(UnsupportedModelError, match="of type tuple"):
        read_steps(encoder)


def test_unknown_categories_are_told_as_by_the_original():
    encoder = OneHotEncoder(handle_unknown="ignore", drop="first").fit(WORDS[:, :2])
    with pytest.warns(UserWarning, match=r"columns \[1\] during transform.*all zeros"):
        read_steps(encoder).transform([["a", "never"]])


VALUES = st.one_of(st.sampled_from(["a", "b", "", "é", "a ", None, np.nan]), st.text(max_size=2))


@settings(max_examples=80, deadline=None)
@given(
    fitted_on=st.lists(st.tuples(VALUES, st.integers(0, 2)), min_size=3, max_size=8),
    rows=st.lists(
        st.tuples(VALUES, st.one_of(VALUES, st.integers(-1, 3), st.floats(), st.booleans())),
        min_size=1,
        max_size=5,
    ),
    unknown=st.sampled_from(["error", "ignore", "infrequent_if_exist"]),
    rare=st.sampled_from([None, 2, 0.4]),
)
def test_any_categories_are_encoded_as_by_the_originals(fitted_on, rows, unknown, rare):
    for encoder in (
        OneHotEncoder(handle_unknown=unknown, min_frequency=rare, sparse_output=False),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=rare),
        SimpleImputer(strategy="most_frequent"),
    ):
        table = np.array(fitted_on, dtype=object)
        if isinstance(outcome(clone(encoder).fit, table), Exception):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoder.fit(table)
        assert_equal_on(encoder, [np.array(rows, dtype=object), list(map(list, rows)), pd.DataFrame(rows)])
