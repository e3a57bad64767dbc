"""Neural network classification on encrypted data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from torch import nn

from skfhe._originals.compat import StrOptions
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import parameters_of
from skfhe._typing import Array, IntArray
from skfhe.encoding import Margins
from skfhe.neural_network._base import BaseNeuralNet
from skfhe.neural_network._docstrings import NETWORK
from skfhe.neural_network._training import ClassifierNet

__all__ = ["NeuralNetClassifier"]


@documented(
    NETWORK,
    score="accuracy",
    loss="CrossEntropyLoss",
    parameters_of_loss=",\n    among them ``criterion__weight``, the classes' weights",
    how_held_out=", each class's alike,",
)
class NeuralNetClassifier(BaseNeuralNet, ClassifierMixin, BaseEstimator):
    """Multilayer perceptron, trained quantized, whose predictions run on encrypted data.

    It is trained in the clear with skorch and Brevitas. Every lookup reads ``module__n_accum_bits`` bits,
    whatever the input: its accumulator wraps around, or is bounded; see ``module__accumulator``.

    Parameters
    ----------
    {parameters_of_network}
    class_weight : dict or "balanced", default=None
        Weights of the classes in training, by label; "balanced" is inverse to their frequencies.
    {open_parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    {attributes_of_network}

    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.neural_network import NeuralNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NeuralNetClassifier(max_epochs=40, random_state=0).fit(X, y)
    >>> model.accumulator_bits_
    [3]
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _net_class = ClassifierNet
    _default_criterion = nn.CrossEntropyLoss
    classes_: Array
    _parameter_constraints: dict[str, list] = {
        **BaseNeuralNet._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    class_weight: dict[Any, float] | str | None
    __init__ = parameters_of(BaseNeuralNet, class_weight=None)

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> NeuralNetClassifier:
        """Train in the clear and lower the network to ``program_``.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n_rows, n_features)
        y : array-like, shape (n_rows,)
            Class labels, at least two different ones.
        sample_weight : array-like of float, shape (n_rows,), default=None
            Non-negative. A weight of 2 trains exactly like giving the row twice, where no rows are held out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data is invalid, training diverges, or all labels are equal.
        AccumulatorBudgetError
            If no network of this shape fits the accumulator; a ``ValueError`` that names the layer and the
            smallest ``module__n_accum_bits`` that would do.
        """
        self._check_params()
        rows, labels = self._validated(X, y, reset=not self._goes_on)
        check_classification_targets(labels)
        weight = self._check_weight(rows, sample_weight)
        classes = np.unique(labels)
        present = np.unique(labels[weight > 0])
        if len(present) < 2:
            raise ValueError(
                "a classifier needs at least 2 classes among the rows of positive weight, got 1 class: "
                f"{present[0]!r}"
            )
        if self._goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                "warm_start=True needs y to have the classes of the previous fit. Those were "
                f"{self.classes_}, y has {classes}"
            )

        def encode(some: NDArray) -> IntArray:
            unknown = np.setdiff1d(some, classes)
            if len(unknown):
                raise ValueError(
                    f"train_split returned labels {unknown} that are not among classes {classes}"
                )
            return np.searchsorted(classes, some)

        head, class_weight = _head(classes), self._class_weight(labels, weight, classes)
        self._train(rows, labels, weight, encode, len(classes), head, class_weight)
        self.classes_ = classes
        return self

    def _class_weight(self, labels: NDArray, weight: NDArray, classes: NDArray) -> NDArray | None:
        """Return the weight of each class, or None."""
        if self.class_weight is None:
            return None
        kept = weight > 0
        present = np.unique(labels[kept])
        found = np.ones(len(classes))
        found[np.isin(classes, present)] = compute_class_weight(
            self.class_weight, classes=present, y=labels[kept], sample_weight=weight[kept]
        )
        if not (np.isfinite(found).all() and (found >= 0).all() and (found > 0).any()):
            raise ValueError(
                f"class_weight must be finite, not negative, and not all zero, got {self.class_weight!r}"
            )
        return found

    def _score_outputs(self, y: NDArray, outputs: NDArray, weight: NDArray) -> float:
        """Return the accuracy."""
        return float(accuracy_score(y, outputs.argmax(axis=1), sample_weight=weight))

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> NeuralNetClassifier:
        """Train one epoch more, and lower the network anew.

        The first call on an unfitted estimator chooses the input encoding from its ``X``; later calls
        keep it. The accumulators fit throughout. The circuit is dropped.

        Parameters
        ----------
        X : array-like or sparse matrix of float, shape (n_rows, n_features)
        y : array-like, shape (n_rows,)
            Class labels, all among ``classes``.
        classes : array-like of shape (n_classes,), default=None
            All labels that may come, needed in the first call.
        sample_weight : array-like of float, shape (n_rows,), default=None
            Non-negative. Weights of the rows' losses.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``classes`` is missing in the first call, a label is not among them, or a parameter of
            the network changed since.
        """
        first = not hasattr(self, "_net")
        self._check_params()
        rows, labels = self._validated(X, y, reset=first)
        check_classification_targets(labels)
        if first and classes is None:
            raise ValueError("classes must be given in the first call to partial_fit")
        known = np.unique(np.asarray(classes)) if first else self.classes_
        unknown = np.setdiff1d(labels, known)
        if len(unknown):
            raise ValueError(f"y has labels {unknown} that are not among classes {known}")
        weight = self._check_weight(rows, sample_weight)
        encoded = np.searchsorted(known, labels)
        if self.class_weight == "balanced":
            raise ValueError(
                'class_weight="balanced" is not supported by partial_fit, which sees a part of the rows; '
                "compute the weights by sklearn.utils.class_weight.compute_class_weight('balanced', "
                "classes=..., y=...) and give them as a dict"
            )
        class_weight = self._class_weight(labels, weight, known)
        weight = weight if class_weight is None else weight * class_weight[encoded]
        self._train_further(rows, encoded, weight, len(known), _head(known))
        self.classes_ = known
        return self

    def _offers(self, method: str) -> bool:
        return method == "predict_proba"


def _head(classes: Array) -> Margins:
    """Return what tells classes by the outputs of a network: one for each, even of two."""
    return Margins("softmax", labels=(classes,))
