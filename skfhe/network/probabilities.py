"""Softmax and its kin, in the form that errs least for what the calibration rows hold.

``exp(x - log Σ exp x)`` takes fewest lookups, two an element and one. But one grid holds all of the
exponentials: it is as coarse for a row whose logits are all low as for the one with the largest, and rows far
below that sum to nothing. Where the calibration rows differ so much, their maximum is subtracted first,
``exp(y - log Σ exp y)`` with ``y = x - max x``: sums lie between 1 and the number of members then. (Pairwise
sums, ``b + softplus(a - b)``, would take fewer lookups than that; their errors add up to more.)

Logits are grouped, shape (n_groups, n_members). Those that calibration rows never bring near their group's
largest are masks: they count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skfhe.network._builder import NetworkBuilder
from skfhe.network._node import Node
from skfhe.network._operations import Extremum, Move

__all__ = ["log_softmax", "log_sum_exp", "softmax"]

NEGLIGIBLE = 30.0
"""A member so far below the largest adds ``1e-13`` of it to the sum."""
MOST_LOST = 8.0
"""How many steps of the exponentials' grid a row's sum may err by before maxima are subtracted, in units of
that sum times the grid's steps: at 8 bits, 3 % of it."""


def softmax(build: NetworkBuilder, x: Node, axis: int) -> Node:
    """Append ``exp(x) / Σ exp(x)`` over an axis; a mask, which is far below on all rows, becomes 0."""
    groups = _Groups.of(x, axis, masks=True)
    shifted, log_sum = _normalizer(build, groups.logits(build, x), groups)
    results = build.univariate(build.elementwise(torch.sub, shifted, log_sum, kind="subtract"), torch.exp)
    if not groups.counts.all():
        results = build.affine(results, groups.counts.double())
    return groups.back(build, results)


def log_softmax(build: NetworkBuilder, x: Node, axis: int) -> Node:
    """Append ``x - log Σ exp(x)`` over an axis."""
    groups = _Groups.of(x, axis, masks=False)
    shifted, log_sum = _normalizer(build, groups.logits(build, x), groups)
    return groups.back(build, build.elementwise(torch.sub, shifted, log_sum, kind="subtract"))


def log_sum_exp(build: NetworkBuilder, x: Node, axes: list[int], keepdim: bool) -> Node:
    """Append ``log Σ exp(x)`` over axes."""
    rest = [axis for axis in range(len(x.shape)) if axis not in axes]
    order = [*rest, *axes]
    kept = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
    shape = kept if keepdim else [x.shape[axis] for axis in rest]
    flat = _positions(x.shape).permute(order).reshape(*(x.shape[axis] for axis in rest), -1)
    groups = _Groups.of(build.add(Move(flat), x), len(rest), masks=True)
    logits = groups.logits(build, build.add(Move(flat), x))
    shifted, log_sum = _normalizer(build, logits, groups)
    if shifted is not logits:
        log_sum = build.elementwise(torch.add, log_sum, _largest(build, logits, groups), kind="add")
    return build.add(Move(_positions(shape)), log_sum)


def _positions(shape: list[int] | tuple[int, ...]) -> Tensor:
    return torch.arange(torch.Size(shape).numel()).reshape(shape)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Which elements are normalized together.

    Parameters
    ----------
    members : Tensor of int64, shape (n_groups, n_members)
        Positions in the flattened argument.
    counts : Tensor of bool, shape (n_groups, n_members)
        False for masks.
    shape : tuple of int
        Of the argument.
    """

    members: Tensor
    counts: Tensor
    shape: tuple[int, ...]

    @classmethod
    def of(cls, x: Node, axis: int, masks: bool) -> _Groups:
        members = _positions(x.shape).movedim(axis, -1).reshape(-1, x.shape[axis])
        floats = x.reference.reshape(len(x.reference), -1)[:, members]
        near = floats > floats.amax(-1, keepdim=True) - NEGLIGIBLE
        counts = near.any(0) if masks else torch.ones(members.shape, dtype=torch.bool)
        return cls(members, counts, x.shape)

    def logits(self, build: NetworkBuilder, x: Node) -> Node:
        """Append the grouped logits, with some logit of the network in place of each mask."""
        floats = x.reference.reshape(len(x.reference), -1)[:, self.members]
        some = floats[:, self.counts]
        fill = float(some.median()) if some.numel() else 0.0
        return build.add(Move(torch.where(self.counts, self.members, -1), fill), x)

    def back(self, build: NetworkBuilder, grouped: Node) -> Node:
        """Append what is grouped, in the order of the argument."""
        return build.add(Move(self.members.flatten().argsort().reshape(self.shape)), grouped)


def _normalizer(build: NetworkBuilder, x: Node, groups: _Groups) -> tuple[Node, Node]:
    """Return the logits, shifted or not, and the logarithm of the sum of their exponentials.

    Shapes (n_groups, n_members) and (n_groups, 1).
    """
    counted = x.reference.masked_fill(~groups.counts, -torch.inf)
    lost = torch.exp(counted.amax() - torch.logsumexp(counted, -1)) * (x.shape[-1] / 12) ** 0.5
    lost = lost[:, groups.counts.any(-1)]
    if lost.numel() and float(lost.square().mean().sqrt()) > MOST_LOST:
        x = build.elementwise(torch.sub, x, _largest(build, x, groups), kind="subtract")
    exponentials = build.univariate(x, torch.exp)
    if not groups.counts.all():
        exponentials = build.affine(exponentials, (groups.counts | ~groups.counts.any(-1, True)).double())
    total = build.linear(exponentials, torch.ones(x.shape[-1], 1, dtype=torch.float64))
    return x, build.univariate(total, torch.log)


def _largest(build: NetworkBuilder, x: Node, groups: _Groups) -> Node:
    """Append the largest logit of each group, shape (n_groups, 1)."""
    positions = torch.where(groups.counts, _positions(x.shape), -1)
    first = positions.amax(-1, keepdim=True).clamp(min=0)
    return build.add(Extremum(torch.where(positions < 0, first, positions).T.unsqueeze(-1), True), x)
