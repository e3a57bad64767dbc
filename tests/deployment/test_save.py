"""From a fitted model to two files, and from these to its predictions."""

import numpy as np
import pytest
import torch
from concrete import fhe
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

import skfhe
from skfhe.circuit import ClientSession, _key_messages
from skfhe.deployment import Server, save
from skfhe.deployment._client_model import ClientModel
from skfhe.deployment._save import _joined
from skfhe.exceptions import NotCompiledError, UnsupportedModelError
from skfhe.linear_model import LogisticRegression
from skfhe.program import run
from skfhe.tree import DecisionTreeClassifier

X, CODES = load_iris(return_X_y=True)
MONO = fhe.Configuration(parameter_selection_strategy="mono")
Y = np.array(["setosa", "versicolor", "virginica"])[CODES]


@pytest.fixture(
    scope="module", params=[LogisticRegression(max_iter=200), DecisionTreeClassifier(max_depth=3)]
)
def saved(request, tmp_path_factory):
    """Return a compiled model and the folder that it was saved to."""
    model = request.param.fit(X, Y)
    model.compile()
    folder = tmp_path_factory.mktemp("model")
    save(model, folder)
    return model, folder


def test_what_the_files_hold_predicts_as_the_model_does(saved):
    """Bytes alone go between the halves, and neither has what is not in its file."""
    model, folder = saved
    client, server = ClientModel.read(folder), Server(folder / "server.zip")
    session = ClientSession(client.specs)
    batch = session.encrypt(*client.predictor.encode(X[:8]))
    result = server.run(batch.to_bytes(), session.evaluation_keys.to_bytes())
    outputs = session.decrypt(result)
    for method in client.predictor.methods:
        expected = getattr(model, method)(X[:8])
        np.testing.assert_array_equal(client.predictor.answer(method, outputs), expected)


def test_the_same_model_has_the_same_bytes(saved, tmp_path):
    """So that a file is pinned by its hash, and is the same wherever it was written."""
    model, folder = saved
    save(model, tmp_path)
    for name in ("client.zip", "server.zip"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_files_that_are_there_are_not_replaced_unawares(saved):
    model, folder = saved
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save(model, folder)
    save(model, folder, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["client.zip", "server.zip"]


def test_a_model_that_is_not_compiled_is_not_saved(tmp_path):
    with pytest.raises(NotCompiledError, match=r"call compile\(\)"):
        save(DecisionTreeClassifier(max_depth=2).fit(X, Y), tmp_path)
    assert not any(tmp_path.iterdir())


def answers(folder, *rows):
    """Return what a client and a server that have the two files alone say to rows."""
    client, server = ClientModel.read(folder), Server(folder)
    session = ClientSession(client.specs)
    batch = session.encrypt(*client.predictor.encode(*rows))
    outputs = session.decrypt(server.run(batch, session.evaluation_keys))
    return {method: client.predictor.answer(method, outputs) for method in client.predictor.methods}


def test_a_model_whose_keys_cannot_be_sent_is_not_saved(tmp_path, monkeypatch):
    """Its clients would find out, each after it had generated them."""
    model = DecisionTreeClassifier(max_depth=2).fit(X, CODES)
    model.compile()
    monkeypatch.setattr(_key_messages, "_MOST_KEY_BYTES", 1 << 20)
    with pytest.raises(UnsupportedModelError, match=r"keys of 1 MiB and more cannot be sent.*n_bits"):
        save(model, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_of_a_search_the_best_estimator_is_saved(tmp_path):
    search = GridSearchCV(LogisticRegression(max_iter=200), {"C": [0.1, 1.0]}, cv=2).fit(X, Y)
    with pytest.raises(NotCompiledError):
        save(search, tmp_path)
    skfhe.compile(search)
    save(search, tmp_path)
    np.testing.assert_array_equal(answers(tmp_path, X[:4])["predict"], search.predict(X[:4]))


def test_a_search_that_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save(GridSearchCV(LogisticRegression(), {"C": [1.0]}), tmp_path)
    with pytest.raises(NotFittedError):
        save(LogisticRegression(), tmp_path)


def test_a_pipeline_of_one_step_is_that_step(tmp_path):
    pipeline = make_pipeline("passthrough", LogisticRegression(max_iter=200)).fit(X, Y)
    skfhe.compile(pipeline)
    save(pipeline, tmp_path)
    np.testing.assert_array_equal(answers(tmp_path, X[:4])["predict"], pipeline.predict(X[:4]))


@pytest.mark.parametrize("other", [GaussianNB(), VotingClassifier([("a", GaussianNB())])])
def test_what_is_no_estimator_of_skfhe_is_refused(other, tmp_path):
    with pytest.raises(UnsupportedModelError, match="a GaussianNB cannot be saved"):
        save(other.fit(X, Y), tmp_path)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scoring = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))

    def forward(self, x):
        return self.scoring(x)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Network()


def test_an_imported_network_is_saved(network, tmp_path):
    module = skfhe.compile_torch_model(network, X, n_bits=2, rounding_threshold_bits=None)
    save(module, tmp_path)
    np.testing.assert_array_equal(answers(tmp_path, X[:2])["forward"], module.forward(X[:2]))
    server = (tmp_path / "server.zip").read_bytes()
    for label in {value.label for value in module.program_.values if len(value.label) > 3}:
        assert label.encode() not in server


def test_ranges_that_were_only_seen_are_warned_of(network, tmp_path):
    """In one process, rows that leave them are refused; no server can look."""
    module = skfhe.compile_torch_model(
        network, X, n_bits=4, rounding_threshold_bits=None, range_source="calibrated", margin=0.0
    )
    assert module.program_.range_source == "calibrated"
    with pytest.warns(UserWarning, match="seen on calibration rows"):
        save(module, tmp_path)


def test_members_become_one_circuit_with_keys_for_each_part():
    """A meta-estimator's members are evaluated in one round, whatever they are."""
    X_two = X[:, :2]
    first = LogisticRegression().fit(X_two, Y)
    second = DecisionTreeClassifier(max_depth=2).fit(X_two, Y)
    members = []
    for model in (first, second):
        model.compile(p_error=2.0**-20 if model is first else 2.0**-30)
        members.append(model.fhe_circuit_.compiled)
    joined = _joined(tuple(members))
    assert len(joined.specs.parts) == 2
    assert joined.error_rate.p_error == 2.0**-30
    session = ClientSession(joined.specs)
    encoded = [x for model in (first, second) for x in model.encoder_.encode(X_two[:2])]
    outputs = session.decrypt(joined.run(session.encrypt(*encoded), session.evaluation_keys))
    expected = [
        y for model in (first, second) for y in run(model.program_, *model.encoder_.encode(X_two[:2]))
    ]
    for found, other in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(found, other)


def test_members_of_different_options_are_not_joined():
    model = LogisticRegression(max_iter=200).fit(X, Y)
    members = [model.compile(configuration=options).compiled for options in (None, MONO)]
    with pytest.raises(ValueError, match="compiled with different options"):
        _joined(tuple(members))
