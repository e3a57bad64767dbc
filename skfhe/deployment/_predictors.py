"""The client's half of an estimator, and of an imported network: what it knows between rows and predictions.

Each equals the estimator in the process that trained it, to the bit, given the same integers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.deployment._library_rows import IndicatorRows
from skfhe.deployment._rows import Rows, frames_to_caller
from skfhe.encoding import (
    AffineDecoder,
    AffineEncoder,
    AnswersEncoder,
    BlockEncoder,
    ClassFractions,
    Decoder,
    DigitSumDecoder,
    Discriminants,
    Distances,
    Encoder,
    GridBitsEncoder,
    GridEncoder,
    Head,
    Indicators,
    Inliers,
    LeafDecoder,
    LeafMedianDecoder,
    LeafSumDecoder,
    LeafTableDecoder,
    LevelBitsEncoder,
    LimbDecoder,
    LogDensities,
    Margins,
    MonomialEncoder,
    NearestVotes,
    OutputDecoders,
    PairVotes,
    PathLengths,
    Projections,
    ScoresDecoder,
    SoftVotes,
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

_PROJECTED = (Discriminants, Distances, NearestVotes, Projections, SoftVotes)
METHODS = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function"),
    *("score_samples", "transform"),
)


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
        if not {"predict", "transform"} & set(self.methods) or set(self.methods) - set(METHODS):
            raise ValueError(
                f"expected predict or transform, and others of {', '.join(METHODS)}, got {self.methods}"
            )
        for name in ("predict_proba", "score_samples", "transform"):
            if name in self.methods and not hasattr(self.head, name):
                raise ValueError(f"a {type(self.head).__name__} has no {name}")
        if not all(kind in ("float16", "float32", "float64") for kind in self.score_types.values()):
            raise ValueError(f"scores are floats, got {self.score_types}")
        self._check_encoder()
        self._check_scores()

    def _check_encoder(self) -> None:
        """Raise an error if rows have not the features that are encoded."""
        encoder, n_features = self.encoder, self.rows.n_features
        if isinstance(self.rows, IndicatorRows):
            n_features = self.rows.n_columns
        if isinstance(encoder, AffineEncoder):
            fits = all(index == 0 for index, _ in encoder.quantizers)
        elif isinstance(encoder, AnswersEncoder | SplitEncoder | ThermometerEncoder):
            known = encoder.thresholds if isinstance(encoder, ThermometerEncoder) else encoder
            fits = known.n_features == n_features
        elif not isinstance(
            encoder, GridEncoder | GridBitsEncoder | MonomialEncoder | LevelBitsEncoder | BlockEncoder
        ):
            raise ValueError(f"rows of an estimator are not encoded by a {type(encoder).__name__}")
        else:
            read = [encoder.features, *([encoder.watch.features] if _is_watched(encoder) else [])]
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
        elif isinstance(head, LogDensities):
            fits = not head.labels or len(head.labels[0]) == n_scores
        elif isinstance(head, PairVotes):
            fits = head.n_scores == n_scores
        elif isinstance(head, Inliers):
            fits = n_scores == 1
        elif isinstance(head, Indicators):
            fits = True
        elif isinstance(head, PathLengths):
            fits = n_scores == 1
        elif isinstance(head, _PROJECTED):
            fits = head.fits(n_scores) and self._squares_fit()
        elif not isinstance(head, Values):
            raise ValueError(f"scores of an estimator have no {type(head).__name__}")
        else:
            fits = all(np.size(part) in (1, n_scores) for part in (head.scale, head.offset))
        if not fits:
            raise ValueError(f"a {type(head).__name__} of another number of scores than {n_scores}")

    def _squares_fit(self) -> bool:
        """Whether the rows' own part of scores, if there is one, is that of rows on a grid."""
        squares = getattr(self.head, "squares", None)
        return squares is None or (
            isinstance(self.encoder, GridEncoder) and len(squares.middle) == self.rows.n_features
        )

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
        if _is_watched(self.encoder):
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
            Of which the outputs are. Without them, those of scores in double precision are taken for granted,
            and there are no distances, which depend on the rows themselves.

        Raises
        ------
        AttributeError
            If the estimator does not offer the method.
        ValueError
            If scores exceed the largest float, or the rows are needed and not given.
        """
        if method not in self.methods:
            raise AttributeError(
                f"this {self.rows.estimator} offers {', '.join(self.methods)}, and not {method!r}"
            )
        scores = self._scores(method, outputs, rows)
        head: Any = self.head
        if method == "transform":
            return np.asarray(head.transform(scores)).astype(self._kind(rows), copy=False)
        if method in ("predict", "score_samples") or hasattr(head, method):
            found = getattr(head, method)(scores)
            return found[:, 0] if method == "decision_function" and found.shape[1:] == (1,) else found
        if method == "decision_function":
            return scores[:, 0] if scores.shape[1] == 1 else scores
        found = head.predict_proba(scores)
        with np.errstate(divide="ignore"):
            return [np.log(p) for p in found] if isinstance(found, list) else np.log(found)

    def _kind(self, rows: Sequence[Any] | None) -> str:
        """Return the type of scores of rows."""
        if not self.score_types:
            return "float64"
        given = "float64" if rows is None else self.rows.dtype_of(rows[0])
        return self.score_types.get(given, "float64")

    def _scores(self, method: str, outputs: tuple[IntArray, ...], rows: Sequence[Any] | None) -> FloatArray:
        squares = getattr(self.head, "squares", None)
        kind = self._kind(rows) if squares is None else "float64"
        with np.errstate(over="ignore"):
            scores: Any = self.decoder.decode(*outputs)
            if self.score_types:
                scores = scores.astype(kind, copy=False)
        # as the estimators do: logarithms of probabilities may be minus infinity
        linear = isinstance(self.encoder, GridEncoder | GridBitsEncoder)
        if linear and not np.isfinite(scores).all():
            raise ValueError(f"the scores of some of these rows exceed the largest {kind}")
        if squares is not None and rows is not None:
            scores = squares.added(scores, self.rows.validated(rows[0]), self.encoder)
        elif squares is not None and self.head.needs_squares(method):  # type: ignore[attr-defined]
            raise ValueError(
                f"{method} of a {self.rows.estimator} needs the rows, too: decrypt(result, X=rows)"
            )
        found: FloatArray = scores
        return found


def _is_watched(encoder: Encoder) -> TypeGuard[GridEncoder | GridBitsEncoder | MonomialEncoder]:
    """Whether an encoder says which values it clips."""
    return isinstance(encoder, GridEncoder | GridBitsEncoder | MonomialEncoder)


def _n_scores(decoder: Decoder) -> int:
    """Return the scores of a row that a decoder gives."""
    if isinstance(decoder, ScoresDecoder):
        return decoder.n_scores
    if isinstance(decoder, SummedDecoders):
        decoder = decoder.decoders[0]
    if isinstance(decoder, DigitSumDecoder):
        decoder = decoder.sums
    if isinstance(decoder, LimbDecoder):
        return decoder.n_scores
    if isinstance(decoder, LeafSumDecoder):
        return decoder.n_outputs
    if isinstance(decoder, LeafMedianDecoder):
        return 1
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
