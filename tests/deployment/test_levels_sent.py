"""Trees on levels, saved and run by two halves, in every way that levels are sent."""

import io
import zipfile

import numpy as np
import pytest

from skfhe._trees import comparisons
from skfhe.deployment import Client, Server, save
from skfhe.deployment._client_model import ClientModel
from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.deployment._values import to_values
from skfhe.encoding import LevelBitsEncoder
from skfhe.tree import DecisionTreeClassifier

WAYS = (1, 2)


def rows_with_holes():
    X = np.random.default_rng(0).normal(size=(120, 3))
    X[::9, 1] = np.nan
    return X


X = rows_with_holes()
Y = (np.nan_to_num(X[:, 0] * X[:, 1]) + X[:, 2] > 0).astype(int)


@pytest.fixture(params=WAYS)
def radix(request, monkeypatch):
    monkeypatch.setattr(comparisons, "RADICES", (request.param,))
    return request.param


@pytest.mark.slow
def test_a_saved_model_gives_what_it_gave(radix, tmp_path):
    """With missing values, and from a file that a client loads without training."""
    model = DecisionTreeClassifier(n_bits=3, max_depth=3, random_state=0).fit(X, Y)
    assert model.encoder_.radix == radix
    model.compile()
    save(model, tmp_path)
    client = Client(tmp_path / "client.zip")
    encoder = ClientModel.read(tmp_path).predictor.encoder
    assert isinstance(encoder, LevelBitsEncoder)
    result = Server(tmp_path / "server.zip").run(client.encrypt(X[:12]), client.evaluation_keys())
    np.testing.assert_array_equal(client.decrypt(result), model.predict_proba(X[:12]))
    bits = model.encoder_.encode(X[:12])[0]
    np.testing.assert_array_equal(encoder.encode(X[:12])[0], bits)
    with zipfile.ZipFile(io.BytesIO((tmp_path / "server.zip").read_bytes())) as file:
        held = b"".join(file.read(name) for name in file.namelist())
    for boundaries in model.encoder_.quantizer.boundaries:
        for boundary in boundaries:
            assert np.float64(boundary).tobytes() not in held


def test_the_client_is_told_the_same_whatever_the_thresholds(radix):
    """Of two models that ask about the same features: nothing says which boundaries they ask about."""
    models = [
        DecisionTreeClassifier(n_bits=3, max_depth=4, random_state=0).fit(X, y) for y in (Y, np.roll(Y, 17))
    ]
    asked = [
        {(f, t) for f, t in zip(m.tree_.feature, m.tree_.threshold, strict=True) if f >= 0} for m in models
    ]
    assert asked[0] != asked[1]
    assert {f for f, _ in asked[0]} == {f for f, _ in asked[1]} == {0, 1, 2}
    (values, arrays), (others, other_arrays) = (to_values(estimator_predictor(m).encoder) for m in models)
    assert values == others
    for one, other in zip(arrays, other_arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    (first,), (second,) = (m.program_.inputs for m in models)
    low, high = (
        [
            getattr(m.program_.values[at].type, end).tolist()
            for m, at in zip(models, (first, second), strict=True)
        ]
        for end in ("low", "high")
    )
    assert low[0] == low[1]
    assert high[0] == high[1]
