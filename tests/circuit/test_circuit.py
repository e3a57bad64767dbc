"""Encrypted runs equal the clear integers, exactly; simulation has the error rate it states."""

import pickle

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.circuit._engine import fhe
from skfhe.cost._error_rate import ErrorRate, resolve_error_rate
from skfhe.cost._estimate import count_bootstraps, estimate_cost
from skfhe.exceptions import AccumulatorOverflowError, CompilationError
from skfhe.passes import optimize, round_constant_cells, shift_accumulators
from skfhe.program import ProgramBuilder, ops, run
from tests.conftest import perceptron, random_inputs
from tests.passes.test_round_constant_cells import layer
from tests.program.test_convolution import VARIANTS, random_convolution
from tests.program.test_interpreter import calibrated, every_op


def assert_encrypted_equals_clear(circuit, inputs):
    for encrypted, clear in zip(circuit.execute(*inputs), run(circuit.program, *inputs), strict=True):
        np.testing.assert_array_equal(encrypted, clear)


def test_rows_of_any_number_run_encrypted(small_circuit):
    """Seven rows are one batch of four and three single rows, under one key set."""
    inputs = random_inputs(small_circuit.program, 7, np.random.default_rng(0))
    assert_encrypted_equals_clear(small_circuit, inputs)


def test_the_extremes_of_every_accumulator_run_encrypted(small_circuit):
    """Inputs made to drive each neuron to either end of its proven interval do not overflow."""
    weights = small_circuit.program.values[1].op.weight
    worst = np.concatenate([(weights > 0).T, (weights < 0).T]).astype(np.int64)
    assert_encrypted_equals_clear(small_circuit, [worst])


def test_memory_order_does_not_matter(small_circuit):
    (x,) = random_inputs(small_circuit.program, 4, np.random.default_rng(1))
    (clear,) = run(small_circuit.program, x)
    fortran = np.asfortranarray(x)
    np.testing.assert_array_equal(small_circuit.execute(fortran)[0], clear)
    np.testing.assert_array_equal(small_circuit.simulate(fortran)[0], clear)


def test_every_op_runs_encrypted():
    """Two inputs, two outputs, negative values, and exact rounding among the operations."""
    circuit = compile_program(every_op(), ErrorRate(2**-20), batch_sizes=(1,))
    inputs = random_inputs(circuit.program, 2, np.random.default_rng(0))
    assert_encrypted_equals_clear(circuit, inputs)


def test_parts_that_share_no_value_are_compiled_apart():
    """The levelled part has keys and smaller ciphertexts of its own, whatever the order of the outputs."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 7), label="x")
    z = builder.input(np.full(4, -3), np.full(4, 3), label="z")
    table = ops.Lookup(np.arange(8)[None, ::-1].copy(), np.zeros(1, dtype=np.int64))
    looked_up = builder.add(table, x, label="lookup")
    linear = ops.Linear(np.arange(8).reshape(4, 2) - 3, np.arange(2))
    levelled = builder.add(linear, z, label="linear")
    circuit = compile_program(builder.finish(levelled, looked_up), batch_sizes=(1, 2))
    assert len(circuit.compiled.parts) == 2
    assert circuit.statistics["lookups"] == 3
    (first,), (second,) = (part.forms("inputs") for part in circuit.compiled.specs.parts)
    assert first.dimension > second.dimension
    assert circuit.statistics["expanded_bytes"] == 8 * (first.n_words + second.n_words)
    assert circuit.statistics["input_bytes"] == 8 * (3 + 4)
    inputs = random_inputs(circuit.program, 3, np.random.default_rng(0))
    assert_encrypted_equals_clear(circuit, inputs)
    for simulated, clear in zip(circuit.simulate(*inputs), run(circuit.program, *inputs), strict=True):
        np.testing.assert_array_equal(simulated, clear)


def test_parts_share_a_global_error_rate():
    """Two lookups in two parts: each may err half as often as the whole."""
    builder = ProgramBuilder()
    table = ops.Lookup(np.arange(4)[None, ::-1].copy(), np.zeros(1, dtype=np.int64))
    outputs = []
    for name in "xy":
        x = builder.input(np.zeros(1), np.full(1, 3), label=name)
        outputs.append(builder.add(table, x, label=name))
    circuit = compile_program(builder.finish(*outputs), ErrorRate(None, 0.19), batch_sizes=(1,))
    assert circuit.statistics["p_error"] <= 0.1


def test_exact_rounding_counts_in_a_shared_error_rate():
    """Each part: one lookup, and two more that remove the two bits. All six share the rate."""
    builder = ProgramBuilder()
    table = ops.Lookup(np.arange(5)[None, ::-1].copy(), np.zeros(1, dtype=np.int64), step=4)
    outputs = []
    for name in "xy":
        x = builder.input(np.zeros(1), np.full(1, 15), label=name)
        rounded = builder.add(ops.Round(2, "exact"), x, label=name)
        outputs.append(builder.add(table, rounded, label=name))
    program = builder.finish(*outputs)
    circuit = compile_program(program, ErrorRate(None, 0.19), batch_sizes=(1,))
    assert circuit.statistics["lookups"] == 6
    assert circuit.statistics["p_error"] <= 1 - 0.81 ** (1 / 6) + 1e-12


def test_signed_lookups_run_encrypted():
    """One table read at every integer of [-8, 7], among them the ends."""
    builder = ProgramBuilder()
    x = builder.input(np.full(16, -8), np.full(16, 7), label="x")
    table = np.random.default_rng(0).integers(-8, 8, size=(1, 16))
    program = builder.finish(builder.add(ops.Lookup(table, np.array([-8])), x, label="y"))
    assert_encrypted_equals_clear(compile_program(program), [np.arange(-8, 8)[None, :]])


@pytest.mark.parametrize("leading", [(4, 1, 1), (4, 2, 3), (3,), (1,)])
def test_tables_of_every_leading_shape_run_encrypted(leading):
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.full((4, 2, 3), -2), np.full((4, 2, 3), 1), label="x")
    lookup = ops.Lookup(rng.integers(-4, 4, size=(*leading, 6)), rng.integers(-4, -1, size=leading))
    program = builder.finish(builder.add(lookup, x, label="y"))
    circuit = compile_program(program, batch_sizes=(1, 2))
    assert_encrypted_equals_clear(circuit, random_inputs(program, 3, rng))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("low", [-2, 0])
def test_convolutions_run_encrypted(name, low):
    """Several rows a call, inputs with and without sign, at the ends of their intervals among others."""
    rng = np.random.default_rng(0)
    shape, op = random_convolution(rng, name)
    builder = ProgramBuilder()
    x = builder.input(np.full(shape, low), np.full(shape, low + 3), label="x")
    program = builder.finish(builder.add(op, x, label="y"))
    circuit = compile_program(program, batch_sizes=(1, 4))
    assert_encrypted_equals_clear(circuit, random_inputs(program, 5, rng))


@pytest.mark.parametrize("weight", [0, 1, -1])
def test_the_signs_of_a_convolution_and_its_padded_argument_may_differ(weight):
    """Results without a sign of arguments with one, and narrower than these, and the other way round."""
    builder = ProgramBuilder()
    x = builder.input(np.full((1, 2, 2), 1 - 4 * weight), np.full((1, 2, 2), 4 - 4 * weight), label="x")
    op = ops.Convolution(np.full((1, 1, 2, 2), weight), np.array([20]), padding=(1, 0, 0, 0))
    program = builder.finish(builder.add(op, x, label="y"))
    inputs = random_inputs(program, 2, np.random.default_rng(0))
    assert_encrypted_equals_clear(compile_program(program, batch_sizes=(1, 2)), inputs)


def test_a_convolutional_network_runs_encrypted():
    """Padded convolution, bound, one table a channel, convolution in groups."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros((2, 3, 3)), np.ones((2, 3, 3)), label="x")
    first = ops.Convolution(
        rng.integers(-1, 2, size=(2, 2, 3, 3)), np.zeros(2, dtype=int), padding=(1, 1, 1, 1)
    )
    h = builder.add(first, x, label="first")
    h = builder.add(ops.Bound(builder.type_of(h).low, builder.type_of(h).high), h, label="first")
    low, high = builder.type_of(h).min, builder.type_of(h).max
    tables = rng.integers(-2, 2, size=(2, 1, 1, high - low + 1))
    h = builder.add(ops.Lookup(tables, np.full((2, 1, 1), low)), h, label="first")
    second = ops.Convolution(
        rng.integers(-2, 3, size=(2, 1, 2, 2)), np.array([1, -1]), groups=2, strides=(2, 1)
    )
    program = optimize(builder.finish(builder.add(second, h, label="second")))
    circuit = compile_program(program, batch_sizes=(1, 2))
    assert circuit.statistics["lookups"] == circuit.cost.n_lookups == 18
    assert 1 / 1.15 < circuit.cost.complexity / circuit.complexity < 1.15
    assert_encrypted_equals_clear(circuit, random_inputs(program, 3, rng))


@pytest.mark.parametrize(
    ("axis", "indices"),
    [(0, [1, 2, 3]), (0, [3, 0, 0, 2]), (1, [1]), (1, [2, 0]), (2, [4, 3, 2, 1, 0]), (-1, [-1, -5, 2])],
)
def test_elements_are_gathered_encrypted(axis, indices):
    builder = ProgramBuilder()
    x = builder.input(np.full((4, 3, 5), -4), np.full((4, 3, 5), 3), label="x")
    program = builder.finish(builder.add(ops.Gather(np.array(indices), axis), x, label="y"))
    circuit = compile_program(program, batch_sizes=(1, 2))
    assert_encrypted_equals_clear(circuit, random_inputs(program, 3, np.random.default_rng(0)))


def test_many_elements_are_reordered_encrypted():
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1000), np.full(1000, 7), label="x")
    program = builder.finish(builder.add(ops.Gather(rng.permutation(1000), axis=0), x, label="y"))
    assert_encrypted_equals_clear(compile_program(program), random_inputs(program, 1, rng))


@pytest.mark.slow
@pytest.mark.parametrize("low", [-16, 0])
@pytest.mark.parametrize("lsbs", [1, 3])
def test_low_bits_are_cleared_encrypted(low, lsbs):
    """Every integer of five bits, with and without a sign, looked up and left as it is."""
    builder = ProgramBuilder()
    x = builder.input(np.full(32, low), np.full(32, low + 31), label="x")
    h = builder.add(ops.Linear(np.eye(32, dtype=int), np.zeros(32, dtype=int)), x, label="h")
    h = builder.add(ops.Truncate(lsbs), h, label="h")
    table = np.random.default_rng(0).integers(-8, 8, size=(1, 32 >> lsbs))
    y = builder.add(ops.Lookup(table, np.array([low]), 1 << lsbs), h, label="y")
    program = builder.finish(y, h)
    circuit = compile_program(program, batch_sizes=(1, 2))
    rows = low + np.stack([np.arange(32), np.arange(32)[::-1], np.zeros(32, dtype=int)])
    assert_encrypted_equals_clear(circuit, [rows])
    for simulated, clear in zip(circuit.simulate(rows), run(program, rows), strict=True):
        np.testing.assert_array_equal(simulated, clear)


@pytest.mark.parametrize("kind", ["linear", pytest.param("convolution", marks=pytest.mark.slow)])
def test_cleared_cells_run_encrypted_as_predicted(kind):
    """Lookups of 6 bits or more become those of 4 or fewer, and of 1 bit for each bit that is cleared."""
    rng = np.random.default_rng(1)
    program = round_constant_cells(shift_accumulators(layer(rng, kind, 3, bounded=True)))
    assert max(estimate_cost(program).lookups) <= 4
    circuit = compile_program(program, batch_sizes=(1, 2))
    assert 1 / 1.3 < circuit.cost.complexity / circuit.complexity < 1.3
    assert circuit.statistics["lookups"] == count_bootstraps(program)
    assert_encrypted_equals_clear(circuit, random_inputs(program, 3, rng))


def test_approximate_rounding_misses_by_one_cell_at_most():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(32), np.full(32, 31), label="x")
    rounded = builder.add(ops.Round(2, "approximate"), x, label="x")
    identity = ops.Lookup(np.minimum(np.arange(0, 33, 4), 31)[None], np.zeros(1, dtype=np.int64), step=4)
    program = builder.finish(builder.add(identity, rounded, label="y"))
    circuit = compile_program(program, batch_sizes=(1,))
    rows = np.arange(32)[None, :]
    (encrypted,), (clear,) = circuit.execute(rows), run(program, rows)
    assert np.abs(encrypted - clear).max() <= 4
    # The neighbouring cell may be taken next to a tie, and below the cell that rounding up overflows to.
    near = (rows % 4 == 1) | (rows % 4 == 2) | (rows >= 30)
    np.testing.assert_array_equal(encrypted[~near], clear[~near])


def test_simulation_errs_as_often_as_p_error_says(small_program):
    """Lookup errors are independent and each is wrong with probability p_error.

    With n lookups the number of wrong ones is binomial; six standard deviations above its mean are
    exceeded with probability below 1e-8. The engine may choose a smaller rate than asked for, so
    there is no lower bound but that errors do occur at 5 %.
    """
    builder = ProgramBuilder()
    x = builder.input(np.zeros(100), np.full(100, 7), label="x")
    table = np.arange(8)[None, ::-1].copy()
    program = builder.finish(builder.add(ops.Lookup(table, np.array([0])), x, label="y"))
    circuit = compile_program(program, ErrorRate(0.05), batch_sizes=(1, 8))
    (x,) = random_inputs(program, 80, np.random.default_rng(0))
    wrong = int((circuit.simulate(x)[0] != run(program, x)[0]).sum())
    mean, deviation = 8000 * 0.05, np.sqrt(8000 * 0.05 * 0.95)
    assert 0 < wrong <= mean + 6 * deviation


def test_simulation_at_the_default_rate_equals_the_clear_program(small_circuit):
    inputs = random_inputs(small_circuit.program, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(small_circuit.simulate(*inputs)[0], run(small_circuit.program, *inputs)[0])


def test_what_leaves_a_calibrated_interval_is_noticed_in_every_mode():
    """The engine cannot: the wrapped value would look like any other. So the rows are checked beforehand."""
    circuit = compile_program(optimize(calibrated()), batch_sizes=(1,))
    inside, outside = np.array([[[1, 1], [2, 3]]]), np.array([[[1, 1], [4, 2]]])
    assert_encrypted_equals_clear(circuit, [inside])
    np.testing.assert_array_equal(circuit.simulate(inside)[0], run(circuit.program, inside)[0])
    for evaluate in (circuit.simulate, circuit.execute):
        with pytest.raises(AccumulatorOverflowError, match="'hidden layer' reached"):
            evaluate(np.concatenate([inside, outside]))
    assert circuit.simulate(inside[:0])[0].shape == (0, 2, 2)


def test_no_rows(small_circuit):
    empty = np.zeros((0, 6), dtype=np.int64)
    assert small_circuit.execute(empty)[0].shape == (0, 2)
    assert small_circuit.simulate(empty)[0].shape == (0, 2)


def test_values_outside_the_input_interval_are_refused(small_circuit):
    with pytest.raises(ValueError, match=r"takes integers in \[0, 1\], got \[0, 2\]"):
        small_circuit.encrypt(np.array([[0, 0, 0, 0, 0, 2]]))


def test_pickle_holds_no_key_and_still_runs(small_circuit):
    """A pickle as large as the evaluation keys would be tens of megabytes."""
    text = pickle.dumps(small_circuit)
    assert len(text) < 20_000
    loaded = pickle.loads(text)
    assert_encrypted_equals_clear(loaded, random_inputs(loaded.program, 1, np.random.default_rng(0)))


def test_two_key_generations_differ(small_program):
    """A ciphertext under one circuit's keys does not decrypt under another's."""
    one, other = (compile_program(small_program, batch_sizes=(1,)) for _ in range(2))
    secrets = []
    for circuit in (one, other):
        circuit.keygen()
        secrets.append([words.tobytes() for keys in circuit.session._keys._secret.values() for words in keys])
    assert secrets[0] != secrets[1]


def test_configuration_is_used_and_not_modified(small_program):
    configuration = fhe.Configuration(p_error=0.01, show_mlir=False)
    before = dict(vars(configuration))
    error_rate = resolve_error_rate(None, None, configuration)
    circuit = compile_program(small_program, error_rate, configuration, batch_sizes=(1,))
    assert vars(configuration) == before
    assert circuit.statistics["p_error"] <= 0.01
    assert circuit.complexity < compile_program(small_program, batch_sizes=(1,)).complexity


def test_global_error_rate(small_program):
    circuit = compile_program(small_program, ErrorRate(None, 1e-3), batch_sizes=(1,))
    assert circuit.statistics["p_error"] < 1e-3
    assert ErrorRate(None, 0.19).per_lookup(2) == pytest.approx(0.1)


@pytest.mark.parametrize("rates", [(0.0, None), (1.0, None), (None, -1), (2, None), (None, float("nan"))])
def test_error_rates_outside_the_unit_interval_are_refused(rates):
    with pytest.raises(ValueError, match="must lie in"):
        resolve_error_rate(*rates)


def test_both_error_rates_are_refused_and_so_is_no_number():
    with pytest.raises(ValueError, match="both given"):
        resolve_error_rate(0.1, 0.1)
    with pytest.raises(TypeError, match="must be a number"):
        resolve_error_rate("small", None)


def test_a_lookup_too_wide_names_its_layer():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 2**17 - 1), label="x")
    table = np.zeros((1, 2**17), dtype=np.int64)
    program = builder.finish(builder.add(ops.Lookup(table, np.array([0])), x, label="third layer"))
    with pytest.raises(CompilationError, match=r"'third layer' reads 17 bits, .* at most 16$"):
        compile_program(program)


def test_wide_accumulators_may_be_rounded_first():
    """What counts is what the lookup reads after rounding."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 2**17 - 1), label="x")
    table = np.arange(0, 2**17 + 1, 2**14)[None]
    rounded = builder.add(ops.Round(14, "approximate"), x, label="rounded")
    y = builder.add(ops.Lookup(table, np.array([0]), 2**14), rounded, label="y")
    program = builder.finish(y)
    circuit = compile_program(program, batch_sizes=(1,))
    assert_encrypted_equals_clear(circuit, [np.array([[3 * 2**14 + 50]])])


def test_what_the_engine_cannot_do_is_said_in_the_program_s_terms():
    """Lookups of 16 bits whose results are weighed by a million leave the noise no room."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 2**15 - 1), label="x")
    h = builder.add(ops.Linear(np.array([[1], [1]]), np.zeros(1, dtype=int)), x, label="sum")
    h = builder.add(ops.Lookup(np.arange(2**16)[None], np.array([0])), h, label="fifth layer")
    y = builder.add(ops.Linear(np.array([[2**20]]), np.zeros(1, dtype=int)), h, label="sixth layer")
    message = r"'fifth layer' reads 16 bits, .* more than 16 bits; 'sixth layer' has 36 .*NoParametersFound"
    with pytest.raises(CompilationError, match=message):
        compile_program(builder.finish(y), batch_sizes=(1,))


@pytest.mark.parametrize("weight", [1, 7, 40])
@pytest.mark.parametrize("p_error", [2.0**-40, 1e-5])
def test_predicted_complexity_is_the_engine_s(weight, p_error):
    """Bits read, precision kept and error rate decide the price; larger outgoing weights raise it.

    The table was measured at these error rates on a grid of precisions, so only grid steps are lost.
    """
    program = perceptron(np.random.default_rng(weight), n_hidden=8, span=1, weight=1)
    *head, output = program.values
    builder = ProgramBuilder()
    for value in head:
        builder.add(value.op, *value.arguments, label=value.label)
    scaled = ops.Linear(output.op.weight * weight + 1, output.op.bias)
    program = builder.finish(builder.add(scaled, *output.arguments, label="output"))
    circuit = compile_program(program, ErrorRate(p_error), batch_sizes=(1,))
    assert circuit.statistics["lookups"] == circuit.cost.n_lookups
    assert 1 / 1.15 < circuit.cost.complexity / circuit.complexity < 1.15


def test_cost_grows_with_bits_precision_and_certainty():
    from skfhe.cost._prices import lookup_complexity

    by_bits = [lookup_complexity(b, 8, 2**-40) for b in range(2, 12)]
    assert by_bits == sorted(by_bits)
    by_precision = [lookup_complexity(4, e, 2**-40) for e in range(2, 20)]
    assert by_precision == sorted(by_precision)
    by_rate = [lookup_complexity(4, 8, p) for p in (0.05, 1e-3, 1e-5, 2**-30, 2**-40)]
    assert by_rate == sorted(by_rate)
