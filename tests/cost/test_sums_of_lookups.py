"""Sums of many lookups, and lookups that read modulo a power of two, cost what the engine says.

Prices rise by steps of up to a half, at precisions that the table knows to a sixteenth of a bit: that of a
sum's own bits and its weights' norm alone decides, whatever the number of outputs and lookups.
"""

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.cost._demands import demands
from skfhe.cost._estimate import estimate_cost
from skfhe.cost._prices import lookup_complexity
from skfhe.passes import optimize
from skfhe.program import ProgramBuilder, ops
from tests.cost.priced import P_ERROR, assert_engine_s, identity


def sums(bits, weight, out_bits):
    """Return lookups of one bit's results, summed by ``weight`` into values that have ``out_bits`` bits."""
    builder = ProgramBuilder()
    n = len(weight)
    x = builder.input(np.zeros(n), np.full(n, (1 << bits) - 1), label="x")
    tables = np.eye(1 << bits, dtype=int)[np.arange(n) % (1 << bits)]
    leaves = builder.add(ops.Lookup(tables, np.zeros(n, int)), x, label="leaves")
    scores = builder.add(ops.Linear(weight, np.zeros(weight.shape[1], int)), leaves, label="scores")
    return builder.finish(builder.add(ops.Bound(0, (1 << out_bits) - 1), scores, label="scores"))


@pytest.mark.parametrize(
    ("bits", "n", "n_outputs", "norm", "out_bits", "kept"),
    [
        (3, 154, 27, 75, 11, 17.2),  # beyond 17, before the step
        (3, 425, 9, 473, 12, 20.9),
        (3, 80, 1, 2**11, 12, 23.0),
        (4, 40, 1, 2**10, 14, 24.0),
        (4, 12, 3, 23, 5, 9.5),
        (4, 12, 3, 30, 5, 9.9),  # behind a step
        (2, 30, 2, 2**7.8, 10, 17.8),
        (2, 20, 5, 2**5, 6, 11.0),
    ],
)
def test_sums_of_lookups_cost_what_the_engine_says(bits, n, n_outputs, norm, out_bits, kept):
    rng = np.random.default_rng(0)
    weight = rng.random((n, n_outputs)) + 0.1
    weight = np.maximum(1, np.round(weight * norm / np.linalg.norm(weight, axis=0))).astype(int)
    program = sums(bits, weight, out_bits)
    assert demands(program).precision[bits] == pytest.approx(kept, abs=0.1)
    assert_engine_s(program, keys=0.02)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_precision_is_that_of_bits_and_norm_however_it_comes_about(bits):
    """Results of many bits, or of one bit and large weights: a sum of 2**k bits by a norm of the rest."""
    (first,) = {demands(sums(bits, np.full((4, 1), 2**7), 10)).precision[bits]}
    wide = sums(bits, np.full((16, 1), 2**4), 12)
    assert first == demands(wide).precision[bits] == 18.0
    for program in (sums(bits, np.full((4, 1), 2**7), 10), wide):
        found = compile_program(program, batch_sizes=(1,)).statistics
        assert found["complexity"] / found["lookups"] == pytest.approx(
            lookup_complexity(bits, 18.0, P_ERROR), rel=0.001
        )


# Modulo a power of two


def wave(n, bits, largest, rng):
    half = rng.integers(-largest, largest + 1, size=(n, 1 << bits))
    return ops.Lookup(np.concatenate([half, -half], axis=1), np.zeros(n, int))


def wrapping(n_layers, bits, bias, width=6):
    """Return layers that count modulo ``2**(bits + 1)``, each read by lookups of ``bits`` bits."""
    rng = np.random.default_rng(5)
    builder = ProgramBuilder()
    h = builder.input(np.zeros(6), np.ones(6), label="x")
    for _ in range(n_layers):
        weight = rng.integers(-3, 4, size=(6, width))
        h = builder.add(ops.Linear(weight, rng.integers(-bias, bias + 1, width)), h, label="sum")
        h = builder.add(ops.Modulo(bits + 1), h, label="sum")
        h = builder.add(wave(width, bits, 3, rng), h, label="wave")
    output = ops.Linear(rng.integers(-3, 4, size=(width, 2)), np.zeros(2, int))
    return builder.finish(builder.add(output, h, label="output"))


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_layers_that_wrap_cost_what_the_engine_says(n_layers, bits):
    """Biases far beyond the circle are reduced, so that blocks are as wide as what reads them."""
    program = optimize(wrapping(n_layers, bits, bias=90))
    found = demands(program)
    reads = {found.block_bits[reading.source] for reading in found.readings}
    assert max(reads) <= bits + 1
    assert_engine_s(program, keys=0.05)


@pytest.mark.parametrize("bits", [1, 3])
def test_lookups_of_a_wider_block_cost_what_the_engine_says(bits):
    """What is read modulo a power of two is also read as it is: the engine shifts it, and its noise."""
    rng = np.random.default_rng(0)
    builder = ProgramBuilder()
    x = builder.input(np.zeros(4), np.full(4, 15), label="x")
    narrow = builder.add(ops.Modulo(bits + 1), x, label="x")
    narrow = builder.add(wave(4, bits, 3, rng), narrow, label="wave")
    program = builder.finish(narrow, builder.add(identity(4), x, label="all"))
    predicted = estimate_cost(program).complexity
    assert predicted == pytest.approx(compile_program(program, batch_sizes=(1,)).complexity, rel=0.02)


def test_layers_that_are_not_reduced_cost_what_the_engine_says():
    """Biases of seven bits widen the blocks that lookups of three read, close to a step."""
    program = wrapping(2, 3, bias=50)
    assert max(demands(program).block_bits.values()) == 7
    assert_engine_s(program, rel=0.12, keys=0.3)


@pytest.mark.parametrize(("bits", "weight", "n", "below"), [(3, 7, 175, True), (3, 7, 300, False)])
def test_what_a_lookup_reads_takes_its_step_early(bits, weight, n, below):
    """The reader's own noise takes a share: the step at 10.2 bits comes at 9.75."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(n), np.full(n, (1 << bits) - 1), label="x")
    y = builder.add(identity(bits), x, label="y")
    y = builder.add(ops.Linear(np.full((n, 1), weight), np.zeros(1, int)), y, label="sum")
    y = builder.add(ops.Bound(0, (1 << bits) - 1), y, label="sum")
    program = builder.finish(builder.add(identity(bits), y, label="again"))
    assert (bits + 0.5 * np.log2(n * weight**2) < 9.75) == below
    step = lookup_complexity(bits, 10.1, P_ERROR), lookup_complexity(bits, 11.0, P_ERROR)
    found = estimate_cost(program).complexity
    assert found == pytest.approx((n + 1) * step[0 if below else 1], rel=0.001)
    assert_engine_s(program, rel=0.12, keys=0.2)
