"""Naive Bayes of counts, of yes and no, and of categories, on encrypted data.

The logarithm of a class's probability is a weighted sum of counts, of bits, or of indicators of categories.
What is computed encrypted is how much likelier a class is than the classes are on average, or the second of
two than the first: what all classes have in common is left out, which makes weights smaller and so more
precise. The client makes bits and indicators of its rows before it encrypts them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import naive_bayes
from sklearn.preprocessing import binarize
from sklearn.utils.validation import check_non_negative, validate_data

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import FOURTEEN_BITS, LINEAR, TWELVE_BITS
from skfhe._linear.scores import Calibration, LinearScores
from skfhe._linear.spread import spread_of
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of
from skfhe._typing import FloatArray
from skfhe.encoding import NEVER, ClassFractions, Margins, labelled, one_hot

__all__ = ["BernoulliNB", "CategoricalNB", "ComplementNB", "MultinomialNB"]

PARTS = LINEAR | {
    "n_bits": TWELVE_BITS,
    "program_": """\
program_ : Program
    The linear function on integers: what runs encrypted. It and what is around it follow
    ``feature_log_prob_`` and ``class_log_prior_`` when these are changed after ``fit``.""",
}


class DiscreteMixin:
    """What naive Bayes of discrete features shares; goes before `LinearPredictorMixin`."""

    def _describe(self: Any, fitted: Any) -> LinearScores:
        """Read how much likelier each feature's unit makes each class."""
        weight, bias = self._of_classes(fitted)
        if not np.isfinite(weight).all() or np.isnan(bias).any():
            raise ValueError(
                f"this {type(self).__name__} has features or categories of probability 0, whose logarithm is "
                f"no number; take a positive alpha instead of {fitted.alpha!r}"
            )
        if weight.shape[1] == 1:  # the only class has the probability 1
            return LinearScores(0 * weight, np.ones(1), labelled(ClassFractions((1,), 1), fitted.classes_))
        bias = np.maximum(bias, NEVER)
        if weight.shape[1] == 2:
            weight, bias = weight[:, 1:] - weight[:, :1], bias[1:] - bias[:1]
        else:
            weight = weight - weight.mean(axis=1, keepdims=True)
            bias = bias - bias[bias > NEVER].mean()
        return LinearScores(weight, bias, labelled(Margins("posterior"), fitted.classes_))

    def _of_classes(self, fitted: Any) -> tuple[FloatArray, FloatArray]:
        """Return the logarithms of likelihoods, shape (n_columns, n_classes), and of prior probabilities."""
        return fitted.feature_log_prob_.T, fitted.class_log_prior_

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        """Return the arrays that scores follow when they are changed after ``fit``."""
        return np.asarray(fitted.feature_log_prob_), np.asarray(fitted.class_log_prior_)

    def _score_type(self, rows: Any) -> Any:
        """Return the type that the original computes in."""
        return np.dtype(np.float64)

    def predict_log_proba(self: Any, X: ArrayLike, *, fhe: str | None = None) -> FloatArray:
        """Return the logarithm of the probability of each class, exact where probabilities are 0.

        Parameters, errors and warnings are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
        """
        scores = self._scores(X, fhe)
        if len(self.classes_) == 1:
            return np.zeros((len(scores), 1))
        found: FloatArray = self.head_.predict_log_proba(scores)
        return found

    @property
    def predict_joint_log_proba(self) -> Any:
        """Not there, for what all classes have in common is not computed.

        Raises
        ------
        AttributeError
        """
        raise AttributeError(
            f"a {type(self).__name__} of skfhe computes how much likelier one class is than another, and not "
            "how likely a row is; predict_log_proba says the former"
        )


def of_bits(calibration: Calibration) -> Calibration:
    """Return what is known of rows of zeros and ones, whichever of them occurred."""
    n_columns = len(calibration.mean)
    either = np.stack([np.zeros(n_columns), np.ones(n_columns)])
    return replace(calibration, spread=spread_of(either), n_input_bits=0, range_margin=0.0)


@documented(PARTS, n_bits=FOURTEEN_BITS)
class MultinomialNB(DiscreteMixin, LinearPredictorMixin, naive_bayes.MultinomialNB):
    """Naive Bayes of counts on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skfhe.naive_bayes import MultinomialNB
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MultinomialNB().fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = naive_bayes.MultinomialNB
    __init__ = parameters_of(naive_bayes.MultinomialNB, n_bits=14, range_margin=7.5)
    fit = method_of(naive_bayes.MultinomialNB.fit)
    partial_fit = method_of(naive_bayes.MultinomialNB.partial_fit)


@documented(PARTS, n_bits=FOURTEEN_BITS)
class ComplementNB(DiscreteMixin, LinearPredictorMixin, naive_bayes.ComplementNB):
    """Naive Bayes of counts, by what all other classes have, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skfhe.naive_bayes import ComplementNB
    >>> X, y = load_digits(return_X_y=True)
    >>> ComplementNB().fit(X, y).cost_.lookups
    {}
    """

    _original = naive_bayes.ComplementNB
    __init__ = parameters_of(naive_bayes.ComplementNB, n_bits=14, range_margin=7.5)
    fit = method_of(naive_bayes.ComplementNB.fit)
    partial_fit = method_of(naive_bayes.ComplementNB.partial_fit)

    def _of_classes(self, fitted: Any) -> tuple[FloatArray, FloatArray]:
        """Return the weights of classes; prior probabilities do not count."""
        return fitted.feature_log_prob_.T, np.zeros(len(fitted.classes_))


@documented(PARTS)
class BernoulliNB(DiscreteMixin, LinearPredictorMixin, naive_bayes.BernoulliNB):
    """Naive Bayes of yes and no on encrypted data; the client makes bits of its rows.

    {parameters}

    {attributes}

    Notes
    -----
    A bit says whether a value exceeds ``binarize``, and all bits are represented, whatever ``range_margin``
    is. With ``binarize=None`` rows are sent as they are.
    All attributes of the fitted original are there, too; they are those of the float model.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skfhe.naive_bayes import BernoulliNB
    >>> X, y = load_digits(return_X_y=True)
    >>> model = BernoulliNB(binarize=8).fit(X, y)
    >>> model.program_.values[0].type.max
    1
    """

    _original = naive_bayes.BernoulliNB
    __init__ = parameters_of(naive_bayes.BernoulliNB, n_bits=12, range_margin=7.5)
    fit = method_of(naive_bayes.BernoulliNB.fit)
    partial_fit = method_of(naive_bayes.BernoulliNB.partial_fit)

    def _of_classes(self, fitted: Any) -> tuple[FloatArray, FloatArray]:
        """Return what a bit of 1 makes of likelihoods, and the logarithms of those of a row of zeros."""
        one = fitted.feature_log_prob_
        with np.errstate(divide="ignore"):
            zero = np.log(1 - np.exp(one))
        return (one - zero).T, fitted.class_log_prior_ + zero.sum(axis=1)

    def _rows(self, fitted: Any, X: Any) -> Any:
        rows = super()._rows(fitted, X)
        return rows if fitted.binarize is None else binarize(rows, threshold=fitted.binarize)

    def _calibrated(self, fitted: Any, X: Any, sample_weight: ArrayLike | None = None) -> Calibration:
        found = super()._calibrated(fitted, X, sample_weight)
        return found if fitted.binarize is None else of_bits(found)


@documented(PARTS)
class CategoricalNB(DiscreteMixin, LinearPredictorMixin, naive_bayes.CategoricalNB):
    """Naive Bayes of categories on encrypted data; the client sends an indicator a category.

    {parameters}

    {attributes}

    Notes
    -----
    Categories are the numbers from 0 on, as in the original. Of a feature of n categories n - 1 indicators
    are sent, and all are represented, whatever ``range_margin`` is. A category beyond those of training is
    an error; ``min_categories`` makes room for more.
    All attributes of the fitted original are there, too; they are those of the float model.

    Examples
    --------
    >>> from skfhe.naive_bayes import CategoricalNB
    >>> X, y = [[0, 2], [1, 0], [1, 1], [0, 2]], ["no", "yes", "yes", "no"]
    >>> model = CategoricalNB().fit(X, y)
    >>> circuit = model.compile()
    >>> model.predict([[1, 2], [0, 2]], fhe="execute").tolist() == model.predict([[1, 2], [0, 2]]).tolist()
    True
    """

    _original = naive_bayes.CategoricalNB
    __init__ = parameters_of(naive_bayes.CategoricalNB, n_bits=12, range_margin=7.5)
    fit = method_of(naive_bayes.CategoricalNB.fit)
    partial_fit = method_of(naive_bayes.CategoricalNB.partial_fit)

    def _of_classes(self, fitted: Any) -> tuple[FloatArray, FloatArray]:
        """Return what each category makes of likelihoods compared with the first of its feature."""
        known = fitted.feature_log_prob_
        with np.errstate(invalid="ignore"):  # of probability 0
            weight = np.concatenate([of_feature - of_feature[:, :1] for of_feature in known], axis=1)
        return weight.T, fitted.class_log_prior_ + sum(of_feature[:, 0] for of_feature in known)

    def _followed(self, fitted: Any) -> tuple[FloatArray, ...]:
        """Return the arrays that scores follow when they are changed after ``fit``."""
        return np.concatenate(fitted.feature_log_prob_, axis=1), np.asarray(fitted.class_log_prior_)

    def _rows(self, fitted: Any, X: Any) -> Any:
        """Return the indicators of rows; see `one_hot`."""
        rows = validate_data(fitted, X, dtype="int", reset=False)
        check_non_negative(rows, f"{type(self).__name__} (input X)")
        n_categories = [of_feature.shape[1] for of_feature in fitted.feature_log_prob_]
        return one_hot(rows, n_categories, type(self).__name__)

    def _calibrated(self, fitted: Any, X: Any, sample_weight: ArrayLike | None = None) -> Calibration:
        return of_bits(super()._calibrated(fitted, X, sample_weight))

    def _joined(self, calibration: Calibration, earlier: Calibration) -> Calibration:
        return calibration  # there may be more categories now, and all indicators are 0 or 1
