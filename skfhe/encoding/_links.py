"""Functions that turn scores into probabilities; each keeps the precision of its argument."""

import numpy as np

from skfhe._typing import Array

__all__ = ["log_softmax", "logistic", "softmax"]


def logistic(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``, by whichever of its two forms does not overflow.

    Examples
    --------
    >>> logistic(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def softmax(x: Array) -> Array:
    """Return the softmax of each row.

    Examples
    --------
    >>> softmax(np.array([[1000.0, 1000.0]]))
    array([[0.5, 0.5]])
    """
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def log_softmax(x: Array) -> Array:
    """Return the logarithms of the softmax of each row.

    Examples
    --------
    >>> log_softmax(np.array([[0.0, 1000.0]]))
    array([[-1000.,     0.]])
    """
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))
