"""Trained networks as estimators of scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
from torch import nn

from skfhe._typing import Array, FloatArray
from skfhe.base import EncryptedPredictorMixin
from skfhe.cost import Report
from skfhe.encoding import Head, Indicators, Margins, ScoresDecoder, Values, network_inputs
from skfhe.importers._entries import quantize_brevitas_qat_model, quantize_torch_model
from skfhe.importers._quantized_module import QuantizedModule

__all__ = ["TorchClassifier", "TorchRegressor"]

ACTIVATIONS = {"identity": nn.Identity, "logistic": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
"""Those of scikit-learn's multilayer perceptrons."""
SUMS_TO_ONE = 1e-6
"""How far probabilities of all classes may sum up to something else than 1."""


class _TorchEstimator(EncryptedPredictorMixin):
    """What the estimators around trained networks have in common."""

    _module: QuantizedModule
    _original: type
    feature_names_in_: Any

    def __init__(
        self,
        net: Any,
        *,
        n_bits: Any = "auto",
        rounding_threshold_bits: Any = "auto",
        tolerance: float | None = None,
        import_qat: bool = False,
        calibration: Any = "mse",
        range_source: Any = None,
        margin: float = 0.25,
    ) -> None:
        self.net = net
        self.n_bits = n_bits
        self.rounding_threshold_bits = rounding_threshold_bits
        self.tolerance = tolerance
        self.import_qat = import_qat
        self.calibration = calibration
        self.range_source = range_source
        self.margin = margin

    def _quantize(self, rows: FloatArray) -> QuantizedModule:
        """Return the network quantized by its calibration rows."""
        if not isinstance(self.net, nn.Module):
            raise TypeError(f"net must be a trained torch.nn.Module, got {type(self.net).__name__}")
        given = {"n_bits": self.n_bits, "rounding_threshold_bits": self.rounding_threshold_bits}
        options = {name: value for name, value in given.items() if not _is_auto(value)}
        options |= {"margin": self.margin, "tolerance": self.tolerance}
        if self.range_source is not None:
            options["range_source"] = self.range_source
        if _is_brevitas(self.net):
            return quantize_brevitas_qat_model(self.net, rows, **options)
        return quantize_torch_model(
            self.net, rows, import_qat=self.import_qat, calibration=self.calibration, **options
        )

    def _take_over(self, module: QuantizedModule, scores: ScoresDecoder, head: Head) -> None:
        """Predict by a module from now on."""
        model = module._encrypted_model
        self._module = module
        self._encrypted_model = replace(model, decoder=scores, head=head)

    def _calibration_rows(self, X: Any) -> FloatArray:
        return validate_data(self, X, allow_nd=True, dtype=np.float64)

    def _rows(self, fitted: Any, X: Any) -> Any:
        """Return rows as the network takes them."""
        rows = validate_data(fitted, X, reset=False, allow_nd=True, dtype=np.float64)
        return network_inputs((rows,), self._module.input_shapes_)[0]

    @property
    def quantized_module_(self) -> QuantizedModule:
        """The network quantized, and compiled once the estimator is."""
        self._check_clear("quantized_module_")
        return self._quantized_module()

    def _quantized_module(self) -> QuantizedModule:
        model = replace(self._fitted_model(), decoder=self._module.decoder_, head=None)
        return self._module._of(model)

    def report(self) -> Report:
        """Return what each layer costs, and how its accumulators are bounded; see `QuantizedModule`."""
        return self._quantized_module().report()


class TorchClassifier(_TorchEstimator, ClassifierMixin, BaseEstimator):
    """A trained torch network as a classifier whose predictions run on encrypted data.

    ``fit`` does not train: it quantizes the network on the rows that it is given, and reads the classes off
    their labels. So searches run over ``n_bits`` and the other parameters, and a Pipeline's steps before it
    stay in the clear.

    Parameters
    ----------
    net : torch.nn.Module
        Trained. Takes rows, and returns one score a class, one for the second of two, or with targets of
        several labels one a label: logits, or the probabilities themselves. It is not modified; `clone`
        copies it. Brevitas networks are recognized.
    n_bits, rounding_threshold_bits : default="auto"
        See `compile_torch_model`; "auto" takes its defaults.
    tolerance : float, default=None
        What "auto" may lose; see `compile_torch_model`.
    import_qat, calibration, range_source, margin
        See `compile_torch_model`.
    classes : array-like, default=None
        The label of each score of the network, in its order, where the rows given to ``fit`` need not have
        all of them. By default their sorted labels, or 0, 1, … if they come without.
    probabilities : bool or "auto", default="auto"
        Whether the network returns probabilities, and not logits. "auto" takes scores for such that sum up to
        1 on all rows, or lie in [0, 1] where there is one a row or one a label.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted, as the columns of probabilities and scores are.
    n_features_in_ : int
        Of a row; of rows of several axes, the length of the first.
    program_, encoder_, decoder_, head_, cost_, accumulator_bits_, output_bits_
        As of all estimators.
    fhe_circuit_ : Circuit
        After ``compile``.
    quantized_module_ : QuantizedModule

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.importers import TorchClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = torch.nn.Linear(4, 3)  # trained elsewhere
    >>> model = TorchClassifier(net, n_bits=4).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 3)
    """

    _original = MLPClassifier

    def __init__(
        self,
        net: Any,
        *,
        n_bits: Any = "auto",
        rounding_threshold_bits: Any = "auto",
        tolerance: float | None = None,
        import_qat: bool = False,
        calibration: Any = "mse",
        range_source: Any = None,
        margin: float = 0.25,
        classes: Any = None,
        probabilities: Any = "auto",
    ) -> None:
        super().__init__(
            net,
            n_bits=n_bits,
            rounding_threshold_bits=rounding_threshold_bits,
            tolerance=tolerance,
            import_qat=import_qat,
            calibration=calibration,
            range_source=range_source,
            margin=margin,
        )
        self.classes = classes
        self.probabilities = probabilities

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> TorchClassifier:
        """Quantize the network; nothing is trained.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, *row)
            Rows that represent the data; a few hundred are enough.
        y : array-like of shape (n_rows,) or (n_rows, n_labels), default=None
            Their labels, of which the classes are read. An indicator matrix says that rows can have several.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If ``net`` is no module.
        UnsupportedOperatorError
            If it has an operator that cannot be evaluated encrypted.
        ValueError
            If the data or a parameter does not fit, or the classes are not as many as the network's scores.
        """
        rows = self._calibration_rows(X)
        several = False
        found = None
        if y is not None:
            check_consistent_length(rows, y)
            check_classification_targets(y)
            several = type_of_target(y) == "multilabel-indicator"
            found = np.arange(np.shape(y)[1]) if several else np.unique(column_or_1d(y, warn=True))
        classes = found if self.classes is None else np.asarray(self.classes)
        if classes is not None and found is not None and len(np.setdiff1d(found, classes)):
            raise ValueError(f"y has labels that are not among classes={classes.tolist()}")
        self._fit(rows, classes, several)
        return self

    def _fit(self, rows: FloatArray, classes: Array | None, several: bool) -> None:
        if not (self.probabilities == "auto" or isinstance(self.probabilities, bool)):
            raise ValueError(f'probabilities must be True, False or "auto", got {self.probabilities!r}')
        if classes is not None and (np.ndim(classes) != 1 or len(np.unique(classes)) != len(classes)):
            raise ValueError(
                f"classes must be one label a score, all different, got {np.asarray(classes).tolist()}"
            )
        module = self._quantize(rows)
        scores = _only_output(module)
        n_scores = scores.n_scores
        if classes is None:
            classes = np.arange(max(2, n_scores))
        if len(classes) != n_scores and (several or len(classes) != 2 or n_scores != 1):
            raise ValueError(
                f"the network gives {n_scores} score(s) a row, and there are {len(classes)} classes; list "
                "the label of each score in classes=…"
            )
        probable = self.probabilities
        if probable == "auto":
            probable = _are_probabilities(_float_scores(self.net, rows), alone=several or n_scores == 1)
        order = np.argsort(classes)
        if np.any(order != np.arange(len(classes))):  # metrics take the columns to be in the order of labels
            classes = classes[order]
            scores = scores.reordered(order.tolist()) if n_scores > 1 else scores.reflected(float(probable))
        self._take_over(module, scores, _head(classes, n_scores, several, bool(probable)))
        self.classes_ = classes

    @classmethod
    def from_sklearn_model(cls, fitted: Any, X: ArrayLike, **parameters: Any) -> TorchClassifier:
        """Convert a fitted `sklearn.neural_network.MLPClassifier`.

        Parameters
        ----------
        fitted : MLPClassifier
        X : array-like of float, shape (n_rows, n_features)
            Rows to quantize it on, such as those that it was trained on.
        **parameters
            Of this class, without ``net`` and ``classes``.

        Returns
        -------
        TorchClassifier

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        NotFittedError
            If it is not fitted.
        ValueError
            If the rows have other features than it.
        """
        net = _perceptron(cls, fitted)
        classes = np.asarray(fitted.classes_)
        estimator = cls(net, **{"classes": classes, "probabilities": False, **parameters})
        several = fitted.out_activation_ == "logistic" and fitted.n_outputs_ > 1
        estimator._fit(_known_rows(estimator, fitted, X), classes, several)
        return estimator

    def _offers(self, method: str) -> bool:
        if method != "decision_function":
            return method in ("predict_proba", "predict_log_proba")
        head = self._lowered_model().head if "_encrypted_model" in vars(self) else None
        return not (isinstance(head, Margins | Indicators) and head.link == "probability")

    def __sklearn_tags__(self) -> Tags:
        """Say that rows may have several labels."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.required = False
        return tags


class TorchRegressor(_TorchEstimator, RegressorMixin, BaseEstimator):
    """A trained torch network as a regressor whose predictions run on encrypted data.

    ``fit`` does not train: it quantizes the network on the rows that it is given.

    Parameters
    ----------
    net : torch.nn.Module
        Trained. Takes rows, and returns the predictions. It is not modified; `clone` copies it. Brevitas
        networks are recognized.
    n_bits, rounding_threshold_bits : default="auto"
        See `compile_torch_model`; "auto" takes its defaults.
    tolerance : float, default=None
        What "auto" may lose; see `compile_torch_model`.
    import_qat, calibration, range_source, margin
        See `compile_torch_model`.

    Attributes
    ----------
    n_features_in_ : int
        Of a row; of rows of several axes, the length of the first.
    program_, encoder_, decoder_, head_, cost_, accumulator_bits_, output_bits_
        As of all estimators.
    fhe_circuit_ : Circuit
        After ``compile``.
    quantized_module_ : QuantizedModule

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skfhe.importers import TorchRegressor
    >>> net = torch.nn.Linear(3, 1)  # trained elsewhere
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> TorchRegressor(net, n_bits=6).fit(X).predict(X[:2]).shape
    (2,)
    """

    _original = MLPRegressor

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> TorchRegressor:
        """Quantize the network; nothing is trained.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, *row)
            Rows that represent the data; a few hundred are enough.
        y : array-like of shape (n_rows,) or (n_rows, n_targets), default=None
            Their targets, which say whether predictions of one target have an axis of their own.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If ``net`` is no module.
        UnsupportedOperatorError
            If it has an operator that cannot be evaluated encrypted.
        ValueError
            If the data or a parameter does not fit, or the targets are not as many as the network's.
        """
        rows = self._calibration_rows(X)
        if y is not None:
            check_consistent_length(rows, y)
        module = self._quantize(rows)
        scores = _only_output(module)
        n_scores = scores.n_scores
        n_targets = None if y is None else int(np.prod(np.shape(y)[1:]))
        if n_targets not in (None, n_scores):
            raise ValueError(f"the network predicts {n_scores} target(s) a row, and y has {n_targets}")
        self._take_over(module, scores, Values(flat=y is None or np.ndim(y) == 1))
        return self

    @classmethod
    def from_sklearn_model(cls, fitted: Any, X: ArrayLike, **parameters: Any) -> TorchRegressor:
        """Convert a fitted `sklearn.neural_network.MLPRegressor`.

        Parameters
        ----------
        fitted : MLPRegressor
        X : array-like of float, shape (n_rows, n_features)
            Rows to quantize it on, such as those that it was trained on.
        **parameters
            Of this class, without ``net``.

        Returns
        -------
        TorchRegressor

        Raises
        ------
        TypeError
            If ``fitted`` is of another class.
        NotFittedError
            If it is not fitted.
        ValueError
            If the rows have other features than it.
        """
        estimator = cls(_perceptron(cls, fitted), **parameters)
        module = estimator._quantize(_known_rows(estimator, fitted, X))
        estimator._take_over(module, _only_output(module), Values())
        return estimator

    def __sklearn_tags__(self) -> Tags:
        """Say that several targets are taken."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.required = False
        return tags


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _is_brevitas(net: nn.Module) -> bool:
    return any(type(module).__module__.startswith("brevitas.") for module in net.modules())


def _only_output(module: QuantizedModule) -> ScoresDecoder:
    """Return the decoder of what has to be the only output."""
    if module.output_structure_ is not None:
        raise ValueError(
            "an estimator's network returns scores alone, and no dictionary, list or named tuple"
        )
    if len(module.input_shapes_) > 1:
        raise ValueError(f"an estimator's network has one input, got {len(module.input_shapes_)}")
    return ScoresDecoder(module.decoder_)


def _float_scores(net: nn.Module, rows: FloatArray) -> FloatArray:
    """Return the scores that the network itself gives some rows."""
    from skfhe.importers._torch.reader import in_double_precision

    some = torch.from_numpy(rows[:64])
    with torch.no_grad():
        own = in_double_precision(net)
        try:
            result = own(some)
        except RuntimeError:  # of tensors of its own in single precision
            result = own.float()(some.float())
    result = getattr(result, "value", result)
    return result.reshape(len(some), -1).double().numpy()


def _are_probabilities(scores: FloatArray, alone: bool) -> bool:
    inside = bool(np.all((scores >= 0) & (scores <= 1)))
    return inside and (alone or bool(np.all(np.abs(scores.sum(axis=1) - 1) <= SUMS_TO_ONE)))


def _head(classes: Array, n_scores: int, several: bool, probable: bool) -> Head:
    boundary = 0.5 if probable else 0.0
    if several:
        return Indicators("probability" if probable else "logistic", boundary)
    if probable:
        return Margins("probability", boundary=boundary, labels=(classes,))
    return Margins("logistic" if n_scores == 1 else "softmax", labels=(classes,))


class _Exponential(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp()


def _perceptron(cls: Any, fitted: Any) -> nn.Module:
    """Return a fitted multilayer perceptron of scikit-learn in torch; a classifier's returns logits."""
    original = cls._original
    if not isinstance(fitted, original):
        raise TypeError(
            f"{cls.__name__}.from_sklearn_model converts a fitted sklearn.neural_network."
            f"{original.__name__}, got {type(fitted).__name__}"
        )
    check_is_fitted(fitted)
    layers: list[nn.Module] = []
    for index, (weight, bias) in enumerate(zip(fitted.coefs_, fitted.intercepts_, strict=True)):
        if index:
            layers.append(ACTIVATIONS[fitted.activation]())
        linear = nn.Linear(weight.shape[0], weight.shape[1], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(np.array(weight.T, dtype=np.float64)))
            linear.bias.copy_(torch.from_numpy(np.array(bias, dtype=np.float64)))
        layers.append(linear)
    if fitted.out_activation_ == "exp":
        layers.append(_Exponential())
    return nn.Sequential(*layers).eval()


def _known_rows(estimator: _TorchEstimator, fitted: Any, X: Any) -> FloatArray:
    """Return rows to quantize an original on; the estimator knows their features, and their names, then."""
    rows = estimator._calibration_rows(X)
    if rows.shape[1] != fitted.n_features_in_:
        raise ValueError(
            f"X has {rows.shape[1]} features, and this {type(fitted).__name__} was fitted on "
            f"{fitted.n_features_in_}"
        )
    if hasattr(fitted, "feature_names_in_"):
        estimator.feature_names_in_ = fitted.feature_names_in_
    return rows
