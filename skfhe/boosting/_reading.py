"""Trees of boosting libraries, read node by node."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from skfhe._trees.ensemble import RawTree
from skfhe._typing import FloatArray
from skfhe.encoding import Split

__all__ = ["Branch", "read_tree"]

Place = TypeVar("Place")
Branch = tuple[Split, Place, Place]


def read_tree(root: Place, read: Callable[[Place], Branch[Place] | FloatArray]) -> RawTree:
    """Return the tree below ``root``, without the nodes that no row reaches.

    Parameters
    ----------
    root : object
        Whatever tells ``read`` which node is meant.
    read : callable
        Returns the split of a node and its children for the answers 0 and 1, or the values of a leaf,
        shape (n_outputs,).

    Returns
    -------
    RawTree
    """
    places = [root]
    splits: list[Split | None] = []
    children: list[tuple[int, int]] = []
    values: list[FloatArray | None] = []
    for place in places:  # grows on the way
        found = read(place)
        if isinstance(found, tuple):
            split, left, right = found
            splits.append(split)
            children.append((len(places), len(places) + 1))
            values.append(None)
            places += [left, right]
        else:
            splits.append(None)
            children.append((0, 0))
            values.append(np.asarray(found, dtype=np.float64))
    n_outputs = next(len(leaf) for leaf in values if leaf is not None)
    filled = np.stack([np.zeros(n_outputs) if leaf is None else leaf for leaf in values])
    left, right = np.array(children, dtype=np.int64).T
    return RawTree(splits, left, right, filled)
