"""Ciphertexts of some rows, and whose they are."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Batch"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Ciphertexts of some rows: what a circuit takes, or what it returns.

    A ciphertext does not tell which keys or which model it belongs to, and under others decrypts to numbers
    that look like any other. So they travel with the names of both.

    Parameters
    ----------
    ciphertexts : tuple of ciphertext
        One for each input or output of the program.
    n_rows : int
    holds : {"inputs", "results"}
    circuit : str
        Names the circuit that made it.
    keys : tuple of str
        Names the keys of each of the circuit's parts.
    """

    ciphertexts: tuple[Any, ...]
    n_rows: int
    holds: Literal["inputs", "results"]
    circuit: str
    keys: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Batch({self.holds} of {self.n_rows} row(s))"

    def __len__(self) -> int:
        return self.n_rows
