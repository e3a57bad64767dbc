"""What is read of a fitted model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skfhe.circuit import CompiledCircuit
    from skfhe.deployment._client_model import Predictor

__all__ = ["Reading"]


@dataclass(frozen=True, eq=False)
class Reading:
    """The two halves of a fitted model.

    Parameters
    ----------
    predictor : Predictor
        The client's.
    members : tuple of CompiledCircuit
        The server's: of one estimator, or of each member of a meta-estimator. The predictor's inputs and
        outputs are theirs, one after another.
    """

    predictor: Predictor
    members: tuple[CompiledCircuit, ...]
