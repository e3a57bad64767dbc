"""What counts modulo a power of two: encrypted equals clear, however far sums go beyond the declared bits."""

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.exceptions import CompilationError
from skfhe.program import ProgramBuilder, declared_types, ops, run, verify
from tests.circuit.test_tracing import assert_encrypted_equals_clear


def wave(half):
    """Return the lookup of a negacyclic table, of its first half; or of one a channel."""
    half = np.atleast_2d(half)
    return ops.Lookup(np.concatenate([half, -half], axis=-1), np.zeros(len(half), dtype=int))


def random_wave(rng, n_bits, n_channels):
    """Return a lookup of residues; some of its tables are constant over the half that the engine is given."""
    half = rng.integers(-2, 3, (n_channels, 1 << (n_bits - 1)))
    half[rng.random(n_channels) < 0.3] = rng.integers(-2, 3)
    return wave(half if rng.random() < 0.7 else half[:1])


def random_residues(rng):
    """Build two layers that wrap, each read modulo several powers of two, the first also as it is."""
    builder = ProgramBuilder()
    low = rng.integers(-3, 1, 5)
    x = builder.input(low, low + rng.integers(0, 5, 5), label="input")
    n = int(rng.integers(1, 4))
    first = ops.Linear(rng.integers(-9, 10, (5, n)), rng.integers(-60, 61, n))
    narrow = ops.Linear(rng.integers(-1, 2, (5, n)), rng.integers(-3, 4, n))
    results = []
    for layer in (first, narrow) if rng.random() < 0.5 else (first,):
        h = builder.add(layer, x, label="sum")
        for n_bits in rng.permutation([2, 3, 4])[: rng.integers(1, 3)]:
            residues = builder.add(ops.Modulo(int(n_bits)), h, label="residues")
            results.append(builder.add(random_wave(rng, n_bits, n), residues, label="wave"))
        kind = builder.type_of(h)
        if kind.bits <= 4 and rng.random() < 0.7:
            table = ops.Lookup(rng.integers(-2, 3, (1, kind.max - kind.min + 1)), np.array([kind.min]))
            results.append(builder.add(table, h, label="all of it"))
    joined = results[0]
    if len(results) > 1:
        joined = builder.add(ops.Concatenate(0), *results, label="joined")
    size = builder.type_of(joined).size
    h = builder.add(
        ops.Linear(rng.integers(-3, 4, (size, 2)), rng.integers(-9, 10, 2)), joined, label="second"
    )
    residues = builder.add(ops.Modulo(3), h, label="residues")
    y = builder.add(random_wave(rng, 3, 2), residues, label="wave")
    program = builder.finish(y, results[-1])
    verify(program)
    return program


@pytest.mark.parametrize("seed", [1])
def test_random_programs_of_residues_are_evaluated_as_in_the_clear(seed):
    assert_encrypted_equals_clear(random_residues(np.random.default_rng(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 115))
def test_many_random_programs_of_residues_are_evaluated_as_in_the_clear(seed):
    assert_encrypted_equals_clear(random_residues(np.random.default_rng(seed)))


def one_sum(lookups, weight=9, bias=-40, n_bits=(4,), wide=False, high=3):
    """Build a sum in [bias, bias + 6 * high * weight], read by lookups of residues and maybe as it is."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(6), np.full(6, high), label="x")
    h = builder.add(ops.Linear(np.full((6, 1), weight), np.array([bias])), x, label="sum")
    outputs = []
    for lookup, n in zip(lookups, n_bits, strict=True):
        outputs.append(builder.add(lookup, builder.add(ops.Modulo(n), h, label="residues"), label="wave"))
    if wide:
        kind = builder.type_of(h)
        table = ops.Lookup(np.arange(kind.max - kind.min + 1)[None] % 5, np.array([kind.min]))
        outputs.append(builder.add(table, h, label="all of it"))
    return builder.finish(*outputs)


def every_sum():
    """Rows of six elements up to 3, of every sum from 0 to 18."""
    return np.array([np.bincount(np.arange(total) % 6, minlength=6) for total in range(19)])


@pytest.mark.parametrize("cell", [-2])
def test_a_table_of_one_cell_keeps_the_sign_of_the_circle(cell):
    """The engine folds tables that are constant over the half that it is given; the other half is not."""
    program = one_sum([wave([cell] * 4)], weight=1, bias=-5, n_bits=(3,))
    expected = np.where((np.arange(19) - 5) % 8 < 4, cell, -cell)
    np.testing.assert_array_equal(run(program, every_sum())[0][:, 0], expected)
    circuit = compile_program(program, batch_sizes=(19,))
    np.testing.assert_array_equal(circuit.execute(every_sum())[0][:, 0], expected)


@pytest.mark.parametrize("bias", [-5, pytest.param(9, marks=pytest.mark.slow)])
def test_one_sum_is_read_by_several_moduli_and_as_it_is(bias):
    """With a sign and without: what reads fewer bits than others is shifted by what is above."""
    lookups = [wave([1, 2]), wave([1, -1, 3, 0])]
    program = one_sum(lookups, weight=1, bias=bias, n_bits=(2, 3), wide=True, high=1)
    rows = every_sum()[:7]
    circuit = compile_program(program, batch_sizes=(7,))
    for found, wanted in zip(circuit.execute(rows), run(program, rows), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("n_bits", [11, 12])
def test_the_ring_is_that_of_the_program_or_none(n_bits):
    """From 11 bits on the engine goes over to residues of other numbers, where no table is negacyclic."""
    half = np.arange(1 << (n_bits - 1)) % 3
    program = one_sum([wave(half)], weight=1 << (n_bits - 3), n_bits=(n_bits,))
    if n_bits == 11:
        circuit = compile_program(program, batch_sizes=(1,))
        np.testing.assert_array_equal(circuit.simulate(every_sum())[0], run(program, every_sum())[0])
        return
    with pytest.raises(CompilationError, match=r"'wave' reads 11 bits.* counted modulo a power of two"):
        compile_program(program, batch_sizes=(1,))


def test_declared_bits_are_those_that_the_engine_is_given():
    """The sum reaches 122, and takes three bits: of four that count, one is the circle's sign."""
    program = one_sum([wave([1, 2, 0, 1, 2, 2, 0, 1])])
    assert [kind.bits for kind in declared_types(program)] == [2, 3, 3, 3]
    circuit = compile_program(program, batch_sizes=(1,))
    assert "!FHE.eint<3>" in circuit.mlir
    assert "!FHE.eint<4>" not in circuit.mlir


@pytest.mark.parametrize("constant", [False, True])
def test_residues_are_rounded_on_the_circle(constant):
    """Multiples exactly, far beyond the declared bits, at the price of what is left; others may be next."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(6), np.full(6, 3), label="x")
    h = builder.add(ops.Linear(np.full((6, 1), 12), np.array([-40])), x, label="sum")
    odd = builder.add(ops.Linear(np.full((6, 1), 3), np.array([-7])), x, label="odd")
    half = np.full(4, -2) if constant else np.array([1, 3, 0, 2])
    lookup = ops.Lookup(np.concatenate([half, -half])[None], np.array([0]), 4)
    outputs = []
    for each in (h, odd):
        rounded = builder.add(ops.Round(2, "approximate"), each, label="rounded")
        residues = builder.add(ops.Modulo(5), rounded, label="residues")
        outputs.append(builder.add(lookup, residues, label="wave"))
    program = builder.finish(*outputs)
    verify(program)
    circuit = compile_program(program, batch_sizes=(19,))
    assert circuit.cost.lookups == {2: 2}
    assert circuit.statistics["lookups"] == 2
    assert circuit.cost.complexity == pytest.approx(circuit.complexity, rel=0.1)
    exact, near = circuit.execute(every_sum())
    np.testing.assert_array_equal(exact, run(program, every_sum())[0])
    cells = (3 * np.arange(19) - 7) / 4
    below, above = (lookup.tables[0, end.astype(int) % 8] for end in (np.floor(cells), np.ceil(cells)))
    assert ((near[:, 0] == below) | (near[:, 0] == above)).all()
