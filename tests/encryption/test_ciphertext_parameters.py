"""Ciphertexts that are not plain LWE of one integer each are told from those that are."""

import copy

import pytest

from skfhe.encryption import CiphertextParameters, read_parameters
from tests.encryption.descriptions import gate


def test_parameters_are_read_from_the_engines_description():
    found = read_parameters(gate((2, 3), 7, True, 811, 2.5e-17, 1))
    assert found == CiphertextParameters((2, 3), 811, 2.5e-17, 7, True, 1)
    assert (found.size, found.n_words) == (6, 6 * 812)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("typeInfo", "lweCiphertext", "encoding", "integer", "mode"), {"crt": {"moduli": [7, 8, 9]}}),
        (("typeInfo", "lweCiphertext", "encoding", "integer", "mode"), {"chunked": {"size": 4, "width": 2}}),
        (("typeInfo", "lweCiphertext", "encoding"), {"boolean": {}}),
        (("typeInfo", "lweCiphertext", "compression"), "seed"),
        (("typeInfo", "lweCiphertext", "integerPrecision"), 32),
        (("typeInfo", "lweCiphertext", "encryption", "modulus"), {"modulus": {"powerOfTwo": {"power": 60}}}),
        (("typeInfo", "lweCiphertext", "encryption", "variance"), 0.0),
        (("typeInfo", "lweCiphertext", "concreteShape", "dimensions"), [2, 3, 3, 601]),
        (("typeInfo",), {"plaintext": {}}),
        (("rawInfo", "isSigned"), True),
        (("rawInfo", "shape", "dimensions"), [2, 3, 2]),
    ],
)
def test_other_kinds_are_left_to_the_engine(path, value):
    """Residues, compressed ciphertexts, and whatever else the engine's format can say."""
    changed = copy.deepcopy(gate((2, 3)))
    place = changed
    for name in path[:-1]:
        place = place[name]
    assert place[path[-1]] != value
    place[path[-1]] = value
    assert read_parameters(gate((2, 3))) is not None
    assert read_parameters(changed) is None


def test_what_one_block_of_the_frame_cannot_have_is_left_to_the_engine():
    assert read_parameters(gate((32, 1000), dimension=2000)) is not None
    assert read_parameters(gate((32, 1100), dimension=2000)) is None
