"""What a client computes beside its keys: each edge by its definition, and by what it replaces."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, SGDClassifier

from skfhe import encoding
from skfhe.encoding import (
    AffineDecoder,
    AffineEncoder,
    AffineQuantizer,
    BlockEncoder,
    ClassFractions,
    DigitSumDecoder,
    LeafDecoder,
    LeafSumDecoder,
    LeafTableDecoder,
    Margins,
    OutputDecoders,
    Rule,
    Split,
    Splits,
    SummedDecoders,
    TableDecoder,
    ThermometerEncoder,
    ThresholdEncoder,
    Values,
    calibrate_levels,
    labelled,
)


def test_the_room_imports_numpy_and_nothing_else():
    """A client has it without scikit-learn, SciPy or torch."""
    for path in Path(encoding.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for package in (name.split(".")[0] for name in named):
                assert package in {"numpy", "skfhe"} | sys.stdlib_module_names, f"{path} imports {package}"


# Encoders.


def thresholds_with_ties():
    """Thresholds in no order, two of them equal, and a feature without any."""
    return ThresholdEncoder(3, np.array([0, 2, 0, 0, 2]), np.array([1.0, 0.5, -1.0, 1.0, -0.5]))


def rows_at_thresholds():
    values = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, np.nextafter(1.0, 2.0), 1e300]
    return np.stack(np.meshgrid(values, [0.0], values), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize("bits", [[0, 1, 2, 3, 4], [3, 1], [2]])
def test_one_comparison_says_the_bits_and_the_levels(bits):
    """How many thresholds of its feature a value passes tells of each whether it does, ties included."""
    thresholds, X = thresholds_with_ties(), rows_at_thresholds()
    sent, levels = ThermometerEncoder(thresholds, np.array(bits), np.array([2, 0])).encode(X)
    np.testing.assert_array_equal(sent, thresholds.quantize(X)[:, bits])
    np.testing.assert_array_equal(levels, thresholds.levels(X)[:, [2, 0]])
    (alone,) = ThermometerEncoder(thresholds, np.array(bits)).encode(X)
    np.testing.assert_array_equal(alone, sent)
    # a level is what the bits of its feature weigh
    weights = thresholds.level_weights[:, [2, 0]]
    np.testing.assert_array_equal(thresholds.quantize(X) @ weights, levels)


def test_rows_are_compared_once(monkeypatch):
    calls = []
    counts = ThresholdEncoder.counts
    monkeypatch.setattr(ThresholdEncoder, "counts", lambda self, X: calls.append(len(X)) or counts(self, X))
    monkeypatch.setattr(ThresholdEncoder, "quantize", None)
    encoder = ThermometerEncoder(thresholds_with_ties(), np.array([0, 1]), np.array([0]))
    encoder.encode(rows_at_thresholds())
    assert calls == [len(rows_at_thresholds())]


def test_sparse_rows_are_encoded_as_dense_ones():
    X = np.array([[0.0, 2.0], [1.0, 0.0], [3.0, 5.0]])
    splits = Splits(2, Rule("<=", "float64"), [Split(0, 0.5, False), Split(1, 2.0, False)])
    blocks = BlockEncoder(calibrate_levels(X, 2), np.arange(2), 2)
    for encoder in (splits, blocks):
        np.testing.assert_array_equal(encoder.encode(csr_matrix(X))[0], encoder.encode(X)[0])


def test_a_tree_that_asks_nothing_sends_a_zero():
    """A program has an input, whether or not anything depends on it."""
    (sent,) = Splits(1, Rule("<=", "float64"), []).encode(np.zeros((3, 1)))
    assert sent.tolist() == [[0], [0], [0]]


def test_several_inputs_of_a_program_encode_one_of_the_model():
    fine, coarse = (AffineQuantizer(n_bits=6, signed=True, scale=scale) for scale in (0.25, 1.0))
    encoder = AffineEncoder([(1, fine), (0, coarse), (1, coarse)])
    found = encoder.encode(np.array([[3.0]]), np.array([[1.25]]))
    assert [q.item() for q in found] == [5, 3, 1]


# Decoders.


def test_decoders_of_each_output_and_their_sum():
    affine = AffineDecoder(np.array([0.5]), np.array([1.0]))
    table = TableDecoder(0, np.array([[0.25, 0.75]]))
    first, second = np.array([[2], [4]]), np.array([[0], [1]])
    floats = OutputDecoders([affine, table]).decode(first, second)
    assert [found.ravel().tolist() for found in floats] == [[2.0, 3.0], [0.25, 0.75]]
    assert SummedDecoders([affine, affine]).decode(first, first).ravel().tolist() == [4.0, 6.0]
    with pytest.raises(ValueError, match="has 2 output"):
        OutputDecoders([affine, table]).decode(first)
    with pytest.raises(ValueError, match="zip"):
        SummedDecoders([affine, affine]).decode(first)


def test_sums_beyond_what_trees_can_give_are_the_nearest_that_they_can():
    votes = LeafSumDecoder(0.25, np.array([0]), np.array([4]), np.array([1]), ((0, (1,)),), 2)
    np.testing.assert_array_equal(
        votes.decode(np.array([[-3], [1], [9]])), [[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]]
    )
    leaves = LeafDecoder(0, 2, np.array([[0.1], [0.2], [0.3]]))
    assert leaves.decode(np.array([[-1], [1], [7]])).ravel().tolist() == [0.1, 0.2, 0.3]
    digits = DigitSumDecoder(
        np.array([-1, 0]), np.array([2, 1]), np.array([1, 3]), np.array([0, 0]), np.array([0]), votes
    )
    assert digits.decode(np.array([[-9, 9], [1, 9], [9, 0], [9, 9]]))[:, 1].tolist() == [0.5, 0.75, 0.25, 1.0]
    two = LeafTableDecoder(np.array([2, 1]), np.array([[0.5], [0.25], [4.0]]), np.array([1.0]))
    assert two.decode(np.array([[-1, -1], [7, 7]])).ravel().tolist() == [5.5, 5.25]


ONE = np.array([1])
SUM = LeafSumDecoder(0.25, ONE, ONE, np.array([0]), (), 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: DigitSumDecoder(ONE, ONE, np.array([1, 2]), ONE * 0, ONE, SUM), "of one length"),
        (lambda: DigitSumDecoder(ONE, ONE, ONE, ONE * 0, np.array([1, 2]), SUM), "an offset of each of 1"),
        (lambda: DigitSumDecoder(ONE, -ONE, ONE, ONE * 0, ONE, SUM), "span must not be negative"),
        (lambda: DigitSumDecoder(ONE, ONE, ONE, ONE, ONE, SUM), "columns be below 1"),
        (lambda: DigitSumDecoder(ONE, ONE << 40, ONE << 40, ONE * 0, ONE, SUM), "more than 62 bits"),
        (lambda: LeafTableDecoder(ONE, np.ones((1, 2)), np.ones(1)), "a bias of each score"),
        (lambda: LeafTableDecoder(ONE, np.ones((2, 1)), np.ones(1)), "trees of 2 leaves together"),
        (lambda: LeafTableDecoder(np.array([0, 2]), np.ones((2, 1)), np.ones(1)), "trees of 2 leaves"),
    ],
)
def test_decoders_of_leaves_refuse_what_does_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_multiples_of_sums_are_scores_of_the_sums():
    """To the last bit; what a wrong lookup makes of them is taken for the nearest."""
    least, span, one = np.array([-3]), np.array([9]), np.array([0])
    sums = np.arange(10)[:, None]
    expected = LeafSumDecoder(0.1, least, span, one, (), 1).decode(sums)
    np.testing.assert_array_equal(
        LeafSumDecoder(0.1, least, span, one, (), 1, multiple=4).decode(4 * sums), expected
    )
    leaves = LeafDecoder(0, 2, np.array([[0.1], [0.2], [0.3]]), multiple=4)
    assert leaves.decode(np.array([[-9], [1], [3], [5], [99]])).ravel().tolist() == [0.1, 0.1, 0.2, 0.2, 0.3]
    for multiple in (0, 1 << 17):
        with pytest.raises(ValueError, match="multiple must be from 1 to"):
            LeafDecoder(0, 0, np.ones((1, 1)), multiple=multiple)
        with pytest.raises(ValueError, match="multiple must be from 1 to"):
            LeafSumDecoder(0.1, least, span, one, (), 1, multiple=multiple)


# Heads.

SCORES = np.array([[-800.0], [-1.5], [0.0], [1e-300], [0.25], [800.0]])


def test_links_are_those_of_scipy():
    several = np.random.default_rng(0).normal(size=(50, 4)) * 30
    np.testing.assert_allclose(
        Margins("softmax").predict_proba(several), softmax(several, axis=1), rtol=1e-14
    )
    found = Margins("one_vs_rest").predict_proba(several)
    np.testing.assert_allclose(found, expit(several), rtol=4e-16 * 4, atol=5e-324)
    second = expit(SCORES)
    np.testing.assert_allclose(
        Margins("logistic").predict_proba(SCORES), np.hstack([1 - second, second]), rtol=1e-15, atol=1e-300
    )
    assert Margins("logistic").predict_proba(SCORES.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(Values("logistic").predict(SCORES), second[:, 0], rtol=1e-15)
    np.testing.assert_array_equal(Values("exp").predict(SCORES[1:3]), np.exp([-1.5, 0.0]))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
def test_probabilities_of_one_against_the_rest_are_scikit_learn_s(classes, loss):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < classes], y[y < classes]
    model = SGDClassifier(loss=loss, random_state=0).fit(X, y)
    scores = model.decision_function(X * 0.02).reshape(len(X), -1)  # small, so that no class is certain
    link = "modified_huber" if loss == "modified_huber" else "normalized"
    head = labelled(Margins(link), model.classes_)
    np.testing.assert_allclose(head.predict_proba(scores), model.predict_proba(X * 0.02), rtol=1e-13)
    np.testing.assert_array_equal(head.predict(scores), model.predict(X * 0.02))
    certain_of_none = np.full((2, classes), -2000.0)
    if classes > 2:
        np.testing.assert_array_equal(head.predict_proba(certain_of_none), np.full((2, classes), 1 / classes))


def test_probabilities_of_a_softmax_are_scikit_learn_s():
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(X, y)
    head = labelled(Margins("softmax"), model.classes_)
    scores = model.decision_function(X)
    np.testing.assert_allclose(head.predict_proba(scores), model.predict_proba(X), rtol=1e-13)
    # one score of two classes is that of the second, and less it that of the first
    found = Margins("softmax").predict_proba(np.array([[0.5]]))
    np.testing.assert_allclose(found, softmax([[-0.5, 0.5]], axis=1))


def test_ties_and_boundaries_fall_as_the_head_says():
    scores, names = np.array([[-1.0], [0.0], [0.5], [1.0]]), np.array(["first", "second"])
    strict, loose, shifted = (
        Margins("logistic"),
        Margins("logistic", zero_wins=True),
        Margins("logistic", boundary=0.5),
    )
    assert [head.predict(scores).tolist() for head in (strict, loose, shifted)] == [
        [0, 0, 1, 1],
        [0, 1, 1, 1],
        [0, 0, 0, 1],
    ]
    assert labelled(strict, names).predict(scores).tolist() == ["first", "first", "second", "second"]
    values = Values()
    assert labelled(values, names) is values


def test_fractions_of_several_targets_have_the_labels_of_each():
    head = labelled(ClassFractions((2, 3), 3), [np.array(["a", "b"]), np.array([10, 20, 30])])
    scores = np.array([[0.25, 0.75, 0.0, 0.1, 0.2, 0.7]])
    assert head.predict(scores).tolist() == [["b", "30"]]
    first, second = head.predict_proba(scores)
    np.testing.assert_array_equal(first, [[0.25, 0.75]])
    np.testing.assert_array_equal(second, [[0.1, 0.2, 0.7]])


def test_values_of_several_targets_have_a_scale_and_an_offset_each():
    head = Values(scale=np.array([2.0, 0.5]), offset=np.array([1.0, -1.0]))
    np.testing.assert_array_equal(head.predict(np.array([[1.0, 4.0]])), [[3.0, 1.0]])
    assert Values(flat=False).predict(np.array([[1.0]])).shape == (1, 1)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_decoders_of_multiples_give_the_same_floats(times):
    """Powers of two divide exactly; a table's cells stand for as many integers more."""
    rng = np.random.default_rng(0)
    q = rng.integers(-50, 50, (40, 3))
    affine = AffineDecoder(rng.normal(size=3), rng.normal(size=3))
    table = TableDecoder(-20, rng.normal(size=(3, 9)), 4)
    for decoder in (affine, table):
        np.testing.assert_array_equal(decoder.of_doubled(times).decode(q << times), decoder.decode(q))
