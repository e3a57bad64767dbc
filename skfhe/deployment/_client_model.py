"""What a client knows of a model: its own arithmetic, and what ciphertexts look like."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from skfhe._typing import IntArray
from skfhe.deployment._archive import packed, read_archive, write_files
from skfhe.deployment._steps.trusted import load_kept_steps
from skfhe.deployment._values import from_values, to_values

if TYPE_CHECKING:
    from skfhe.circuit import CircuitSpecs

__all__ = ["ClientModel", "Predictor"]


class Predictor(Protocol):
    """The client's half of an estimator, a pipeline or a meta-estimator, in NumPy.

    A meta-estimator's has those of its members: the members' programs are one, whose inputs and outputs are
    those of the members one after another.
    """

    @property
    def methods(self) -> tuple[str, ...]:
        """What it answers, such as ``"predict"``."""

    @property
    def n_inputs(self) -> int:
        """Inputs of the program that are its own."""

    @property
    def n_outputs(self) -> int:
        """Outputs of the program that are its own."""

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the integers of each of its inputs, from rows as the original takes them."""

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Sequence[Any] | None = None) -> Any:
        """Return what the original's ``method`` returns, from the integers of each of its outputs.

        ``rows`` are what was encoded, if it is at hand: scores can be of its precision.
        """


@dataclass(frozen=True, eq=False)
class ClientModel:
    """All that ``client.zip`` holds.

    Parameters
    ----------
    predictor : Predictor
    specs : CircuitSpecs

    Attributes
    ----------
    digest : str or None
        SHA-256 of the file that it was read from, in hexadecimal: what is pinned.

    Raises
    ------
    ValueError
        If the predictor has other inputs or outputs than the circuit.
    """

    predictor: Predictor
    specs: CircuitSpecs
    digest: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        of_predictor = self.predictor.n_inputs, self.predictor.n_outputs
        of_circuit = len(self.specs.inputs), len(self.specs.outputs)
        if of_predictor != of_circuit:
            raise ValueError(
                f"a predictor of {of_predictor} inputs and outputs does not fit a circuit of {of_circuit}"
            )

    def with_kept_steps(self, trusted: Collection[str]) -> ClientModel:
        """Return the model with the steps that skops keeps loaded, if all types in them are trusted.

        Raises
        ------
        ValueError
            If a type is not; nothing is loaded then.
        ImportError
            If there are such steps, and skops or scikit-learn is not installed.
        """
        loaded = replace(self, predictor=load_kept_steps(self.predictor, trusted))
        object.__setattr__(loaded, "digest", self.digest)
        return loaded

    def to_bytes(self) -> bytes:
        """Return the bytes of ``client.zip``, the same for the same model."""
        return packed("client", *to_values(self), self.specs.circuit_id)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write ``client.zip``, which appears at once and complete."""
        path = Path(path)
        write_files(path.parent, {path.name: self.to_bytes()})

    @classmethod
    def read(cls, source: str | os.PathLike[str] | bytes) -> ClientModel:
        """Read ``client.zip``.

        Parameters
        ----------
        source : str, path-like or bytes
            The file, the folder that it lies in, or its content.

        Returns
        -------
        ClientModel

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is anything else, was altered, or is of a version that this skfhe does not read.
        """
        archive = read_archive(source, "client")
        model: ClientModel = from_values(archive.values, archive.arrays, "ClientModel")
        if model.specs.circuit_id != archive.circuit_id:
            raise ValueError("client.zip names another circuit in its manifest than in its model")
        object.__setattr__(model, "digest", archive.digest)
        return model
