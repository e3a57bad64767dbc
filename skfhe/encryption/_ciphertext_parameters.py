"""What the engine's description says of one array of ciphertexts."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["WORD_BYTES", "CiphertextParameters", "read_parameters"]

WORD_BYTES = 8
_MODULUS_BITS = 64
_NATIVE: dict[str, Any] = {"modulus": {"native": {}}}
_MOST_BYTES = 2**29
"""Beyond, the engine's frame has the words in several blocks."""
_LARGEST_VARIANCE = 2.0**-16
"""Noise stays far within 64 bits; real parameters are below 2**-22."""
_LARGEST_MODULUS = 2**16
_LARGEST_PRODUCT = 2**40
"""Of residues, of which the engine's own have fewer than 2**17; sums of them stay within 64 bits."""


@dataclass(frozen=True)
class CiphertextParameters:
    """An array of LWE ciphertexts modulo 2**64: one for each integer, or one for each of its residues.

    Parameters
    ----------
    shape : tuple of int
        Of the integers.
    dimension : int
        Words of a mask, and of the secret key.
    variance : float
        Of the noise, as a fraction of the square of the modulus.
    width : int
        Bits of an integer, the sign among them.
    signed : bool
        Whether integers are read with a sign.
    key_id : int
        Which of the secret keys, by the engine's count.
    moduli : tuple of int, default=()
        That the residues of an integer are taken by, one ciphertext for each. Empty if an integer is one
        ciphertext.
    """

    shape: tuple[int, ...]
    dimension: int
    variance: float
    width: int
    signed: bool
    key_id: int
    moduli: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of ciphertexts."""
        return math.prod(self.shape) * (len(self.moduli) or 1)

    @property
    def n_words(self) -> int:
        """Words of all ciphertexts, each a mask and a body."""
        return self.size * (self.dimension + 1)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Shape of all words."""
        return (*self.shape, *([len(self.moduli)] if self.moduli else []), self.dimension + 1)

    @property
    def half_cell(self) -> float:
        """How far noise may lead, as a fraction of the modulus, until another integer is read."""
        return 0.5 / max(self.moduli) if self.moduli else 2.0 ** -(self.width + 2)

    def of_rows(self, n_rows: int) -> "CiphertextParameters":
        """Return the parameters of so many arrays like this one, rows first."""
        return replace(self, shape=(n_rows, *self.shape))


def read_parameters(gate: Mapping[str, Any]) -> CiphertextParameters:
    """Return the parameters of an input or output of a compiled function.

    Parameters
    ----------
    gate : mapping
        From the JSON form of the engine's ``ProgramInfo``.

    Returns
    -------
    CiphertextParameters

    Raises
    ------
    ValueError
        If ciphertexts are of a kind that is not known here; the message says what is.
    """
    try:
        return _read(gate)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"the description of a ciphertext cannot be read: {error!r}") from None


def _read(gate: Mapping[str, Any]) -> CiphertextParameters:
    raw, kind = gate["rawInfo"], gate["typeInfo"]["lweCiphertext"]
    encryption, integer = kind["encryption"], kind["encoding"]["integer"]
    found = CiphertextParameters(
        shape=tuple(kind["abstractShape"]["dimensions"]),
        dimension=encryption["lweDimension"],
        variance=encryption["variance"],
        width=integer["width"],
        signed=integer["isSigned"],
        key_id=encryption["keyId"],
        moduli=_moduli(integer["mode"]),
    )
    numbers = (*found.shape, found.dimension, found.width, found.key_id, *found.moduli)
    for right, said in (
        (kind["compression"] == "none", "is compressed by the engine"),
        (encryption["modulus"] == _NATIVE, "is not modulo 2**64"),
        ({kind["integerPrecision"], raw["integerPrecision"]} == {_MODULUS_BITS}, "has words of other size"),
        (raw["isSigned"] is False and isinstance(found.signed, bool), "has words of another kind"),
        (all(type(n) is int for n in numbers), "has sizes that are none"),
        (
            min(*found.shape, found.dimension, found.width, found.key_id + 1, 1) == 1,
            "has sizes that are none",
        ),
        (
            tuple(kind["concreteShape"]["dimensions"]) == found.dimensions,
            "has another shape than its integers",
        ),
        (tuple(raw["shape"]["dimensions"]) == found.dimensions, "has another shape than its integers"),
        (0 < found.variance < _LARGEST_VARIANCE, "has noise of a size that decrypts to nothing"),
        (found.width < _MODULUS_BITS - 1, "has more bits than a word"),
        (found.n_words * WORD_BYTES < _MOST_BYTES, f"has {_MOST_BYTES} bytes and more for one call"),
    ):
        if not right:
            raise ValueError(f"an array of ciphertexts {said}")
    return found


def _moduli(mode: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the moduli of an encoding, none if it has no residues."""
    if mode == {"native": {}}:
        return ()
    moduli = tuple(mode["crt"]["moduli"])
    if not (
        moduli
        and all(type(m) is int and 1 < m <= _LARGEST_MODULUS for m in moduli)
        and all(math.gcd(a, b) == 1 for a, b in itertools.combinations(moduli, 2))
        and math.prod(moduli) <= _LARGEST_PRODUCT
    ):
        raise ValueError(f"integers are split into residues modulo {list(moduli)}, which cannot be joined")
    return moduli
