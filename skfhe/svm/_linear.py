"""Linear support vector machines on encrypted data."""

from sklearn import svm

from skfhe._linear import LinearPredictorMixin
from skfhe._linear.docstrings import LINEAR
from skfhe._originals.docstrings import documented
from skfhe._originals.inherited import method_of, parameters_of

__all__ = ["LinearSVC", "LinearSVR"]


@documented(LINEAR)
class LinearSVC(LinearPredictorMixin, svm.LinearSVC):
    """Linear support vector classification on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.svm import LinearSVC
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LinearSVC(random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = svm.LinearSVC
    __init__ = parameters_of(svm.LinearSVC, n_bits=8, range_margin=7.5)
    fit = method_of(svm.LinearSVC.fit)


@documented(LINEAR)
class LinearSVR(LinearPredictorMixin, svm.LinearSVR):
    """Linear support vector regression on encrypted data.

    {parameters}

    {attributes}

    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skfhe.svm import LinearSVR
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = LinearSVR(random_state=0).fit(X, y)
    >>> circuit = model.compile()
    >>> bool((model.predict(X[:2], fhe="execute") == model.predict(X[:2])).all())
    True
    """

    _original = svm.LinearSVR
    __init__ = parameters_of(svm.LinearSVR, n_bits=8, range_margin=7.5)
    fit = method_of(svm.LinearSVR.fit)
