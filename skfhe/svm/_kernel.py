"""Support vector machines with polynomial kernels on encrypted data."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn import svm
from sklearn.utils.validation import validate_data

from skfhe._originals.compat import kernel_coefficient, kernel_probabilities
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._polynomial import KernelScores, PolynomialPredictorMixin
from skfhe._polynomial.docstrings import POLYNOMIAL
from skfhe._typing import Array, FloatArray
from skfhe.encoding import Head, Inliers, PairVotes, Values, dense
from skfhe.exceptions import UnsupportedModelError

__all__ = ["SVC", "SVR", "NuSVC", "NuSVR", "OneClassSVM"]

KERNEL_MACHINE = POLYNOMIAL | {
    "kernels": """\
The kernel has to be ``"linear"``, for which the client sends the features alone, or ``"poly"``, for which it
sends every product of up to ``degree`` of them: two of any number, three of up to 30. For ``"rbf"``, let
the client apply a map that approximates the kernel, whose seed is no secret, before a linear model:
``make_pipeline(RBFSampler(random_state=0), {after_a_map})``.
The map of `sklearn.kernel_approximation.Nystroem` would tell it rows of training.""",
}


def _part(size: float | None) -> float | None:
    """Return what differences matter of scores that are of this size."""
    return None if size is None else size / 10


class KernelMachineMixin:
    """Mixin of support vector machines: their scores are polynomials if their kernel is."""

    kernel: Any
    degree: Any
    coef0: Any
    _unit: float | None = None
    _sized_by_vectors = True
    """Whether scores are as large as those of support vectors; those of a boundary are all near zero."""
    _after_a_map = "skfhe.svm.LinearSVR()"
    _takes_rows = ("float64", "csr")
    _why_steep = "support vectors of large coefficients lie close together"

    def _check_evaluable(self) -> None:
        """Raise an error unless the kernel is a polynomial.

        A kernel that another program can say is to be let through here, and lowered in `_lower`.
        """
        if self.kernel in ("rbf", "sigmoid", "precomputed") or callable(self.kernel):
            given = "a callable" if callable(self.kernel) else repr(self.kernel)
            raise UnsupportedModelError(
                f"{type(self).__name__} evaluates kernel='linear' and kernel='poly' on encrypted rows, got "
                f"kernel={given}; approximate the kernel by a map that the client applies, such as "
                f"make_pipeline(RBFSampler(random_state=0), {self._after_a_map}) with "
                "sklearn.kernel_approximation.RBFSampler, or take kernel='poly', degree=2"
            )

    def _scored(self, fitted: Any, dual: FloatArray, intercept: FloatArray, head: Head) -> KernelScores:
        """Return scores that are sums over support vectors."""
        support = np.asarray(dense(fitted.support_vectors_), dtype=np.float64)
        degree = 1 if self.kernel == "linear" else int(self.degree)
        gamma, coef0 = (1.0, 0.0) if self.kernel == "linear" else (kernel_coefficient(fitted), self.coef0)
        if degree == 0:  # a kernel that is one everywhere
            gamma, coef0, degree = 0.0, 1.0, 1
        scores = KernelScores(
            dual, support, gamma * support, intercept, float(coef0), degree, head, self._unit
        )
        return replace(scores, unit=_part(scores.typical_size)) if self._sized_by_vectors else scores

    def _describe(self, fitted: Any) -> KernelScores:
        dual = np.asarray(dense(fitted.dual_coef_), dtype=np.float64)
        return self._scored(fitted, dual, np.asarray(fitted.intercept_), self._head(fitted))

    def _head(self, fitted: Any) -> Head:
        return Values()

    def _followed(self, fitted: Any) -> tuple[Array, ...]:
        learnt = (fitted.dual_coef_, fitted.support_vectors_, fitted.intercept_)
        return tuple(values.data if issparse(values) else values for values in learnt)

    def _rows(self, fitted: Any, X: Any) -> Any:
        return validate_data(fitted, X, reset=False, accept_sparse="csr", dtype=np.float64)


class PairwiseMixin(KernelMachineMixin):
    """Mixin of support vector classifiers: every two classes are told apart, and vote."""

    decision_function_shape: Any
    break_ties: Any
    _unit = 0.25
    _sized_by_vectors = False
    _after_a_map = "skfhe.svm.LinearSVC()"

    def _describe(self, fitted: Any) -> KernelScores:
        dual = np.asarray(dense(fitted.dual_coef_), dtype=np.float64)
        n_classes = len(fitted.classes_)
        if n_classes > 2:
            ends = np.cumsum(fitted.n_support_)
            of_class = [slice(end - n, end) for end, n in zip(ends, fitted.n_support_, strict=True)]
            pairs = np.zeros((len(fitted.intercept_), dual.shape[1]))
            for row, (one, other) in zip(pairs, combinations(range(n_classes), 2), strict=True):
                # a class has a row of coefficients against each of the others
                row[of_class[one]] = dual[other - 1, of_class[one]]
                row[of_class[other]] = dual[one, of_class[other]]
            dual = pairs
        return self._scored(fitted, dual, np.asarray(fitted.intercept_), self._head(fitted))

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
    """Support vector classification with a polynomial kernel on encrypted data.

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
    __init__ = parameters_of(svm.SVC, n_bits=12, range_margin=3.0)
    fit = method_of(svm.SVC.fit)


@documented(KERNEL_MACHINE, after_a_map="LinearSVC()")
class NuSVC(PairwiseMixin, PolynomialPredictorMixin, svm.NuSVC):
    """Nu-support vector classification with a polynomial kernel on encrypted data.

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
    __init__ = parameters_of(svm.NuSVC, n_bits=12, range_margin=3.0)
    fit = method_of(svm.NuSVC.fit)


@documented(KERNEL_MACHINE, after_a_map="LinearSVR()")
class SVR(KernelMachineMixin, PolynomialPredictorMixin, svm.SVR):
    """Support vector regression with a polynomial kernel on encrypted data.

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
    __init__ = parameters_of(svm.SVR, n_bits=12, range_margin=3.0)
    fit = method_of(svm.SVR.fit)


@documented(KERNEL_MACHINE, after_a_map="LinearSVR()")
class NuSVR(KernelMachineMixin, PolynomialPredictorMixin, svm.NuSVR):
    """Nu-support vector regression with a polynomial kernel on encrypted data.

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
    __init__ = parameters_of(svm.NuSVR, n_bits=12, range_margin=3.0)
    fit = method_of(svm.NuSVR.fit)


@documented(
    KERNEL_MACHINE,
    n_bits=KERNEL_MACHINE["n_bits"].replace("default=12", "default=16"),
    after_a_map="OneClassSVM(kernel='linear')",
)
class OneClassSVM(KernelMachineMixin, PolynomialPredictorMixin, svm.OneClassSVM):
    """Outliers, told by a support vector machine with a polynomial kernel on encrypted data.

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
    __init__ = parameters_of(svm.OneClassSVM, n_bits=16, range_margin=3.0)
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
