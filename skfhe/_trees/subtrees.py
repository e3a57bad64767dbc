"""Parts of trees that one lookup may read, many at once; see `skfhe._trees.search`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skfhe._typing import BoolArray, IntArray

__all__ = ["Subtrees", "slots", "some"]


@dataclass(frozen=True, eq=False)
class Subtrees:
    """Parts of one kind: those of one shape, or all that are cut off at one depth.

    Parameters
    ----------
    nodes : ndarray of int64, shape (n_parts,)
        The node that each hangs at, ascending.
    inner : tuple of str
        For a shape, the ways from there to its inner nodes; ``()`` for parts cut off at a depth.
    below : ndarray of int64, shape (n_left,)
        Inner nodes left below, part by part.
    owner : ndarray of int64, shape (n_left,)
        The position of the part that each is left by, ascending.
    depth : ndarray of int64, shape (n_left,)
        How far below the part's node each is.
    fits : ndarray of bool, shape (n_parts, n_columns)
        Whether a lookup can read the part.
    cut : int
        Depth at which parts are cut off; 0 for a shape.
    """

    nodes: IntArray
    inner: tuple[str, ...]
    below: IntArray
    owner: IntArray
    depth: IntArray
    fits: BoolArray
    cut: int


def slots(chains: IntArray, splits: IntArray) -> tuple[IntArray, IntArray]:
    """Return the different chains of parts, and how many different splits of each there are.

    Both are of shape (n_parts, n_splits), with no splits where there are fewer chains.
    """
    n_splits = splits.shape[1]
    earlier = np.tril(np.ones((n_splits, n_splits), dtype=bool), -1)
    new = ~((splits[:, :, None] == splits[:, None, :]) & earlier).any(axis=2)
    alike = chains[:, :, None] == chains[:, None, :]
    opens = ~(alike & earlier).any(axis=2)
    counts = np.where(opens, (alike & new[:, None, :]).sum(axis=2), 0)
    return np.where(opens, chains, -1), counts


def some(parts: Subtrees, kept: BoolArray) -> Subtrees:
    """Return some of the parts."""
    position = np.cumsum(kept) - 1
    left = kept[parts.owner]
    return Subtrees(
        parts.nodes[kept],
        parts.inner,
        parts.below[left],
        position[parts.owner[left]],
        parts.depth[left],
        parts.fits[kept],
        parts.cut,
    )
