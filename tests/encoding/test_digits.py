"""Answers, digits and cells of additive models, and columns of categories."""

import numpy as np
import pytest

from skfhe.encoding import AnswersEncoder, DigitSums, NamedCategories, Rule, SplitEncoder


def splits(features, thresholds, n_features=2):
    features = np.array(features, dtype=np.int64)
    missing = np.zeros(len(features), dtype=bool)
    return SplitEncoder(
        n_features, Rule("<", "float64"), features, np.array(thresholds, dtype=float), missing
    )


def digits(worth=(1, 1, 4)):
    asked = splits([0, 0, 1], [0.0, 1.0, 0.0])
    return DigitSums(asked, np.array([0, 0, 1]), np.array(worth), 2)


X = np.array([[-1.0, -1.0], [0.5, 3.0], [2.0, 0.0], [np.nan, np.nan]])


def test_answers_and_digits_are_two_inputs():
    answers, numbers = AnswersEncoder(splits([1], [0.0]), digits()).encode(X)
    np.testing.assert_array_equal(answers, [[0], [1], [1], [0]])
    np.testing.assert_array_equal(numbers, [[0, 0], [1, 4], [2, 4], [0, 0]])


def test_cells_are_answers():
    cells = np.array([[0, 1, 1, 1], [0, 2, 1, 0]])
    (found,) = AnswersEncoder(splits([1], [0.0]), digits((1, 1, 1)), cells).encode(X)
    np.testing.assert_array_equal(found, [[0, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]])


def test_what_asks_nothing_sends_a_zero():
    none = DigitSums(splits([], []), np.zeros(0, dtype=int), np.zeros(0, dtype=int), 0)
    for cells in (None, np.zeros((0, 4), dtype=int)):
        (found,) = AnswersEncoder(splits([], []), none, cells).encode(X)
        np.testing.assert_array_equal(found, np.zeros((4, 1)))


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: digits((1, 1)), "a digit and a worth for each split"),
        (lambda: digits((1, 0, 4)), "is worth 1 to 256"),
        (lambda: DigitSums(splits([0], [0.0]), np.array([2]), np.array([1]), 2), "numbered below 2"),
        (lambda: AnswersEncoder(splits([0], [0.0], 3), digits()), "one number of features"),
        (lambda: AnswersEncoder(splits([0], [0.0]), digits(), np.zeros((1, 3), dtype=int)), "two digits"),
        (lambda: AnswersEncoder(splits([0], [0.0]), digits(), np.array([[0, 0, 2, 0]])), "numbered below 2"),
        (lambda: NamedCategories([np.array(["a", "a"], dtype=object)]), "different texts"),
        (lambda: NamedCategories([np.array(["a", 1], dtype=object)]), "the texts of the categories"),
    ],
)
def test_what_does_not_fit_is_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()


def test_categories_are_told_by_how_they_are_written():
    named = NamedCategories([np.array(["1", "2.5", "x", "0"], dtype=object), None])
    column = np.array([1, 1.0, True, "1", 2.5, np.float32(2.5), b"x", -0.0, None, np.nan, "y"], dtype=object)
    other = np.array(["3", 1, None, *range(8)], dtype=object)
    found = named.numbers([column, other])
    np.testing.assert_array_equal(found[:, 0], [0, 0, 0, 0, 1, 1, 2, 3, np.nan, np.nan, -1])
    np.testing.assert_array_equal(found[:3, 1], [3, 1, np.nan])
    with pytest.raises(ValueError, match="feature 1 holds numbers"):
        named.numbers([column[:1], np.array(["many"], dtype=object)])
