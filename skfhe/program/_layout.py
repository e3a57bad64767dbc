"""Where the boxes of a layered graph stand, and how its edges run.

Nodes are numbered so that every edge leads to a greater number. Layers run from the top down, each node below
all that it is made of. Edges that pass layers have a place of their own in each, so that they run between
boxes. Within layers, nodes are ordered by the mean place of their neighbours, back and forth, and then moved
as near to it as those beside them allow.

References
----------
Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures", 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from skfhe._typing import FloatArray

__all__ = ["layers_of", "placed"]

SWEEPS = 8


def layers_of(n_nodes: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return the layer of each node: the length of the longest path that leads to it.

    Examples
    --------
    >>> layers_of(4, [(0, 1), (1, 3), (2, 3)])
    [0, 1, 0, 2]
    """
    layer = [0] * n_nodes
    for start, end in sorted(edges, key=lambda edge: edge[1]):
        layer[end] = max(layer[end], layer[start] + 1)
    return layer


def placed(
    layer: Sequence[int], edges: Sequence[tuple[int, int]], widths: Sequence[float], gap: float
) -> tuple[FloatArray, list[list[tuple[float, int]]]]:
    """Return where nodes stand across, and where each edge passes the layers between its ends.

    Parameters
    ----------
    layer : sequence of int
        Of each node.
    edges : sequence of (int, int)
        From a node to one in a later layer.
    widths : sequence of float
        Of each node.
    gap : float
        Least distance between neighbours.

    Returns
    -------
    x : ndarray of float, shape (n_nodes,)
        Their middles, from half of a width on.
    ways : list of list of (float, int)
        For each edge, where it passes which layers.
    """
    of, size = list(layer), list(widths)
    chains: list[list[int]] = []
    for start, end in edges:
        chain = [start]
        for between in range(layer[start] + 1, layer[end]):
            of.append(between)
            size.append(gap)
            chain.append(len(of) - 1)
        chains.append([*chain, end])
    above: list[list[int]] = [[] for _ in of]
    below: list[list[int]] = [[] for _ in of]
    for chain in chains:
        for start, end in pairwise(chain):
            below[start].append(end)
            above[end].append(start)
    rows: list[list[int]] = [[] for _ in range(max(of, default=-1) + 1)]
    for node, at in enumerate(of):
        rows[at].append(node)
    x = np.zeros(len(of))
    wide = np.array(size)
    for row in rows:
        x[row] = _apart(np.zeros(len(row)), wide[row], gap)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            neighbours = above if sweep % 2 == 0 else below
            wanted = {node: float(np.mean(x[neighbours[node] or [node]])) for node in row}
            if sweep < SWEEPS - 2:
                row.sort(key=lambda node: (wanted[node], x[node]))
            x[row] = _apart(np.array([wanted[node] for node in row]), wide[row], gap)
    x -= (x - wide / 2).min() if len(x) else 0.0
    ways = [[(float(x[node]), of[node]) for node in chain[1:-1]] for chain in chains]
    return x[: len(layer)], ways


def _apart(wanted: FloatArray, widths: FloatArray, gap: float) -> FloatArray:
    """Return the middles nearest to those wanted, by least squares, that keep neighbours apart."""
    if not len(wanted):
        return wanted
    steps = np.append(0.0, np.cumsum((widths[1:] + widths[:-1]) / 2 + gap))
    pools: list[list[float]] = []  # [sum, count] of neighbours that touch
    for place in wanted - steps:
        pools.append([float(place), 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    return np.concatenate([np.full(int(count), total / count) for total, count in pools]) + steps
