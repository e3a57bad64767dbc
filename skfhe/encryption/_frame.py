"""The engine's frame around the words of ciphertexts, built from their parameters.

The engine takes and gives ciphertexts as messages of Cap'n Proto: a segment table, and two segments of
64-bit words in little-endian order. The first has the words of the ciphertexts behind six pointers, then
their shape and how they are encrypted; the second, which a far pointer of the first leads to, has how
integers are encoded, or if they are split into residues, what the moduli are.

Everything but the words follows from the parameters. So a frame is read by comparing every byte around the
words with what it has to be.
"""

import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from skfhe.encryption._ciphertext_parameters import WORD_BYTES, CiphertextParameters
from skfhe.exceptions import CiphertextMismatchError

__all__ = ["Frame", "Words"]

Words: TypeAlias = NDArray[np.uint64]
_BYTE, _FOUR_BYTES, _POINTER = 2, 4, 6
"""Sizes of elements of a list, by the code of Cap'n Proto."""
_EMPTY = 0xFFFFFFFC
"""Pointer to a structure without fields."""
_FAR = 2 | 1 << 32
"""Pointer to the first word of the second segment."""
_RESIDUES = 2
"""Says that an integer is split into them."""


def _structure(offset: int, n_data: int, n_pointers: int) -> int:
    """Return a pointer to a structure, ``offset`` words behind it."""
    return offset << 2 | n_data << 32 | n_pointers << 48


def _list(element: int, length: int) -> int:
    """Return a pointer to a list that is right behind it."""
    return 1 | element << 32 | length << 35


def _packed(numbers: Sequence[int]) -> list[int]:
    """Return numbers of 32 bits as words, two in each."""
    even = [*numbers, *[0] * (len(numbers) % 2)]
    return [low | high << 32 for low, high in zip(even[::2], even[1::2], strict=True)]


class Frame:
    """What is around the words of ciphertexts of some parameters.

    Parameters
    ----------
    parameters : CiphertextParameters

    Attributes
    ----------
    parameters : CiphertextParameters
    """

    def __init__(self, parameters: CiphertextParameters) -> None:
        self.parameters = parameters
        n_words = parameters.n_words
        shape = _packed(parameters.shape)
        full = [_list(_FOUR_BYTES, len(parameters.dimensions)), *_packed(parameters.dimensions)]
        raw = [64, _structure(0, 0, 1), *full]
        (variance,) = struct.unpack("<Q", struct.pack("<d", parameters.variance))
        integer = parameters.width | parameters.signed << 32
        if parameters.moduli:
            pointer = _structure(6 + len(shape) + len(full), 1, 1)
            near = [integer | _RESIDUES << 48, _structure(0, 0, 1), _FAR]
            second = [_list(_FOUR_BYTES, len(parameters.moduli)), *_packed(parameters.moduli)]
        else:
            pointer, near, second = _FAR, [], [_structure(0, 1, 1), integer, _EMPTY]
        kind = [
            *(0, _structure(0, 1, 4)),  # an LWE ciphertext, of which follow precision and four pointers
            *(64, _structure(3, 0, 1), _structure(3 + len(shape), 0, 1)),
            *(_structure(2 + len(shape) + len(full), 2, 1), pointer),
            *(_list(_FOUR_BYTES, len(parameters.shape)), *shape),
            *full,
            *(parameters.key_id | parameters.dimension << 32, variance),
            *(_structure(0, 1, 1), 0, _EMPTY),  # the modulus is that of words
            *near,
        ]
        before = [
            *(_structure(0, 0, 3), _structure(2, 0, 1)),
            *(_structure(3 + n_words, 1, 1), _structure(2 + n_words + len(raw), 1, 1)),
            *(_list(_POINTER, 1), _list(_BYTE, WORD_BYTES * n_words)),
        ]
        first = len(before) + n_words + len(raw) + len(kind)
        self._head = np.array([1 | first << 32, len(second), *before], dtype="<u8").tobytes()
        self._tail = np.array([*raw, *kind, *second], dtype="<u8").tobytes()

    @property
    def n_bytes(self) -> int:
        """Bytes of the frame with its words."""
        return len(self._head) + self.parameters.n_words * WORD_BYTES + len(self._tail)

    @property
    def begin(self) -> int:
        """Where the words begin, in bytes."""
        return len(self._head)

    def empty(self) -> bytearray:
        """Return a frame whose words are zero, to be filled."""
        frame = bytearray(self.n_bytes)
        frame[: self.begin] = self._head
        frame[-len(self._tail) :] = self._tail
        return frame

    def words(self, data: bytes) -> Words:
        """Return the words in a frame, a ciphertext in each row, without copying them.

        Parameters
        ----------
        data : bytes
            As the engine serializes ciphertexts.

        Returns
        -------
        ndarray of uint64, shape (size, dimension + 1)

        Raises
        ------
        CiphertextMismatchError
            If anything around the words is not as the parameters say.
        """
        if len(data) != self.n_bytes:
            raise CiphertextMismatchError(f"expected a ciphertext of {self.n_bytes} bytes, got {len(data)}")
        if not (data.startswith(self._head) and data.endswith(self._tail)):
            raise CiphertextMismatchError(
                "what is around the words of a ciphertext differs from what its circuit's parameters say: "
                "it was made for another circuit, or was changed on its way"
            )
        words = np.frombuffer(data, dtype="<u8", count=self.parameters.n_words, offset=self.begin)
        return words.reshape(self.parameters.size, self.parameters.dimension + 1)
