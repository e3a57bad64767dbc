import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch.utils.data import Subset

from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor
from skfhe.neural_network._rows import Rows, merge_equal_rows, repeated
from skfhe.neural_network._splitting import split_by

QUICK = {"max_epochs": 4, "random_state": 0}


def test_merging_adds_up_weights_and_drops_rows_of_none():
    X = np.array([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    merged = merge_equal_rows(Rows(X, np.array([1, 0, 1, 0]), np.array([1.0, 0.0, 2.0, 4.0])))
    np.testing.assert_array_equal(merged.X, [[1, 2], [1, 2]])
    np.testing.assert_array_equal(merged.y, [0, 1])
    np.testing.assert_array_equal(merged.weight, [4, 3])


def prepared(X, y, weight):
    return repeated(merge_equal_rows(Rows(X, y, weight)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_weights_repetitions_and_order_are_all_one(seed):
    """Integer weights, rows given as often, in any order: the same rows of weight 1, as many as given."""
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 3, size=(30, 2)).astype(float), rng.integers(0, 2, size=30)
    weight = rng.integers(0, 5, size=30)
    order = rng.permutation(weight.sum())
    weighted = prepared(X, y, weight.astype(float))
    copies = np.repeat(X, weight, axis=0)[order], np.repeat(y, weight)[order]
    given = prepared(*copies, np.ones(weight.sum()))
    assert len(weighted) == weight.sum()
    for name in ("X", "y", "weight"):
        np.testing.assert_array_equal(getattr(weighted, name), getattr(given, name))
    np.testing.assert_array_equal(weighted.weight, 1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from([1e-300, 1e-3, 1.0, 1e3, 1e9]))
def test_repetitions_are_bounded_and_keep_the_shares_of_the_weights(seed, unit):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 2))
    weight = unit * rng.exponential(size=20)
    rows = prepared(X, np.arange(20), weight)
    assert 20 <= len(rows) <= 100_020
    share = np.bincount(rows.y, weights=rows.weight, minlength=20) / rows.weight.sum()
    np.testing.assert_allclose(share, weight / weight.sum(), rtol=1e-9)


def test_the_network_and_its_steps_follow_the_rows_not_the_different_ones():
    """Bits repeat: 600 rows of four bits are 32 different ones at most, and a network of 600 rows."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(600, 4)).astype(float)
    y = (X[:, 0] + X[:, 1] == 1).astype(int)
    jittered = X + 1e-6 * rng.normal(size=X.shape)
    options = {"module__n_hidden_neurons_multiplier": 1.0, **QUICK}
    bits, floats = (NeuralNetClassifier(**options).fit(rows, y) for rows in (X, jittered))
    assert bits.module_.output.in_features == floats.module_.output.in_features
    steps = [[len(epoch["batches"]) for epoch in model.net_.history] for model in (bits, floats)]
    assert steps[0] == steps[1]


def test_exclusive_or_of_bits_is_learned():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(975, 5)).astype(float)
    y = (X[:, 0] != X[:, 1]).astype(int)
    assert NeuralNetClassifier(max_epochs=20, random_state=0).fit(X, y).score(X, y) > 0.98


def test_ranks_keep_their_values_in_training():
    """Noise of a tenth of the range would turn one of four ranks into another in every third row."""
    rng = np.random.default_rng(4)
    X = rng.integers(0, 4, size=(800, 3)).astype(float)
    y = ((X[:, 0] == 1) | (X[:, 0] == 2)).astype(int)
    assert NeuralNetClassifier(max_epochs=20, random_state=0).fit(X, y).score(X, y) > 0.98


# Validation rows


def test_a_split_sees_the_rows_in_the_order_of_fit():
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    train, valid = split_by(lambda data, y: (Subset(data, range(7)), Subset(data, [8, 9])), X, y, seed=0)
    assert train.tolist() == list(range(7))
    assert valid.tolist() == [8, 9]
    nested = split_by(lambda data, y: (Subset(Subset(data, [5, 6, 7]), [2, 0]), None), X, y, seed=0)
    assert nested[0].tolist() == [7, 5]
    assert nested[1] is None


def test_a_split_by_number_draws_from_shuffled_rows():
    """Sorted by class, the first fifth of the rows would be of one class."""
    y = np.repeat([0, 1, 2], 50)
    train, valid = split_by(ValidSplit(5), np.zeros((150, 2)), y, seed=0)
    assert sorted([*train, *valid]) == list(range(150))
    assert set(y[valid]) == {0, 1, 2}


@pytest.mark.parametrize("estimator", [NeuralNetClassifier, NeuralNetRegressor])
def test_rows_of_the_user_s_own_are_validated_on(estimator, iris):
    X, y = iris
    y = np.array(["b", "c", "d"])[y] if estimator is NeuralNetClassifier else y * 1e6
    own = predefined_split(Dataset(X[::5].astype(np.float32), y[::5]))
    model = estimator(train_split=own, early_stopping=True, **QUICK).fit(X, y)
    assert len(model.validation_scores_) == 4
    assert model.net_.history[-1, "valid_loss"] < 10  # targets were standardized
    last = model.net_.history[-1]["batches"]
    assert sum(batch.get("valid_batch_size", 0) for batch in last) == 30


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (lambda data, y: data, "must return two data sets"),
        (lambda data, y: (Dataset(np.zeros((3, 4)), np.zeros(3)), None), "or a torch.utils.data.Subset"),
        (predefined_split(Dataset(np.zeros((3, 2)), np.zeros(3))), "rows of 4 finite features"),
        (predefined_split(Dataset(np.zeros((3, 4)), np.full(3, 7))), r"labels \[7\]"),
        (predefined_split(object()), "cannot be read as rows and targets"),
    ],
)
def test_a_split_that_cannot_work_says_why(split, message, iris):
    with pytest.raises(ValueError, match=message):
        NeuralNetClassifier(train_split=split, **QUICK).fit(*iris)
