"""Linear models trained by stochastic gradient descent, on encrypted data."""

from typing import Any

from sklearn import linear_model

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of

__all__ = ["SGDClassifier", "SGDRegressor"]


@documented(LINEAR)
class SGDClassifier(LinearPredictorMixin, linear_model.SGDClassifier):
    """Linear classifier trained by stochastic gradient descent, with any loss, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.linear_model import SGDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SGDClassifier(loss="log_loss", random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.SGDClassifier
    __init__ = parameters_of(linear_model.SGDClassifier, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.SGDClassifier.fit)
    partial_fit = method_of(linear_model.SGDClassifier.partial_fit)

    def _link(self, fitted: Any) -> str:
        """Return how probabilities follow from scores; only two losses have any."""
        return "modified_huber" if fitted.loss == "modified_huber" else "normalized"


@documented(LINEAR)
class SGDRegressor(LinearPredictorMixin, linear_model.SGDRegressor):
    """Linear regression trained by stochastic gradient descent, on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.linear_model import SGDRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = SGDRegressor(random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = linear_model.SGDRegressor
    __init__ = parameters_of(linear_model.SGDRegressor, n_bits=8, range_margin=7.5)
    fit = method_of(linear_model.SGDRegressor.fit)
    partial_fit = method_of(linear_model.SGDRegressor.partial_fit)
