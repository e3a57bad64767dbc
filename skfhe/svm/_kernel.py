"""Support vector machines with polynomial and radial kernels on encrypted data."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn import svm
from sklearn.utils.validation import validate_data

from skfhe._linear.scores import check_range_margin
from skfhe._originals.compat import check_sample_weight, kernel_coefficient, kernel_probabilities
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._polynomial import KernelScores, PolynomialPredictorMixin
from skfhe._radial import KERNEL_BITS, RadialCalibration, RadialScores, check_kernel_bits, lower_radial
from skfhe._radial import RANGE_MARGIN as RADIAL_MARGIN
from skfhe._typing import Array, FloatArray
from skfhe.encoding import (
    ClippingWatch,
    GridBitsEncoder,
    Head,
    Inliers,
    MonomialEncoder,
    PairVotes,
    Values,
    dense,
)
from skfhe.encrypted_model import EncryptedModel
from skfhe.exceptions import UnsupportedModelError
from skfhe.svm._docstrings import KERNEL_MACHINE

__all__ = ["SVC", "SVR", "NuSVC", "NuSVR", "OneClassSVM"]


def _part(size: float | None) -> float | None:
    """Return what differences matter of scores that are of this size."""
    return None if size is None else size / 10


class KernelMachineMixin:
    """Mixin of support vector machines: their scores are polynomials, or sums of radial functions."""

    _own_params: tuple[str, ...] = ("n_bits", "kernel_bits", "range_margin")
    kernel: Any
    degree: Any
    coef0: Any
    tol: Any
    n_bits: Any
    kernel_bits: Any
    range_margin: Any
    _input_error: float | None
    _unit: float | None = None
    _sized_by_vectors = True
    """Whether scores are as large as those of support vectors; those of a boundary are all near zero."""
    _after_a_map = "skfhe.svm.LinearSVR()"
    _takes_rows = ("float64", "csr")
    _why_steep = "support vectors of large coefficients lie close together"

    @classmethod
    def from_sklearn_model(
        cls,
        fitted: Any,
        X: ArrayLike | None = None,
        n_bits: int | None = None,
        range_margin: float | None = None,
        kernel_bits: int = KERNEL_BITS,
    ) -> Any:
        """Convert a fitted original.

        Parameters
        ----------
        fitted : estimator
            Fitted, of the class that this stands for.
        X : array-like of shape (n_rows, n_features)
            Rows to calibrate the encoder on, such as those it was trained on.
        n_bits : int, default=None
            None takes the class's default.
        range_margin : float, default=None
        kernel_bits : int, default=6
            See the class.

        Returns
        -------
        estimator
            Fitted, with the parameters of ``fitted``. Errors and warnings are those of ``fit``, and:

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        ValueError
            If ``X`` is not given: the features' ranges are not in the model.
        NotFittedError
            If ``fitted`` is not fitted.
        """
        bits = {} if n_bits is None else {"n_bits": n_bits}
        own = {"range_margin": range_margin, "kernel_bits": kernel_bits}
        return cls._converted(fitted, X, **bits, **own)  # type: ignore[attr-defined]

    def _check_evaluable(self) -> None:
        """Raise an error unless the kernel has a program."""
        check_kernel_bits(self.kernel_bits)
        if not callable(self.kernel) and self.kernel not in ("sigmoid", "precomputed"):
            return  # what is no kernel at all is for the original to say
        if self.kernel == "precomputed":
            given, instead = (
                "'precomputed', whose rows are kernels with all training rows",
                "take them for features, with kernel='linear'",
            )
        else:
            given = "a callable" if callable(self.kernel) else repr(self.kernel)
            instead = "take kernel='rbf' or kernel='poly', degree=2"
        raise UnsupportedModelError(
            f"{type(self).__name__} evaluates kernel='linear', kernel='poly' and kernel='rbf' on encrypted "
            f"rows, got kernel={given}; {instead}, or approximate the kernel by a map that the client "
            f"applies, such as make_pipeline(RBFSampler(random_state=0), {self._after_a_map}) with "
            "sklearn.kernel_approximation.RBFSampler"
        )

    @property
    def _margin(self) -> Any:
        """What ``range_margin`` means."""
        if self.range_margin is not None:
            return self.range_margin
        return RADIAL_MARGIN if self.kernel == "rbf" else 3.0

    @property
    def _is_radial(self) -> bool:
        """Whether it was lowered by lookups, whatever ``kernel`` says now."""
        return isinstance(vars(self).get("_calibration"), RadialCalibration)

    def _widths(self) -> dict[str, Any]:
        """Return parameters, those among them that bound how wide the program is."""
        without = "n_bits" if self._is_radial else "kernel_bits"
        found: dict[str, Any] = super()._widths()  # type: ignore[misc]
        return found | {without: None}

    def _calibrated(self, fitted: Any, X: Any, sample_weight: ArrayLike | None = None) -> Any:
        if self.kernel != "rbf":
            return super()._calibrated(fitted, X, sample_weight)  # type: ignore[misc]
        rows = self._rows(fitted, X)
        weights = check_sample_weight(sample_weight, rows, dtype=np.float64)
        return RadialCalibration.on(rows, weights, self.kernel_bits, check_range_margin(self._margin))

    def _describe(self, fitted: Any) -> Any:
        dual, intercept = self._dual(fitted), np.asarray(fitted.intercept_, dtype=np.float64)
        support = np.asarray(dense(fitted.support_vectors_), dtype=np.float64)
        head = self._head(fitted)
        if self.kernel != "rbf":
            return self._polynomial(fitted, dual, support, intercept, head)
        if not len(support):  # a constant
            dual, support = np.zeros((len(dual), 1)), np.zeros((1, fitted.n_features_in_))
        return RadialScores(dual, support, intercept, kernel_coefficient(fitted), head, float(self.tol))

    def _dual(self, fitted: Any) -> FloatArray:
        """Return the coefficients of support vectors, shape (n_scores, n_vectors)."""
        return np.asarray(dense(fitted.dual_coef_), dtype=np.float64)

    def _polynomial(
        self, fitted: Any, dual: FloatArray, support: FloatArray, intercept: FloatArray, head: Head
    ) -> KernelScores:
        """Return scores that are sums over support vectors of a polynomial kernel."""
        degree = 1 if self.kernel == "linear" else int(self.degree)
        gamma, coef0 = (1.0, 0.0) if self.kernel == "linear" else (kernel_coefficient(fitted), self.coef0)
        if degree == 0:  # a kernel that is one everywhere
            gamma, coef0, degree = 0.0, 1.0, 1
        scores = KernelScores(
            dual, support, gamma * support, intercept, float(coef0), degree, head, self._unit
        )
        return replace(scores, unit=_part(scores.typical_size)) if self._sized_by_vectors else scores

    def _lower(self, described: Any, calibration: Any) -> EncryptedModel:
        radial = isinstance(described, RadialScores)
        if radial != isinstance(calibration, RadialCalibration):
            raise ValueError(
                f"kernel was changed to {self.kernel!r} after fit of this {type(self).__name__}; fit again"
            )
        if not radial:
            found: EncryptedModel = super()._lower(described, calibration)  # type: ignore[misc]
            return found
        self._input_error = None  # what is coarse is not the features, and told otherwise
        try:
            return lower_radial(described, calibration)
        except ValueError as error:
            raise ValueError(f"this {type(self).__name__} cannot be evaluated on integers: {error}") from None

    def _compare(self, original: Any, X: Any, sample_weight: Any = None) -> None:
        """Warn if predictions are not the original's; with a radial kernel, lowering has done that."""
        if not self._is_radial:
            super()._compare(original, X, sample_weight)  # type: ignore[misc]

    def _head(self, fitted: Any) -> Head:
        return Values()

    def _followed(self, fitted: Any) -> tuple[Array, ...]:
        learnt = (fitted.dual_coef_, fitted.support_vectors_, fitted.intercept_)
        kernel = (np.asarray(fitted.kernel), np.array([fitted.degree, fitted.coef0]))  # as in the original
        return *(values.data if issparse(values) else values for values in learnt), *kernel

    @property
    def _watch(self) -> ClippingWatch:
        encoder = self._lowered_model().encoder  # type: ignore[attr-defined]
        assert isinstance(encoder, GridBitsEncoder | MonomialEncoder)
        return encoder.watch

    def _rows(self, fitted: Any, X: Any) -> Any:
        return validate_data(fitted, X, reset=False, accept_sparse="csr", dtype=np.float64)


class PairwiseMixin(KernelMachineMixin):
    """Mixin of support vector classifiers: every two classes are told apart, and vote."""

    decision_function_shape: Any
    break_ties: Any
    _unit = 0.25
    _sized_by_vectors = False
    _after_a_map = "skfhe.svm.LinearSVC()"

    def _dual(self, fitted: Any) -> FloatArray:
        dual, n_classes = super()._dual(fitted), len(fitted.classes_)
        if n_classes == 2:
            return dual
        if len(fitted.n_support_) != n_classes:
            raise ValueError(
                f"{n_classes - len(fitted.n_support_)} of {n_classes} classes have no row of positive "
                f"weight, and {type(self).__name__} takes others for them; leave their rows out"
            )
        ends = np.cumsum(fitted.n_support_)
        of_class = [slice(end - n, end) for end, n in zip(ends, fitted.n_support_, strict=True)]
        pairs = np.zeros((len(fitted.intercept_), dual.shape[1]))
        for row, (one, other) in zip(pairs, combinations(range(n_classes), 2), strict=True):
            # a class has a row of coefficients against each of the others
            row[of_class[one]] = dual[other - 1, of_class[one]]
            row[of_class[other]] = dual[one, of_class[other]]
        return pairs

    def _compare(self, original: Any, X: Any, sample_weight: Any = None) -> None:
        """Warn if predictions are not the original's, unless parameters are such that there are none."""
        if not (self.break_ties and self.decision_function_shape == "ovo"):
            super()._compare(original, X, sample_weight)

    def _head(self, fitted: Any) -> PairVotes:
        slopes, intercepts = kernel_probabilities(fitted)
        return PairVotes(
            len(fitted.classes_), slopes=slopes, intercepts=intercepts, labels=(fitted.classes_,)
        )

    @property
    def head_(self) -> PairVotes:
        """Turns scores into predictions, as the parameters say now."""
        head = super().head_  # type: ignore[misc]
        return replace(
            head, one_vs_rest=self.decision_function_shape == "ovr", break_ties=bool(self.break_ties)
        )

    def predict(self, X: ArrayLike, *, fhe: str | None = None) -> Array:
        """Return the class of each row: that of most votes, as the original breaks ties.

        Parameters, errors and warnings are those of every predictor; see `skfhe.linear_model`.
        """
        if self.break_ties and self.decision_function_shape == "ovo":
            raise ValueError("break_ties must be False when decision_function_shape is 'ovo'")
        found: Array = super().predict(X, fhe=fhe)  # type: ignore[misc]
        return found


@documented(KERNEL_MACHINE, after_a_map="LinearSVC()")
class SVC(PairwiseMixin, PolynomialPredictorMixin, svm.SVC):
    """Support vector classification on encrypted data.

    {kernels}

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.svm import SVC
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SVC(kernel="poly", degree=2).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = svm.SVC
    __init__ = parameters_of(svm.SVC, n_bits=12, kernel_bits=KERNEL_BITS, range_margin=None)
    fit = method_of(svm.SVC.fit)


@documented(KERNEL_MACHINE, after_a_map="LinearSVC()")
class NuSVC(PairwiseMixin, PolynomialPredictorMixin, svm.NuSVC):
    """Nu-support vector classification on encrypted data.

    {kernels}

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.svm import NuSVC
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NuSVC(kernel="poly", degree=2).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = svm.NuSVC
    __init__ = parameters_of(svm.NuSVC, n_bits=12, kernel_bits=KERNEL_BITS, range_margin=None)
    fit = method_of(svm.NuSVC.fit)


@documented(KERNEL_MACHINE, after_a_map="LinearSVR()")
class SVR(KernelMachineMixin, PolynomialPredictorMixin, svm.SVR):
    """Support vector regression on encrypted data.

    {kernels}

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.svm import SVR
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SVR(kernel="poly", degree=2).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = svm.SVR
    __init__ = parameters_of(svm.SVR, n_bits=12, kernel_bits=KERNEL_BITS, range_margin=None)
    fit = method_of(svm.SVR.fit)


@documented(KERNEL_MACHINE, after_a_map="LinearSVR()")
class NuSVR(KernelMachineMixin, PolynomialPredictorMixin, svm.NuSVR):
    """Nu-support vector regression on encrypted data.

    {kernels}

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.svm import NuSVR
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NuSVR(kernel="linear").fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = svm.NuSVR
    __init__ = parameters_of(svm.NuSVR, n_bits=12, kernel_bits=KERNEL_BITS, range_margin=None)
    fit = method_of(svm.NuSVR.fit)


@documented(
    KERNEL_MACHINE,
    n_bits=KERNEL_MACHINE["n_bits"].replace("default=12", "default=16"),
    after_a_map="OneClassSVM(kernel='linear')",
)
class OneClassSVM(KernelMachineMixin, PolynomialPredictorMixin, svm.OneClassSVM):
    """Outliers, told by a support vector machine on encrypted data.

    {kernels}

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.svm import OneClassSVM
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = OneClassSVM(kernel="poly", degree=2, nu=0.1).fit(X)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = svm.OneClassSVM
    __init__ = parameters_of(svm.OneClassSVM, n_bits=16, kernel_bits=KERNEL_BITS, range_margin=None)
    fit = method_of(svm.OneClassSVM.fit)
    _sized_by_vectors = False
    _after_a_map = "skfhe.svm.OneClassSVM(kernel='linear')"

    def _head(self, fitted: Any) -> Inliers:
        return Inliers(float(np.asarray(fitted.offset_).item()))

    def score_samples(self, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the scores before ``offset_`` is subtracted.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float, shape (n_rows,)
        """
        scores = self._scores(X, fhe)
        found: FloatArray = self.head_.score_samples(scores)  # type: ignore[attr-defined]
        return found
