"""What both halves of a circuit know of it: what its keys and its ciphertexts look like."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from skfhe._typing import IntArray
from skfhe.circuit._batch import Batch, Holds
from skfhe.encryption import SEED_BYTES, WORD_BYTES, Frame, expand, read_parameters
from skfhe.exceptions import CiphertextMismatchError
from skfhe.program import IntegerType

if TYPE_CHECKING:
    from skfhe.circuit._keys import KeyId

__all__ = ["CircuitSpecs", "PartSpecs", "function_name"]

_T = TypeVar("_T")
_KEYS: dict[Holds, str] = {"inputs": "inputs", "results": "outputs"}
"""By which the engine's description of a function has them."""
_FRAME_BYTES = 1024
"""More than the engine puts around the words of a ciphertext when it serializes one."""


def function_name(n_rows: int) -> str:
    """Return the name of the engine's function that takes ``n_rows`` rows."""
    return f"rows_{n_rows}"


@dataclass(frozen=True, eq=False)
class _Ciphertexts:
    """What one function of the engine takes, or returns.

    Parameters
    ----------
    n_bytes : list of int
        Of the words of each ciphertext.
    frames : tuple of Frame or None
        None if one of them is of a kind that the engine alone encrypts and decrypts.
    """

    n_bytes: list[int]
    frames: tuple[Frame, ...] | None

    @classmethod
    def read(cls, gates: Sequence[Any]) -> "_Ciphertexts":
        """Return what the engine's description of inputs or outputs says."""
        shapes = [gate["rawInfo"]["shape"]["dimensions"] for gate in gates]
        read = [read_parameters(gate) for gate in gates]
        known = [parameters for parameters in read if parameters is not None]
        frames = tuple(Frame(parameters) for parameters in known) if len(known) == len(read) else None
        return cls([math.prod(shape) * WORD_BYTES for shape in shapes], frames)


@dataclass(frozen=True, eq=False)
class PartSpecs:
    """Keys and ciphertexts of one part of a circuit.

    Parameters
    ----------
    inputs, outputs : tuple of int
        Which of the circuit's inputs and outputs are the part's, counted from 0.
    parameters : bytes
        The engine's own description, which it generates keys and encrypts by.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parameters: bytes

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_functions"}

    def count(self, holds: Holds) -> int:
        """Return the number of ciphertexts of a batch."""
        return len(self.inputs if holds == "inputs" else self.outputs)

    @cached_property
    def _functions(self) -> dict[tuple[str, Holds], "_Ciphertexts"]:
        """What each function takes and returns."""
        return {
            (function["name"], holds): _Ciphertexts.read(function[key])
            for function in json.loads(self.parameters)["circuits"]
            for holds, key in _KEYS.items()
        }

    def ciphertext_bytes(self, n_rows: int, holds: Holds) -> list[int]:
        """Return the bytes of each ciphertext of a batch, without what the engine puts around them."""
        return self._functions[function_name(n_rows), holds].n_bytes

    def frames(self, n_rows: int, holds: Holds) -> tuple[Frame, ...] | None:
        """Return the form of each ciphertext of a batch, or None if the engine itself has to encrypt them."""
        return self._functions[function_name(n_rows), holds].frames

    def expand(self, seed: bytes, n_rows: int, ciphertexts: Sequence[Any]) -> Iterable[Any]:
        """Return the inputs of a batch as the engine reads them, one after the other.

        Parameters
        ----------
        seed : bytes
        n_rows : int
        ciphertexts : sequence
            As they are in the batch.

        Returns
        -------
        iterable
        """
        frames = self.frames(n_rows, "inputs")
        if frames is None:
            return ciphertexts
        arrays = zip(ciphertexts, frames, self.inputs, strict=True)
        return (expand(bodies, frame, seed, number) for bodies, frame, number in arrays)


@dataclass(frozen=True, eq=False)
class CircuitSpecs:
    """What one needs to know of a circuit to generate keys, encrypt and decrypt, and no more.

    Neither weights nor tables are in it, nor any key: it is made by whoever compiles, and given to whoever
    encrypts.

    Parameters
    ----------
    circuit_id : str
        Names the circuit by its content: circuits of the same name compute the same on the same ciphertexts.
    batch_sizes : tuple of int
        Rows that one call can take, ascending.
    labels : tuple of str
        Of the inputs.
    inputs, outputs : tuple of IntegerType
        Shape of one row of each, and its intervals.
    parts : tuple of PartSpecs
        That have keys of their own.
    """

    circuit_id: str
    batch_sizes: tuple[int, ...]
    labels: tuple[str, ...]
    inputs: tuple[IntegerType, ...]
    outputs: tuple[IntegerType, ...]
    parts: tuple[PartSpecs, ...]

    def check_inputs(self, inputs: Sequence[IntArray]) -> None:
        """Raise an error unless ``inputs`` are one batch, every integer in its interval."""
        if len(inputs) != len(self.inputs):
            raise ValueError(f"the circuit takes {len(self.inputs)} input(s), got {len(inputs)}")
        n_rows = len(inputs[0])
        if n_rows not in self.batch_sizes:
            raise ValueError(f"compiled for {self.batch_sizes} rows a call, got {n_rows}")
        for x, kind, label in zip(inputs, self.inputs, self.labels, strict=True):
            if x.shape != (n_rows, *kind.shape):
                raise ValueError(
                    f"{label!r} takes {n_rows} row(s) of shape {kind.shape}, got an array of shape {x.shape}"
                )
            if not kind.contains(x):
                raise ValueError(
                    f"{label!r} takes integers in [{kind.min}, {kind.max}], got "
                    f"[{x.min()}, {x.max()}]; quantize with the model's own quantizer"
                )

    def check_batch(self, batch: Batch, holds: Holds, key_id: "KeyId | str | None") -> None:
        """Raise an error unless ``batch`` holds that, is of this circuit and encrypted under these keys.

        A batch that came as bytes also has to have the ciphertexts that the circuit's have, by number and
        size: only then may the engine read them.
        """
        if not isinstance(batch, Batch):
            raise TypeError(f"expected a Batch, as encrypt and run return it, got {type(batch).__name__}")
        if batch.holds != holds:
            raise CiphertextMismatchError(
                f"expected encrypted {holds}, got {batch.holds}: encrypt, run and decrypt follow each other"
            )
        if batch.circuit_id != self.circuit_id:
            raise CiphertextMismatchError(
                "these ciphertexts are of another circuit: of another model, or of this one compiled with "
                "other options. Encrypt, run and decrypt with one circuit"
            )
        if batch.key_id != key_id:
            raise CiphertextMismatchError(
                "these ciphertexts are of other keys than the present ones: keygen(force=True) replaced "
                "those, or another circuit or process encrypted under its own; encrypt the rows again"
            )
        if batch.n_rows not in self.batch_sizes:
            raise CiphertextMismatchError(f"compiled for {self.batch_sizes} rows a call, got {batch.n_rows}")
        expected = [part.count(holds) for part in self.parts]
        counts = [len(ciphertexts) for ciphertexts in batch.ciphertexts]
        if counts != expected:
            raise CiphertextMismatchError(
                f"expected {expected} ciphertext(s) of the circuit's part(s), got {counts}"
            )
        n_seed = SEED_BYTES if holds == "inputs" else 0
        if len(batch.seed) != n_seed:
            raise CiphertextMismatchError(f"expected a seed of {n_seed} bytes, got {len(batch.seed)}")
        for part, ciphertexts in zip(self.parts, batch.ciphertexts, strict=True):
            _check_sizes(part, ciphertexts, batch.n_rows, holds)

    def scatter(self, inputs: Sequence[_T]) -> list[tuple[_T, ...]]:
        """Return the inputs of each part, of those of the circuit."""
        return [tuple(inputs[i] for i in part.inputs) for part in self.parts]

    def gather(self, by_part: Sequence[Sequence[IntArray]]) -> tuple[IntArray, ...]:
        """Return the circuit's outputs, of those of each part.

        A lookup that went wrong can lead out of an output's interval; such a value is brought to its nearest
        end, so that whatever is read by it exists.
        """
        found = {
            i: y
            for part, outputs in zip(self.parts, by_part, strict=True)
            for i, y in zip(part.outputs, outputs, strict=True)
        }
        return tuple(np.clip(found[i], kind.low, kind.high) for i, kind in enumerate(self.outputs))

    def join(self, batches: Sequence[tuple[IntArray, ...]]) -> tuple[IntArray, ...]:
        """Return the outputs of the rows of all ``batches``, which may be none."""
        none = tuple(np.empty((0, *kind.shape), dtype=np.int64) for kind in self.outputs)
        return tuple(np.concatenate(outputs) for outputs in zip(none, *batches, strict=True))


def _check_sizes(part: PartSpecs, ciphertexts: Sequence[object], n_rows: int, holds: Holds) -> None:
    """Raise an error unless ciphertexts that are bytes have the size that the part's parameters say."""
    frames = part.frames(n_rows, holds) if holds == "inputs" else None
    if frames is not None:
        for bodies, frame in zip(ciphertexts, frames, strict=True):
            n_bytes = frame.parameters.size * WORD_BYTES
            if not isinstance(bodies, bytes) or len(bodies) != n_bytes:
                got = len(bodies) if isinstance(bodies, bytes) else type(bodies).__name__
                raise CiphertextMismatchError(f"expected bodies of {n_bytes} bytes, got {got}")
        return
    if not any(isinstance(ciphertext, bytes) for ciphertext in ciphertexts):
        return
    for ciphertext, size in zip(ciphertexts, part.ciphertext_bytes(n_rows, holds), strict=True):
        if isinstance(ciphertext, bytes) and not size <= len(ciphertext) <= size + _FRAME_BYTES:
            raise CiphertextMismatchError(
                f"expected a ciphertext of {size} bytes and at most {_FRAME_BYTES} around them, "
                f"got {len(ciphertext)}"
            )
