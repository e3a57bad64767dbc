"""The client's half of an estimator, and of an imported network: what it knows between rows and predictions.

Each equals the estimator in the process that trained it, to the bit, given the same integers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.deployment._rows import Rows, frames_to_caller
from skfhe.encoding import (
    AffineDecoder,
    AffineEncoder,
    AnswersEncoder,
    BlockEncoder,
    ClassFractions,
    Decoder,
    DigitSumDecoder,
    Encoder,
    GridEncoder,
    Head,
    Indicators,
    LeafDecoder,
    LeafSumDecoder,
    LeafTableDecoder,
    LevelBitsEncoder,
    Margins,
    OutputDecoders,
    ScoresDecoder,
    SplitEncoder,
    Structure,
    SummedDecoders,
    TailDecoder,
    ThermometerEncoder,
    Values,
    network_inputs,
    structured,
)
from skfhe.exceptions import InputClippingWarning

__all__ = ["EstimatorPredictor", "ModulePredictor"]

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


@dataclass(frozen=True, eq=False)
class EstimatorPredictor:
    """The client's half of an estimator.

    Parameters
    ----------
    methods : tuple of str
        What the estimator offers of `METHODS`.
    rows : Rows
        How rows are checked and converted.
    encoder : Encoder
    decoder : Decoder
    head : Head
    n_inputs, n_outputs : int
        Of the program.
    score_types : dict of str to str
        The type of scores, by that of rows, where the original has others than ``float64``.
    """

    methods: tuple[str, ...]
    rows: Rows
    encoder: Encoder
    decoder: Decoder
    head: Head
    n_inputs: int
    n_outputs: int
    score_types: dict[str, str]

    def __post_init__(self) -> None:
        if "predict" not in self.methods or set(self.methods) - set(METHODS):
            raise ValueError(f"expected predict, and others of {', '.join(METHODS)}, got {self.methods}")
        lacking = [name for name in self.methods if name == "predict_proba" and not hasattr(self.head, name)]
        if lacking:
            raise ValueError(f"a {type(self.head).__name__} gives no probabilities")
        if not all(kind in ("float16", "float32", "float64") for kind in self.score_types.values()):
            raise ValueError(f"scores are floats, got {self.score_types}")
        self._check_encoder()
        self._check_scores()

    def _check_encoder(self) -> None:
        """Raise an error if rows have not the features that are encoded."""
        encoder, n_features = self.encoder, self.rows.n_features
        if isinstance(encoder, AffineEncoder):
            fits = all(index == 0 for index, _ in encoder.quantizers)
        elif isinstance(encoder, AnswersEncoder | SplitEncoder | ThermometerEncoder):
            known = encoder.thresholds if isinstance(encoder, ThermometerEncoder) else encoder
            fits = known.n_features == n_features
        elif not isinstance(encoder, GridEncoder | LevelBitsEncoder | BlockEncoder):
            raise ValueError(f"rows of an estimator are not encoded by a {type(encoder).__name__}")
        else:
            read = [encoder.features, *([encoder.watch.features] if isinstance(encoder, GridEncoder) else [])]
            fits = all(features.max(initial=0) < n_features for features in read)
        if not fits:
            raise ValueError(f"the encoder reads others than the {n_features} features of a row")

    def _check_scores(self) -> None:
        """Raise an error if the head does not fit the scores that the decoder gives."""
        decoder, head = self.decoder, self.head
        if isinstance(decoder, OutputDecoders | TailDecoder):
            raise ValueError("the outputs of an estimator are no scores one by one")
        n_decoded = len(decoder.decoders) if isinstance(decoder, SummedDecoders) else 1
        n_decoded = decoder.n_outputs if isinstance(decoder, ScoresDecoder) else n_decoded
        if n_decoded != self.n_outputs:
            raise ValueError(f"{n_decoded} output(s) are decoded, and the program has {self.n_outputs}")
        n_scores = _n_scores(decoder)
        if isinstance(head, ClassFractions):
            fits = len(head.n_classes) * head.width <= n_scores
        elif isinstance(head, Margins):
            fits = not head.labels or len(head.labels[0]) == n_scores or n_scores == 1
        elif isinstance(head, Indicators):
            fits = True
        elif not isinstance(head, Values):
            raise ValueError(f"scores of an estimator have no {type(head).__name__}")
        else:
            fits = all(np.size(part) in (1, n_scores) for part in (head.scale, head.offset))
        if not fits:
            raise ValueError(f"a {type(head).__name__} of another number of scores than {n_scores}")

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the integers of each input of the program; see `Predictor`.

        Raises
        ------
        ValueError
            If the rows are not as the estimator takes them, or not one array-like.

        Warns
        -----
        InputClippingWarning
            If values lie beyond the range that a linear model represents.
        """
        if len(rows) != 1:
            raise ValueError(f"{self.rows.estimator} takes rows X alone, got {len(rows)} arguments")
        validated = self.rows.validated(rows[0])
        if isinstance(self.encoder, GridEncoder):
            clipped = self.encoder.watch.describe(validated, self.rows.feature_names)
            if clipped:
                message = f"{self.rows.estimator}: {clipped}"
                warnings.warn(message, InputClippingWarning, stacklevel=frames_to_caller())
        return self.encoder.encode(validated)

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Sequence[Any] | None = None) -> Any:
        """Return what the estimator's method returns; see `Predictor`.

        Parameters
        ----------
        method : str
            One of `methods`.
        outputs : tuple of ndarray of int64, rows first
        rows : sequence, optional
            Of which the outputs are. Without them, those of scores in double precision are taken for granted.

        Raises
        ------
        AttributeError
            If the estimator does not offer the method.
        ValueError
            If scores exceed the largest float.
        """
        if method not in self.methods:
            raise AttributeError(
                f"this {self.rows.estimator} offers {', '.join(self.methods)}, and not {method!r}"
            )
        scores = self._scores(outputs, rows)
        if method == "predict":
            return self.head.predict(scores)
        if method == "decision_function":
            return scores[:, 0] if scores.shape[1] == 1 else scores
        found = self.head.predict_proba(scores)  # type: ignore[attr-defined]
        if method == "predict_proba":
            return found
        with np.errstate(divide="ignore"):
            return [np.log(p) for p in found] if isinstance(found, list) else np.log(found)

    def _scores(self, outputs: tuple[IntArray, ...], rows: Sequence[Any] | None) -> FloatArray:
        with np.errstate(over="ignore"):
            scores: Any = self.decoder.decode(*outputs)
            kind = "float64"
            if self.score_types:
                given = "float64" if rows is None else self.rows.dtype_of(rows[0])
                kind = self.score_types.get(given, "float64")
                scores = scores.astype(kind, copy=False)
        if isinstance(self.encoder, GridEncoder) and not np.isfinite(scores).all():
            raise ValueError(f"the scores of some of these rows exceed the largest {kind}")
        found: FloatArray = scores
        return found


def _n_scores(decoder: Decoder) -> int:
    """Return the scores of a row that a decoder gives."""
    if isinstance(decoder, ScoresDecoder):
        return decoder.n_scores
    if isinstance(decoder, SummedDecoders):
        decoder = decoder.decoders[0]
    if isinstance(decoder, DigitSumDecoder):
        decoder = decoder.sums
    if isinstance(decoder, LeafSumDecoder):
        return decoder.n_outputs
    if isinstance(decoder, LeafDecoder | LeafTableDecoder):
        return decoder.leaves.shape[1]
    if not isinstance(decoder, AffineDecoder) or np.ndim(decoder.scale) != 1:
        raise ValueError(f"expected a scale of each score, got a {type(decoder).__name__}")
    return len(decoder.scale)


@dataclass(frozen=True, eq=False)
class ModulePredictor:
    """The client's half of an imported network.

    Parameters
    ----------
    input_shapes : sequence of tuple of int
        Shape of a row of each of the network's inputs.
    encoder : AffineEncoder
    decoder : OutputDecoders or TailDecoder
    structure : Structure, optional
        What the network returns, unless that is an array, or a tuple of arrays.
    """

    input_shapes: Sequence[tuple[int, ...]]
    encoder: AffineEncoder
    decoder: OutputDecoders | TailDecoder
    structure: Structure | None = None

    def __post_init__(self) -> None:
        decoder = self.decoder
        n_values = len(decoder.tail.results if isinstance(decoder, TailDecoder) else decoder.decoders)
        if self.structure is not None and self.structure.n_values != n_values:
            raise ValueError(f"{n_values} array(s) are decoded, and {self.structure.n_values} returned")
        if any(not 0 <= index < len(self.input_shapes) for index, _ in self.encoder.quantizers):
            raise ValueError(f"the network has {len(self.input_shapes)} input(s), and another is encoded")

    @property
    def methods(self) -> tuple[str, ...]:
        """`forward`, whose name modules have for it."""
        return ("forward",)

    @property
    def n_inputs(self) -> int:
        """Inputs of the program."""
        return len(self.encoder.quantizers)

    @property
    def n_outputs(self) -> int:
        """Outputs of the program."""
        return len(self.decoder.decoders)

    def encode(self, *rows: Any) -> tuple[IntArray, ...]:
        """Return the integers of each input of the program; see `Predictor`."""
        return self.encoder.encode(*network_inputs(rows, self.input_shapes))

    def answer(self, method: str, outputs: tuple[IntArray, ...], rows: Sequence[Any] | None = None) -> Any:
        """Return what ``forward`` returns: an array, a tuple of them, or what the network puts them into."""
        if method not in self.methods:
            raise AttributeError(f"a network offers forward, and not {method!r}")
        return structured(self.decoder.decode(*outputs), self.structure)
