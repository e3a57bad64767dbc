"""Numbers of categories as indicators."""

from collections.abc import Sequence

import numpy as np

from skfhe._typing import FloatArray, IntArray

__all__ = ["one_hot"]


def one_hot(numbers: IntArray, n_categories: Sequence[int], estimator: str) -> FloatArray:
    """Return an indicator for each category of each feature, those of a feature beside each other.

    Parameters
    ----------
    numbers : ndarray of int64, shape (n_rows, n_features)
        None of them negative.
    n_categories : sequence of int
        Of each feature.
    estimator : str
        Name of the model's class, for messages.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_indicators)

    Raises
    ------
    ValueError
        If a number is that of no category.

    Examples
    --------
    >>> one_hot(np.array([[1, 0], [0, 2]]), [2, 3], "CategoricalNB")
    array([[0., 1., 1., 0., 0.],
           [1., 0., 0., 0., 1.]])
    """
    known = np.asarray(n_categories, dtype=np.int64)
    unknown = numbers >= known
    if unknown.any():
        row, feature = np.argwhere(unknown)[0]
        raise ValueError(
            f"feature {feature} is {numbers[row, feature]}, and this {estimator} knows its categories 0 to "
            f"{known[feature] - 1}; min_categories makes room for more in training"
        )
    found = np.zeros((len(numbers), int(known.sum())))
    first = np.cumsum(known) - known
    found[np.arange(len(numbers))[:, None], first + numbers] = 1.0
    return found
