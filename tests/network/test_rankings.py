"""Sorting networks put every row in order, with as few lookups as the wanted ranks need."""

import itertools

import numpy as np
import pytest
import torch

from skfhe.network import Emitter, NetworkBuilder, PostTraining, lower_network, rankings
from skfhe.program import ops, trace


def built(function, X):
    network = NetworkBuilder([torch.from_numpy(X)], ["x"])
    network.outputs.append(function(network, network.inputs[0]))
    return network


def lowered(network, n_bits):
    scheme = PostTraining(Emitter("proven", 0.0, None), n_bits, n_bits, n_bits, n_bits, "minmax")
    return lower_network(network, scheme)


@pytest.mark.parametrize("n", range(2, 9))
def test_every_row_of_zeros_and_ones_is_sorted(n):
    """A network of comparators that sorts these sorts everything (Knuth)."""
    X = np.array(list(itertools.product([0.0, 1.0], repeat=n)))
    every_rank = [range(n), [0], [n - 1], [n - 1, n - 2], [(n - 1) // 2]]
    for ranks in every_rank:
        network = built(lambda build, x, ranks=ranks: rankings.ranked(build, x, 0, ranks), X)
        found = network.outputs[0].reference.numpy()
        np.testing.assert_array_equal(found, np.sort(X, axis=1)[:, list(ranks)])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_integers_are_compared_as_the_floats_are(sign):
    """One lookup a comparator; on a grid that falls, the smaller float is the larger integer."""
    X = np.random.default_rng(0).integers(0, 8, (60, 4, 2)).astype(np.float64)
    functions = {
        5: lambda build, x: rankings.ranked(build, build.affine(x, sign), 0, range(4)),
        3: lambda build, x: rankings.cumulative_extremum(build, build.affine(x, sign), 0, largest=True),
    }
    for n_comparators, function in functions.items():
        network = built(function, X)
        result = lowered(network, 3)
        (_, quantizer), (decoder,) = result.quantizers[0], result.decoders
        encoded = quantizer.quantize(X)
        decoded = decoder.decode(trace(result.program, encoded)[result.program.outputs[0]])
        np.testing.assert_allclose(decoded, network.outputs[0].reference.numpy(), atol=1e-9)
        lookups = [value for value in result.program.values if isinstance(value.op, ops.Lookup)]
        assert sum(value.type.size for value in lookups) == 2 * n_comparators


def test_the_largest_of_many_takes_one_comparator_less_than_there_are():
    X = np.random.default_rng(0).normal(size=(20, 9))
    for ranks, n_comparators in (([8], 8), ([0], 8), ([8, 7], 15)):
        network = built(lambda build, x, ranks=ranks: rankings.ranked(build, x, 0, ranks), X)
        operation = network.nodes[1].operation
        assert sum(map(len, operation.steps)) == n_comparators
