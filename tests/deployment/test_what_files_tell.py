"""Neither file holds what is the other's: searched for in their values and in their bytes."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest

from skfhe.additive import ExplainableBoostingClassifier
from skfhe.deployment import save
from skfhe.deployment._client_model import ClientModel
from skfhe.ensemble import GradientBoostingRegressor, RandomForestClassifier
from skfhe.linear_model import LogisticRegression, Ridge
from skfhe.naive_bayes import GaussianNB
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor
from skfhe.program import ops
from skfhe.svm import SVC
from skfhe.tree import DecisionTreeClassifier
from tests.digested_models import FEW, NET, labels, rows, targets

FEATURES = ["feature_age", "feature_income", "feature_debt", "feature_rent"]
X = pd.DataFrame(rows(), columns=FEATURES)
TYPES = ("<i1", "<i2", "<i4", "<i8", "<f4", "<f8")

MODELS = {
    "linear": lambda: LogisticRegression().fit(X, labels(rows())),
    "two targets": lambda: Ridge().fit(X, targets(rows(), 2)),
    "products": lambda: GaussianNB().fit(X, labels(rows())),
    "votes": lambda: SVC(kernel="poly", degree=2).fit(X, labels(rows())),
    "votes by a radial kernel": lambda: SVC(C=100, kernel_bits=3).fit(X, labels(rows())),
    "tree": lambda: DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, labels(rows())),
    "tree of 3 bits": lambda: DecisionTreeClassifier(n_bits=3, max_depth=3, random_state=0).fit(
        X, labels(rows())
    ),
    "forest": lambda: RandomForestClassifier(**FEW).fit(X, labels(rows())),
    "forest of numbered leaves": lambda: RandomForestClassifier(leaves="index", **FEW).fit(X, labels(rows())),
    "boosting": lambda: GradientBoostingRegressor(**FEW).fit(X, targets(rows())),
    "explainable boosting": lambda: ExplainableBoostingClassifier(
        max_rounds=20, outer_bags=1, interactions=1, n_jobs=1
    ).fit(X, labels(rows())),
    "network": lambda: NeuralNetClassifier(**NET).fit(X, labels(rows())),
    "network of one target": lambda: NeuralNetRegressor(**NET).fit(X, targets(rows())),
}


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    """Return a compiled model, its client's half, and the contents of its two files."""
    model = MODELS[request.param]()
    model.compile()
    folder = tmp_path_factory.mktemp("model")
    save(model, folder)
    client, server = ((folder / f"{half}.zip").read_bytes() for half in ("client", "server"))
    return model, ClientModel.read(folder), client, server


def contains(data, numbers, at_least=2):
    """Whether numbers follow each other somewhere in a file, in any type that they may have there."""
    numbers = np.ravel(numbers)
    if len(np.unique(numbers)) < at_least:
        return False  # what is all alike could be anything
    found = []
    for kind in TYPES:
        with np.errstate(over="ignore", invalid="ignore"):
            packed = numbers.astype(kind)
        if np.array_equal(packed.astype(numbers.dtype), numbers):
            found.append(packed.tobytes() in data)
    return any(found)


def arrays_of(program):
    """Return the weights and tables of a program."""
    for value in program.values:
        if isinstance(value.op, ops.Linear):
            yield from (value.op.weight, value.op.weight.T)
        elif isinstance(value.op, ops.Lookup):
            yield value.op.tables


def test_the_search_finds_what_is_there(saved):
    """The server's file has every weight and table, and the client's the scales: a search that cannot fail
    would find neither."""
    model, client, client_bytes, server_bytes = saved
    assert any(contains(server_bytes, array) for array in arrays_of(model.program_))
    assert any(contains(client_bytes, edge, 1) for edge in edges(client.predictor))


def edges(predictor):
    """Return what the client's half computes with: floats that say what integers stand for."""
    found, waiting = [], [predictor.encoder, predictor.decoder, predictor.head]
    while waiting:
        each = waiting.pop()
        if isinstance(each, np.ndarray):
            if each.dtype.kind == "f" and each.size and not np.isin(each, (0, 1)).all():
                found.append(each)
        elif isinstance(each, tuple | list):
            waiting += each
        elif hasattr(each, "__dataclass_fields__"):
            waiting += [getattr(each, name) for name in each.__dataclass_fields__]
    return found


def test_the_server_learns_no_scale_name_or_class(saved):
    """It computes on integers, and whoever has it cannot say what they mean."""
    model, client, _, server_bytes = saved
    names = [*FEATURES, type(model).__name__, *map(str, getattr(model, "classes_", []))]
    for name in names:
        assert name.encode() not in server_bytes, name
    for edge in edges(client.predictor):
        for number in np.ravel(edge):
            if number not in (0.0, 1.0, -1.0):
                assert np.float64(number).tobytes() not in server_bytes
    with zipfile.ZipFile(io.BytesIO(server_bytes)) as file:
        model_json = json.loads(file.read("model.json"))
    texts = set(strings(model_json["values"]))
    allowed = {
        "SavedProgram",
        "Program",
        "Value",
        "IntegerType",
        "proven",
        "exact",
        "int8",
        "int16",
        "int32",
        "int64",
    }
    allowed |= {name for name in vars(ops) if name[0].isupper()}
    assert {text for text in texts if not text.startswith(("layer ", "input "))} <= allowed


def strings(values):
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict):
        for value in values.values():
            yield from strings(value)
    elif isinstance(values, list):
        for value in values:
            yield from strings(value)


def test_the_client_learns_no_weight_and_no_table(saved):
    """Neither as integers, as the server has them, nor as floats, as training left them."""
    model, client, client_bytes, _ = saved
    for array in arrays_of(model.program_):
        if array.size >= 4 and not np.isin(array, (-1, 0, 1)).all():
            assert not contains(client_bytes, array, 3)
            for row in array:
                assert len(row) < 4 or not contains(client_bytes, row, 4)
    for name in ("coef_", "intercept_"):
        if hasattr(model, name):
            for number in np.ravel(getattr(model, name)):
                assert np.float64(number).tobytes() not in client_bytes
    known = {"proven", "calibrated", "Linear", "Lookup", "Program"}
    with zipfile.ZipFile(io.BytesIO(client_bytes)) as file:
        assert known.isdisjoint(strings(json.loads(file.read("model.json"))["values"]))
    for kind in client.specs.outputs:  # the ends of an interval are sums of weights
        assert len({*kind.low.ravel()}) == len({*kind.high.ravel()}) == 1
        assert kind.max + 1 & kind.max == 0


def test_the_client_learns_not_how_much_a_feature_matters():
    """What makes a clipped value matter is its weight: the client speaks of every value that is clipped."""
    model = LogisticRegression().fit(X, labels(rows()))
    watch = model.encoder_.watch
    public = watch.public(model.encoder_.features)
    assert watch.effect is not None
    assert public.effect is None
    assert public.max_range_margin is None
    far = np.asarray(rows(1)) * 1e3
    assert ((watch.beyond(far) > 0) <= (public.beyond(far) > 0)).all()


def test_a_single_tree_tells_its_leaves_and_a_forest_does_not():
    """The number of a leaf says nothing without the leaves; a sum of many is decoded by a scale.

    Forests that were asked for the numbers of leaves tell their leaves, too.
    """
    forest = RandomForestClassifier(**FEW).fit(X, labels(rows()))
    values = np.unique(np.concatenate([tree.tree_.value.ravel() for tree in forest.estimators_]))
    from skfhe.deployment._reading.estimators import estimator_predictor
    from skfhe.deployment._values import to_values

    _, arrays = to_values(estimator_predictor(forest))
    held = np.concatenate([array.ravel().astype(np.float64) for array in arrays])
    told = np.setdiff1d(values, (0.0, 1.0))
    assert len(told) > 2
    assert not np.isin(told, held).any()
    numbered = RandomForestClassifier(leaves="index", **FEW).fit(X, labels(rows()))
    _, arrays = to_values(estimator_predictor(numbered))
    held = np.concatenate([array.ravel() for array in arrays if array.dtype.kind == "f"])
    for tree in numbered.estimators_:
        leaves = tree.tree_.value[tree.tree_.children_left < 0] / len(numbered.estimators_)
        assert all(np.isclose(held, value, rtol=1e-12).any() for value in leaves.ravel())
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, labels(rows()))
    assert estimator_predictor(tree).decoder.leaves.shape[1] == 3


def test_levels_say_nothing_of_the_rows_of_training_but_their_boundaries():
    """What a level stands for is the median of rows; encoding needs none of it."""
    model = DecisionTreeClassifier(n_bits=3, max_depth=3, random_state=0).fit(X, labels(rows()))
    assert not hasattr(model.encoder_.quantizer, "representatives")
