"""A whole pipeline from a data frame to integers, and to predictions, equals the one that was trained."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from skfhe.deployment import save
from skfhe.deployment._client_model import ClientModel
from skfhe.deployment._reading import read_predictor
from skfhe.ensemble import RandomForestClassifier
from skfhe.exceptions import UnsupportedModelError
from skfhe.linear_model import LogisticRegression
from skfhe.program import join, run

RNG = np.random.default_rng(1)
N_ROWS = 120


def customers():
    income = RNG.lognormal(10, 1, N_ROWS)
    income[::9] = np.nan
    return pd.DataFrame(
        {
            "age": RNG.integers(18, 90, N_ROWS),
            "income": income,
            "town": pd.Series(RNG.choice(["Aix", "Bonn", "Cork"], N_ROWS), dtype=object),
            "grade": pd.Categorical(RNG.choice(["low", "mid", "high"], N_ROWS)),
            "member": RNG.random(N_ROWS) > 0.5,
        }
    )


FRAME = customers()
Y = ((FRAME["age"] > 50) ^ (FRAME["town"] == "Bonn")).to_numpy().astype(int)
NEW = [
    FRAME,
    FRAME[:1],
    FRAME[list(reversed(FRAME.columns))],
    FRAME.assign(extra="x", town="Rome"),
    FRAME.assign(income=np.nan, town=None),
    FRAME.astype({"age": "Int64", "income": "float32", "town": "category", "grade": object}),
]


def pipeline_of(estimator, *, pandas=False):
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=not pandas)
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
                ["age", "income"],
            ),
            ("words", make_pipeline(SimpleImputer(strategy="most_frequent"), encode), ["town"]),
            ("grades", OrdinalEncoder(categories=[["low", "mid", "high"]]), ["grade"]),
        ],
        remainder="passthrough",
    )
    fitted = Pipeline([("columns", columns), ("model", estimator)])
    return fitted.set_output(transform="pandas") if pandas else fitted


@pytest.mark.parametrize("pandas", [False, True])
@pytest.mark.parametrize(
    "estimator", [LogisticRegression(n_bits=6), RandomForestClassifier(4, max_depth=3, random_state=0)]
)
def test_integers_and_predictions_equal_those_in_process(estimator, pandas, tmp_path):
    fitted = pipeline_of(estimator, pandas=pandas).fit(FRAME, Y)
    last = fitted[-1]
    last.compile()
    save(fitted, tmp_path)
    predictor = ClientModel.read(tmp_path).predictor
    direct = read_predictor(last).predictor
    for rows in NEW:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            integers, expected = predictor.encode(rows), direct.encode(fitted[:-1].transform(rows))
            outputs = run(last.program_, *integers)
            answers = {method: predictor.answer(method, outputs, (rows,)) for method in predictor.methods}
            originals = {method: getattr(fitted, method)(rows) for method in predictor.methods}
        assert len(integers) == len(expected)
        for one, other in zip(integers, expected, strict=True):
            np.testing.assert_array_equal(one, other)
        for method, answer in answers.items():
            np.testing.assert_array_equal(answer, originals[method])


def test_a_search_over_a_pipeline_is_saved_by_its_best(tmp_path):
    search = GridSearchCV(pipeline_of(LogisticRegression(n_bits=6)), {"model__C": [0.1, 1.0]}, cv=2).fit(
        FRAME, Y
    )
    search.best_estimator_[-1].compile()
    save(search, tmp_path)
    np.testing.assert_array_equal(
        ClientModel.read(tmp_path).predictor.encode(FRAME)[0],
        read_predictor(search.best_estimator_).predictor.encode(FRAME)[0],
    )


def test_members_of_a_meta_estimator_each_have_their_steps(tmp_path):
    frame = FRAME[["age", "income"]].fillna(0.0)
    members = [
        ("scaled", make_pipeline(StandardScaler(), LogisticRegression(n_bits=6))),
        ("filled", make_pipeline(SimpleImputer(), RandomForestClassifier(3, max_depth=2, random_state=0))),
    ]
    fitted = VotingClassifier(members, voting="soft").fit(frame, Y)
    for member in fitted.estimators_:
        member[-1].compile()
    save(fitted, tmp_path)
    predictor = ClientModel.read(tmp_path).predictor
    integers = predictor.encode(frame)
    outputs = run(join([member[-1].program_ for member in fitted.estimators_]), *integers)
    np.testing.assert_array_equal(
        predictor.answer("predict_proba", outputs, (frame,)), fitted.predict_proba(frame)
    )


def test_rows_that_the_pipeline_refuses_are_refused_by_the_client(tmp_path):
    fitted = pipeline_of(LogisticRegression(n_bits=6)).fit(FRAME, Y)
    fitted[-1].compile()
    predictor = read_predictor(fitted).predictor
    for rows in (
        FRAME.drop(columns="town"),
        FRAME.assign(grade="unheard of"),
        FRAME.assign(income=np.inf),
        FRAME.assign(age="old"),
        FRAME.to_numpy(),
        FRAME[:0],
        FRAME["age"],
    ):
        with pytest.raises((ValueError, TypeError)) as original:
            fitted.predict(rows)
        with pytest.raises(original.type):
            predictor.encode(rows)


def test_a_subclass_of_pipeline_and_a_pipeline_without_an_estimator_are_refused():
    class Special(Pipeline):
        pass

    steps = [("scale", StandardScaler()), ("model", LogisticRegression(n_bits=6))]
    with pytest.raises(UnsupportedModelError, match="Special is a subclass of Pipeline"):
        read_predictor(Special(steps).fit(FRAME[["age"]], Y))
    with pytest.raises(UnsupportedModelError, match="'none' of the pipeline is no estimator"):
        read_predictor(Pipeline([*steps[:1], ("none", "passthrough")]).fit(FRAME[["age"]], Y))


def test_a_fresh_client_transforms_rows_with_numpy_alone(tmp_path):
    """Unless its rows are a data frame, whose library is then there already."""
    rows = FRAME[["age", "income"]].to_numpy()
    fitted = make_pipeline(
        ColumnTransformer(
            [
                ("n", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]),
                ("o", OneHotEncoder(handle_unknown="ignore"), [0]),
            ]
        ),
        LogisticRegression(n_bits=6),
    ).fit(rows, Y)
    fitted[-1].compile()
    save(fitted, tmp_path)
    code = (
        "import sys\n"
        "from skfhe.deployment._client_model import ClientModel\n"
        f"predictor = ClientModel.read({str(tmp_path)!r}).predictor\n"
        "print(predictor.encode([[40, 1000.5], [30, float('nan')]])[0].tolist())\n"
        "heavy = 'sklearn', 'pandas', 'scipy', 'torch', 'skops', 'concrete'\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    integers, loaded = result.stdout.splitlines()
    assert integers == str(read_predictor(fitted).predictor.encode([[40, 1000.5], [30, np.nan]])[0].tolist())
    assert loaded == "[]"
