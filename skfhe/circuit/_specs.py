"""What both halves of a circuit know of it: what its keys and its ciphertexts look like."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from skfhe._typing import IntArray
from skfhe.circuit._batch import Batch, Holds
from skfhe.encryption import SEED_BYTES, WORD_BYTES, CiphertextParameters, n_packed, read_parameters
from skfhe.exceptions import CiphertextMismatchError, CompilationError
from skfhe.program import IntegerType

if TYPE_CHECKING:
    from skfhe.circuit._keys import KeyId

__all__ = ["CircuitSpecs", "PartSpecs", "function_name", "row_forms"]

_T = TypeVar("_T")
_KEYS: dict[Holds, str] = {"inputs": "inputs", "results": "outputs"}
"""By which the engine's description of a function has them."""
_FUNCTION = "rows_"


def function_name(n_rows: int) -> str:
    """Return the name of the engine's function that takes ``n_rows`` rows."""
    return f"{_FUNCTION}{n_rows}"


def row_forms(parameters: bytes, holds: Holds) -> tuple[CiphertextParameters, ...]:
    """Return the parameters of one row of each input or output, which are those of all functions.

    Parameters
    ----------
    parameters : bytes
        The engine's description of functions that do the same for different numbers of rows.
    holds : {"inputs", "results"}

    Raises
    ------
    CompilationError
        If functions differ in more than the number of rows, or ciphertexts are of a kind that
        `skfhe.encryption` does not know.
    """
    try:
        functions = json.loads(parameters)["circuits"]
        found = {_of_one_row(function, _KEYS[holds]) for function in functions}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CompilationError(
            f"the engine's {_KEYS[holds]} cannot be encrypted or decrypted here: {error}. If a configuration "
            "was given, try without it"
        ) from error
    if len(found) != 1:
        raise CompilationError(
            f"the engine's {_KEYS[holds]} are encrypted in {len(found)} ways in functions that differ in the "
            "number of rows alone, so that rows cannot be moved from one to another; compile for one number "
            "of rows: batch_sizes=(1,)"
        )
    (forms,) = found
    return forms


def _of_one_row(function: Mapping[str, Any], key: str) -> tuple[CiphertextParameters, ...]:
    """Return what a function takes or returns, without its first axis, which has the rows."""
    n_rows = int(function["name"].removeprefix(_FUNCTION))
    gates = [read_parameters(gate) for gate in function[key]]
    for gate in gates:
        if gate.shape[:1] != (n_rows,):
            raise ValueError(f"an array of shape {gate.shape} is not of {n_rows} row(s)")
    return tuple(replace(gate, shape=gate.shape[1:]) for gate in gates)


@dataclass(frozen=True, eq=False)
class PartSpecs:
    """Keys and ciphertexts of one part of a circuit.

    Whatever number of rows a function takes, its ciphertexts have the same parameters: so a batch may have
    any number of rows, and whoever runs it cuts it.

    Parameters
    ----------
    inputs, outputs : tuple of int
        Which of the circuit's inputs and outputs are the part's, counted from 0.
    parameters : bytes
        The engine's own description, which it generates keys by and ciphertexts are made by.
    result_bits : tuple of int
        That results keep of the words of each output; see `skfhe.encryption.bits_to_keep`.

    Raises
    ------
    CompilationError
        If the description has ciphertexts of a kind that is not known, or that depends on the number of rows,
        or others than the part has.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parameters: bytes
    result_bits: tuple[int, ...]

    def __post_init__(self) -> None:
        counts = {holds: len(self.forms(holds)) for holds in _KEYS}
        if counts != {"inputs": len(self.inputs), "results": len(self.outputs)}:
            raise CompilationError(
                f"the engine's functions have {counts['inputs']} input(s) and {counts['results']} output(s), "
                f"the part {len(self.inputs)} and {len(self.outputs)}"
            )
        bits_of_word = 8 * WORD_BYTES
        if len(self.result_bits) != len(self.outputs) or not all(
            type(n) is int and 0 < n <= bits_of_word for n in self.result_bits
        ):
            raise CompilationError(
                f"expected bits for {len(self.outputs)} output(s), each from 1 to {bits_of_word}, got "
                f"{self.result_bits}"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_forms"}

    def count(self, holds: Holds) -> int:
        """Return the number of arrays of ciphertexts of a batch."""
        return len(self.inputs if holds == "inputs" else self.outputs)

    def array_bytes(self, n_rows: int, holds: Holds) -> list[int]:
        """Return the bytes of each array of a batch of so many rows."""
        if holds == "inputs":
            return [n_rows * form.size * WORD_BYTES for form in self.forms(holds)]
        return [
            n_packed(n_rows * form.n_words, bits)
            for form, bits in zip(self.forms(holds), self.result_bits, strict=True)
        ]

    @cached_property
    def _forms(self) -> dict[Holds, tuple[CiphertextParameters, ...]]:
        return {holds: row_forms(self.parameters, holds) for holds in _KEYS}

    def forms(self, holds: Holds) -> tuple[CiphertextParameters, ...]:
        """Return the parameters of one row of each input or output."""
        return self._forms[holds]


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

    Raises
    ------
    CompilationError
        If parts do not have each input and output once, and in its shape.
    """

    circuit_id: str
    batch_sizes: tuple[int, ...]
    labels: tuple[str, ...]
    inputs: tuple[IntegerType, ...]
    outputs: tuple[IntegerType, ...]
    parts: tuple[PartSpecs, ...]

    def __post_init__(self) -> None:
        by_holds: dict[Holds, tuple[Any, Any]] = {
            "inputs": (self.inputs, [part.inputs for part in self.parts]),
            "results": (self.outputs, [part.outputs for part in self.parts]),
        }
        for holds, (kinds, places) in by_holds.items():
            found_places = sorted(chain(*places))
            # An input that nothing depends on is of no part, and is not encrypted.
            expected = sorted(set(found_places)) if holds == "inputs" else [*range(len(kinds))]
            if found_places != expected or not set(found_places) <= {*range(len(kinds))}:
                raise CompilationError(
                    f"the parts of a circuit of {len(kinds)} {holds} have those of {places}"
                )
            for part, its in zip(self.parts, places, strict=True):
                found = [form.shape for form in part.forms(holds)]
                stated = [kinds[i].shape for i in its]
                if found != stated:
                    raise CompilationError(f"{holds} of shapes {stated} are encrypted in shapes {found}")

    def check_inputs(self, inputs: Sequence[IntArray]) -> None:
        """Raise an error unless ``inputs`` are rows of the circuit's, every integer in its interval."""
        if len(inputs) != len(self.inputs):
            raise ValueError(f"the circuit takes {len(self.inputs)} input(s), got {len(inputs)}")
        n_rows = len(inputs[0])
        if n_rows == 0:
            raise ValueError("expected at least one row, got none")
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

        It also has to have the ciphertexts that the circuit's have, by number and size.
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
        expected = [part.count(holds) for part in self.parts]
        counts = [len(ciphertexts) for ciphertexts in batch.ciphertexts]
        if counts != expected:
            raise CiphertextMismatchError(
                f"expected {expected} ciphertext(s) of the circuit's part(s), got {counts}"
            )
        n_seed = SEED_BYTES if holds == "inputs" else 0
        if len(batch.seed) != n_seed:
            raise CiphertextMismatchError(f"expected a seed of {n_seed} bytes, got {len(batch.seed)}")
        bits = tuple(part.result_bits for part in self.parts) if holds == "results" else ()
        if batch.bits != bits:
            raise CiphertextMismatchError(f"expected words of {bits} bits, got {batch.bits}")
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
    """Raise an error unless arrays have the size that the part's parameters say for so many rows."""
    expected = part.array_bytes(n_rows, holds)
    for array, form, n_bytes in zip(ciphertexts, part.forms(holds), expected, strict=True):
        if holds == "results" and isinstance(array, np.ndarray):
            assert array.shape == (n_rows * form.size, form.dimension + 1)
        elif not isinstance(array, bytes) or len(array) != n_bytes:
            got = f"{len(array)} bytes" if isinstance(array, bytes) else type(array).__name__
            raise CiphertextMismatchError(
                f"expected {holds} of {n_rows} row(s) in {n_bytes} bytes of ciphertexts, got {got}"
            )
