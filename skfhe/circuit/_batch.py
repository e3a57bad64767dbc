"""Ciphertexts of some rows, and whose they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from skfhe.circuit._frames import pack, unpack

if TYPE_CHECKING:
    from skfhe.circuit._keys import KeyId

__all__ = ["Batch", "Holds"]

Holds = Literal["inputs", "results"]
_MAGIC = b"skfhe-ct"


@dataclass(frozen=True, eq=False)
class Batch:
    """Ciphertexts of some rows: what a circuit takes, or what it returns.

    A ciphertext does not tell which keys or which model it belongs to, and under others decrypts to numbers
    that look like any other. So they travel with the names of both.

    Parameters
    ----------
    ciphertexts : tuple of tuple
        For each part of the circuit, one for each of the part's inputs or outputs: as the engine has them, or
        in bytes, as `from_bytes` leaves them until whoever is given the batch has checked it.
    n_rows : int
    holds : {"inputs", "results"}
    circuit_id : str
        Names the circuit that it was made for.
    key_id : str or KeyId
        Names the keys that it is encrypted under.
    """

    ciphertexts: tuple[tuple[Any, ...], ...]
    n_rows: int
    holds: Holds
    circuit_id: str
    key_id: "KeyId | str"

    def __repr__(self) -> str:
        return f"Batch({self.holds} of {self.n_rows} row(s))"

    def __len__(self) -> int:
        return self.n_rows

    def to_bytes(self) -> bytes:
        """Return the batch as bytes, for another process.

        Returns
        -------
        bytes
            A header, and each ciphertext as the engine serializes it.
        """
        header = {
            "holds": self.holds,
            "n_rows": self.n_rows,
            "circuit_id": self.circuit_id,
            "key_id": str(self.key_id),
            "ciphertexts": [len(part) for part in self.ciphertexts],
        }
        blocks = [c if isinstance(c, bytes) else c.serialize() for part in self.ciphertexts for c in part]
        return pack(_MAGIC, header, blocks)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Batch":
        """Return the batch that `to_bytes` was called on.

        Only the frame is read here. Names, numbers and sizes of ciphertexts are compared with those of the
        circuit when the batch is run or decrypted, and the engine reads the ciphertexts after that.

        .. warning::
            The engine's reader trusts what it is given: bytes made to harm let it take gigabytes of memory,
            or end the process. Take batches only from those whom you would let run code.

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
        header, blocks = unpack(_MAGIC, data, "a batch of ciphertexts")
        if not _is_complete(header, len(blocks)):
            raise ValueError("the header of a batch of ciphertexts lacks a field, or has one that cannot be")
        remaining = iter(blocks)
        ciphertexts = tuple(tuple(next(remaining) for _ in range(n)) for n in header["ciphertexts"])
        return cls(ciphertexts, *(header[name] for name in ("n_rows", "holds", "circuit_id", "key_id")))


def _is_complete(header: Mapping[str, Any], n_blocks: int) -> bool:
    """Whether ``header`` has every field, each of its type, and ``n_blocks`` ciphertexts."""
    counts, n_rows = header.get("ciphertexts"), header.get("n_rows")
    return (
        header.get("holds") in ("inputs", "results")
        and type(n_rows) is int
        and n_rows > 0
        and all(isinstance(header.get(name), str) for name in ("circuit_id", "key_id"))
        and isinstance(counts, list)
        and all(type(n) is int and 0 <= n <= n_blocks for n in counts)
        and sum(counts) == n_blocks
    )
