"""Neural network classification on encrypted data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from torch import nn

from skfhe._originals.compat import StrOptions
from skfhe._originals.inherited import parameters_of
from skfhe._typing import Array, FloatArray, IntArray
from skfhe.neural_network._base import BaseNeuralNet
from skfhe.neural_network._training import ClassifierNet

__all__ = ["NeuralNetClassifier"]


class NeuralNetClassifier(ClassifierMixin, BaseNeuralNet):
    """Multilayer perceptron, trained quantized, whose predictions run on encrypted data.

    It is trained in the clear with skorch and Brevitas. Every accumulator that a lookup reads fits
    ``module__n_accum_bits`` bits, whatever the input.

    Parameters
    ----------
    module__n_layers : int, default=2
        Linear layers, the output layer included: 2 means one hidden layer.
    module__n_w_bits : int or "auto", default="auto"
        Bits of the hidden layers' weights, on a grid symmetric about zero: 2 means -1, 0 and 1. "auto" takes
        2, and up to 4 for so few inputs, such as five bits, that a neuron could not use its accumulator.
    module__n_a_bits : int, default=2
        Bits of the hidden activations.
    module__n_accum_bits : int, default=4
        Bits of every accumulator that a lookup reads, guaranteed for every input. The time of an
        encrypted prediction depends on little else.
    module__n_hidden_neurons_multiplier : float or "auto", default="auto"
        Neurons of a hidden layer, in units of ``sqrt(n_features * max(2, n_outputs))`` or the cube root of
        the number of rows (the sum of their weights), whichever is larger; at least 2. Each costs one lookup.
        "auto" means 0.75, and 1.5 where half of the features that vary have at most 9 values.
    module__activation_function : type, default=torch.nn.ReLU
        Class of a univariate torch activation. It is folded into lookups, so all cost the same.
    module__n_input_bits : int, default=5
        Bits that each feature is quantized to before it is encoded by its thresholds.
    module__n_output_w_bits : int, default=3
        Bits of the output layer's weights.
    module__n_output_bits : int or "auto", default="auto"
        Bits of the output layer's accumulators, guaranteed. No lookup reads them, but from 7 bits
        on they can make the hidden layer's lookups dearer, for those must be more precise. "auto" means 6,
        and 7 where half of the features that vary have at most 9 values.
    module__n_thresholds_per_neuron : int, default=4
        The first hidden layer reads this many of the inputs' thresholds for each of its neurons, on average;
        neurons can share them. Each is a ciphertext that the client has to make.
    module__input_noise : float or "auto", default="auto"
        Standard deviation of the noise added to the inputs in training, in quantization steps. "auto" is a
        tenth of a feature's range, and falls with the cube root of the rows from 1000 rows on. Features of at
        most 9 values get none, those of more than 16 all of it, and those between a part.
    module__skip_connection : bool, default=True
        Add a linear function of the features to the scores, around the hidden layers. It takes no lookup, and
        the network needs fewer neurons. The client adds the two parts, so it sees them apart.
    max_epochs : int, default=60
        Passes over the training data.
    lr : float, default=0.01
        Learning rate to begin with.
    lr_schedule : {"cosine", "constant"}, default="cosine"
        How the learning rate goes on, where ``callbacks`` have no ``LRScheduler``.
    batch_size : int or "auto", default="auto"
        Rows of a training step. "auto" means 32, and from 16,000 rows on a 500th of them, up to 200.
    optimizer : type, default=torch.optim.AdamW
        Class of a torch optimizer; its parameters are given as ``optimizer__*``.
    criterion : type, default=None
        Class of a torch loss on the scores, which takes ``reduction="none"``; None takes
        ``torch.nn.CrossEntropyLoss``. Its parameters are given as ``criterion__*``,
        among them ``criterion__weight``, the classes' weights.
    callbacks : list, default=None
        skorch callbacks, such as ``skorch.callbacks.EarlyStopping``. They are called, and ``net_.history``
        begins, when the budgets have settled, after a quarter of ``max_epochs``, rounded up; only
        ``on_grad_computed`` is called before. What restores weights of another training, such as
        ``LoadInitState``, does not fit the network.
    train_split : callable, default=None
        skorch split into training and validation rows, such as ``skorch.dataset.ValidSplit(5)`` or
        ``skorch.helper.predefined_split(dataset)``. A ``ValidSplit`` by number draws from shuffled rows,
        anything else sees them in the order of ``fit``.
    device : str, default="cpu"
        Torch device to train on.
    rounding_threshold_bits : int or dict, default=None
        Round accumulators wider than this many bits before they are looked up. ``{"n_bits": k, "method":
        "approximate"}`` does so at no cost, but may take the neighbouring cell near a tie, so that encrypted
        results can differ from the clear ones there; an int means ``"method": "exact"``.
    verbose : int, default=0
        1 prints skorch's training log.
    random_state : int, RandomState instance or None, default=None
        Seeds everything random in training; an int makes ``fit`` reproducible to the bit.
    early_stopping : bool, default=False
        Hold rows out, stop when their accuracy has not improved by 1e-4 for more than ``n_iter_no_change``
        epochs, and keep the best network. Counted from when the budgets have settled.
    validation_fraction : float, default=0.1
        Part of the rows that ``early_stopping`` holds out, each class's alike, unless ``train_split`` does.
    n_iter_no_change : int, default=10
        Epochs without improvement that ``early_stopping`` bears.
    warm_start : bool, default=False
        Let ``fit`` go on training the network that there is, with its encoding and the full constraint, for
        ``max_epochs`` more.
    class_weight : dict or "balanced", default=None
        Weights of the classes in training, by label; "balanced" is inverse to their frequencies.
    **kwargs
        ``optimizer__*``, ``criterion__*``, ``iterator_train__*``, ``iterator_valid__*``, ``callbacks__*``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    program_ : Program
        The quantized network on integers: what runs encrypted.
    input_encoder_ : ThresholdEncoder
        Turns rows into the bits that the program takes. Values beyond the range seen in training are clipped.
    output_decoder_ : AffineDecoder
        Turns the program's first output into scores. The skip connection's are added to them.
    net_ : skorch.NeuralNet
        The fitted skorch net. Its ``history`` begins when the budgets have settled.
    n_iter_ : int
        Epochs trained, those in which the budgets shrink and those of earlier warm starts among them.
    loss_curve_ : list of float, length n_iter_
        Mean loss of the training rows in each epoch.
    best_loss_ : float or None
        The least of them; None with ``early_stopping``.
    validation_scores_ : list of float, length n_iter_, or None
        Accuracy of the rows held out after each epoch, with ``early_stopping``.
    best_validation_score_ : float or None
        The best of them since the budgets had settled, which the network has.
    module_ : BudgetedMLP
        The Brevitas network. In double precision and evaluation mode it equals the program.
    pruning_factor_ : int
        Largest number of non-zero weights of one hidden neuron.
    accumulator_bits_ : list of int
        Proven bits of every accumulator that a lookup reads, in layer order.
    output_bits_ : list of int
        Proven bits of every output.
    cost_ : Cost
        Predicted lookups by bit-width, complexity and seconds a row.
    fhe_circuit_ : Circuit
        After ``compile``.
    n_features_in_ : int
        Features seen in ``fit``.
    feature_names_in_ : ndarray of str
        Their names, where ``X`` has them.

    References
    ----------
    Stoian et al., "Deep Neural Networks for Symbolic Inference with TFHE", CSCML 2023.
    Colbert et al., "A2Q: Accumulator-Aware Quantization with Guaranteed Overflow Avoidance", ICCV 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.neural_network import NeuralNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NeuralNetClassifier(max_epochs=40, random_state=0).fit(X, y)
    >>> model.accumulator_bits_
    [4]
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

        self._fit(rows, labels, weight, encode, len(classes), self._class_weight(labels, weight, classes))
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
        first = not hasattr(self, "net_")
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
        self._partial_fit(rows, encoded, weight, len(known))
        self.classes_ = known
        return self

    def predict(self, X: ArrayLike, *, fhe: str = "disable") -> Array:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
        fhe : {"disable", "simulate", "execute"}, default="disable"
            Evaluate the integers of ``program_`` in the clear, in the clear with the lookup errors of an
            encrypted run, or encrypted.

        Returns
        -------
        ndarray of shape (n_rows,)

        Raises
        ------
        NotCompiledError
            If ``fhe`` is not ``"disable"`` and ``compile`` was not called since ``fit``.
        """
        best = self._scores(X, fhe).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: ArrayLike, *, fhe: str = "disable") -> FloatArray:
        """Return the probability of each class; the softmax is taken in the clear.

        Parameters and errors are those of `predict`.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
        """
        return softmax(self._scores(X, fhe), axis=1)
