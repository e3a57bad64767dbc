"""Ciphertexts of some rows, and whose they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from skfhe.circuit._frames import pack, unpack
from skfhe.encryption import WORD_BYTES, Words, pack_bits

if TYPE_CHECKING:
    from skfhe.circuit._keys import KeyId

__all__ = ["Batch", "Holds"]

Holds = Literal["inputs", "results"]
_MAGIC = b"skfhe-ct"


@dataclass(frozen=True, eq=False)
class Batch:
    """Ciphertexts of any number of rows: what a circuit takes, or what it returns.

    A ciphertext does not tell which keys or which model it belongs to, and under others decrypts to numbers
    that look like any other. So they travel with the names of both.

    Parameters
    ----------
    ciphertexts : tuple of tuple of (bytes or ndarray)
        For each part of the circuit, one array for each of the part's inputs or outputs. Inputs are the
        bodies of ciphertexts, eight bytes for each integer, whose masks the seed is expanded to. Results are
        words of ``bits`` bits, a ciphertext in each row, or these one after the other in bytes, as
        `from_bytes` leaves them until whoever is given the batch has checked it.
    n_rows : int
    holds : {"inputs", "results"}
    circuit_id : str
        Names the circuit that it was made for.
    key_id : str or KeyId
        Names the keys that it is encrypted under.
    seed : bytes
        Of the masks of inputs; empty if the batch holds results. It is not secret.
    bits : tuple of tuple of int
        That each array of results keeps of its words; empty if the batch holds inputs.
    """

    ciphertexts: tuple[tuple[bytes | Words, ...], ...]
    n_rows: int
    holds: Holds
    circuit_id: str
    key_id: "KeyId | str"
    seed: bytes = b""
    bits: tuple[tuple[int, ...], ...] = ()

    def __repr__(self) -> str:
        return f"Batch({self.holds} of {self.n_rows} row(s))"

    def __len__(self) -> int:
        return self.n_rows

    def to_bytes(self) -> bytes:
        """Return the batch as bytes, for another process.

        Returns
        -------
        bytes
            A header, the seed, and the bodies of inputs, or the words of results.
        """
        arrays, bits = list(chain(*self.ciphertexts)), list(chain(*self.bits))
        header = {
            "holds": self.holds,
            "n_rows": self.n_rows,
            "circuit_id": self.circuit_id,
            "key_id": str(self.key_id),
            "ciphertexts": [len(part) for part in self.ciphertexts],
            "bits": bits,
        }
        blocks = [
            array if isinstance(array, bytes) else pack_bits(array, bits[i]) for i, array in enumerate(arrays)
        ]
        return pack(_MAGIC, header, [self.seed, *blocks])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Batch":
        """Return the batch that `to_bytes` was called on.

        Only the frame is read here. Names, numbers and sizes of ciphertexts are compared with those of the
        circuit when the batch is run or decrypted. Nothing that is read allocates more than some times the
        bytes that are there, and none of it is ever given to the engine but as words in a frame that is made
        here.

        Parameters
        ----------
        data : bytes

        Returns
        -------
        Batch

        Raises
        ------
        ValueError
            If these are not the bytes of a batch, or not all of them, or of another version.
        """
        header, (seed, *arrays) = _unpacked(data)
        remaining, bits = iter(arrays), iter(header["bits"])
        counts = header["ciphertexts"]
        return cls(
            tuple(tuple(next(remaining) for _ in range(n)) for n in counts),
            header["n_rows"],
            header["holds"],
            header["circuit_id"],
            header["key_id"],
            seed,
            tuple(tuple(next(bits) for _ in range(n)) for n in counts) if header["bits"] else (),
        )


def _unpacked(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return the header and the blocks of a batch, which fit each other."""
    header, blocks = unpack(_MAGIC, data, "a batch of ciphertexts")
    if not _is_complete(header, [len(block) for block in blocks[1:]]):
        raise ValueError("the header of a batch of ciphertexts lacks a field, or has one that cannot be")
    return header, blocks


def _is_complete(header: Mapping[str, Any], sizes: list[int]) -> bool:
    """Whether ``header`` has every field, each of its type, for arrays of these bytes.

    An array has as many words of as many bits as its rows need, two at least for each row of results: so no
    number is larger than what is there.
    """
    counts, n_rows, bits = header.get("ciphertexts"), header.get("n_rows"), header.get("bits")
    if not (
        header.keys() == {"holds", "n_rows", "circuit_id", "key_id", "ciphertexts", "bits"}
        and type(n_rows) is int
        and n_rows > 0
        and all(isinstance(header[name], str) for name in ("circuit_id", "key_id"))
        and isinstance(counts, list)
        and all(type(n) is int and 0 <= n <= len(sizes) for n in counts)
        and sum(counts) == len(sizes)
        and isinstance(bits, list)
        and all(type(n) is int and 0 < n <= 8 * WORD_BYTES for n in bits)
    ):
        return False
    if header["holds"] == "inputs":
        return not bits and all(size and not size % (n_rows * WORD_BYTES) for size in sizes)
    fit = len(bits) == len(sizes) and all(
        8 * size >= 2 * n_rows * n for size, n in zip(sizes, bits, strict=True)
    )
    return header["holds"] == "results" and fit
