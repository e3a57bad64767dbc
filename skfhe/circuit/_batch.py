"""Ciphertexts of some rows, and whose they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from skfhe.circuit._frames import pack, unpack

if TYPE_CHECKING:
    from skfhe.circuit._keys import KeyId

__all__ = ["Batch", "Holds", "serialized"]

Holds = Literal["inputs", "results"]
_MAGIC = b"skfhe-ct"


def serialized(ciphertext: Any) -> bytes:
    """Return a ciphertext in bytes, if it is not already."""
    data: bytes = ciphertext if isinstance(ciphertext, bytes) else ciphertext.serialize()
    return data


@dataclass(frozen=True, eq=False)
class Batch:
    """Ciphertexts of some rows: what a circuit takes, or what it returns.

    A ciphertext does not tell which keys or which model it belongs to, and under others decrypts to numbers
    that look like any other. So they travel with the names of both.

    Parameters
    ----------
    ciphertexts : tuple of tuple
        For each part of the circuit, one for each of the part's inputs or outputs. Inputs are the bodies of
        ciphertexts, eight bytes for each integer, whose masks the seed is expanded to. Results, and inputs
        that the engine itself has encrypted, are as the engine has them, or in bytes, as `from_bytes`
        leaves them until whoever is given the batch has checked it.
    n_rows : int
    holds : {"inputs", "results"}
    circuit_id : str
        Names the circuit that it was made for.
    key_id : str or KeyId
        Names the keys that it is encrypted under.
    seed : bytes
        Of the masks of inputs; empty if the batch holds results. It is not secret.
    """

    ciphertexts: tuple[tuple[Any, ...], ...]
    n_rows: int
    holds: Holds
    circuit_id: str
    key_id: "KeyId | str"
    seed: bytes = b""

    def __repr__(self) -> str:
        return f"Batch({self.holds} of {self.n_rows} row(s))"

    def __len__(self) -> int:
        return self.n_rows

    def to_bytes(self) -> bytes:
        """Return the batch as bytes, for another process.

        Returns
        -------
        bytes
            A header, the seed, and the bodies of inputs, or each result as the engine serializes it.
        """
        header = {
            "holds": self.holds,
            "n_rows": self.n_rows,
            "circuit_id": self.circuit_id,
            "key_id": str(self.key_id),
            "ciphertexts": [len(part) for part in self.ciphertexts],
        }
        blocks = [serialized(ciphertext) for part in self.ciphertexts for ciphertext in part]
        return pack(_MAGIC, header, [self.seed, *blocks])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Batch":
        """Return the batch that `to_bytes` was called on.

        Only the frame is read here. Names, numbers and sizes of ciphertexts are compared with those of the
        circuit when the batch is run or decrypted, and the engine reads the ciphertexts after that.

        .. warning::
            Ciphertexts of the kind that the engine alone encrypts are read by it, and it trusts what it is
            given: bytes made to harm let it take gigabytes of memory, or end the process. Take batches only
            from those whom you would let run code.

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
        if not _is_complete(header, len(blocks) - 1):
            raise ValueError("the header of a batch of ciphertexts lacks a field, or has one that cannot be")
        seed, *ciphertext_blocks = blocks
        remaining = iter(ciphertext_blocks)
        ciphertexts = tuple(tuple(next(remaining) for _ in range(n)) for n in header["ciphertexts"])
        names = ("n_rows", "holds", "circuit_id", "key_id")
        return cls(ciphertexts, **{name: header[name] for name in names}, seed=seed)


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
