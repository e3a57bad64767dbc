"""Prediction and engine agree within the stated factors, over programs of every kind."""

import pickle

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.cost._error_rate import ErrorRate
from skfhe.cost._estimate import FACTORS, Cost, count_bootstraps, estimate_cost, layer_costs, lookup_p_error
from skfhe.exceptions import CompilationError
from skfhe.passes import optimize
from skfhe.program import ProgramBuilder, independent_parts, ops
from tests.conftest import perceptron
from tests.program.test_convolution import random_convolution


def sums(n_inputs, n_outputs, bits=8, weight=127):
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n_inputs), np.full(n_inputs, 2**bits - 1), label="x")
    weights = rng.integers(-weight, weight + 1, (n_inputs, n_outputs))
    return builder.finish(builder.add(ops.Linear(weights, np.arange(n_outputs)), x, label="y"))


def read(builder, x, rounding=None, bits=3, rng=None):
    """Look a value up in a random table of ``bits`` bits, rounded first if told so."""
    rng = rng or np.random.default_rng(0)
    step = 1
    if rounding is not None:
        x = builder.add(rounding, x, label="rounded")
        step = 1 << rounding.lsbs
    low, high = (end // step * step for end in (builder.type_of(x).min, builder.type_of(x).max))
    table = rng.integers(0, 2**bits, size=(1, (high - low) // step + 1))
    table[0, [0, -1]] = 2**bits - 1, 0
    return builder.add(ops.Lookup(table, np.array([low]), step), x, label="read")


def network(rounding=None, depth=2, weight=3, width=5, bits=3, seed=0, skip=False):
    """Layers of sums and lookups; with ``skip`` the output adds the first layer's results."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(width), np.full(width, 2**bits - 1), label="x")
    results = []
    for _ in range(depth):
        weights = rng.integers(-weight, weight + 1, (width, width))
        x = builder.add(ops.Linear(weights, rng.integers(-3, 4, width)), x, label="sum")
        accumulator = builder.type_of(x).bits
        x = read(builder, x, rounding(accumulator) if rounding else None, bits, rng)
        results.append(x)
    y = builder.add(ops.Linear(rng.integers(-weight, weight + 1, (width, 2)), np.zeros(2, int)), x, label="y")
    if skip:
        first = builder.add(ops.Linear(np.full((width, 2), 2), np.zeros(2, int)), results[0], label="first")
        y = builder.add(ops.Add(), y, first, label="sum of both")
    return optimize(builder.finish(y))


def lookups(bits, kept, n=3):
    """Lookups of ``bits`` bits after rounding, with results that have to keep ``kept``."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n), np.full(n, 2 ** (bits + 1) - 2), label="x")
    y = read(builder, x, ops.Round(1, "approximate"), bits=1)
    weight = 2 ** ((kept - 1) // 2)  # a bit and the weight's own make the sum's, and the weight counts again
    return builder.finish(
        builder.add(ops.Linear(np.eye(n, dtype=int) * weight, np.zeros(n, int)), y, label="y")
    )


def to(kept, method):
    """Round accumulators of more than ``kept`` bits to these, before what rounding up overflows by."""

    def rounding(bits):
        if bits <= kept:
            return None
        lsbs = bits - kept
        return ops.Truncate(lsbs) if method == "truncate" else ops.Round(lsbs, method)

    return rounding


def parts():
    """Two networks, and sums, that share no value."""
    builder = ProgramBuilder()
    outputs = []
    for n, bits in ((3, 2), (4, 4)):
        x = builder.input(np.zeros(n), np.full(n, 2**bits - 1), label=f"x{n}")
        total = builder.add(ops.Linear(np.eye(n, dtype=int), np.zeros(n, int)), x, label="sum")
        outputs.append(read(builder, total))
    x = builder.input(np.zeros(9), np.full(9, 31), label="x")
    outputs.append(builder.add(ops.Linear(np.full((9, 3), 5), np.arange(3)), x, label="sums"))
    return builder.finish(*outputs)


def mixed():
    """One sum of lookups of two widths: results of the wider are switched to the keys of the narrower."""
    builder = ProgramBuilder()
    wide, narrow = (builder.input(np.zeros(4), np.full(4, 2**bits - 1), label="x") for bits in (5, 2))
    return builder.finish(builder.add(ops.Add(), read(builder, wide), read(builder, narrow), label="y"))


def wrapping(n_bits=(3, 5), depth=2):
    """Layers of sums that are read modulo powers of two alone, by random negacyclic tables."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(5), np.full(5, 7), label="x")
    for _ in range(depth):
        size = builder.type_of(x).size
        h = builder.add(ops.Linear(rng.integers(-3, 4, (size, 5)), np.zeros(5, int)), x, label="sum")
        results = []
        for n in n_bits:
            half = rng.integers(-3, 4, (5, 1 << (n - 1)))
            lookup = ops.Lookup(np.concatenate([half, -half], axis=1), np.zeros(5, int))
            results.append(builder.add(lookup, builder.add(ops.Modulo(n), h, label="residues"), label="wave"))
        x = builder.add(ops.Concatenate(0), *results, label="both")
    return builder.finish(x)


def convolution(variant):
    builder = ProgramBuilder()
    shape, op = random_convolution(np.random.default_rng(0), variant)
    x = builder.input(np.zeros(shape), np.full(shape, 3), label="x")
    x = builder.add(op, x, label="convolution")
    return builder.finish(read(builder, x, to(4, "approximate")(builder.type_of(x).bits)))


def fitted(name):
    from sklearn.datasets import load_iris

    from skfhe.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from skfhe.linear_model import LogisticRegression
    from skfhe.tree import DecisionTreeClassifier

    models = {
        "logistic regression": LogisticRegression(),
        "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
        "tree, quantized": DecisionTreeClassifier(max_depth=3, n_bits=3, random_state=0),
        "forest": RandomForestClassifier(n_estimators=3, max_depth=3, random_state=0),
        "boosting": GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0),
    }
    return models[name].fit(*load_iris(return_X_y=True)).program_


PROGRAMS = {
    "one sum": lambda: sums(8, 1),
    "many features": lambda: sums(3000, 2),
    "many outputs": lambda: sums(40, 30, bits=10, weight=2000),
    "wide sums": lambda: sums(40, 2, bits=16, weight=2**12),
    "small network": lambda: optimize(perceptron(np.random.default_rng(0), span=1)),
    "network": lambda: network(),
    "deep network": lambda: network(depth=4, weight=2),
    "network, skip connection": lambda: network(skip=True),
    "network, exact rounding": lambda: network(to(3, "exact")),
    "network, exact rounding to 5 bits": lambda: network(to(5, "exact"), weight=20),
    "network, truncated": lambda: network(to(4, "truncate")),
    "network, approximate rounding": lambda: network(to(3, "approximate")),
    "network, approximate rounding to 5 bits": lambda: network(to(5, "approximate"), weight=20),
    "network, approximate rounding, large weights": lambda: network(to(4, "approximate"), weight=900),
    "wide lookups": lambda: network(depth=1, weight=12),
    "on residues": lambda: network(depth=1, weight=300),
    "modulo powers of two": lambda: wrapping(),
    "modulo more bits than a block has otherwise": lambda: wrapping(n_bits=(5, 10)),
    "parts": parts,
    "lookups of two widths in a sum": mixed,
    "convolution": lambda: convolution("padded"),
    **{
        f"fitted {name}": lambda name=name: fitted(name) for name in ("logistic regression", "tree", "forest")
    },
    "fitted tree, quantized": lambda: fitted("tree, quantized"),
    "fitted boosting": lambda: fitted("boosting"),
    "precise results": lambda: lookups(4, 21),
    "most precise results": lambda: lookups(6, 27),
    "wide lookups of precise results": lambda: lookups(8, 23),
}


def differences(program, error_rate=None, factors=FACTORS):
    """Return what differs by more than its factor, as (name, predicted, the engine's)."""
    cost = estimate_cost(program, error_rate)
    assert cost.refusal is None
    found = compile_program(program, error_rate, batch_sizes=(1,)).statistics
    assert count_bootstraps(program) == found["lookups"]
    pairs = ((name, getattr(cost, name), found[name]) for name in factors)
    return [
        (name, predicted, told)
        for name, predicted, told in pairs
        if predicted > factors[name] * told or told > factors[name] * predicted
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_predictions_are_the_engine_s(name):
    """Parameters depend on few properties of a program, all of which are known before it is compiled."""
    assert differences(PROGRAMS[name]()) == []


@pytest.mark.parametrize(
    "error_rate",
    [ErrorRate(p) for p in (2.0**-100, 2.0**-45, 3e-8, 0.003, 0.2)] + [ErrorRate(None, 1e-15)],
    ids=str,
)
def test_predictions_are_the_engine_s_between_the_measured_error_rates(error_rate):
    """Prices rise by steps, up to twofold, and where exactly between two measured rates is not known."""
    factors = {name: max(2.0, factor) for name, factor in FACTORS.items()}
    assert differences(network(to(3, "exact")), error_rate, factors) == []
    assert differences(parts(), error_rate, factors) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(150))
def test_predictions_for_random_networks_are_the_engine_s(seed):
    """Whatever is predicted to be evaluated is, within the factors; what is refused finds no parameters.

    Where the limit falls between two measured precisions, either answer may come.
    """
    rng = np.random.default_rng(seed)
    kept, method = rng.integers(2, 6), rng.choice(["exact", "truncate", "approximate", "none"])
    program = network(
        None if method == "none" else to(int(kept), str(method)),
        depth=int(rng.integers(1, 4)),
        weight=int(2 ** rng.integers(0, 4 if method == "none" else 12)),
        width=int(rng.integers(2, 7)),
        bits=int(rng.integers(1, 5)),
        seed=seed,
        skip=bool(rng.integers(2)),
    )
    error_rate = ErrorRate(float(rng.choice([2.0**-40, 2.0**-40, 1e-5, 1e-3, 0.05, 2.0**-64])))
    factors = FACTORS
    if error_rate.p_error < 2.0**-40:
        factors = {name: max(2.0, factor) for name, factor in FACTORS.items()}
    if estimate_cost(program, error_rate).refusal is None:
        assert differences(program, error_rate, factors) == []
    else:
        with pytest.raises(CompilationError):
            compile_program(program, error_rate, batch_sizes=(1,))


@pytest.mark.parametrize(("bits", "kept"), [(2, 29), (4, 29), (6, 27), (8, 25)])
def test_what_has_no_parameters_is_refused_with_a_reason(bits, kept):
    """Results that keep two bits more than the most precise that the engine has are said to be impossible."""
    program, beyond = lookups(bits, kept), lookups(bits, kept + 2)
    assert estimate_cost(program).refusal is None
    compile_program(program, batch_sizes=(1,))
    cost = estimate_cost(beyond)
    assert f"the lookup of 'read' reads {bits} bits" in cost.refusal
    assert "must keep" in cost.refusal
    assert "for 'y'" in cost.refusal
    assert cost.complexity == cost.seconds == np.inf
    assert "cannot be compiled" in str(cost)
    with pytest.raises(CompilationError):
        compile_program(beyond, batch_sizes=(1,))


def test_sums_that_no_ciphertext_keeps_are_refused():
    cost = estimate_cost(sums(4, 1, bits=30, weight=2**30))
    assert "'y' must keep" in cost.refusal
    with pytest.raises(CompilationError):
        compile_program(sums(4, 1, bits=30, weight=2**30), batch_sizes=(1,))


def test_lookups_too_wide_are_refused_as_in_compiling():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 2**17 - 1), label="x")
    program = builder.finish(
        builder.add(ops.Lookup(np.zeros((1, 2**17), int), np.array([0])), x, label="third")
    )
    reason = estimate_cost(program).refusal
    with pytest.raises(CompilationError) as caught:
        compile_program(program)
    assert reason in str(caught.value)
    assert "'third' reads 17 bits" in reason


def test_key_bytes_are_those_of_the_keys(small_circuit):
    """The engine's own figure is too large wherever a key has more than one GLWE dimension."""
    small_circuit.keygen()
    (part,) = small_circuit.compiled.specs.parts
    keys = small_circuit.session.evaluation_keys.keyset(part.parameters).serialize()
    assert small_circuit.statistics["key_bytes"] == pytest.approx(len(keys), rel=0.01)
    assert small_circuit.cost.key_bytes == pytest.approx(len(keys), rel=0.2)


def test_encryption_is_counted():
    """Without lookups a row takes the time of its ciphertexts: more for more features, and for their bits."""
    few, many = estimate_cost(sums(60, 1)), estimate_cost(sums(6000, 1))
    assert 50 < (many.seconds - many.seconds_a_call) / (few.seconds - few.seconds_a_call) < 200
    assert many.input_bytes == 100 * few.input_bytes
    assert many.expanded_bytes > 90 * few.expanded_bytes
    assert estimate_cost(sums(60, 1, bits=12)).seconds > few.seconds
    assert few.key_bytes == 0


def test_a_cost_is_readable():
    cost = Cost({4: 19}, 1861e6, 0.3, 1_715_000, 33_000, 94_789_952)
    assert str(cost) == (
        "lookups: 19 × 4-bit; complexity 1861 M; about 0.3 s a row; 1.7 MB up, 33 kB down; keys of 95 MB"
    )
    assert str(estimate_cost(sums(8, 1))).endswith("no evaluation keys")
    assert pickle.loads(pickle.dumps(cost)) == cost


def shared_rounding():
    """One rounded value that two lookups read, one of them after a sum with another."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 63), label="x")
    rounded = builder.add(ops.Truncate(2), x, label="rounded")
    first = read(builder, rounded)
    total = builder.add(ops.Add(), rounded, builder.add(ops.Truncate(3), x, label="other"), label="total")
    return builder.finish(first, read(builder, total, ops.Round(3, "exact")), total)


@pytest.mark.parametrize("name", [*PROGRAMS, "shared rounding"])
@pytest.mark.parametrize("error_rate", [ErrorRate(), ErrorRate(None, 1e-3)], ids=str)
def test_costs_of_layers_add_up_to_the_prediction(name, error_rate):
    """Each lookup is in one layer and each layer in one part, which is priced apart from the others.

    "parts" has two of different widths, and one of sums alone.
    """
    program = (PROGRAMS | {"shared rounding": shared_rounding})[name]()
    p_error = lookup_p_error(program, error_rate)
    levelled = sum(
        estimate_cost(part.program, ErrorRate(p_error)).complexity
        for part in independent_parts(program)
        if not part.program.lookups
    )
    total = sum(layer.complexity for layer in layer_costs(program, error_rate).values())
    assert total + levelled == pytest.approx(estimate_cost(program, error_rate).complexity)


def test_layers_of_parts_cost_what_they_do_apart():
    """Lookups of one width in two parts have the parameters of their own part, whatever the other demands."""
    builder = ProgramBuilder()
    outputs = []
    for weight in (1, 1000):
        x = builder.input(np.zeros(2), np.full(2, 7), label="x")
        light = read(builder, x)
        outputs.append(builder.add(ops.Linear(np.full((2, 1), weight), np.zeros(1, int)), light, label="y"))
    program = builder.finish(*outputs)
    costs = [layer for layer in layer_costs(program).values() if layer.bits]
    apart = [estimate_cost(part.program).complexity for part in independent_parts(program)]
    assert [layer.complexity for layer in costs] == pytest.approx(apart)
    assert costs[0].complexity < costs[1].complexity


def test_rounding_counts_with_the_first_layer_that_it_reaches():
    """Two bits of each element are cleared for the first lookup, three for the sum, three for the second."""
    program = shared_rounding()
    first, total, second = layer_costs(program).values()
    assert (first.bits, total.bits, second.bits) == (4, 0, 4)
    assert [type(program.values[at].op) for at in layer_costs(program)] == [ops.Lookup, ops.Add, ops.Lookup]
    lowest = total.complexity / 9
    assert second.complexity - 9 * lowest == pytest.approx(first.complexity - 6 * lowest)
    assert first.complexity > 6 * lowest > 0


def test_a_circuit_costs_as_its_parts_do():
    program = parts()
    together = estimate_cost(program)
    apart = [estimate_cost(part.program) for part in independent_parts(program)]
    for name in ("complexity", "seconds", "input_bytes", "output_bytes", "expanded_bytes", "key_bytes"):
        assert getattr(together, name) == pytest.approx(sum(getattr(cost, name) for cost in apart))
