"""The zoo: networks of every kind are read exactly, evaluated near in 8 bits, and encrypted as in the clear.

The float network that was read computes what the network does, in double precision and on rows that it was
not captured on; so errors of quantized results come from quantization alone. Both are tested of one import.
"""

from contextlib import suppress

import brevitas
import numpy as np
import pytest
import torch
from packaging.version import Version

from skfhe.exceptions import CompilationError, UnsupportedOperatorError
from skfhe.network import NetworkBuilder
from tests.importers.zoo import REFUSED, ZOO, flat

WIDEST = 6
"""Bits of the widest lookup that tests encrypt."""
MOST_SECONDS = 2.0
N_ROWS = 2
FEW_BITS = [
    {"n_bits": 2},
    {"n_bits": 2, "rounding_threshold_bits": 4},
    {"n_bits": {"op_inputs": 3, "model_outputs": 3}},
    {"n_bits": 3, "rounding_threshold_bits": 5},
]
EXACT = 1e-6
"""Of the largest magnitude: constants in single precision, and what onnxruntime computes in it."""
BITS = {"n_bits": 8, "rounding_threshold_bits": 8}
AS_TRAINED = {"rounding_threshold_bits": 16}
"""Lookups read at most so many bits, and most networks need fewer: their integers are their own."""


SOME = 25
"""Every fifteenth network is evaluated encrypted here; ``benchmarks/networks/zoo.py`` takes all."""


def skip_what_old_releases_lack(name):
    """Skip networks that the releases here cannot export, count in double precision or quantize."""
    if name == "vmap" and Version(torch.__version__) < Version("2.9"):
        pytest.skip("torch does not export it")
    if name.startswith("Brevitas") and Version(brevitas.__version__) < Version("0.12.1"):
        pytest.skip("Brevitas does not count in double precision")
    if name.startswith("onnxruntime"):
        pytest.importorskip("ml_dtypes")


def named(networks):
    return [
        pytest.param(each, id=each.name, marks=[pytest.mark.slow] if each.slow else []) for each in networks
    ]


@pytest.fixture
def read(monkeypatch):
    """Float networks that are read, while the test runs."""
    networks, init = [], NetworkBuilder.__init__

    def recorded(self, *args, **kwargs):
        networks.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(NetworkBuilder, "__init__", recorded)
    return networks


@pytest.mark.parametrize("network", named(ZOO))
def test_read_exactly_and_near_in_eight_bits(network, read):
    skip_what_old_releases_lack(network.name)
    module = network.quantize(**(BITS if network.by in ("torch", "onnx") else AS_TRAINED))
    rows = network.rows()
    wanted = flat(network.expected(rows))
    outputs = next(each.outputs for each in reversed(read) if each.outputs)
    for output, exact in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(output.reference.numpy(), exact, atol=EXACT * np.abs(exact).max())
    results = flat(module.forward(*rows))
    assert [result.shape for result in results] == [exact.shape for exact in wanted]
    for result, exact in zip(results, wanted, strict=True):
        error = np.sqrt(np.mean(np.square(result - exact)))
        assert error <= network.bound * (exact.std() or 1.0)


def affordable(network):
    """Return the network in few bits, if a row is cheap then; with something to look up, if there can be."""
    if network.by not in ("torch", "onnx"):
        module = network.quantize()
        return module if is_affordable(module) else None
    cheap = []
    for settings in FEW_BITS:
        with suppress(CompilationError, UnsupportedOperatorError):
            module = network.quantize(**settings)
            cheap += [module] if is_affordable(module) else []
            if cheap and cheap[-1].cost_.lookups:
                return cheap[-1]
    return cheap[0] if cheap else None


def is_affordable(module):
    return max(module.cost_.lookups, default=0) <= WIDEST and module.cost_.seconds < MOST_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("network", named(ZOO[::SOME]))
def test_encrypted_integers_are_those_in_the_clear(network):
    module = affordable(network)
    if module is None:
        pytest.skip("more than two seconds a row, or lookups of more than six bits")
    module.compile()
    encoded = module.quantize_input(*(x[:N_ROWS] for x in network.rows()))
    encrypted, clear = (flat(module.quantized_forward(encoded, fhe=fhe)) for fhe in ("execute", "disable"))
    for each, expected in zip(encrypted, clear, strict=True):
        np.testing.assert_array_equal(each, expected)


@pytest.mark.parametrize("network", named(REFUSED))
def test_what_cannot_be_evaluated_is_refused_for_its_reason(network):
    skip_what_old_releases_lack(network.name)
    with pytest.raises((ValueError, TypeError), match=network.refusal):
        network.quantize()


def test_every_network_has_a_name_of_its_own():
    names = [network.name for network in (*ZOO, *REFUSED)]
    assert len(set(names)) == len(names) >= 80
