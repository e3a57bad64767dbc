"""How a program answers splits on levels, from the bits that these are sent as."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike

from skfhe.encoding import LevelBitsEncoder, LevelQuantizer, Splits
from skfhe.program import ProgramBuilder, ops

__all__ = ["MAJORITY_BITS", "LevelAnswers"]

LABEL = "comparisons"
MAJORITY_BITS = 1
"""Bits of a lookup whose result is the sign of an answer."""


@dataclass(frozen=True, eq=False)
class LevelAnswers:
    """The answers to splits on levels: bits that are sent, or lookups of sums of these.

    A bit for each boundary answers a split by itself. Of two digits, a lookup takes the majority of three
    bits, unless the boundary is where the high digit rises. A missing value has no other bit than its own,
    which is added where it answers 1.

    Parameters
    ----------
    splits : Splits
        On levels.
    encoder : LevelBitsEncoder
        Of the features that they ask about.
    """

    splits: Splits
    encoder: LevelBitsEncoder

    @classmethod
    def of(cls, splits: Splits, quantizer: LevelQuantizer, radix: int) -> LevelAnswers:
        """Return the answers to splits from bits of all boundaries of the features that they ask about."""
        features = np.unique(splits.features)
        return cls(splits, LevelBitsEncoder(quantizer.select(features).levels, features, radix))

    @cached_property
    def _kinds(self) -> _Kinds:
        encoder = self.encoder
        number = {int(feature): at for at, feature in enumerate(encoder.features)}
        found = _Kinds()
        for at, split in enumerate(self.splits):
            feature = number[split.feature]
            last = len(encoder.quantizer.boundaries[feature])
            level = math.ceil(split.threshold)
            missing = encoder.missing(feature) if split.missing_right else None
            if level < 1:
                found.present.append((at, encoder.missing(feature)))
            elif level > last:
                found.alone.append((at, encoder.missing(feature)))
            else:
                deciding = encoder.deciding(feature, level)
                bits = [bit for bit in deciding if bit is not None]
                if len(bits) > 1:
                    found.voted.append(_Vote(at, tuple(bits), deciding[0] is None, missing))
                elif missing is None:
                    found.alone.append((at, bits[0]))
                else:
                    found.either.append((at, bits[0], missing))
        return found

    @property
    def n_lookups(self) -> int:
        """Splits that a lookup answers."""
        return len(self._kinds.voted)

    def append(self, builder: ProgramBuilder) -> tuple[int, frozenset[int]]:
        """Append the input of a program and the answers to the splits.

        Returns
        -------
        position : int
            Of the answers, in the order of the splits.
        signed : frozenset of int
            The splits that a lookup answers: by -1 and 1, which takes one bit less than 0 and 1.
        """
        n_sent, kinds = self.encoder.n_bits, self._kinds
        sent = builder.input(np.zeros(n_sent), np.ones(n_sent), label="features")
        parts = []
        if kinds.alone:
            parts.append(_gathered(builder, sent, [bit for _, bit in kinds.alone]))
        if kinds.either:
            bits, missing = (
                _gathered(builder, sent, [answer[at] for answer in kinds.either]) for at in (1, 2)
            )
            both = builder.add(ops.Add(), bits, missing, label=LABEL)
            parts.append(builder.add(ops.Bound(0, 1), both, label=LABEL))  # what is missing exceeds nothing
        if kinds.present:
            missing = _gathered(builder, sent, [bit for _, bit in kinds.present])
            n = len(kinds.present)
            negated = ops.Linear(-np.eye(n, dtype=np.int8), np.ones(n, dtype=np.int64))
            parts.append(builder.add(negated, missing, label=LABEL))
        order = [split for split, *_ in (*kinds.alone, *kinds.either, *kinds.present)]
        if kinds.voted:
            voted = sorted(kinds.voted, key=lambda vote: vote.summed)
            order += [vote.split for vote in voted]
            parts.append(_majorities(builder, sent, voted))
        answers = parts[0] if len(parts) == 1 else builder.add(ops.Concatenate(0), *parts, label=LABEL)
        if order != sorted(order):
            answers = _gathered(builder, answers, np.argsort(order))
        return answers, frozenset(vote.split for vote in kinds.voted)


@dataclass(frozen=True)
class _Vote:
    """A split that two of its bits answer, or one if ``one_suffices``, and what says that the value misses.

    That is None unless a missing value answers 1, too.
    """

    split: int
    bits: tuple[int, ...]
    one_suffices: bool
    missing: int | None

    @property
    def summed(self) -> tuple[int, int]:
        """How many bits are added, and what is added where the value is missing, which has no other vote.

        Modulo 4, one vote less than none are 3.
        """
        return len(self.bits), 0 if self.missing is None else 1 if self.one_suffices else -1

    @property
    def table(self) -> list[int]:
        """The answer to 0 to 3 votes, as a sign; two votes more turn it round."""
        return [-1, 1, 1, -1] if self.one_suffices else [-1, -1, 1, 1]


@dataclass
class _Kinds:
    """Splits by how they are answered: each its number, and the bits that answer it."""

    alone: list[tuple[int, int]] = field(default_factory=list)
    either: list[tuple[int, int, int]] = field(default_factory=list)
    """A bit, or that the value is missing."""
    present: list[tuple[int, int]] = field(default_factory=list)
    """That the value is not missing."""
    voted: list[_Vote] = field(default_factory=list)


def _gathered(builder: ProgramBuilder, of: int, positions: ArrayLike) -> int:
    return builder.add(ops.Gather(np.asarray(positions, dtype=np.int64), axis=0), of, label=LABEL)


def _majorities(builder: ProgramBuilder, sent: int, votes: Sequence[_Vote]) -> int:
    """Append the lookups of splits that several bits decide, sorted by how these are summed."""
    sums = []
    for (n_bits, sign), group in groupby(votes, key=lambda vote: vote.summed):
        alike = list(group)
        total = _gathered(builder, sent, [vote.bits[0] for vote in alike])
        for at in range(1, n_bits):
            further = _gathered(builder, sent, [vote.bits[at] for vote in alike])
            total = builder.add(ops.Add(), total, further, label=LABEL)
        missing = [vote.missing for vote in alike if vote.missing is not None]
        if missing:
            op = ops.Add() if sign > 0 else ops.Subtract()
            total = builder.add(op, total, _gathered(builder, sent, missing), label=LABEL)
        sums.append(total)
    total = sums[0] if len(sums) == 1 else builder.add(ops.Concatenate(0), *sums, label=LABEL)
    read = builder.add(ops.Modulo(1 + MAJORITY_BITS), total, label=LABEL)
    tables = np.array([vote.table for vote in votes])
    return builder.add(ops.Lookup(tables, np.zeros(len(votes), dtype=np.int64)), read, label=LABEL)
