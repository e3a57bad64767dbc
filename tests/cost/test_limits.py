"""What cannot be evaluated is refused by name, with advice that the caller gives."""

import tracemalloc

import numpy as np
import pytest

from skfhe._parameters import what_to_lower
from skfhe.circuit import compile_program
from skfhe.cost import _limits as limits
from skfhe.cost._error_rate import ErrorRate
from skfhe.cost._estimate import estimate_cost
from skfhe.cost._limits import advising, explain, refusal
from skfhe.cost._rules import bits_read
from skfhe.exceptions import CompilationError
from skfhe.linear_model import LinearRegression
from skfhe.program import ProgramBuilder, ops
from tests.cost.test_cost import lookups


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


def test_a_lookup_of_what_is_clipped_reads_a_bit_less(monkeypatch):
    """Rounded up, [0, 127] is up to 128, which the engine cuts off: tables of 32 cells, for each element."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(4), np.full(4, 127), label="x")
    y = builder.add(ops.Round(2, "approximate"), x, label="rounded")
    op = ops.Lookup(np.arange(4 * 33).reshape(4, 33) % 2, np.zeros(4, dtype=int), 4)
    program = builder.finish(builder.add(op, y, label="y"))
    monkeypatch.setattr(limits, "MAX_CELLS", 4 * 32)
    assert refusal(program) is None
    monkeypatch.setattr(limits, "MAX_CELLS", 4 * 32 - 1)
    assert "reads 5 bits" in refusal(program)


@pytest.mark.parametrize(("kept", "error_rate"), [(31, ErrorRate()), (29, ErrorRate(2.0**-100))])
def test_what_the_engine_has_no_parameters_for_is_said_as_in_predicting_costs(kept, error_rate):
    """Results of lookups of 4 bits keep 29 bits at the default error rate, and fewer at smaller ones."""
    program = lookups(4, kept)
    reason = estimate_cost(program, error_rate).refusal
    assert "'read' reads 4 bits, and its results must keep" in reason
    with pytest.raises(CompilationError) as caught:
        compile_program(program, error_rate, batch_sizes=(1,))
    assert str(caught.value) == f"{reason} (the engine said: NoParametersFound)"


def test_what_the_engine_gives_no_reason_for_is_told_by_the_widths():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 63), label="x")
    y = builder.add(ops.Round(2, "exact"), x, label="rounded")
    y = builder.add(ops.Lookup(np.arange(17)[None], np.array([0]), 4), y, label="third layer")
    program = builder.finish(y, builder.add(ops.Linear(np.array([[9]]), np.array([0])), x, label="sum"))
    error = RuntimeError("\n  out of luck \n in some file")
    assert explain(program, error) == (
        "the engine found no way to evaluate this program: its widest lookup, 'third layer', reads 5 bits of "
        "an accumulator of 6, which is rounded first, and its widest output, 'sum', has 10 bits (the engine "
        "said: out of luck)"
    )
    assert explain(program, RuntimeError(), "too wide") == "too wide (the engine said: RuntimeError)"
    builder = ProgramBuilder()
    sums = builder.finish(builder.input(np.zeros(1), np.full(1, 63), label="x"))
    assert "program: it has no lookup, and its widest output, 'x', has 6 bits" in explain(sums, error)


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
    with pytest.raises(CompilationError, match=r"with n_bits=16 .*; lower n_bits and fit again$"):
        model.compile()
    assert LinearRegression(n_bits=8).fit(X, y).compile().program.lookups == ()
