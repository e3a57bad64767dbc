"""A convolution is the sum over the kernel that its definition says, for every way of placing the kernel."""

import numpy as np
import pytest

from skfhe.program import IntegerType, ProgramBuilder, evaluate, infer_type, ops, run, trace
from tests.conftest import random_inputs

VARIANTS = {
    "plain": ((2, 5, 4), (3, 2, 3, 3), {}),
    "one tap": ((2, 3, 3), (3, 2, 1, 1), {}),
    "padded": ((2, 4, 4), (3, 2, 3, 3), {"padding": (1, 1, 1, 1)}),
    "padded unevenly": ((2, 4, 4), (2, 2, 3, 2), {"padding": (0, 1, 2, 0)}),
    "strided": ((2, 6, 5), (3, 2, 3, 2), {"strides": (2, 3)}),
    "dilated": ((1, 7, 6), (2, 1, 3, 2), {"dilation": (2, 3)}),
    "in groups": ((4, 4, 4), (6, 2, 2, 2), {"groups": 2}),
    "depthwise": ((3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": (1, 1, 1, 1)}),
    "all": (
        (4, 7, 7),
        (4, 2, 3, 2),
        {"strides": (2, 1), "padding": (2, 0, 1, 3), "dilation": (2, 3), "groups": 2},
    ),
}


def random_convolution(rng, name, weight=2):
    """Return the row's shape and a convolution of the variant ``name``."""
    shape, kernel, options = VARIANTS[name]
    weights = rng.integers(-weight, weight + 1, size=kernel)
    return shape, ops.Convolution(weights, rng.integers(-3, 4, size=kernel[0]), **options)


def by_definition(x, op):
    top, left, bottom, right = op.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    n_out, per_group, kernel_height, kernel_width = op.weight.shape
    height = (padded.shape[2] - op.dilation[0] * (kernel_height - 1) - 1) // op.strides[0] + 1
    width = (padded.shape[3] - op.dilation[1] * (kernel_width - 1) - 1) // op.strides[1] + 1
    result = np.zeros((len(x), n_out, height, width), dtype=np.int64) + op.bias[:, None, None]
    for c, h, w in np.ndindex(n_out, height, width):
        first = c // (n_out // op.groups) * per_group
        for k, i, j in np.ndindex(per_group, kernel_height, kernel_width):
            at = h * op.strides[0] + i * op.dilation[0], w * op.strides[1] + j * op.dilation[1]
            result[:, c, h, w] += op.weight[c, k, i, j] * padded[(slice(None), first + k, *at)]
    return result


@pytest.mark.parametrize("name", VARIANTS)
def test_every_placement_of_the_kernel(name):
    rng = np.random.default_rng(0)
    shape, op = random_convolution(rng, name)
    x = rng.integers(-9, 10, size=(4, *shape))
    np.testing.assert_array_equal(evaluate(op, x), by_definition(x, op))


@pytest.mark.parametrize("largest", [3, 2**20, 2**40])
def test_convolutions_are_exact_through_floats_and_beyond(largest):
    rng = np.random.default_rng(0)
    shape, op = random_convolution(rng, "all", weight=min(largest, 2**15))
    x = rng.integers(-largest, largest + 1, size=(2, *shape))
    np.testing.assert_array_equal(evaluate(op, x), by_definition(x, op))


@pytest.mark.parametrize("name", VARIANTS)
def test_intervals_are_tight(name):
    """Each end is reached by the input that takes the end asked for by the sign of every weight."""
    rng = np.random.default_rng(0)
    shape, op = random_convolution(rng, name)
    ends = np.sort(rng.integers(-5, 6, size=(2, *shape)), axis=0)
    inferred = infer_type(op, IntegerType(*ends))
    units = np.eye(int(np.prod(shape)), dtype=np.int64).reshape(-1, *shape)
    weights = (by_definition(units, op) - by_definition(0 * units[:1], op)).reshape(len(units), -1)
    for column, (low, high) in enumerate(zip(inferred.low.ravel(), inferred.high.ravel(), strict=True)):
        signs = weights[:, column].reshape(shape)
        for end, x in [(low, np.where(signs > 0, *ends)), (high, np.where(signs > 0, ends[1], ends[0]))]:
            assert by_definition(x[None], op).ravel()[column] == end


def test_values_stay_in_their_intervals():
    rng = np.random.default_rng(0)
    shape, op = random_convolution(rng, "all")
    builder = ProgramBuilder()
    x = builder.input(np.full(shape, -3), np.full(shape, 2), label="x")
    program = builder.finish(builder.add(op, x, label="convolution"))
    (rows,) = random_inputs(program, 100, rng)
    np.testing.assert_array_equal(run(program, rows)[0], by_definition(rows, op))
    assert program.values[1].type.contains(trace(program, rows)[1])


@pytest.mark.parametrize(
    ("weight", "options", "message"),
    [
        ((3, 2, 3), {}, "needs weights"),
        ((3, 1, 3, 3), {}, "does not fit"),
        ((3, 1, 3, 3), {"groups": 2}, "groups that divide"),
        ((3, 2, 3, 3), {"strides": (0, 1)}, "positive strides"),
        ((3, 2, 3, 3), {"padding": (0, -1, 0, 0)}, "no negative padding"),
        ((3, 2, 6, 3), {}, "larger than"),
    ],
)
def test_what_does_not_fit_is_refused(weight, options, message):
    op = ops.Convolution(np.zeros(weight, dtype=np.int64), np.zeros(3, dtype=np.int64), **options)
    with pytest.raises(ValueError, match=message):
        infer_type(op, IntegerType.of(0, 3, (2, 5, 5)))
