import numpy as np
import pytest

from skfhe.exceptions import AccumulatorOverflowError
from skfhe.passes import DEFAULT_PASSES, optimize
from skfhe.program import ProgramBuilder, evaluate, ops, run, run_batched, trace, verify
from tests.conftest import perceptron, random_inputs


def every_op():
    """Build a program that uses each operation once or more."""
    builder = ProgramBuilder()
    x = builder.input(np.full((2, 3), -2), np.full((2, 3), 3), label="x")
    y = builder.input(np.zeros((2, 3)), np.array([[1, 2, 3], [4, 5, 6]]), label="y")
    s = builder.add(ops.Add(), x, y, label="add")
    d = builder.add(ops.Subtract(), x, y, label="subtract")
    c = builder.add(ops.Concatenate(axis=0), s, d, label="concatenate")
    g = builder.add(ops.Gather(np.array([3, 0, 0]), axis=0), c, label="gather")
    t = builder.add(ops.Sum(axis=1), g, label="sum")
    r = builder.add(ops.Reshape((3, 3)), g, label="reshape")
    w = np.array([[1, -2], [0, 3], [2, 1]])
    lin = builder.add(ops.Linear(w, np.array([5, -5])), r, label="linear")
    rounded = builder.add(ops.Round(2, "exact"), lin, label="round")
    low, high = builder.type_of(rounded).min, builder.type_of(rounded).max
    table = np.arange(low, high + 1)[None, :] ** 2
    look = builder.add(ops.Lookup(table, np.array([low])), rounded, label="lookup")
    return builder.finish(t, look)


def test_ops_compute_what_numpy_computes():
    program = every_op()
    rng = np.random.default_rng(0)
    x, y = random_inputs(program, 50, rng)
    total, squares = run(program, x, y)
    gathered = np.concatenate([x + y, x - y], axis=1)[:, [3, 0, 0]]
    np.testing.assert_array_equal(total, gathered.sum(axis=2))
    linear = gathered @ np.array([[1, -2], [0, 3], [2, 1]]) + np.array([5, -5])
    np.testing.assert_array_equal(squares, (4 * np.floor(linear / 4 + 0.5)).astype(int) ** 2)


@pytest.mark.parametrize("make", [every_op, lambda: perceptron(np.random.default_rng(1))])
def test_values_stay_in_their_intervals(make):
    program = make()
    for value, seen in zip(
        program.values, trace(program, *random_inputs(program, 200, np.random.default_rng(2))), strict=True
    ):
        assert value.type.contains(seen)


def test_linear_intervals_are_tight():
    """Inputs at the end that each weight's sign asks for reach the stated ends exactly."""
    program = perceptron(np.random.default_rng(3))
    linear = program.values[1]
    for neuron, weights in enumerate(linear.op.weight.T):
        worst = np.where(weights > 0, 3, 0)[None, :]
        best = np.where(weights < 0, 3, 0)[None, :]
        assert trace(program, worst)[1][0, neuron] == linear.type.high[neuron]
        assert trace(program, best)[1][0, neuron] == linear.type.low[neuron]


def test_an_input_outside_its_interval_is_an_overflow_that_names_the_value():
    program = perceptron(np.random.default_rng(0))
    with pytest.raises(AccumulatorOverflowError, match="'input' reached"):
        run(program, np.full((1, 6), 9))


def calibrated():
    """Build a sum of two inputs with a bound as seen on data, and a lookup of the cells within it."""
    builder = ProgramBuilder()
    x = builder.input(np.full((2, 2), -8), np.full((2, 2), 7), label="input")
    total = builder.add(ops.Linear(np.array([[1, 2], [1, -1]]), np.zeros(2, int)), x, label="hidden layer")
    total = builder.add(ops.Bound([-2, -5], [5, 6]), total, label="hidden layer")
    y = builder.add(ops.Lookup(np.arange(12)[None], np.array([-5])), total, label="output layer")
    return builder.finish(y, range_source="calibrated")


@pytest.mark.parametrize("passes", [(), DEFAULT_PASSES])
@pytest.mark.parametrize("row", [[4, 2], [-2, -1], [7, 7], [-8, -8], [7, -8]])
def test_no_table_is_read_outside_its_range(passes, row):
    """An index beyond a table would be an IndexError, a negative one a wrong result."""
    program = optimize(calibrated(), passes)
    with pytest.raises(AccumulatorOverflowError, match=r"^'hidden layer' reached"):
        run(program, np.array([[[1, 1], row]]))


def test_an_overflow_says_which_layer_how_far_and_what_helps():
    message = (
        r"'hidden layer' reached \[-3, 2\], outside its calibrated interval \[-2, 5\], in 1 of its 4 "
        r"element\(s\); calibrate on more data like these rows, or with a larger margin"
    )
    with pytest.raises(AccumulatorOverflowError, match=message):
        run(calibrated(), np.array([[[1, 1], [0, 0]], [[-2, -1], [0, 0]]]))
    with pytest.raises(AccumulatorOverflowError, match=r"proven interval .* bounds stated"):
        run(bounded(0, 1), np.array([[1, 1]]))


def test_wrong_inputs_are_refused():
    program = perceptron(np.random.default_rng(0))
    with pytest.raises(ValueError, match="takes 1 input"):
        run(program)
    with pytest.raises(ValueError, match="must have shape"):
        run(program, np.zeros((1, 5), int))


def test_batches_join_to_the_whole():
    program = perceptron(np.random.default_rng(0))
    (x,) = random_inputs(program, 10, np.random.default_rng(0))
    np.testing.assert_array_equal(run_batched(program, x, batch_size=3)[0], run(program, x)[0])
    assert run_batched(program, x[:0])[0].shape == (0, 2)


def bounded(low, high):
    """Build the sum of two bits that never are both set, bounded to [low, high]."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.ones(2), label="bits")
    total = builder.add(
        ops.Linear(np.ones((2, 1), dtype=np.int64), np.zeros(1, dtype=np.int64)), x, label="sum"
    )
    stated = builder.add(ops.Bound(low, high), total, label="sum")
    table = ops.Lookup(np.array([[7, 9]]), np.zeros(1, dtype=np.int64))
    return builder.finish(builder.add(table, stated, label="lookup"))


def test_a_bound_narrows_what_a_lookup_reads_and_is_checked():
    program = bounded(0, 1)
    verify(program)
    assert program.accumulator_bits == [1]
    np.testing.assert_array_equal(run(program, np.array([[0, 0], [1, 0]]))[0], [[7], [9]])
    with pytest.raises(AccumulatorOverflowError, match=r"'sum' reached \[2, 2\]"):
        run(program, np.array([[1, 1]]))


def test_a_bound_that_misses_its_value_is_refused():
    with pytest.raises(ValueError, match="which misses it"):
        bounded(3, 4)


def test_a_bound_may_differ_by_element():
    builder = ProgramBuilder()
    x = builder.input(np.full((2, 2), -9), np.full((2, 2), 9), label="x")
    y = builder.add(ops.Bound([[-1], [-2]], [[3, 4]]), x, label="y")
    assert builder.type_of(y).low.tolist() == [[-1, -1], [-2, -2]]
    assert builder.type_of(y).high.tolist() == [[3, 4], [3, 4]]
    program = builder.finish(y)
    verify(program)
    inside = np.array([[[3, 4], [-2, -2]]])
    np.testing.assert_array_equal(run(program, inside)[0], inside)
    with pytest.raises(AccumulatorOverflowError):
        run(program, np.array([[[4, 4], [-2, -2]]]))


@pytest.mark.parametrize("largest", [3, 2**20, 2**40])
def test_products_are_exact_through_floats_and_beyond(largest):
    rng = np.random.default_rng(0)
    x = rng.integers(-largest, largest + 1, size=(5, 7))
    weight = rng.integers(-largest, largest + 1, size=(7, 3)) // (1 if largest < 2**30 else 2**20)
    expected = [
        [sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) for column in weight.T] for row in x
    ]
    linear = ops.Linear(weight, np.zeros(3, dtype=np.int64))
    np.testing.assert_array_equal(evaluate(linear, x), expected)
