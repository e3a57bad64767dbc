"""What all tree models share: training by the original, lowering, and the three ways to predict."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.utils import check_array, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from skfhe._originals.conversion import from_original
from skfhe._originals.inherited import adopt, as_original, original_has
from skfhe._trees.description import Asked, Description, TreeRows, answers_of, ensemble_of, lower_trees
from skfhe._typing import Array, FloatArray
from skfhe.base import EncryptedPredictorMixin, squeezed
from skfhe.encoding import DigitSumDecoder, LeafSumDecoder, LevelQuantizer, calibrate_levels, dense, labelled
from skfhe.encrypted_model import EncryptedModel

__all__ = ["ENSEMBLE", "Description", "TreePredictorMixin"]


MAX_N_BITS = 8
LEAVES = ("sums", "index")
ENSEMBLE: dict[str, Any] = {"n_bits": None, "leaves": "sums", "score_tolerance": None}
"""Parameters of ensembles beside those of their originals, with their defaults."""


def _inherits(method: str) -> Callable[[Any], bool]:
    """Return a check that the original of trees has ``method``."""
    return lambda estimator: hasattr(super(TreePredictorMixin, estimator), method)


class TreePredictorMixin(EncryptedPredictorMixin):
    """Mixin of trees and their ensembles: grown by the original, evaluated by the program."""

    _original: type
    _own_params: tuple[str, ...] = tuple(ENSEMBLE)
    _own_state = ("_encrypted_model", "_level_quantizer")
    n_bits: int | None
    leaves: str = "sums"
    score_tolerance: float | None = None
    n_features_in_: int
    classes_: Any

    @abstractmethod
    def _describe(self, original: Any) -> Description:
        """Read a fitted original."""

    # Training.

    @classmethod
    def from_sklearn_model(
        cls,
        fitted: Any,
        X: ArrayLike | None = None,
        n_bits: int | None = None,
        leaves: str = "sums",
        score_tolerance: float | None = None,
    ) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for or one derived from it. A boosting library's own model,
            such as `xgboost.Booster`, is converted, too, and so is its ranker, by the regressor: its score is
            the sum of the trees.
        X : array-like of shape (n_rows, n_features), default=None
            Rows such as those it was trained on. With ``n_bits=None`` they help to choose the precision of
            leaf values and can be left out; otherwise features are quantized by them.
        n_bits : int, default=None
            See the class. The thresholds of an original that was trained on floats are moved to the next
            boundary between the levels of its features.
        leaves : {"sums", "index"}, default="sums"
            See the class.
        score_tolerance : float, default=None
            See the class. The rows that errors are averaged over are those of ``X``; without it, they are
            averaged over the leaves of each tree.

        Returns
        -------
        estimator
            Fitted, with the parameters of ``fitted``.

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        ValueError
            If ``n_bits`` is given and ``X`` is not, or a parameter is none that the class takes.
        NotFittedError
            If ``fitted`` is not fitted.
        UnsupportedModelError
            If it has a part that cannot be evaluated.
        """
        fitted = cls._as_original(fitted)
        check_is_fitted(fitted)
        own = {"n_bits": n_bits, "leaves": leaves, "score_tolerance": score_tolerance}
        estimator = from_original(cls, fitted, **{name: own[name] for name in cls._own_params})
        estimator._check_own()
        if n_bits is not None and X is None:
            raise ValueError(
                f"n_bits={n_bits} needs rows to choose the features' levels from; give X, for example the "
                "training data, or n_bits=None"
            )
        rows = None if X is None else estimator._rows(estimator, X)
        quantizer = None if n_bits is None else calibrate_levels(dense(rows), n_bits)
        estimator._take_over(estimator, TreeRows(rows, quantizer))
        return estimator

    @classmethod
    def _as_original(cls, fitted: Any) -> Any:
        """Return what is to be converted as a fitted original, if it is one that its library can make so."""
        return fitted

    def _check_own(self) -> None:
        """Raise a `ValueError` for parameters that are not the original's."""
        valid = self.n_bits is None or (
            isinstance(self.n_bits, Integral)
            and not isinstance(self.n_bits, bool)
            and 1 <= self.n_bits <= MAX_N_BITS
        )
        if not valid:
            raise ValueError(f"n_bits must be None or an int from 1 to {MAX_N_BITS}, got {self.n_bits!r}")
        if not (isinstance(self.leaves, str) and self.leaves in LEAVES):
            raise ValueError(f"leaves must be one of {', '.join(map(repr, LEAVES))}, got {self.leaves!r}")
        tolerance = self.score_tolerance
        number = isinstance(tolerance, Real) and not isinstance(tolerance, bool)
        if tolerance is not None and not (number and 0 < float(tolerance) < np.inf):
            raise ValueError(f"score_tolerance must be None or a positive number, got {tolerance!r}")

    def _train(self, method: Any, arguments: dict[str, Any]) -> None:
        """Train an original by one of its own methods, lower it, and take both over."""
        self._train_original(method, arguments, {})

    def _train_original(self, method: Any, arguments: dict[str, Any], learnt: Mapping[str, Any]) -> None:
        """Train on checked arguments; ``learnt`` is known beside the original, by the names of attributes."""
        self._check_own()
        self._check_trainable()
        goes_on = bool(getattr(self, "warm_start", False)) and hasattr(self, "program_")
        if goes_on:
            self._check_goes_on(arguments["X"], arguments.get("y"))
        original = as_original(self, fitted=goes_on)
        X, weight = arguments["X"], arguments.get("sample_weight")
        if self.n_bits is None:
            method(original, **arguments)
            rows, quantizer = self._rows(original, X), None
        else:
            rows = self._quantizable(X)
            quantizer = self._quantizer(rows[_counted(rows, weight)], goes_on)
            method(original, **self._represented(arguments, quantizer))
        self._take_over(original, TreeRows(rows[_counted(rows, weight)], quantizer), learnt)

    def _check_trainable(self) -> None:
        """Raise an `UnsupportedModelError` if the parameters ask for what no program can say."""

    def _check_goes_on(self, X: Any, y: Any) -> None:
        """Raise a `ValueError` if the trees there are do not fit the rows to go on with.

        Trees of another number of features or scores cannot be added, though the original grows them.
        """
        if len(np.shape(X)) != 2:
            return  # whatever the original says of it
        targets = np.zeros(np.shape(X)[0]) if y is None else np.asarray(y)
        if targets.ndim not in (1, 2):
            return
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

    def _take_over(self, original: Any, seen: TreeRows, learnt: Mapping[str, Any] | None = None) -> None:
        """Lower a fitted original, and take both over, with what else was learnt, by name."""
        model = self._lower(self._describe(original), seen)
        if original is not self:
            self._adopt(original)
        vars(self).update(learnt or {})
        if is_classifier(self):
            model = replace(model, head=labelled(model.head, self.classes_))
        self._encrypted_model, self._level_quantizer = model, seen.quantizer

    def _lower(self, described: Description, seen: TreeRows) -> EncryptedModel:
        """Return the program of described trees, with its edges."""
        tolerance = None if self.score_tolerance is None else float(self.score_tolerance)
        return lower_trees(described, seen, Asked(self.leaves, tolerance))

    def _adopt(self, original: Any) -> None:
        adopt(self, original)

    @property
    def score_error_(self) -> float:
        """How far a score can be from that of the float trees, at most."""
        decoder: Any = self._lowered_model().decoder
        return decoder.error

    # Prediction.

    def _offers(self, method: str) -> bool:
        return original_has(method)(self)

    def _probabilities(self, scores: FloatArray) -> FloatArray:
        head: Any = self.head_
        return head.predict_proba(scores)

    # After each stage of boosting.

    def _staged_scores(self, X: ArrayLike) -> Iterator[FloatArray]:
        """Yield the scores after each stage, of the same leaf values as the last, in the clear."""
        self._check_clear("staged evaluation")
        check_is_fitted(self, "program_")
        described = self._describe(self)
        ensemble = ensemble_of(described, self._level_quantizer)
        bits = answers_of(ensemble, self._rows(self, X), self._level_quantizer)
        decoder: Any = self.decoder_
        # sums of integers are multiples of a scale; numbers of leaves stand for floats
        scale = decoder.scale if isinstance(decoder, LeafSumDecoder | DigitSumDecoder) else None

        def rounded(values: FloatArray) -> FloatArray:
            return values if scale is None else np.rint(values / scale)

        total = np.tile(rounded(ensemble.bias), (len(bits), 1))
        for position, tree in enumerate(ensemble.trees, start=1):
            total += rounded(tree.values)[tree.leaves(bits)]
            if position % (described.stage or ensemble.n_outputs) == 0:
                yield total.copy() if scale is None else total * scale

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
        yield from (self.head_.predict(scores) for scores in self._staged_scores(X))

    @available_if(original_has("staged_predict_proba"))
    def staged_predict_proba(self, X: ArrayLike) -> Iterator[FloatArray]:
        """Yield the probabilities after each stage; see `staged_predict`."""
        yield from (self._probabilities(scores) for scores in self._staged_scores(X))

    @available_if(original_has("staged_decision_function"))
    def staged_decision_function(self, X: ArrayLike) -> Iterator[FloatArray]:
        """Yield the decision function after each stage; see `staged_predict`."""
        yield from (squeezed(scores) for scores in self._staged_scores(X))

    # What only the float trees say of rows.

    @available_if(_inherits("apply"))
    def apply(self, X: ArrayLike, *args: Any, **kwargs: Any) -> Any:
        """Return the leaf that each row reaches in each of the float trees, in the clear; see the original.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        *args, **kwargs
            Further arguments of the original's.

        Returns
        -------
        ndarray, rows first

        Raises
        ------
        ClearEvaluationError
            After ``set_mode(…, clear="forbid")``.
        """
        self._check_clear("apply")
        return super().apply(X, *args, **kwargs)  # type: ignore[misc]

    @available_if(_inherits("decision_path"))
    def decision_path(self, X: ArrayLike, *args: Any, **kwargs: Any) -> Any:
        """Return the nodes that each row passes in the float trees, in the clear; see `apply`."""
        self._check_clear("decision_path")
        return super().decision_path(X, *args, **kwargs)  # type: ignore[misc]

    def _compute_partial_dependence_recursion(self, *args: Any, **kwargs: Any) -> Any:
        """Return what `sklearn.inspection.partial_dependence` asks trees for, with ``method="recursion"``."""
        self._check_clear('partial dependence with method="recursion"')
        return super()._compute_partial_dependence_recursion(*args, **kwargs)  # type: ignore[misc]


def _counted(rows: Any, weight: Any) -> Any:
    """Rows of positive weight, as a mask or a slice of all."""
    return slice(None) if weight is None else np.asarray(weight) > 0


def _like(X: Any, values: FloatArray) -> Any:
    """Return ``values`` with the feature names of ``X``, if it has any."""
    return X.__class__(values, columns=X.columns) if hasattr(X, "columns") else values
