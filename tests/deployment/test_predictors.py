"""The client's half of every family gives what the estimator gives, to the bit."""

import inspect
import json
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import is_classifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

import skfhe
from skfhe import compile_torch_model
from skfhe.cluster import KMeans
from skfhe.decomposition import PCA
from skfhe.deployment._reading import read_predictor
from skfhe.deployment._reading.estimators import estimator_predictor
from skfhe.deployment._values import from_values, to_values
from skfhe.encoding import DigitSumDecoder, LeafTableDecoder
from skfhe.ensemble import ExtraTreesClassifier, RandomForestClassifier
from skfhe.exceptions import InputClippingWarning, UnsupportedModelError
from skfhe.linear_model import LinearRegression, LogisticRegression, RidgeCV, SGDClassifier
from skfhe.naive_bayes import GaussianNB
from skfhe.neighbors import KNeighborsClassifier
from skfhe.program import run_batched
from skfhe.tree import DecisionTreeClassifier
from tests.digested_models import MODELS, classes, frame, labels, rows, targets, with_missing
from tests.with_originals import ORIGINALS, seeded

METHODS = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function"),
    *("score_samples", "transform"),
)


NOT_OF_THE_CLIENT = {
    "LinearDiscriminantAnalysis": ("transform",),
    "PCA": ("score_samples",),
    "SGDOneClassSVM": ("score_samples",),
}
"""Of programs, or of parts of the original, that a client is not given."""


def through_a_file(predictor):
    """Return a predictor as a file gives it back."""
    values, arrays = to_values(predictor)
    return from_values(json.loads(json.dumps(values)), arrays, "Predictor")


def assert_alike(model, predictor, X):
    """Compare every method of a model with its client's half, on the integers of the program in the clear."""
    outputs = run_batched(model.program_, *predictor.encode(X))
    missing = NOT_OF_THE_CLIENT.get(type(model).__name__, ())
    assert predictor.methods == tuple(
        name for name in METHODS if hasattr(model, name) and name not in missing
    )
    for method in predictor.methods:
        found, expected = predictor.answer(method, outputs, (X,)), getattr(model, method)(X)
        pairs = zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]
        for one, other in pairs:
            np.testing.assert_array_equal(one, other, strict=True)


def rows_for(name):
    if "categories" in name:
        return frame(1)
    return with_missing(rows(1)) if "missing" in name or name.startswith("XGBoost, three") else rows(1)


@pytest.mark.parametrize("name", MODELS)
def test_every_family_predicts_alike_on_the_client(name):
    """The client encodes and decodes; between the two there are the integers that the server computes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MODELS[name]().model
        predictor = through_a_file(estimator_predictor(model))
        assert_alike(model, predictor, rows_for(name))


SMALL = {"max_depth": 3, "verbose": 0, "n_jobs": 1, "allow_writing_files": False}
SMALL |= {"max_rounds": 4, "outer_bags": 1, "interactions": 1}


@pytest.mark.parametrize("cls", ORIGINALS, ids=lambda cls: cls.__name__)
def test_every_estimator_has_a_half_for_the_client(cls):
    """One that is new is found by its room's face: it predicts alike, or has to say why it is refused."""
    X, new = rows(), rows(1)
    known = {"n_estimators": 3, "kernel": "poly", "degree": 2, "n_components": 1} | SMALL
    estimator = seeded(
        cls, **{name: known[name] for name in inspect.signature(cls).parameters if name in known}
    )
    tags = get_tags(estimator)
    if tags.input_tags.positive_only:
        X, new = np.abs(X), np.minimum(np.abs(new), np.abs(X).max(axis=0))
    y = labels(X) if is_classifier(estimator) else np.abs(targets(X)) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = estimator.fit(X, y if tags.target_tags.single_output else np.column_stack([y, -y]))
        assert_alike(model, through_a_file(estimator_predictor(model)), new)


def two_targets(X):
    return np.column_stack(
        [np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)], np.where(X[:, 1] > 0, "b", "a")]
    )


LABELS = {
    "text": lambda y: np.array(["few", "more", "most"])[y],
    "objects": lambda y: np.array(["few", "more", "most"], dtype=object)[y],
    "truth values": lambda y: y > 0,
    "integers": lambda y: y.astype(np.int8) * 3 - 5,
    "unsigned integers": lambda y: y.astype(np.uint16),
    "floats": lambda y: y * 1.0,
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("family", [LogisticRegression, DecisionTreeClassifier, RandomForestClassifier])
def test_labels_come_back_as_they_were(family, kind):
    """Of the same type, too: what is compared with them is what it was compared with before."""
    X = rows()
    model = family(**({} if family is LogisticRegression else {"max_depth": 3})).fit(
        X, LABELS[kind](classes(X, 3))
    )
    predictor = through_a_file(estimator_predictor(model))
    assert_alike(model, predictor, rows(1))
    (found,) = predictor.head.labels
    assert found.dtype == model.classes_.dtype


@pytest.mark.parametrize("family", [DecisionTreeClassifier, RandomForestClassifier, ExtraTreesClassifier])
def test_several_targets_are_answered_one_by_one(family):
    X = rows()
    model = family(max_depth=3).fit(X, two_targets(X))
    predictor = through_a_file(estimator_predictor(model))
    assert_alike(model, predictor, rows(1))


@pytest.mark.parametrize(
    ("params", "decoder"), [({"leaves": "index"}, LeafTableDecoder), ({"max_depth": 4}, DigitSumDecoder)]
)
def test_forests_are_answered_by_what_their_programs_return(params, decoder):
    X = rows()
    model = RandomForestClassifier(n_estimators=4, random_state=0, **params).fit(X, classes(X, 3))
    predictor = through_a_file(estimator_predictor(model))
    assert isinstance(predictor.decoder, decoder)
    assert_alike(model, predictor, rows(1))


def test_scores_have_the_precision_of_the_original():
    """A model of single precision gives single precision, but to rows of double precision."""
    X = rows().astype(np.float32)
    model = LinearRegression().fit(X, targets(X).astype(np.float32))
    predictor = through_a_file(estimator_predictor(model))
    for kind in (np.float32, np.float64, np.int8, np.int64, bool):
        given = (rows(1) * 4).astype(kind)
        outputs = run_batched(model.program_, *predictor.encode(given))
        np.testing.assert_array_equal(
            predictor.answer("predict", outputs, (given,)), model.predict(given), strict=True
        )
    given = rows(1)  # what is decrypted without rows is taken to be of double precision
    outputs = run_batched(model.program_, *predictor.encode(given))
    np.testing.assert_array_equal(predictor.answer("predict", outputs), model.predict(given), strict=True)


def test_a_class_of_no_probability_has_none_on_the_client():
    """Its scores are minus infinity, which is no overflow."""
    X = rows()
    model = GaussianNB(priors=[0.5, 0.0, 0.5]).fit(X, np.arange(len(X)) % 3)
    assert np.isneginf(model.predict_log_proba(X)[:, 1]).all()
    assert_alike(model, through_a_file(estimator_predictor(model)), rows(1))


def test_rows_that_are_clipped_are_warned_of_on_the_client():
    """How many, which features and what range; but no margin that a client cannot change."""
    X = rows()
    model = LogisticRegression().fit(X, labels(X))
    predictor = through_a_file(estimator_predictor(model))
    far = rows(1) * 64
    with pytest.warns(InputClippingWarning) as in_process:
        model.predict(far)
    with pytest.warns(InputClippingWarning) as on_client:
        predictor.encode(far)
    (said,), (expected,) = ([str(each.message) for each in found] for found in (on_client, in_process))
    assert said.partition(" (")[0] == expected.partition(" (")[0]
    assert "a model trained with range_margin=" in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.encode(X)


def test_a_feature_that_was_constant_in_training_is_watched():
    X = np.column_stack([rows(), np.ones(80)])
    model = SGDClassifier(random_state=0).fit(X, classes(X))
    predictor = through_a_file(estimator_predictor(model))
    X[:, -1] = 5
    with pytest.warns(InputClippingWarning, match="always 1 in training"):
        predictor.encode(X)


def test_code_of_others_is_not_taken_to_the_client():
    """What a subclass does in a method is not in its fitted state."""

    class Cautious(LogisticRegression):
        def predict(self, X, **options):
            return super().predict(X, **options)

    X = rows()
    with pytest.raises(UnsupportedModelError, match=r"Cautious\.predict is defined in"):
        estimator_predictor(Cautious().fit(X, labels(X)))


def test_a_method_that_there_is_not_is_named():
    X = rows()
    predictor = estimator_predictor(LinearRegression().fit(X, targets(X)))
    with pytest.raises(AttributeError, match="offers predict, and not 'predict_proba'"):
        predictor.answer("predict_proba", (np.zeros((1, 1), dtype=np.int64),))


class TwoInputs(torch.nn.Module):
    """A network of two inputs and two outputs."""

    def __init__(self):
        super().__init__()
        self.left, self.right = torch.nn.Linear(3, 4), torch.nn.Linear(2, 4)

    def forward(self, x, y):
        total = torch.relu(self.left(x)) + self.right(y)
        return total, total.sum(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    given = np.random.default_rng(0).normal(size=(2, 50, 3))
    return compile_torch_model(
        TwoInputs(), (given[0], given[1, :, :2]), n_bits=3, rounding_threshold_bits=None
    )


def test_a_network_of_several_inputs_and_outputs_is_alike(module):
    predictor = through_a_file(read_predictor(module).predictor)
    x, y = np.random.default_rng(1).normal(size=(2, 7, 3))
    y = y[:, :2]
    outputs = run_batched(module.program_, *predictor.encode(x, y))
    found = predictor.answer("forward", outputs)
    assert isinstance(found, tuple)
    for one, other in zip(found, module.forward(x, y), strict=True):
        np.testing.assert_array_equal(one, other)
    for wrong in ((x,), (x, x), (x, y[:3]), (x * np.nan, y), (x.astype(str), y)):
        with pytest.raises(ValueError):  # noqa: PT011  the module's own messages
            predictor.encode(*wrong)


def test_results_of_candidates_do_not_make_a_search():
    """Others than searches keep scores under that name."""
    model = RidgeCV(store_cv_results=True).fit(rows(), targets(rows()))
    circuit = skfhe.compile(model)
    assert read_predictor(model).members == (circuit.compiled,)


def test_distances_need_the_rows_and_what_is_nearest_does_not():
    """The row's own part of a squared distance is the client's to add, and the same for every centre."""
    X = rows()
    model = KMeans(3, n_init=1, random_state=0).fit(X)
    predictor = through_a_file(estimator_predictor(model))
    outputs = run_batched(model.program_, *predictor.encode(X))
    np.testing.assert_array_equal(predictor.answer("predict", outputs), model.predict(X))
    with pytest.raises(
        ValueError, match=r"transform of a KMeans needs the rows, too: decrypt\(result, X=rows\)"
    ):
        predictor.answer("transform", outputs)


@pytest.mark.filterwarnings("ignore::skfhe.exceptions.ToleranceWarning")
@pytest.mark.parametrize("two", [False, True])
def test_references_and_targets_that_clients_may_know(two):
    X = rows()
    targets_ = two_targets(X) if two else classes(X, 3)
    for params in ({"reveal_references": True, "weights": "distance"}, {"n_prototypes": 2}):
        model = KNeighborsClassifier(**params).fit(X, targets_)
        assert_alike(model, through_a_file(estimator_predictor(model)), rows(1))


def test_a_step_that_is_encrypted_itself_needs_a_round_of_its_own():
    X = rows()
    pipe = make_pipeline(PCA(2), LogisticRegression()).fit(X, labels(X))
    for step in pipe:
        step.compile()
    with pytest.raises(UnsupportedModelError, match=r"second round.*[Pp]ut its original in its place"):
        read_predictor(pipe)
    alike = make_pipeline(PCA._original(2), LogisticRegression()).fit(X, labels(X))
    alike[-1].compile()
    assert read_predictor(alike).predictor.methods[0] == "predict"
