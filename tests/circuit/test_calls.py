"""Rows of any number, of any batches, are run in calls of compiled sizes: nothing depends on which."""

import itertools

import numpy as np
import pytest

from skfhe.circuit import Batch, compile_program
from skfhe.circuit._calls import call_sizes, plan_calls
from skfhe.exceptions import CiphertextMismatchError
from skfhe.program import run
from tests.circuit.two_parts import two_parts
from tests.conftest import random_inputs


@pytest.mark.parametrize("seconds", [(0.3, 0.1), (0.01, 1.0), (1.0, 0.0), (0.0, 1.0), (0.1, 0.25)])
@pytest.mark.parametrize("sizes", [(1,), (1, 8), (1, 3, 4), (1, 2, 8)])
def test_what_is_left_is_run_in_the_cheapest_calls(sizes, seconds):
    """Of all multisets of calls that have room for the rows, none costs less."""
    row, call = seconds

    def price(chosen):
        return sum(call + size * row for size in chosen)

    for n_rows in range(1, max(sizes)):
        found = call_sizes(n_rows, sizes, row, call)
        assert sum(found) >= n_rows
        assert found == sorted(found, reverse=True)
        assert sum(found[:-1]) < n_rows  # none is empty
        choices = itertools.chain.from_iterable(
            itertools.combinations_with_replacement(sizes, k) for k in range(1, n_rows + 1)
        )
        least = min(price(chosen) for chosen in choices if sum(chosen) >= n_rows)
        assert price(found) == pytest.approx(least)


def test_calls_of_the_largest_size_come_first_and_are_full():
    found = call_sizes(1000, (1, 8, 32), 0.3, 0.1)
    assert found[:31] == [32] * 31
    assert found[31:] == [8]
    assert call_sizes(32, (1, 8, 32), 0.3, 0.1) == [32]


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_in_one_call(seed):
    rng = np.random.default_rng(seed)
    n_rows = rng.integers(1, 12, rng.integers(1, 9)).tolist()
    calls = plan_calls(n_rows, call_sizes(sum(n_rows), (1, 3, 8), 0.1, 0.2))
    found = [(batch, row) for call in calls for batch, first, last in call.rows for row in range(first, last)]
    assert found == [(batch, row) for batch, n in enumerate(n_rows) for row in range(n)]
    for call in calls:
        assert 0 < sum(last - first for _, first, last in call.rows) == call.n_rows <= call.size


@pytest.fixture(scope="module")
def circuit():
    return compile_program(two_parts(), batch_sizes=(1, 3, 8))


def assert_decrypts(circuit, result, inputs):
    for got, wanted in zip(circuit.decrypt(result), run(circuit.program, *inputs), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("seed", range(3))
def test_rows_run_together_are_rows_run_apart(circuit, seed):
    """One batch, its rows cut anywhere into batches of their own, and these in common calls."""
    rng = np.random.default_rng(seed)
    n_rows = int(rng.integers(2, 21))
    inputs = random_inputs(circuit.program, n_rows, rng)
    assert_decrypts(circuit, circuit.run(circuit.encrypt(*inputs)), inputs)
    cuts = np.sort(rng.choice(np.arange(1, n_rows), min(3, n_rows - 1), replace=False))
    apart = [*zip(*(np.split(x, cuts) for x in inputs), strict=True)]
    batches = [Batch.from_bytes(circuit.encrypt(*rows).to_bytes()) for rows in apart]
    assert len({batch.seed for batch in batches}) == len(batches)
    results = circuit.compiled.run_together(batches, circuit.session.evaluation_keys)
    for result, batch, rows in zip(results, batches, apart, strict=True):
        assert (len(result), result.holds, result.seed) == (len(batch), "results", b"")
        assert_decrypts(circuit, result, rows)
        assert_decrypts(circuit, Batch.from_bytes(result.to_bytes()), rows)


def test_no_batch_is_no_result_and_one_that_does_not_fit_stops_all(circuit):
    keys = circuit.session.evaluation_keys
    assert circuit.compiled.run_together([], keys) == []
    batch = circuit.encrypt(*random_inputs(circuit.program, 2, np.random.default_rng(0)))
    with pytest.raises(CiphertextMismatchError, match="expected encrypted inputs, got results"):
        circuit.compiled.run_together([batch, circuit.run(batch)], keys)


def test_results_are_smaller_on_the_wire_than_those_of_the_engine(circuit):
    """Four times for lookups, and for sums as far as their noise allows."""
    looked_up, summed = circuit.compiled.specs.parts[1], circuit.compiled.specs.parts[0]
    if not circuit.compiled.parts[1].lookups:
        looked_up, summed = summed, looked_up
    for part, times in ((looked_up, 4), (summed, 2)):
        (form,), (n_bytes,) = part.forms("results"), part.array_bytes(1, "results")
        assert 8 * form.n_words > times * n_bytes
    result = circuit.run(circuit.encrypt(*random_inputs(circuit.program, 5, np.random.default_rng(0))))
    n_bytes = sum(sum(part.array_bytes(5, "results")) for part in circuit.compiled.specs.parts)
    assert n_bytes < len(result.to_bytes()) < n_bytes + 400
    assert circuit.statistics["output_bytes"] * 5 == pytest.approx(n_bytes, rel=0.01)
