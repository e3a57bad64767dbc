"""From an additive model to its program and edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skfhe._typing import FloatArray, IntArray
from skfhe.additive._backfitting import backfitted
from skfhe.additive._description import Additive
from skfhe.additive._effects import Effect, merged_effects
from skfhe.additive._groups import questions, split_encoder
from skfhe.additive._pairs import Interaction, PairTable, best_first, merged_pair
from skfhe.cost import estimate_cost
from skfhe.encoding import AffineDecoder, AnswersEncoder, DigitSums, SummedDecoders
from skfhe.encrypted_model import EncryptedModel
from skfhe.passes import optimize
from skfhe.program import Program, ProgramBuilder, ops

__all__ = ["Asked", "Known", "Lowered", "lower_additive"]

EFFECT_BITS = 18
"""Bits of the sum of the widths of all main effects; no lookup reads them, so that they cost nothing."""
PAIR_BITS = range(12, 4, -1)
"""Bits of the sum of the widths of all interactions that are tried, the finest first."""
DEARER = 1.02
"""Interactions are as fine as costs at most so many times the coarsest."""
INDEX_BITS = 4


@dataclass(frozen=True)
class Asked:
    """What a user asks of the program.

    Parameters
    ----------
    n_bits : int or None
    n_pairs : int or None
    pairs : {"lookups", "cells"}
    """

    n_bits: int | None
    n_pairs: int | None
    pairs: str


@dataclass(frozen=True, eq=False)
class Known:
    """Rows of training, and what scores of them lose.

    Parameters
    ----------
    rows : ndarray of float64, shape (n_rows, n_features)
        Validated.
    loss : callable or None
        The mean loss of their scores; None without their targets.
    """

    rows: FloatArray
    loss: Callable[[FloatArray], float] | None


@dataclass(frozen=True, eq=False)
class Lowered:
    """A program with its edges, and what is known of it.

    Parameters
    ----------
    model : EncryptedModel
    interactions : tuple of Interaction
        What became of them.
    deviation : float
        Root mean squared distance of scores from the float model's, on rows of training; NaN without any.
    """

    model: EncryptedModel
    interactions: tuple[Interaction, ...]
    deviation: float


def lower_additive(described: Additive, asked: Asked, known: Known | None = None) -> Lowered:
    """Return the program of an additive model.

    Parameters
    ----------
    described : Additive
    asked : Asked
    known : Known, optional

    Returns
    -------
    Lowered
    """
    effects = merged_effects(described, asked.n_bits)
    tables = [merged_pair(term) for term in described.pairs]
    order = _order(described, effects, tables, known)
    n_kept = sum(adds > 0 for _, adds in order)
    n_kept = n_kept if asked.n_pairs is None else min(n_kept, asked.n_pairs)
    kept = [tables[number] for number, _ in order[:n_kept]]
    if known is not None:
        effects, kept = backfitted(described, effects, kept, known.rows)
    model = _model(described, effects, kept, asked.pairs)
    price = _price(described, effects, tables, model, kept, asked.pairs)
    lookups = described.intercept.size if asked.pairs == "lookups" else 0
    interactions = tuple(
        Interaction(
            tables[number].features,
            (described.names[tables[number].features[0]], described.names[tables[number].features[1]]),
            position < n_kept,
            adds,
            float(np.sqrt(tables[number].mean_square)),
            lookups,
            price,
        )
        for position, (number, adds) in enumerate(order)
    )
    deviation = np.nan
    if known is not None:
        distance = model.scores(known.rows) - described.scores(known.rows)
        deviation = float(np.sqrt(np.square(distance).mean()))
    return Lowered(model, interactions, deviation)


def _order(
    described: Additive, effects: Sequence[Effect], tables: Sequence[PairTable], known: Known | None
) -> list[tuple[int, float]]:
    """Return the interactions in the order in which they are chosen, and what each adds."""
    if known is None or known.loss is None:
        squares = [table.mean_square for table in tables]
        return [(int(n), squares[n]) for n in np.argsort(squares, kind="stable")[::-1]]
    start = np.tile(described.intercept, (len(known.rows), 1))
    for term, effect in zip(described.effects, effects, strict=True):
        start = start + effect.of(term.bins[0].of(known.rows[:, term.features[0]]))
    return best_first([table.of(known.rows) for table in tables], start, known.loss)


def _price(
    described: Additive,
    effects: Sequence[Effect],
    tables: Sequence[PairTable],
    model: EncryptedModel,
    kept: Sequence[PairTable],
    pairs: str,
) -> float:
    """Return the seconds that one interaction adds to a row."""
    if not tables:
        return 0.0
    if not kept:
        kept = tables[:1]
        model = _model(described, effects, kept, pairs)
    alone = _model(described, effects, [], pairs)
    with_pairs, without = ((each.cost.seconds - each.cost.seconds_a_call) for each in (model, alone))
    return (with_pairs - without) / len(kept)


def _model(
    described: Additive, effects: Sequence[Effect], kept: Sequence[PairTable], pairs: str
) -> EncryptedModel:
    """Return the program of main effects and of the interactions that are kept, with its edges."""
    asked = [question for effect in effects for question in effect.asked]
    answers = split_encoder(described.n_features, asked)
    as_cells = kept if pairs == "cells" else ()
    sums = _sums(described.intercept, effects, as_cells)
    if len(as_cells) == len(kept):
        digits, places = _digits(described.n_features, kept, scaled=False)
        cells = [_cells(table, *place) for table, place in zip(kept, places, strict=True)]
        encoder = AnswersEncoder(answers, digits, np.concatenate(cells) if cells else None)
        return EncryptedModel(encoder, _program(sums), sums.decoder, described.head)
    digits, places = _digits(described.n_features, kept, scaled=True)
    limit = DEARER * estimate_cost(_program(sums, _tables(kept, places, PAIR_BITS[-1]))).reference_seconds
    for n_bits in PAIR_BITS:
        tables = _tables(kept, places, n_bits)
        program = _program(sums, tables)
        if estimate_cost(program).reference_seconds <= limit:
            break
    decoder = SummedDecoders([sums.decoder, tables.decoder])
    return EncryptedModel(AnswersEncoder(answers, digits), program, decoder, described.head)


# What needs no lookup: answers, and cells if the client sends these.


@dataclass(frozen=True, eq=False)
class _Sums:
    """Answers of the client, and what each adds to scores.

    Parameters
    ----------
    weight : ndarray of int64, shape (n_answers, n_scores)
    low, high : ndarray of int64, shape (n_scores,)
        The least and the largest sum.
    decoder : AffineDecoder
    """

    weight: IntArray
    low: IntArray
    high: IntArray
    decoder: AffineDecoder


def _sums(intercept: FloatArray, effects: Sequence[Effect], as_cells: Sequence[PairTable]) -> _Sums:
    """Return the sums of main effects, and of interactions of which the client sends cells."""
    flat = [table.values.reshape(-1, len(intercept)) for table in as_cells]
    integers, unit = _integers([effect.values for effect in effects] + flat, EFFECT_BITS, len(intercept))
    first = sum((table[0] for table in integers), start=np.zeros(len(intercept), dtype=np.int64))
    rises = [
        table[question.behind] - table[question.before]
        for effect, table in zip(effects, integers, strict=False)
        for question in effect.asked
    ]
    rises += [cell for table in integers[len(effects) :] for cell in table[1:] - table[0]]
    weight = np.array(rises or [np.zeros(len(intercept))], dtype=np.int64)
    low, high = (
        sum((end(table, axis=0) for table in integers), start=np.zeros(len(intercept), dtype=np.int64))
        - first
        for end in (np.min, np.max)
    )
    return _Sums(weight, low, high, AffineDecoder(unit, intercept + unit * first))


def _integers(tables: Sequence[FloatArray], n_bits: int, n_scores: int) -> tuple[list[IntArray], FloatArray]:
    """Return tables as integers, whose widths add up to so many bits, and what one unit of each score is."""
    width = sum((np.ptp(table, axis=0) for table in tables), start=np.zeros(n_scores))
    unit = np.where(width > 0, width / ((1 << n_bits) - 1 - len(tables)), 1.0)
    return [np.rint(table / unit).astype(np.int64) for table in tables], unit


def _cells(table: PairTable, first: int, second: int) -> IntArray:
    """Return the digits and values that say that a row lies in a cell, of every cell but the first."""
    n_first, n_second = table.values.shape[:2]
    i, j = np.divmod(np.arange(1, n_first * n_second), n_second)
    return np.stack([np.full(len(i), first), i, np.full(len(i), second), j], axis=1).astype(np.int64)


# Lookups of pairs.


def _digits(
    n_features: int, kept: Sequence[PairTable], scaled: bool
) -> tuple[DigitSums, list[tuple[int, int]]]:
    """Return the digits of all pairs, equal ones once, and which two of them each pair reads.

    They are in the order of their features, which says nothing of pairs. If they are scaled, those of two
    features add up to the number of a cell.
    """
    sides = [
        (feature, bins, groups, worth)
        for table in kept
        for feature, bins, groups, worth in zip(
            table.features, table.bins, table.groups, (1, table.values.shape[0] if scaled else 1), strict=True
        )
    ]
    keys = [(feature, worth, groups.tobytes()) for feature, _, groups, worth in sides]
    different = sorted(set(keys))
    of_key = dict(zip(keys, sides, strict=True))
    asked, digit, worths = [], [], []
    for number, key in enumerate(different):
        feature, bins, groups, worth = of_key[key]
        for question in questions(feature, bins, groups):
            asked.append(question)
            digit.append(number)
            worths.append(worth * (question.behind - question.before))
    numbers = [different.index(key) for key in keys]
    digits = DigitSums(
        split_encoder(n_features, asked),
        np.array(digit, dtype=np.int64),
        np.array(worths, dtype=np.int64),
        len(different),
    )
    return digits, list(zip(numbers[::2], numbers[1::2], strict=True))


@dataclass(frozen=True, eq=False)
class _Tables:
    """Lookups of pairs, one for each pair and score.

    Parameters
    ----------
    highest : ndarray of int64, shape (n_digits,)
        Largest value of each digit.
    index : ndarray of int64, shape (n_digits, n_pairs * n_scores)
        Which digits each lookup reads.
    tables : ndarray of int64, shape (n_pairs * n_scores, 16)
        From 0 on.
    span : ndarray of int64, shape (n_scores,)
        The largest sum of each score.
    decoder : AffineDecoder
    """

    highest: IntArray
    index: IntArray
    tables: IntArray
    span: IntArray
    decoder: AffineDecoder


def _tables(kept: Sequence[PairTable], places: Sequence[tuple[int, int]], n_bits: int) -> _Tables:
    n_digits, n_scores = 1 + max(map(max, places)), kept[0].values.shape[-1]
    # the number of a cell is that of the first feature's group, plus as many times as it has the second's
    flat = [np.swapaxes(table.values, 0, 1).reshape(-1, n_scores) for table in kept]
    integers, unit = _integers(flat, n_bits, n_scores)
    least = np.array([table.min(axis=0) for table in integers])
    index = np.zeros((n_digits, len(kept), n_scores), dtype=np.int64)
    highest = np.ones(n_digits, dtype=np.int64)
    tables = np.zeros((len(kept), n_scores, 1 << INDEX_BITS), dtype=np.int64)
    for position, ((first, second), table) in enumerate(zip(places, integers, strict=True)):
        index[[first, second], position] = 1
        n_first, n_second = kept[position].values.shape[:2]
        highest[[first, second]] = max(1, n_first - 1), max(1, n_first * (n_second - 1))
        tables[position, :, : len(table)] = (table - least[position]).T
    return _Tables(
        highest,
        index.reshape(n_digits, -1),
        tables.reshape(-1, tables.shape[-1]),
        tables.max(axis=-1).sum(axis=0),
        AffineDecoder(unit, unit * least.sum(axis=0)),
    )


def _program(sums: _Sums, tables: _Tables | None = None) -> Program:
    """Return the program: main effects are one output, interactions that are looked up another."""
    builder = ProgramBuilder()
    n_answers, n_scores = sums.weight.shape
    answers = builder.input(np.zeros(n_answers), np.ones(n_answers), label="answers")
    total = builder.add(ops.Linear(sums.weight, np.zeros(n_scores, dtype=np.int64)), answers, label="effects")
    outputs = [builder.add(ops.Bound(sums.low, sums.high), total, label="effects")]
    if tables is not None:
        digits = builder.input(np.zeros(len(tables.highest)), tables.highest, label="digits")
        none = np.zeros(len(tables.tables), dtype=np.int64)
        index = builder.add(ops.Linear(tables.index, none), digits, label="interactions")
        # equal widths make one key set
        read = builder.add(ops.Bound(0, (1 << INDEX_BITS) - 1), index, label="interactions")
        found = builder.add(ops.Lookup(tables.tables, none), read, label="interactions")
        each = np.tile(np.eye(n_scores, dtype=np.int64), (len(none) // n_scores, 1))
        added = builder.add(ops.Linear(each, np.zeros(n_scores, dtype=np.int64)), found, label="interactions")
        span = np.maximum(tables.span, 1)
        outputs.append(builder.add(ops.Bound(0, span), added, label="interactions"))
    return optimize(builder.finish(*outputs))
