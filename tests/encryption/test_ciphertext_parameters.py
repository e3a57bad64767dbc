"""Ciphertexts that are not plain LWE of one integer each are told from those that are."""

import copy

import pytest

from skfhe.encryption import CiphertextParameters, read_parameters
from tests.encryption.descriptions import gate


def test_parameters_are_read_from_the_engines_description():
    found = read_parameters(gate((2, 3), 7, True, 811, 2.5e-17, 1))
    assert found == CiphertextParameters((2, 3), 811, 2.5e-17, 7, True, 1)
    assert (found.size, found.n_words) == (6, 6 * 812)


def test_residues_are_ciphertexts_of_their_own():
    found = read_parameters(gate((2, 3), 12, True, 2048, 8.4e-31, moduli=(7, 8, 9, 11)))
    assert found == CiphertextParameters((2, 3), 2048, 8.4e-31, 12, True, 0, (7, 8, 9, 11))
    assert (found.size, found.n_words, found.dimensions) == (24, 24 * 2049, (2, 3, 4, 2049))
    assert found.half_cell == 1 / 22


def changed(path, value):
    """Return a gate with something else at one place."""
    found = place = copy.deepcopy(gate((2, 3)))
    for name in path[:-1]:
        place = place[name]
    assert place[path[-1]] != value
    place[path[-1]] = value
    return found


CIPHERTEXT = ("typeInfo", "lweCiphertext")
INTEGER = (*CIPHERTEXT, "encoding", "integer")
ENCRYPTION = (*CIPHERTEXT, "encryption")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*INTEGER, "mode"), {"crt": {"moduli": [7, 8, 9]}}, "another shape than its integers"),
        ((*INTEGER, "mode"), {"crt": {"moduli": [6, 8]}}, "which cannot be joined"),
        ((*INTEGER, "mode"), {"crt": {"moduli": [2**40]}}, "which cannot be joined"),
        ((*INTEGER, "mode"), {"crt": {"moduli": []}}, "which cannot be joined"),
        ((*INTEGER, "mode"), {"chunked": {"size": 4, "width": 2}}, "cannot be read"),
        ((*CIPHERTEXT, "encoding"), {"boolean": {}}, "cannot be read"),
        ((*CIPHERTEXT, "compression"), "seed", "compressed by the engine"),
        ((*CIPHERTEXT, "integerPrecision"), 32, "words of other size"),
        ((*ENCRYPTION, "modulus"), {"modulus": {"powerOfTwo": {"power": 60}}}, "not modulo"),
        ((*ENCRYPTION, "variance"), 0.0, "noise"),
        ((*ENCRYPTION, "variance"), float("nan"), "noise"),
        ((*ENCRYPTION, "variance"), "1", "cannot be read"),
        ((*ENCRYPTION, "lweDimension"), -1, "sizes that are none"),
        ((*ENCRYPTION, "keyId"), -1, "sizes that are none"),
        ((*ENCRYPTION, "keyId"), 0.5, "sizes that are none"),
        ((*INTEGER, "width"), 63, "more bits than a word"),
        ((*INTEGER, "width"), True, "sizes that are none"),
        ((*INTEGER, "isSigned"), 1.5, "words of another kind"),
        ((*CIPHERTEXT, "abstractShape", "dimensions"), [2, -3], "sizes that are none"),
        ((*CIPHERTEXT, "concreteShape", "dimensions"), [2, 3, 3, 601], "another shape"),
        (("typeInfo",), {"plaintext": {}}, "cannot be read"),
        (("rawInfo", "isSigned"), True, "words of another kind"),
        (("rawInfo", "shape", "dimensions"), [2, 3, 2], "another shape"),
    ],
)
def test_other_kinds_are_refused(path, value, message):
    """Compressed ciphertexts, and whatever else the engine's format can say, or a file that was altered."""
    with pytest.raises(ValueError, match=message):
        read_parameters(changed(path, value))


def test_what_one_block_of_the_frame_cannot_have_is_refused():
    assert read_parameters(gate((32, 1000), dimension=2000)).size == 32_000
    with pytest.raises(ValueError, match="536870912 bytes and more for one call"):
        read_parameters(gate((32, 1100), dimension=2000))
