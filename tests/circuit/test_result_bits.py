"""The noise of results is no larger than it is taken for, where bits are left out for its sake."""

import json

import numpy as np
import pytest

from skfhe.circuit import compile_program
from skfhe.circuit._calls import plan_calls
from skfhe.circuit._result_bits import MARGIN, bootstrap_variance, result_bits
from skfhe.circuit._specs import PartSpecs
from skfhe.cost import ErrorRate, noise_gains
from skfhe.encryption import Frame, bits_to_keep
from skfhe.exceptions import CompilationError
from skfhe.program import ProgramBuilder, ops, run
from tests.encryption.descriptions import description, gate


def program(bits, weight=None, n=64):
    """Return lookups of some bits, and sums of their results, or without lookups sums alone."""
    builder = ProgramBuilder()
    h = builder.input(np.zeros(n), np.full(n, 2 ** abs(bits) - 1), label="x")
    if bits > 0:
        table = np.random.default_rng(0).integers(0, 2**bits, (1, 2**bits))
        h = builder.add(ops.Lookup(table, np.array([0])), h, label="h")
    if weight is not None:
        h = builder.add(ops.Linear(weight, np.zeros(weight.shape[1], dtype=int)), h, label="sums")
    return builder.finish(h)


def noise_of(circuit, n_rows):
    """Return the noise of results as the engine makes them, and what it is of."""
    rng = np.random.default_rng(0)
    inputs = [rng.integers(k.low, k.high + 1, (n_rows, *k.shape)) for k in circuit.compiled.specs.inputs]
    batch, ((part,), (call,)) = (
        circuit.encrypt(*inputs),
        (circuit.compiled.parts, plan_calls([n_rows], [n_rows])),
    )
    given = part._inputs(call, [(batch.ciphertexts[0], batch.seed)])
    (result,) = part.function(n_rows).run(
        circuit.session.evaluation_keys.keyset(part.specs.parameters), given
    )
    (form,) = part.specs.forms("results")
    words = Frame(form.of_rows(n_rows)).words(result)
    phases = words[:, -1] - words[:, :-1] @ circuit.session._keys.of(part.specs.parameters)[form.key_id]
    (clear,) = run(circuit.program, *inputs)
    encoded = clear.reshape(-1).view(np.uint64) << np.uint64(63 - form.width)
    return (phases - encoded).view(np.int64) / 2.0**64, part, form


SUMS = np.random.default_rng(1).integers(-9, 10, (64, 48))


@pytest.mark.parametrize(
    ("made", "p_error"),
    [
        ((2,), 2.0**-40),
        *(
            pytest.param(each, rate, marks=pytest.mark.slow)
            for each, rate in (((3,), 2.0**-40), ((4,), 1e-5), ((5,), 2.0**-40), ((2, SUMS), 2.0**-40))
        ),
    ],
)
def test_results_of_lookups_have_the_noise_that_the_model_says(made, p_error):
    """Half of it to a tenth more, where it was measured; what is counted with is twice the model."""
    circuit = compile_program(program(*made), ErrorRate(p_error), batch_sizes=(8,))
    noise, part, form = noise_of(circuit, 8)
    ((key,),) = [json.loads(part.specs.parameters)["keyset"]["lweBootstrapKeys"]]
    model = noise_gains(circuit.program)[0] * bootstrap_variance(key["params"])
    share = np.mean(noise**2) / model
    assert 0.25 < share < 0.75 * MARGIN
    bits = bits_to_keep(form.dimension, form.half_cell, p_error, MARGIN * model)
    assert part.specs.result_bits == (bits,)
    assert bits < bits_to_keep(form.dimension, form.half_cell, p_error, None)


def test_sums_of_inputs_have_the_noise_that_is_computed():
    """Of the noisiest column. The bound is 6 standard deviations of a sample variance."""
    circuit = compile_program(program(-8, SUMS), batch_sizes=(64,))
    noise, part, _ = noise_of(circuit, 64)
    noisiest = np.argmax((SUMS**2).sum(axis=0))
    found = np.mean(noise.reshape(64, -1)[:, noisiest] ** 2)
    (fresh,) = part.specs.forms("inputs")
    expected = noise_gains(circuit.program)[0] * fresh.variance
    assert noise_gains(circuit.program)[0] == (SUMS**2).sum(axis=0).max()
    assert abs(found / expected - 1) < 6 * (2 / 64) ** 0.5
    assert np.mean(noise**2) < expected


def test_of_rounded_sums_and_residues_nothing_is_known():
    """They keep as many bits as ciphertexts at the limit of what the engine allows."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(2), np.full(2, 15), label="x")
    rounded = builder.finish(builder.add(ops.Truncate(2), x, label="y"), x)
    assert noise_gains(rounded) == (None, 1.0)
    text = description(gate((1, 2), 12, moduli=(7, 8, 9, 11)))
    builder = ProgramBuilder()
    x = builder.finish(builder.input(np.zeros(2), np.full(2, 15), label="x"))
    assert result_bits(x, text, 1e-6) == (bits_to_keep(600, 1 / 22, 1e-6, None),)


def changed(**circuits):
    """Return the description of functions with gates for each number of rows."""
    first, *others = (description(*gates) for gates in circuits.values())
    text = json.loads(first)
    text["circuits"] += [json.loads(other)["circuits"][0] for other in others]
    for name, function in zip(circuits, text["circuits"], strict=True):
        function["name"] = name
    return json.dumps(text).encode()


@pytest.mark.parametrize(
    "other", [{"width": 5}, {"variance": 1e-16}, {"signed": True}, {"dimension": 601}, {"moduli": (5, 8)}]
)
def test_functions_that_differ_in_more_than_rows_are_refused(other):
    parameters = changed(rows_1=[gate((1, 2))], rows_8=[gate((8, 2))])
    specs = PartSpecs((0,), (0,), parameters, (16,))
    assert specs.forms("inputs")[0].shape == (2,)
    assert specs.array_bytes(3, "inputs") == [48]
    with pytest.raises(CompilationError, match="encrypted in 2 ways"):
        PartSpecs((0,), (0,), changed(rows_1=[gate((1, 2))], rows_8=[gate((8, 2), **other)]), (16,))


@pytest.mark.parametrize(
    ("parameters", "bits", "message"),
    [
        (changed(rows_1=[gate((8, 2))]), (16,), "not of 1 row"),
        (changed(rows_1=[gate((1, 2))] * 2), (16,), "2 input.s. and 2 output.s., the part 1 and 1"),
        (changed(rows_1=[gate((1, 2))]), (16, 16), "expected bits for 1 output"),
        (changed(rows_1=[gate((1, 2))]), (65,), "expected bits for 1 output"),
        (changed(rows_1=[gate((1, 2), moduli=(6, 8))]), (16,), "which cannot be joined"),
        (changed(many=[gate((1, 2))]), (16,), "cannot be encrypted"),
        (b"{}", (16,), "cannot be encrypted"),
        (b"[" * 10**5, (16,), "cannot be encrypted"),
        (b"\xff", (16,), "cannot be encrypted"),
    ],
)
def test_descriptions_that_cannot_be_are_refused(parameters, bits, message):
    with pytest.raises(CompilationError, match=message):
        PartSpecs((0,), (0,), parameters, bits)
