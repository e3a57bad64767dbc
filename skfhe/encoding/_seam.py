"""The three edges of a model: what turns rows into integers, integers into scores, scores into predictions.

They are all that a client needs of a model besides its keys: NumPy, and nothing of the training side.
"""

from __future__ import annotations

from typing import Any, Protocol

from skfhe._typing import IntArray
from skfhe.encoding._decoders import AffineDecoder, OutputDecoders, SummedDecoders
from skfhe.encoding._leaf_decoders import (
    DigitSumDecoder,
    LeafDecoder,
    LeafMedianDecoder,
    LeafSumDecoder,
    LeafTableDecoder,
)
from skfhe.encoding._limbs import LimbDecoder
from skfhe.encoding._tail import ScoresDecoder, TailDecoder

__all__ = ["Decoder", "Encoder", "Head"]

Decoder = (
    AffineDecoder
    | SummedDecoders
    | OutputDecoders
    | TailDecoder
    | ScoresDecoder
    | LeafSumDecoder
    | DigitSumDecoder
    | LeafDecoder
    | LeafTableDecoder
    | LimbDecoder
    | LeafMedianDecoder
)
"""What turns the outputs of a program into floats: ``decode`` takes an array for each of them."""


class Encoder(Protocol):
    """Rows to the integers that a program takes."""

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return an array for each input of the program, rows first, from one for each input of the model."""


class Head(Protocol):
    """Scores to predictions."""

    def predict(self, scores: Any) -> Any:
        """Return the class or the value of each row, from scores of shape (n_rows, n_scores)."""

    def relevance(self, scores: Any) -> float:
        """Return the size of an error of a score that would matter to a typical row of these."""
