"""What all tree models share: training by the original, lowering, and the three ways to predict."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.utils import check_array, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skfhe._originals.conversion import from_original
from skfhe._originals.inherited import adopt, as_original, original_has
from skfhe._trees.comparisons import BLOCK_BITS, comparisons, level_rows, on_levels
from skfhe._trees.cover_plan import Plan, cheapest_plan
from skfhe._trees.cover_program import lower_plan, used_splits
from skfhe._trees.ensemble import RawTree, Tree, TreeEnsemble, collect
from skfhe._typing import Array, FloatArray, IntArray
from skfhe.base import EncryptedPredictorMixin
from skfhe.encoding import (
    BlockEncoder,
    ClassFractions,
    Decoding,
    LevelQuantizer,
    Margins,
    Rule,
    Scoring,
    Splits,
    Values,
    calibrate_levels,
    take_classes,
)

__all__ = ["Description", "TreePredictorMixin"]


NEGLIGIBLE = 2e-4
"""Errors of scores that are this part of what would matter to a typical row are small enough."""
MAX_N_BITS = 8
MAX_ROWS = 2000
"""Rows over which the error of leaf values is averaged."""


@dataclass(frozen=True, eq=False)
class Description:
    """A fitted model in the terms of this package.

    Parameters
    ----------
    trees : sequence of RawTree
    bias : ndarray of float64, shape (n_outputs,)
    rule : Rule
    decoding : Decoding
    n_features : int
    unit : float, optional
        All leaf values are likely multiples of it.
    stage : int, optional
        Trees of one stage of boosting; by default as many as there are outputs.
    """

    trees: Sequence[RawTree]
    bias: FloatArray
    rule: Rule
    decoding: Decoding
    n_features: int
    unit: float | None = None
    stage: int | None = None


class TreePredictorMixin(EncryptedPredictorMixin):
    """Mixin of trees and their ensembles: grown by the original, evaluated by the program."""

    _original: type
    _own_params: tuple[str, ...] = ("n_bits",)
    n_bits: int | None
    n_features_in_: int
    classes_: Any
    input_encoder_: Splits | BlockEncoder
    scoring_: Scoring
    decoding_: Decoding
    score_error_: float

    @abstractmethod
    def _describe(self, original: Any) -> Description:
        """Read a fitted original."""

    # Training.

    @classmethod
    def from_sklearn_model(cls, fitted: Any, X: ArrayLike | None = None, n_bits: int | None = None) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for.
        X : array-like of shape (n_rows, n_features), default=None
            Rows such as those it was trained on. With ``n_bits=None`` they help to choose the precision of
            leaf values and can be left out; otherwise features are quantized by them.
        n_bits : int, default=None
            See the class. The thresholds of an original that was trained on floats are moved to the next
            boundary between the levels of its features.

        Returns
        -------
        estimator
            Fitted, with the parameters of ``fitted``.

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        ValueError
            If ``n_bits`` is given and ``X`` is not.
        NotFittedError
            If ``fitted`` is not fitted.
        UnsupportedModelError
            If it has a part that cannot be evaluated.
        """
        check_is_fitted(fitted)
        estimator = from_original(cls, fitted, n_bits=n_bits)
        estimator._check_n_bits()
        if n_bits is not None and X is None:
            raise ValueError(
                f"n_bits={n_bits} needs rows to choose the features' levels from; give X, for example the "
                "training data, or n_bits=None"
            )
        rows = None if X is None else estimator._rows(estimator, X)
        quantizer = None if n_bits is None else calibrate_levels(_dense(rows), n_bits)
        estimator._lower(estimator, rows, quantizer)
        return estimator

    def _check_n_bits(self) -> None:
        valid = self.n_bits is None or (
            isinstance(self.n_bits, Integral)
            and not isinstance(self.n_bits, bool)
            and 1 <= self.n_bits <= MAX_N_BITS
        )
        if not valid:
            raise ValueError(f"n_bits must be None or an int from 1 to {MAX_N_BITS}, got {self.n_bits!r}")

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        """Train an original by one of its own methods, lower it, and take both over."""
        self._check_n_bits()
        self._check_trainable()
        goes_on = bool(getattr(self, "warm_start", False)) and hasattr(self, "program_")
        if goes_on:
            self._check_goes_on(arguments["X"], arguments["y"])
        original = as_original(self, fitted=goes_on)
        X, weight = arguments["X"], arguments.get("sample_weight")
        if self.n_bits is None:
            method(original, **arguments)
            rows, quantizer = self._rows(original, X), None
        else:
            rows = self._quantizable(X)
            quantizer = self._quantizer(rows[_counted(rows, weight)], goes_on)
            method(original, **self._represented(arguments, quantizer))
        self._lower(original, rows[_counted(rows, weight)], quantizer)

    def _check_trainable(self) -> None:
        """Raise an `UnsupportedModelError` if the parameters ask for what no program can say."""

    def _check_goes_on(self, X: Any, y: Any) -> None:
        """Raise a `ValueError` if the trees there are do not fit the rows to go on with.

        Trees of another number of features or scores cannot be added, though the original grows them.
        """
        targets = np.asarray(y)
        if targets.ndim not in (1, 2) or len(np.shape(X)) != 2:
            return  # whatever the original says of it
        targets = targets.reshape(len(targets), -1)
        n_targets = getattr(self, "n_outputs_", 1)
        counts: dict[str, tuple[Any, Any]] = {
            "features": (self.n_features_in_, np.shape(X)[1]),
            "targets": (n_targets, targets.shape[1]),
        }
        if is_classifier(self) and n_targets == targets.shape[1]:
            known = self.classes_ if isinstance(self.classes_, list) else [self.classes_]
            before, now = map(len, known), (len(np.unique(column)) for column in targets.T)
            counts["classes"] = " and ".join(map(str, before)), " and ".join(map(str, now))
        for what, (before, now) in counts.items():
            if before != now:
                raise ValueError(
                    f"warm_start=True adds to the trees of an earlier fit, whose number of {what} was "
                    f"{before}, and now it is {now}; give {what} as before, or set warm_start=False to grow "
                    "all trees anew"
                )

    def _rows(self, fitted: Any, X: Any) -> Any:
        """Return validated rows in the precision that the trees compare in."""
        nan = "allow-nan" if get_tags(fitted).input_tags.allow_nan else True
        return validate_data(
            fitted, X, reset=False, accept_sparse="csr", dtype=self._precision, ensure_all_finite=nan
        )

    _precision: type = np.float32

    def _quantizable(self, X: Any) -> FloatArray:
        """Return rows that are to be quantized before training."""
        nan = "allow-nan" if get_tags(self).input_tags.allow_nan else True
        return check_array(X, dtype=np.float64, ensure_all_finite=nan, estimator=self, input_name="X")

    def _represented(self, arguments: dict[str, Any], quantizer: LevelQuantizer) -> dict[str, Any]:
        """Return the arguments of a training method with rows of what their levels stand for."""
        given = [name for name in ("X", "X_val") if arguments.get(name) is not None]
        return arguments | {name: self._on_levels(arguments[name], quantizer) for name in given}

    def _on_levels(self, X: Any, quantizer: LevelQuantizer) -> Any:
        return _like(X, quantizer.dequantize(quantizer.quantize(self._quantizable(X))))

    def _quantizer(self, rows: FloatArray, goes_on: bool) -> LevelQuantizer:
        """Return the levels of an earlier fit that this one goes on from, or levels for ``rows``."""
        earlier = getattr(self, "_level_quantizer", None)
        if goes_on and earlier is not None and earlier.n_features == rows.shape[1]:
            return earlier
        assert self.n_bits is not None
        return calibrate_levels(rows, int(self.n_bits))

    def _lower(self, original: Any, rows: Any, quantizer: LevelQuantizer | None) -> None:
        """Lower a fitted original, and take both over."""
        described = self._describe(original)
        ensemble, asked = _ensemble(described, quantizer), None
        if rows is not None and rows.shape[0]:
            sample = rows[:: -(-rows.shape[0] // MAX_ROWS)]
            # different ones, so that rows that are repeated count as those that are weighted
            asked = _different(_answers(ensemble, sample, quantizer))
        plan, scoring, error = _plan(described, ensemble, asked, BLOCK_BITS if quantizer else 0)
        used = used_splits(plan)
        encoder: Splits | BlockEncoder
        if quantizer is None or not len(ensemble.splits):
            encoder, program = ensemble.splits.select(used[: len(ensemble.splits)]), lower_plan(plan)
        else:
            compared, encoder = comparisons(ensemble, used, quantizer)
            program = lower_plan(plan, compared)
        if original is not self:
            self._adopt(original)
        self._drop_circuit()
        self.program_, self.input_encoder_, self.scoring_ = program, encoder, scoring
        self.decoding_, self.score_error_ = described.decoding, error
        self._level_quantizer = quantizer

    def _adopt(self, original: Any) -> None:
        adopt(self, original)

    # Prediction.

    def _encode(self, rows: Any) -> list[IntArray]:
        """Return the program's inputs for validated rows."""
        encoder = self.input_encoder_
        found = encoder.encode(_dense(rows) if isinstance(encoder, BlockEncoder) else rows)
        return [found if found.shape[1] else np.zeros((len(found), 1), dtype=np.int64)]

    def _scores(self, X: Any, fhe: str) -> FloatArray:
        """Scores of rows, shape (n_rows, n_outputs)."""
        check_is_fitted(self, "program_")
        return self._scores_of_rows(self._rows(self, X), fhe)

    def _scores_of_rows(self, rows: Any, fhe: str) -> FloatArray:
        """Scores of validated rows, shape (n_rows, n_outputs)."""
        (sums,) = self._evaluate(self._encode(rows), fhe)
        return self.scoring_.scores(sums)

    def predict(self, X: ArrayLike, *, fhe: str = "disable") -> Array:
        """Return the class or the value of each row.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
            NaN stands for a missing value, where the original takes them.
        fhe : {"disable", "simulate", "execute"}, default="disable"
            Evaluate the integers of ``program_`` in the clear, in the clear with the lookup errors of an
            encrypted run, or encrypted.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_targets)

        Raises
        ------
        NotCompiledError
            If ``fhe`` is not ``"disable"`` and ``compile`` was not called since ``fit``.
        """
        return self._decoded_rows(X, fhe)

    def _decoded_rows(self, X: Any, fhe: str) -> Array:
        return self._decoded(self._scores(X, fhe))

    def _decoded(self, scores: FloatArray) -> Array:
        if isinstance(self.decoding_, Values):
            return self.decoding_.values(scores)
        assert isinstance(self.decoding_, ClassFractions | Margins)
        return take_classes(self.classes_, self.decoding_.winners(scores))

    @available_if(original_has("predict_proba"))
    def predict_proba(self, X: ArrayLike, *, fhe: str = "disable") -> Any:
        """Return the probability of each class.

        Parameters and errors are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes), or a list of them for several targets
        """
        return self._probabilities(self._scores(X, fhe))

    def _probabilities(self, scores: FloatArray) -> Any:
        assert isinstance(self.decoding_, ClassFractions | Margins)
        probabilities = self.decoding_.probabilities(scores)
        return probabilities if isinstance(self.classes_, list) else probabilities[0]

    @available_if(original_has("predict_log_proba"))
    def predict_log_proba(self, X: ArrayLike, *, fhe: str = "disable") -> Any:
        """Return the logarithm of `predict_proba`."""
        # a subclass that overrides `predict_proba` need not know ``fhe``
        probabilities = self.predict_proba(X, **({} if fhe == "disable" else {"fhe": fhe}))
        with np.errstate(divide="ignore"):
            return (
                [np.log(p) for p in probabilities]
                if isinstance(probabilities, list)
                else np.log(probabilities)
            )

    @available_if(original_has("decision_function"))
    def decision_function(self, X: ArrayLike, *, fhe: str = "disable") -> FloatArray:
        """Return the score of each class, or that of the second of two.

        Parameters and errors are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows,) or (n_rows, n_classes)
        """
        return _squeezed(self._scores(X, fhe))

    # After each stage of boosting.

    def _staged_scores(self, X: ArrayLike) -> Iterator[FloatArray]:
        """Yield the scores after each stage, of the same integers as the last, in the clear."""
        check_is_fitted(self, "program_")
        described = self._describe(self)
        ensemble = _ensemble(described, self._level_quantizer)
        bits = _answers(ensemble, self._rows(self, X), self._level_quantizer)
        if self.scoring_.leaves is not None:
            yield ensemble.scores(bits)
            return
        scale = self.scoring_.scale
        total = np.tile(np.rint(ensemble.bias / scale), (len(bits), 1))
        for position, tree in enumerate(ensemble.trees, start=1):
            total += np.rint(tree.values / scale)[tree.leaves(bits)]
            if position % (described.stage or ensemble.n_outputs) == 0:
                yield total * scale

    @available_if(original_has("staged_predict"))
    def staged_predict(self, X: ArrayLike) -> Iterator[Array]:
        """Yield the predictions after each stage of boosting, from integer leaf values, in the clear.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)

        Yields
        ------
        ndarray of shape (n_rows,)
        """
        yield from (self._decoded(scores) for scores in self._staged_scores(X))

    @available_if(original_has("staged_predict_proba"))
    def staged_predict_proba(self, X: ArrayLike) -> Iterator[FloatArray]:
        """Yield the probabilities after each stage; see `staged_predict`."""
        yield from (self._probabilities(scores) for scores in self._staged_scores(X))

    @available_if(original_has("staged_decision_function"))
    def staged_decision_function(self, X: ArrayLike) -> Iterator[FloatArray]:
        """Yield the decision function after each stage; see `staged_predict`."""
        yield from (_squeezed(scores) for scores in self._staged_scores(X))


def _ensemble(described: Description, quantizer: LevelQuantizer | None) -> TreeEnsemble:
    ensemble = collect(described.trees, described.bias, described.n_features, described.rule)
    return ensemble if quantizer is None else on_levels(ensemble, quantizer)


def _answers(ensemble: TreeEnsemble, rows: Any, quantizer: LevelQuantizer | None) -> IntArray:
    """Answers of rows to all splits, shape (n_rows, n_splits)."""
    if quantizer is None:
        return ensemble.splits.encode(rows)
    return ensemble.splits.encode(level_rows(quantizer.quantize(_dense(rows)), quantizer))


def _different(bits: IntArray) -> IntArray:
    """Return each row of bits once."""
    if not bits.shape[1]:
        return bits[:1]
    _, first = np.unique(np.packbits(bits.astype(bool), axis=1), axis=0, return_index=True)
    return bits[first]


def _plan(
    described: Description, ensemble: TreeEnsemble, asked: IntArray | None, compared_bits: int
) -> tuple[Plan, Scoring, float]:
    """Plan the evaluation; say how its sums become scores, and how far these can be from the float ones."""
    n_outputs = ensemble.n_outputs
    if len(ensemble.trees) == 1:
        numbered, leaves = _numbered_leaves(ensemble)
        plan = cheapest_plan(numbered, (0,), 0.0, 1.0, compared_bits=compared_bits)
        grid, column = plan.grid, np.zeros(1, dtype=np.int64)
        return plan, Scoring(1.0, grid.least, grid.span, column, (), n_outputs, leaves), 0.0
    remainders: tuple[tuple[int, tuple[int, ...]], ...] = ()
    if isinstance(described.decoding, ClassFractions):
        remainders = _remainders(described.decoding, ensemble)
    left_out = {output for output, _ in remainders}
    columns = tuple(output for output in range(n_outputs) if output not in left_out)
    known = _leaf_extremes(ensemble) if asked is None else ensemble.scores(asked)
    tolerance = NEGLIGIBLE * described.decoding.relevance(known)
    plan = cheapest_plan(ensemble, columns or (0,), tolerance, described.unit, asked, compared_bits)
    grid = plan.grid
    errors = dict(zip(plan.outputs, grid.error, strict=True))
    errors |= {output: sum(errors[other] for other in others) for output, others in remainders}
    least, computed = grid.least + grid.bias, np.array(plan.outputs)
    scoring = Scoring(grid.scale, least, grid.span, computed, remainders, n_outputs)
    return plan, scoring, float(max(errors.values()))


def _numbered_leaves(ensemble: TreeEnsemble) -> tuple[TreeEnsemble, FloatArray]:
    """Return a single tree with the numbers of its different leaves as values, and their scores."""
    (tree,) = ensemble.trees
    leaves, number = np.unique(tree.values[tree.splits < 0], axis=0, return_inverse=True)
    values = np.zeros((len(tree.splits), 1))
    values[tree.splits < 0, 0] = number.ravel()
    numbered = Tree(tree.splits, tree.left, tree.right, values)
    return TreeEnsemble(ensemble.splits, [numbered], np.zeros(1)), leaves + ensemble.bias


def _remainders(decoding: ClassFractions, ensemble: TreeEnsemble) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """For each target, the class in most leaves, whose probability is 1 less those of the others."""
    present = sum((tree.values[tree.splits < 0] != 0).sum(axis=0) for tree in ensemble.trees)
    found = []
    for target, n_classes in enumerate(decoding.n_classes):
        columns = range(target * decoding.width, target * decoding.width + n_classes)
        dropped = max(columns, key=lambda column: present[column])
        found.append((dropped, tuple(column for column in columns if column != dropped)))
    return tuple(found)


def _leaf_extremes(ensemble: TreeEnsemble) -> FloatArray:
    """Two rows of scores: the least and the largest that the trees can give."""
    leaves = [tree.values[tree.splits < 0] for tree in ensemble.trees]
    low, high = (ensemble.bias + sum(end(values, axis=0) for values in leaves) for end in (np.min, np.max))
    return np.stack([low, high])


def _squeezed(scores: FloatArray) -> FloatArray:
    return scores[:, 0] if scores.shape[1] == 1 else scores


def _dense(rows: Any) -> FloatArray:
    return rows.toarray() if issparse(rows) else rows


def _counted(rows: Any, weight: Any) -> Any:
    """Rows of positive weight, as a mask or a slice of all."""
    return slice(None) if weight is None else np.asarray(weight) > 0


def _like(X: Any, values: FloatArray) -> Any:
    """Return ``values`` with the feature names of ``X``, if it has any."""
    return X.__class__(values, columns=X.columns) if hasattr(X, "columns") else values
