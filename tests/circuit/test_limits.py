"""What cannot be evaluated is refused by name, with advice that the caller gives."""

import tracemalloc

import numpy as np
import pytest

from skfhe.circuit import compile_program, limits
from skfhe.circuit.demands import bits_read
from skfhe.circuit.limits import advising, refusal
from skfhe.exceptions import CompilationError
from skfhe.linear_model import LinearRegression
from skfhe.parameters import what_to_lower
from skfhe.program import ProgramBuilder, ops


def looked_up(bits, size=1, tables=1):
    builder = ProgramBuilder()
    x = builder.input(np.zeros(size), np.full(size, 2**bits - 1), label="x")
    op = ops.Lookup(np.zeros((tables, 2**bits), dtype=int), np.zeros(tables, dtype=int))
    return builder.finish(builder.add(op, x, label="third layer"))


def test_a_lookup_of_more_bits_than_the_engine_has_names_its_layer():
    assert refusal(looked_up(16)) is None
    assert (
        refusal(looked_up(17)) == "the lookup of 'third layer' reads 17 bits, and the engine takes at most 16"
    )


def test_tables_that_the_engine_would_be_given_for_each_element_have_a_bound(monkeypatch):
    """One table of all elements is given once."""
    monkeypatch.setattr(limits, "MAX_CELLS", 2**6)
    assert refusal(looked_up(6, size=4)) is None
    assert refusal(looked_up(4, size=4, tables=4)) is None
    with pytest.raises(CompilationError, match=r"'third layer' reads 5 bits .* its 4 elements: 128 cells"):
        compile_program(looked_up(5, size=4, tables=4))


def test_what_bits_a_lookup_reads_is_known_after_rounding_and_bounds():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 2**20 - 1), label="x")
    y = builder.add(ops.Truncate(16), x, label="rounded")
    y = builder.add(ops.Bound(0, 2**20 - 2**16), y, label="bounded")
    y = builder.add(ops.Lookup(np.zeros((1, 16), dtype=int), np.array([0]), 2**16), y, label="y")
    program = builder.finish(y)
    assert bits_read(program, y) == 4
    tracemalloc.start()
    assert refusal(program) is None
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_advice_is_added_to_what_cannot_be_compiled_alone():
    with pytest.raises(CompilationError, match=r"^too wide; lower n_bits$"), advising("lower n_bits"):
        raise CompilationError("too wide")
    with pytest.raises(CompilationError, match=r"^too wide$"), advising(""):
        raise CompilationError("too wide")
    with pytest.raises(ValueError, match=r"^other$"), advising("lower n_bits"):
        raise ValueError("other")


def test_advice_names_parameters_that_the_estimator_has():
    assert what_to_lower(LinearRegression(n_bits=8).get_params()) == "lower n_bits"
    assert what_to_lower({"n_bits": None, "max_depth": 3}) == ""
    widths = {"module__n_accum_bits": 4, "module__n_output_bits": 6, "module__n_layers": 2}
    assert what_to_lower(widths) == "lower module__n_accum_bits or module__n_output_bits"


def test_what_a_linear_model_is_told_to_lower_helps():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2500)), rng.normal(size=40)
    model = LinearRegression(n_bits=16).fit(X, y)
    with pytest.raises(CompilationError, match=r" must keep .*NoParametersFound.*; lower n_bits$"):
        model.compile()
    assert LinearRegression(n_bits=8).fit(X, y).compile().program.lookups == ()
