"""Leading axes of length 1 go, and nothing else."""

import numpy as np

from skfhe.passes import drop_single_axes
from skfhe.program import ProgramBuilder, ops, run

RNG = np.random.default_rng(0)
PER_CHANNEL = ops.Lookup(RNG.integers(0, 4, (1, 3, 1, 8)), np.zeros((1, 3, 1), dtype=np.int64))


def one_row():
    """A row of shape (3, 4) through what other passes and the engine take without the axis of the rows."""
    builder = ProgramBuilder()
    zeros, threes = np.zeros((1, 3, 1), dtype=np.int64), np.full((1, 3, 1), 3, dtype=np.int64)
    pairs = ops.Linear(RNG.integers(-1, 2, (4, 2)), np.zeros(2, dtype=np.int64))
    x = builder.input(np.zeros((3, 4), dtype=np.int64), np.full((3, 4), 7, dtype=np.int64), label="x")
    raised = builder.add(ops.Reshape((1, 3, 4)), x, label="x")
    looked_up = builder.add(PER_CHANNEL, raised, label="x")
    bound = builder.add(ops.Bound(zeros, threes), looked_up, label="x")
    both = builder.add(ops.Concatenate(1), bound, raised, label="x")
    twice = builder.add(ops.Concatenate(0), both, both, label="x")  # along the axis itself: it stays
    total = builder.add(ops.Sum(2), builder.add(pairs, both, label="x"), label="x")
    return builder.finish(twice, total)


def test_results_and_shapes_stay_and_the_axis_goes():
    program = one_row()
    dropped = drop_single_axes(program)
    X = RNG.integers(0, 8, (5, 3, 4))
    for found, wanted in zip(run(dropped, X), run(program, X), strict=True):
        np.testing.assert_array_equal(found, wanted)
    (lookup,) = dropped.lookups
    assert dropped.values[lookup].type.shape == (3, 4)
    assert drop_single_axes(dropped).values[lookup].type.shape == (3, 4)
