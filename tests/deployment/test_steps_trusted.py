"""What a client cannot compute is refused by name; what is trusted is kept, and nothing else loads."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import KNNImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skfhe
from skfhe.deployment import Client, Server, save
from skfhe.deployment._steps.trusted import KeptStep, load_kept_steps, type_of_kept
from skfhe.exceptions import UnsupportedModelError
from skfhe.linear_model import LogisticRegression
from tests.deployment.light_steps import as_in_a_file, assert_same_outcome, outcome, read_steps


class Doubling(StandardScaler):
    """A user's own transformer."""

    def transform(self, X, copy=None):
        return 2 * super().transform(X)


OWN = f"{Doubling.__module__}.Doubling"
KNN = "sklearn.impute._knn.KNNImputer"
X = np.random.default_rng(0).normal(size=(20, 3))


def pipeline_of(*steps):
    return make_pipeline(*steps).fit(X)


def test_a_subclass_is_refused_by_name_with_both_ways_out():
    fitted = Pipeline([("prepare", make_pipeline(StandardScaler(), Doubling()))]).fit(X)
    expected = r"Step 'doubling' \(Doubling\) in 'prepare' \(Pipeline\) is a subclass.*before.*trusted=\["
    with pytest.raises(UnsupportedModelError, match=expected):
        read_steps(fitted)


def test_a_function_is_refused_with_the_reason():
    fitted = ColumnTransformer([("log", FunctionTransformer(np.log1p), [0])]).fit(X)
    with pytest.raises(
        UnsupportedModelError, match=r"'log' \(FunctionTransformer\) calls a function of Python"
    ):
        read_steps(fitted)


def test_a_transformer_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        read_steps(StandardScaler())


def test_a_polars_frame_between_steps_is_refused():
    fitted = StandardScaler().fit(X)
    fitted._sklearn_output_config = {"transform": "polars"}
    with pytest.raises(UnsupportedModelError, match="gives a polars frame"):
        read_steps(fitted)


@pytest.mark.parametrize(
    ("step", "trusted"),
    [
        (KNNImputer(), {KNN}),
        (Doubling(), {OWN}),
        (FunctionTransformer(np.log1p), {"sklearn.preprocessing._function_transformer.FunctionTransformer"}),
    ],
    ids=["imputer", "own", "function"],
)
def test_a_trusted_step_is_loaded_by_a_client_that_trusts_it(step, trusted):
    fitted = pipeline_of(StandardScaler(), step, StandardScaler())
    light = as_in_a_file(read_steps(fitted, trusted=trusted))
    with pytest.raises(ValueError, match=r"skops' format.*Client\(\.\.\., trusted="):
        light.transform(X)
    loaded = load_kept_steps(light, trusted)
    for rows in (X, X[:1], X.astype(np.float32), np.where(X > 1, np.nan, X), X[:, :2]):
        assert_same_outcome(outcome(loaded.transform, rows), outcome(fitted.transform, rows))


def test_names_reach_a_kept_step_and_come_back():
    frame = pd.DataFrame(X, columns=list("abc"))
    fitted = (
        make_pipeline(StandardScaler(), KNNImputer(), StandardScaler())
        .set_output(transform="pandas")
        .fit(frame)
    )
    loaded = load_kept_steps(as_in_a_file(read_steps(fitted, trusted=[KNN])), [KNN])
    assert_same_outcome(loaded.transform(frame), fitted.transform(frame))


def test_nothing_is_loaded_that_is_not_named(monkeypatch):
    light = read_steps(pipeline_of(Doubling()), trusted=[OWN])
    monkeypatch.setattr(skops.io, "loads", lambda *_, **__: pytest.fail("it was loaded"))
    for trusted in ([], [KNN], ["StandardScaler"]):
        with pytest.raises(ValueError, match=rf"not trusted: \['{OWN}'\]. Nothing was loaded"):
            load_kept_steps(light, trusted)


def test_types_inside_a_trusted_step_have_to_be_trusted_too():
    fitted = pipeline_of(FunctionTransformer(Doubling().fit(X).transform))
    name = "sklearn.preprocessing._function_transformer.FunctionTransformer"
    with pytest.raises(UnsupportedModelError, match=r"has types that are not trusted.*Doubling"):
        read_steps(fitted, trusted=[name])


def test_a_class_that_skops_trusts_by_itself_has_to_be_named_too():
    """The list that a client is given is all that it loads as a step."""
    step = KeptStep("Step 'scale'", skops.io.dumps(StandardScaler().fit(X)))
    with pytest.raises(ValueError, match="StandardScaler"):
        load_kept_steps(step, [OWN])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no zip", skops.io.dumps([1])[:200]])
def test_what_is_not_in_skops_format_is_refused(data):
    with pytest.raises(ValueError, match="not in skops' format"):
        type_of_kept(data)


def test_what_would_become_larger_than_it_is_is_not_read():
    """Before any type is known to be trusted all of it is read: a compressed file can fill the memory."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * (1 << 20) + b'{"__module__": "m", "__class__": "C"}')
    with pytest.raises(ValueError, match="not in skops' format: it is compressed"):
        load_kept_steps(KeptStep("Step 'scale'", data.getvalue()))


def test_steps_without_a_kept_one_stay_as_they_are():
    light = read_steps(pipeline_of(StandardScaler()))
    assert load_kept_steps(light) is light


def test_a_client_that_trusts_the_types_predicts_as_in_one_process(tmp_path):
    """One that does not is told which, and loads nothing."""
    y = (X.sum(axis=1) > 0).astype(int)
    pipe = make_pipeline(KNNImputer(n_neighbors=2), LogisticRegression()).fit(X, y)
    skfhe.compile(pipe)
    save(pipe, tmp_path, trusted=[KNN])
    with pytest.raises(ValueError, match="Nothing was loaded"):
        Client(tmp_path)
    client = Client(tmp_path, trusted=[KNN])
    rows = np.where(np.eye(20, 3, dtype=bool), np.nan, X)
    result = Server(tmp_path).run(client.encrypt(rows), client.evaluation_keys())
    np.testing.assert_array_equal(client.decrypt(result), pipe.predict_proba(rows))
    np.testing.assert_array_equal(client.decrypt(result, "predict"), pipe.predict(rows))
