"""Lookups of tables of every leading shape mean what reading them one by one means."""

import numpy as np
import pytest

from skfhe.exceptions import AccumulatorOverflowError
from skfhe.passes import fuse_lookups
from skfhe.program import IntegerType, ProgramBuilder, evaluate, infer_type, ops, run

SHAPES = [
    # leading shape of the tables, shape of a row
    ((1,), ()),
    ((), (3,)),
    ((1,), (3,)),
    ((3,), (3,)),
    ((3,), (2, 3)),
    ((2, 1), (2, 3)),
    ((2, 3), (2, 3)),
    ((4, 1, 1), (4, 2, 3)),
    ((1, 2, 3), (4, 2, 3)),
    ((3,), (4, 2, 3)),
    ((4, 2, 3), (4, 2, 3)),
]


def random_lookup(rng, leading, length=9):
    return ops.Lookup(rng.integers(-20, 20, size=(*leading, length)), rng.integers(-4, 3, size=leading))


def random_type(rng, op, shape):
    """Draw intervals that the tables cover."""
    start = np.broadcast_to(op.start if op.start.size > 1 else op.start.reshape(()), shape)
    ends = np.sort(rng.integers(0, op.tables.shape[-1], size=(2, *shape)), axis=0)
    return IntegerType(start + ends[0], start + ends[1])


@pytest.mark.parametrize(("leading", "shape"), SHAPES)
def test_each_element_reads_its_own_table(leading, shape):
    rng = np.random.default_rng(0)
    op = random_lookup(rng, leading)
    kind = random_type(rng, op, shape)
    x = rng.integers(kind.low, kind.high + 1, size=(5, *shape))
    wide = leading if len(leading) <= len(shape) else ()
    tables = np.broadcast_to(op.tables.reshape(*wide, -1), (*shape, op.tables.shape[-1]))
    start = np.broadcast_to(op.start.reshape(wide), shape)
    y, inferred = evaluate(op, x), infer_type(op, kind)
    for at in np.ndindex(shape):
        for row in range(5):
            assert y[(row, *at)] == tables[at][x[(row, *at)] - start[at]]
        reached = tables[at][kind.low[at] - start[at] : kind.high[at] - start[at] + 1]
        assert (inferred.low[at], inferred.high[at]) == (reached.min(), reached.max())


def test_a_step_leaves_out_the_cells_that_no_argument_reaches():
    """A table of every fourth cell says what the whole table says of multiples of four."""
    rng = np.random.default_rng(0)
    whole = ops.Lookup(rng.integers(-20, 20, size=(2, 1, 41)), np.full((2, 1), -3))
    few = ops.Lookup(whole.tables[..., ::4], whole.start, 4)
    cells = rng.integers(0, 11, size=(20, 2, 3))
    x = 4 * cells - 3
    np.testing.assert_array_equal(evaluate(few, x), evaluate(whole, x))
    kind = infer_type(few, IntegerType(x.min(axis=0), x.max(axis=0)))
    assert kind.contains(evaluate(few, x))
    builder = ProgramBuilder()
    x = builder.input(np.zeros((2, 3)), np.full((2, 3), 7), label="x")
    first = ops.Lookup(np.arange(8)[None] * 4 - 3, np.zeros(1, dtype=int))
    y = builder.add(few, builder.add(first, x, label="first"), label="second")
    program = builder.finish(y)
    rows = rng.integers(0, 8, size=(20, 2, 3))
    np.testing.assert_array_equal(run(fuse_lookups(program), rows)[0], run(program, rows)[0])


def test_tables_that_do_not_fit_are_refused():
    kind = IntegerType.of(0, 3, (4, 2, 3))
    for leading in [(2,), (4,), (4, 1), (5, 4, 2, 3), (1, 1, 1, 1)]:
        op = ops.Lookup(np.zeros((*leading, 4), dtype=int), np.zeros(leading, dtype=int))
        with pytest.raises(ValueError, match="do not fit rows of shape"):
            infer_type(op, kind)
    with pytest.raises(ValueError, match="one start each"):
        infer_type(ops.Lookup(np.zeros((3, 4), dtype=int), np.zeros(1, dtype=int)), kind)


def test_arguments_outside_the_table_are_refused():
    op = ops.Lookup(np.arange(4)[None], np.array([-1]))
    for low, high in [(-2, 0), (0, 3)]:
        with pytest.raises(ValueError, match="reaches outside its table"):
            infer_type(op, IntegerType.of(low, high, (2,)))
        with pytest.raises(AccumulatorOverflowError, match="asked for the cells"):
            evaluate(op, np.array([[low, high]]))


@pytest.mark.parametrize("first", [(1,), (3,), (2, 1), (2, 3)])
@pytest.mark.parametrize("second", [(1,), (3,), (2, 1), (2, 3)])
def test_tables_of_any_shapes_are_fused(first, second):
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros((2, 3)), np.full((2, 3), 7), label="x")
    inner = ops.Lookup(rng.integers(-4, 4, size=(*first, 8)), np.zeros(first, dtype=int))
    outer = ops.Lookup(rng.integers(0, 9, size=(*second, 12)), rng.integers(-6, -4, size=second))
    y = builder.add(outer, builder.add(inner, x, label="inner"), label="outer")
    program = builder.finish(y)
    fused = fuse_lookups(program)
    assert len(fused.lookups) == 1
    rows = rng.integers(0, 8, size=(50, 2, 3))
    np.testing.assert_array_equal(run(fused, rows)[0], run(program, rows)[0])
