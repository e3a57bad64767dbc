"""Programs and how they were compiled, through a file."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from concrete import fhe

from skfhe.circuit import CompiledCircuit
from skfhe.cost import ErrorRate
from skfhe.deployment._programs import SavedProgram
from skfhe.deployment._values import from_values, to_values
from skfhe.program import IntegerType, Program, ProgramBuilder, Value, join, ops, run, verify
from tests.digested_models import MODELS
from tests.program.test_every_op import PROGRAMS


def there_and_back(saved):
    values, arrays = to_values(saved)
    return from_values(json.loads(json.dumps(values)), arrays, "SavedProgram")


def of(program, **changes):
    return SavedProgram(**{"program": program, **DEFAULTS, **changes})


DEFAULTS = {"p_error": 2.0**-40, "global_p_error": None, "batch_sizes": (1,), "options": {}}


def drawn_inputs(program, n_rows=5):
    generator = np.random.default_rng(0)
    return [
        generator.integers(kind.low, kind.high + 1, size=(n_rows, *kind.shape))
        for kind in (program.values[position].type for position in program.inputs)
    ]


def assert_same_program(one, other):
    assert one.outputs == other.outputs
    assert one.range_source == other.range_source
    for a, b in zip(one.values, other.values, strict=True):
        assert type(a.op) is type(b.op)
        assert a.arguments == b.arguments
        for name, field in vars(a.op).items():
            found = getattr(b.op, name)
            if isinstance(field, np.ndarray):
                np.testing.assert_array_equal(found, field, strict=True)
            else:
                assert found == field
        for end in ("low", "high"):
            np.testing.assert_array_equal(np.asarray(getattr(a.type, end)), getattr(b.type, end), strict=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_operation_is_written_and_read(name):
    program = PROGRAMS[name]
    program = program() if callable(program) else program
    found = there_and_back(of(program)).program
    assert_same_program(program, found)
    inputs = drawn_inputs(program)
    for y, expected in zip(run(found, *inputs), run(program, *inputs), strict=True):
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("name", ["linear SVC", "random forest", "XGBoost of 3 bits", "neural network"])
def test_programs_of_models_are_written_and_read(name):
    program = MODELS[name]().model.program_
    assert_same_program(program, there_and_back(of(program)).program)


def small(label="income", factor=2):
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 3), label=label)
    y = builder.add(ops.Linear(np.array([[factor], [-1]]), np.array([1])), x, label=f"{label} of client")
    return builder.finish(y)


def test_labels_are_counted_and_name_nothing():
    compiled = CompiledCircuit(small(), ErrorRate(), None, (1,))
    saved = SavedProgram.of(compiled)
    assert [value.label for value in saved.program.values] == ["input 1", "layer 1"]


def test_the_program_compiles_to_the_same_circuit():
    """Whatever its layers are called, and whichever process compiles it."""
    compiled = CompiledCircuit(small(), ErrorRate(None, 0.25), None, None)
    again = there_and_back(SavedProgram.of(compiled)).compiled()
    assert again.specs.circuit_id == compiled.specs.circuit_id
    assert again.batch_sizes == compiled.batch_sizes
    assert again.error_rate == compiled.error_rate
    other = there_and_back(of(small(factor=3), batch_sizes=compiled.batch_sizes)).compiled()
    assert other.specs.circuit_id != compiled.specs.circuit_id


def test_options_of_the_engine_that_matter_are_written():
    configuration = fhe.Configuration(
        parameter_selection_strategy="mono", verbose=True, relu_on_bits_threshold=5, loop_parallelize=False
    )
    compiled = CompiledCircuit(small(), ErrorRate(), configuration, (1,))
    saved = there_and_back(SavedProgram.of(compiled))
    expected = {"parameter_selection_strategy": "mono", "relu_on_bits_threshold": 5}
    assert saved.options == expected | {"loop_parallelize": False}
    again = saved.compiled().configuration
    assert again.parameter_selection_strategy == configuration.parameter_selection_strategy
    assert not again.verbose
    assert saved.compiled().specs.circuit_id == compiled.specs.circuit_id


@pytest.mark.parametrize(
    ("option", "value"),
    [("use_gpu", True), ("composable", True), ("range_restriction", object())],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_options_that_no_file_holds_are_refused_by_name(option, value):
    configuration = fhe.Configuration()
    vars(configuration)[option] = value
    compiled = CompiledCircuit(small(), ErrorRate(), configuration, (1,))
    with pytest.raises(ValueError, match=f"compiled with {option}"):
        SavedProgram.of(compiled)


def test_every_option_of_the_engine_is_known():
    """One of a later release is refused until somebody says whether it changes what is compiled."""
    from skfhe.deployment import _programs

    known = _programs._WRITTEN | _programs._WITHOUT_EFFECT
    assert known <= set(vars(fhe.Configuration()))
    assert set(vars(fhe.Configuration())) - known == {
        *("auto_schedule_run", "composable", "use_gpu", "range_restriction", "keyset_restriction"),
        *("additional_pre_processors", "additional_post_processors", "approximate_rounding_config"),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"p_error": None},
        {"global_p_error": 0.5},
        {"p_error": 2.0},
        {"batch_sizes": ()},
        {"batch_sizes": (8, 1)},
        {"batch_sizes": (1, 1 << 40)},
        {"batch_sizes": tuple(range(1, 40))},
        {"options": {"use_insecure_key_cache": True}},
        {"options": {"additional_pre_processors": ("os.system",)}},
    ],
    ids=str,
)
def test_ways_to_compile_that_cannot_be_are_refused(changes):
    with pytest.raises(ValueError, match=r"expected|must lie|no option"):
        of(small(), **changes)


@pytest.mark.parametrize(
    "options",
    [{"loop_parallelize": "yes"}, {"security_level": 3}, {"parameter_selection_strategy": "none"}],
    ids=str,
)
def test_options_that_the_engine_does_not_take_are_refused(options):
    with pytest.raises(ValueError, match="does not take the options"):
        of(small(), options=options).compiled()


def hostile_programs():
    """Return programs that no builder makes, by what is wrong with them."""
    x = IntegerType.of(0, 3, (2,))
    source = Value(ops.Input(x.low, x.high), (), x, "")

    def after(op, arguments=(0,), kind=x):
        return Program((source, Value(op, arguments, kind, "")), (1,))

    one, zero = np.ones((1, 4), dtype=np.int64), np.zeros(1, dtype=np.int64)
    image = IntegerType.of(0, 1, (1, 3, 3))
    picture = Value(ops.Input(image.low, image.high), (), image, "")
    kernel = np.ones((1, 1, 1, 1), dtype=np.int64)

    def convolved(**options):
        return Program((picture, Value(ops.Convolution(kernel, zero, **options), (0,), image, "")), (1,))

    return {
        "reads itself": after(ops.Add(), (1, 1)),
        "reads what comes later": Program((replace(source, op=ops.Add(), arguments=(1, 1)), source), (0,)),
        "reads before the first": after(ops.Add(), (-1, 0)),
        "too many arguments": after(ops.Reshape((2,)), (0, 0)),
        "too few arguments": after(ops.Add(), (0,)),
        "no outputs": Program((source,), ()),
        "an output that there is not": Program((source,), (7,)),
        "another interval": after(ops.Add(), (0, 0)),
        "another shape": after(ops.Reshape((2, 1))),
        "a huge shape": after(ops.Reshape((1 << 40,))),
        "an unknown size": after(ops.Reshape((-1,))),
        "an axis that there is not": after(ops.Sum(5)),
        "gathers outside": after(ops.Gather(np.array([0, 2]), 0)),
        "gathers too many": after(ops.Gather(np.zeros(1 << 22, dtype=np.int64), 0)),
        "shifts by too many bits": after(ops.Round(1 << 40, "exact")),
        "shifts by negative bits": after(ops.Truncate(-1)),
        "a table without steps": after(ops.Lookup(one, zero, 0)),
        "a table without cells": after(ops.Lookup(one[:, :0], zero)),
        "a table that is too short": after(ops.Lookup(one[:, :2], zero)),
        "weights that are floats": after(ops.Linear(np.ones((2, 2)), np.zeros(2, dtype=np.int64))),
        "weights without axes": after(ops.Linear(np.array(1), zero)),
        "padded beyond memory": convolved(padding=(1 << 40, 0, 0, 0), strides=(1 << 40, 1)),
        "strides of nothing": convolved(strides=(0, 1)),
        "groups of nothing": convolved(groups=0),
        "joined along no axis": after(ops.Concatenate(3), (0, 0)),
    }


@pytest.mark.parametrize("case", hostile_programs())
def test_programs_that_no_builder_makes_are_refused(case):
    """Before anything is computed that a file's size does not bound."""
    tracemalloc.start()
    with pytest.raises(ValueError):  # noqa: PT011  each says what is wrong with it
        of(hostile_programs()[case])
    assert tracemalloc.get_traced_memory()[1] < 1 << 27
    tracemalloc.stop()


def test_joined_programs_compute_what_each_does():
    """Their inputs and outputs come one program's after another's, and parts have keys of their own."""
    programs = [small("a"), MODELS["random forest"]().model.program_, small("b", 3)]
    joined = join(programs)
    verify(joined)
    inputs = [drawn_inputs(program) for program in programs]
    found = run(joined, *(x for each in inputs for x in each))
    expected = [y for program, each in zip(programs, inputs, strict=True) for y in run(program, *each)]
    assert len(found) == len(expected)
    for y, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(y, other)


def test_joined_intervals_are_proven_if_all_are():
    seen = replace(small(), range_source="calibrated")
    assert join([small(), small()]).range_source == "proven"
    assert join([small(), seen]).range_source == "calibrated"
