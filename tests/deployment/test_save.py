"""From a fitted model to two files, and from these to its predictions."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skfhe.circuit import ClientSession
from skfhe.deployment import Server, save
from skfhe.deployment._client_model import ClientModel
from skfhe.exceptions import NotCompiledError
from skfhe.linear_model import LogisticRegression
from skfhe.tree import DecisionTreeClassifier

X, CODES = load_iris(return_X_y=True)
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
