"""How a program answers splits on levels, from the bits that these are sent as."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

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
    """The answers to splits on levels: sums of the bits that are sent, or lookups of these.

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
            elif len(deciding := encoder.deciding(feature, level)) > 1:
                found.decided.append((at, deciding, missing))
            else:
                (bit,) = deciding
                assert bit is not None
                if missing is None:
                    found.alone.append((at, bit))
                else:
                    found.either.append((at, bit, missing))
        return found

    @property
    def n_lookups(self) -> int:
        """Splits that a lookup answers."""
        return len(self._kinds.decided)

    def append(self, builder: ProgramBuilder, signs: bool) -> tuple[int, frozenset[int]]:
        """Append the input of a program and the answers to the splits.

        Parameters
        ----------
        builder : ProgramBuilder
        signs : bool
            Whether answers that are looked up may be -1 and 1, which takes lookups of one bit less.

        Returns
        -------
        position : int
            Of the answers, in the order of the splits.
        signed : frozenset of int
            The splits whose answers are -1 and 1; others are 0 and 1.
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
        if kinds.decided:
            parts.append(_majorities(builder, sent, kinds.decided, signs))
        order = [answer[0] for of_kind in kinds.all for answer in of_kind]
        answers = parts[0] if len(parts) == 1 else builder.add(ops.Concatenate(0), *parts, label=LABEL)
        if order != sorted(order):
            answers = _gathered(builder, answers, np.argsort(order))
        return answers, frozenset(split for split, *_ in kinds.decided) if signs else frozenset()


@dataclass
class _Kinds:
    """Splits by how they are answered: each its number, and the bits that answer it."""

    alone: list[tuple[int, int]] = field(default_factory=list)
    either: list[tuple[int, int, int]] = field(default_factory=list)
    """A bit, or that the value is missing."""
    present: list[tuple[int, int]] = field(default_factory=list)
    """That the value is not missing."""
    decided: list[tuple[int, list[int | None], int | None]] = field(default_factory=list)
    """Three bits of which two answer it, and what says that the value is missing, if that answers it, too."""

    @property
    def all(self) -> Sequence[Sequence[tuple[Any, ...]]]:
        """All kinds, in the order in which they are answered."""
        return self.alone, self.either, self.present, self.decided


def _gathered(builder: ProgramBuilder, of: int, positions: ArrayLike) -> int:
    return builder.add(ops.Gather(np.asarray(positions, dtype=np.int64), axis=0), of, label=LABEL)


def _majorities(
    builder: ProgramBuilder,
    sent: int,
    decided: Sequence[tuple[int, list[int | None], int | None]],
    signs: bool,
) -> int:
    """Append the lookups of splits that three bits decide."""
    terms = []  # bit, split, weight
    known = np.zeros(len(decided), dtype=np.int64)
    for split, (_, (high, above, low), missing) in enumerate(decided):
        known[split] = high is None
        terms += [(bit, split, 1) for bit in (high, above, low) if bit is not None]
        terms += [] if missing is None else [(missing, split, 2)]
    bit, split, times = np.array(terms, dtype=np.int64).T
    used, place = np.unique(bit, return_inverse=True)
    weight = np.zeros((len(used), len(decided)), dtype=np.int8)
    weight[place, split] = times
    votes = builder.add(ops.Linear(weight, known), _gathered(builder, sent, used), label=LABEL)
    # What is missing has no other vote: there are 3 at most. Votes of 2 and 3 are the other half of the
    # circle, where signs are the opposite.
    circle = ops.Modulo(1 + MAJORITY_BITS) if signs else ops.Bound(0, 3)
    table = np.array([-1, -1, 1, 1] if signs else [0, 0, 1, 1])
    tables = np.broadcast_to(table, (len(decided), 4))
    read = builder.add(circle, votes, label=LABEL)
    return builder.add(ops.Lookup(tables, np.zeros(len(decided), dtype=np.int64)), read, label=LABEL)
