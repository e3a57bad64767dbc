"""What a client knows of a model: its own arithmetic, and what ciphertexts look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from skfhe._typing import IntArray

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
        """What it answers, such as ``"predict"``; the first is what `Client.decrypt` returns."""

    @property
    def n_inputs(self) -> int:
        """Inputs of the program that are its own."""

    @property
    def n_outputs(self) -> int:
        """Outputs of the program that are its own."""

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the integers of each of its inputs, from rows as the original takes them."""

    def answer(self, method: str, outputs: tuple[IntArray, ...]) -> Any:
        """Return what the original's ``method`` returns, from the integers of each of its outputs."""


@dataclass(frozen=True, eq=False)
class ClientModel:
    """All that ``client.zip`` holds.

    Parameters
    ----------
    predictor : Predictor
    specs : CircuitSpecs
    """

    predictor: Predictor
    specs: CircuitSpecs
