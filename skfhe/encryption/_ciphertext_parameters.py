"""What the engine's description says of one array of ciphertexts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CiphertextParameters", "read_parameters"]

WORD_BYTES = 8
_MODULUS_BITS = 64
_NATIVE: dict[str, Any] = {"modulus": {"native": {}}}
_MOST_BYTES = 2**29
"""Beyond, the engine's frame has the words in several blocks."""
_LARGEST_VARIANCE = 2.0**-16
"""Noise stays far within 64 bits; real parameters are below 2**-22."""


@dataclass(frozen=True)
class CiphertextParameters:
    """An array of LWE ciphertexts of integers modulo 2**64, one for each integer.

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
    """

    shape: tuple[int, ...]
    dimension: int
    variance: float
    width: int
    signed: bool
    key_id: int

    @property
    def size(self) -> int:
        """Number of ciphertexts."""
        return math.prod(self.shape)

    @property
    def n_words(self) -> int:
        """Words of all ciphertexts, each a mask and a body."""
        return self.size * (self.dimension + 1)


def read_parameters(gate: Mapping[str, Any]) -> CiphertextParameters | None:
    """Return the parameters of an input or output of a compiled function.

    Parameters
    ----------
    gate : mapping
        From the JSON form of the engine's ``ProgramInfo``.

    Returns
    -------
    CiphertextParameters or None
        None if ciphertexts are of another kind than those of this room: integers that are split into
        residues, one ciphertext for each (chosen by the engine for some wide lookups), ciphertexts that the
        engine compresses, or more bytes than one block of its frame can have. The engine itself can encrypt
        those.
    """
    raw, kind = gate.get("rawInfo", {}), gate.get("typeInfo", {}).get("lweCiphertext", {})
    encryption = kind.get("encryption", {})
    integer = kind.get("encoding", {}).get("integer", {})
    if (
        kind.get("compression") != "none"
        or integer.get("mode") != {"native": {}}
        or encryption.get("modulus") != _NATIVE
        or {kind.get("integerPrecision"), raw.get("integerPrecision")} != {_MODULUS_BITS}
        or raw.get("isSigned")
    ):
        return None
    found = CiphertextParameters(
        shape=tuple(kind["abstractShape"]["dimensions"]),
        dimension=encryption["lweDimension"],
        variance=encryption["variance"],
        width=integer["width"],
        signed=integer["isSigned"],
        key_id=encryption["keyId"],
    )
    dimensions = [*found.shape, found.dimension + 1]
    if not (
        kind["concreteShape"]["dimensions"] == raw["shape"]["dimensions"] == dimensions
        and found.n_words * WORD_BYTES < _MOST_BYTES
        and 0 < found.variance < _LARGEST_VARIANCE
        and 0 < found.width < _MODULUS_BITS - 1
    ):
        return None
    return found
