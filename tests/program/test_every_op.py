"""Every operation is known wherever operations are told apart, and a new one that is not is named."""

import numpy as np
import pytest

from skfhe.circuit import _tracing
from skfhe.cost import _rules, _shared_noise
from skfhe.program import ProgramBuilder, evaluate, infer_type, ops, run, verify
from tests.conftest import random_inputs
from tests.cost.priced import assert_engine_s

OPS = [op for op in vars(ops).values() if isinstance(op, type) and ops.Op in op.__mro__[1:]]
RULES = {
    "the interval of its result, in skfhe/program/_ranges.py": infer_type,
    "what it computes, in skfhe/program/_interpreter.py": evaluate,
    "its lowering to concrete, in skfhe/circuit/_tracing.py": _tracing._emit,
    "the lookups that it takes, in skfhe/cost/_rules.py": _rules.bootstraps,
    "the noise of its result, in skfhe/cost/_rules.py": _rules.variance,
    "its products, in skfhe/cost/_rules.py": _rules.products,
    "what it makes of noise that values share, in skfhe/cost/_shared_noise.py": _shared_noise.carried,
}
WITHOUT = {
    # the values of inputs are given; they and lookups have noise of their own
    ops.Input: {evaluate, _tracing._emit, _shared_noise.carried},
    ops.Lookup: {_shared_noise.carried},
}


def missing(op):
    """Return what no rule says of an operation."""
    return [
        what
        for what, function in RULES.items()
        if op not in function.registry and function not in WITHOUT.get(op, ())
    ]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_every_operation_has_range_meaning_lowering_price_and_noise(op):
    assert not missing(op), f"{op.__name__} needs " + "; ".join(missing(op))


def test_an_operation_without_rules_is_told_all_that_is_missing():
    """And no function passes it over: each raises an error that names it."""
    new = type("Negate", (ops.Op,), {})
    assert missing(new) == list(RULES)
    for function in RULES.values():
        more = (0,) if function is _rules.products else (None, 0)
        with pytest.raises(TypeError, match="Negate is not an operation of the program"):
            function(new(), *more)


def test_the_set_of_operations_is_closed():
    """The operations are those that the module names; rules for others would be dead."""
    assert {op.__name__ for op in OPS} == set(ops.__all__) - {"Op"}
    for function in RULES.values():
        assert set(function.registry) - {object} <= set(OPS)


def test_rules_have_names():
    """A traceback says which one it went through."""
    for function in set(RULES.values()):
        assert "_" not in {rule.__name__ for rule in function.registry.values()}


def chain(*operations, shape=(4,)):
    """Return a program of one input and operations on it; one of two arguments is given the value twice."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(shape), np.full(shape, 7), label="Input")
    for op in operations:
        two = isinstance(op, ops.Add | ops.Subtract | ops.Concatenate)
        x = builder.add(op, *[x] * (1 + two), label=type(op).__name__)
    return builder.finish(x)


SQUARES = ops.Lookup(np.arange(8)[None] ** 2, np.array([0]))
EIGHTFOLD = ops.Lookup(8 * np.arange(8)[None], np.array([0]))
EIGHTHS = ops.Lookup(np.arange(9)[None], np.array([0]), 8)
WAVE = ops.Lookup(np.array([[0, 1, 2, 1, 0, -1, -2, -1]]), np.array([0]))
PROGRAMS = {
    ops.Input: chain(),
    ops.Linear: chain(ops.Linear(np.array([[1], [-2], [3], [4]]), np.array([5]))),
    ops.Convolution: chain(ops.Convolution(np.array([[[[1, -2]]]]), np.array([3])), shape=(1, 2, 3)),
    ops.Add: chain(ops.Add()),
    ops.Subtract: chain(ops.Subtract()),
    ops.Sum: chain(ops.Sum(axis=0)),
    ops.Reshape: chain(ops.Reshape((2, 2))),
    ops.Gather: chain(ops.Gather(np.array([2, 0]), axis=0)),
    ops.Concatenate: chain(ops.Concatenate(axis=0)),
    ops.Bound: chain(ops.Bound(0, 7)),
    ops.Lookup: chain(SQUARES),
    ops.Modulo: chain(ops.Linear(np.full((4, 2), 5), np.array([9, -3])), ops.Modulo(3), WAVE),
    ops.Round: chain(EIGHTFOLD, ops.Round(3, "exact"), EIGHTHS),
    ops.Truncate: chain(EIGHTFOLD, ops.Truncate(3), EIGHTHS),
}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_every_operation_goes_all_the_way(op):
    """From the program to the engine, which says of it what was predicted."""
    program = PROGRAMS[op]
    assert any(isinstance(value.op, op) for value in program.values)
    verify(program)
    (result,) = run(program, *random_inputs(program, 20, np.random.default_rng(0)))
    assert program.values[program.outputs[0]].type.contains(result)
    assert_engine_s(program, rel=0.1)
