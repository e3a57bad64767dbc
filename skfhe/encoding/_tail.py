"""Tails of networks: what is left to do after decryption, on all outputs together.

A tail is a tape: decoded outputs, and then one value a step, computed from earlier ones, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skfhe._typing import Array, FloatArray
from skfhe.encoding._decoders import AffineDecoder, OutputDecoders, TableDecoder
from skfhe.encoding._tail_steps import (
    Shape,
    TailAlong,
    TailConstant,
    TailElementwise,
    TailGather,
    TailJoin,
    TailMatMul,
    TailOver,
    TailStep,
    TailTake,
)

__all__ = ["ScoresDecoder", "Tail", "TailDecoder"]

MOST_ELEMENTS = 1 << 22
"""Of all values of a row together."""
MOST_AXES = 16


@dataclass(frozen=True, eq=False)
class Tail:
    """Steps that follow given values, and what they result in.

    Parameters
    ----------
    given : sequence of tuple of int
        Shapes of a row of the values that there are; they are numbered from 0, and those of steps after them.
    steps : sequence of TailStep
    results : sequence of int
        Numbers of the values that are asked for.

    Raises
    ------
    ValueError
        If a step takes what is not there yet, shapes do not fit, or a row takes too many elements.

    Examples
    --------
    >>> tail = Tail([(2,)], [TailAlong("softmax", 0, 0), TailOver("max", 1, (0,))], [2])
    >>> tail.apply(np.array([[0.0, 0.0]]))
    (array([0.5]),)
    """

    given: Sequence[tuple[int, ...]]
    steps: Sequence[
        TailConstant | TailElementwise | TailOver | TailAlong | TailTake | TailGather | TailJoin | TailMatMul
    ]
    results: Sequence[int]

    def __post_init__(self) -> None:
        self.shapes()

    def shapes(self) -> list[Shape]:
        """Return the shape of a row of each value, those that are given first."""
        shapes = [tuple(shape) for shape in self.given]
        n_elements = sum(_size(shape) for shape in shapes)
        _check_elements(n_elements)
        for step in self.steps:
            _check_numbers(step.arguments, len(shapes))
            shape = step.shape(*(shapes[number] for number in step.arguments))
            shapes.append(tuple(int(n) for n in shape))
            n_elements += _size(shapes[-1])
            _check_elements(n_elements)
        _check_numbers(self.results, len(shapes))
        return shapes

    def apply(self, *x: Array) -> tuple[Array, ...]:
        """Return the results for given values, all rows first.

        Raises
        ------
        ValueError
            If the given values are not of the shapes that they were said to be of.
        """
        found = [value.shape[1:] for value in x]
        if found != [tuple(shape) for shape in self.given]:
            raise ValueError(f"expected rows of shapes {[*self.given]}, got {found}")
        values = [*x]
        n_rows = len(values[0]) if values else 1
        with np.errstate(all="ignore"):
            for step in self.steps:
                values.append(step.apply(*(values[number] for number in step.arguments)))
        results = (values[number] for number in self.results)
        return tuple(np.broadcast_to(value, (n_rows, *value.shape[1:])) for value in results)


@dataclass(frozen=True, eq=False)
class TailDecoder:
    """A decoder for each output of a program, and what follows on all of them together.

    Parameters
    ----------
    decoders : sequence of AffineDecoder or TableDecoder
    tail : Tail
        Takes what they decode.

    Examples
    --------
    >>> halves = AffineDecoder(np.array([0.5, 0.5, 0.5]), np.zeros(3))
    >>> tail = Tail([(3,)], [TailOver("argmax", 0, (0,))], [1])
    >>> TailDecoder([halves], tail).decode([[1, 7, 3]])
    (array([1]),)
    """

    decoders: Sequence[AffineDecoder | TableDecoder]
    tail: Tail

    def __post_init__(self) -> None:
        shapes = [_shape_of(decoder) for decoder in self.decoders]
        if shapes != [tuple(shape) for shape in self.tail.given]:
            raise ValueError(f"the tail takes rows of shapes {[*self.tail.given]}, not of {shapes}")

    @property
    def shapes(self) -> list[Shape]:
        """Shapes of a row of what the network returns."""
        shapes = self.tail.shapes()
        return [shapes[number] for number in self.tail.results]

    def decode(self, *outputs: ArrayLike) -> tuple[Any, ...]:
        """Return what the network returns, rows first: positions as int64, all else as float64.

        Raises
        ------
        ValueError
            If there are more or fewer outputs than decoders, or one is of another shape.
        """
        if len(outputs) != len(self.decoders):
            raise ValueError(f"the program has {len(self.decoders)} output(s), got {len(outputs)}")
        floats = [decoder.decode(q) for decoder, q in zip(self.decoders, outputs, strict=True)]
        return tuple(
            value.copy() if value.dtype == np.int64 else value.astype(np.float64)
            for value in self.tail.apply(*floats)
        )


@dataclass(frozen=True, eq=False)
class ScoresDecoder:
    """The only output of a network as scores of an estimator.

    Parameters
    ----------
    decoder : OutputDecoders or TailDecoder

    Examples
    --------
    >>> halves = AffineDecoder(np.full((1, 2), 0.5), np.zeros((1, 2)))
    >>> ScoresDecoder(OutputDecoders([halves])).decode([[[4, 6]]])
    array([[2., 3.]])
    """

    decoder: OutputDecoders | TailDecoder

    def __post_init__(self) -> None:
        if len(self._shapes) != 1 or not math.prod(self._shapes[0]):
            raise ValueError(f"expected one output that has elements, got shapes {self._shapes}")

    @property
    def _shapes(self) -> list[Shape]:
        """Shapes of a row of what the network returns."""
        if isinstance(self.decoder, OutputDecoders):
            return [_shape_of(decoder) for decoder in self.decoder.decoders]
        return self.decoder.shapes

    @property
    def n_scores(self) -> int:
        """Scores of a row."""
        return math.prod(self._shapes[0])

    @property
    def n_outputs(self) -> int:
        """Outputs of the program that it takes."""
        return len(self.decoder.decoders)

    def reordered(self, order: Sequence[int]) -> ScoresDecoder:
        """Return a decoder of the same scores in another order: ``order`` says where each is now."""
        return self._followed(TailTake(0, np.asarray(order, dtype=np.int64)))

    def reflected(self, total: float) -> ScoresDecoder:
        """Return a decoder of ``total`` minus each of the scores."""
        return self._followed(
            TailConstant(np.full(self._shapes[0], float(total))), TailElementwise("subtract", (1, 0))
        )

    def _followed(self, *steps: TailStep) -> ScoresDecoder:
        """Return a decoder with more steps, which count the scores as value 0."""
        decoders = self.decoder.decoders
        given = [_shape_of(decoder) for decoder in decoders]
        old = self.decoder.tail if isinstance(self.decoder, TailDecoder) else Tail(given, (), (0,))
        (scores,) = old.results
        first = len(old.given) + len(old.steps)

        def number(argument: int) -> int:
            return scores if argument == 0 else first + argument - 1

        moved = [_renumbered(step, number) for step in steps]
        tail = Tail(old.given, (*old.steps, *moved), (first + len(steps) - 1,))
        return ScoresDecoder(TailDecoder(decoders, tail))

    def decode(self, *outputs: ArrayLike) -> FloatArray:
        """Return the scores, shape (n_rows, n_scores); errors are those of the network's decoder."""
        (found,) = self.decoder.decode(*(np.asarray(q) for q in outputs))
        return found.reshape(len(found), self.n_scores).astype(np.float64, copy=False)


def _shape_of(decoder: AffineDecoder | TableDecoder) -> Shape:
    """Return the shape of a row that a decoder gives."""
    return decoder.scale.shape if isinstance(decoder, AffineDecoder) else decoder.table.shape[:-1]


def _renumbered(step: TailStep, number: Callable[[int], int]) -> TailStep:
    if isinstance(step, TailTake):
        return replace(step, argument=number(step.argument))
    if isinstance(step, TailElementwise):
        return replace(step, arguments=tuple(number(argument) for argument in step.arguments))
    return step


def _check_numbers(numbers: Sequence[int], n_values: int) -> None:
    if any(not 0 <= number < n_values for number in numbers):
        raise ValueError(f"expected numbers of the {n_values} values there are, got {[*numbers]}")


def _check_elements(n_elements: int) -> None:
    if n_elements > MOST_ELEMENTS:
        raise ValueError(f"the values of a row have more than {MOST_ELEMENTS} elements")


def _size(shape: Shape) -> int:
    if len(shape) > MOST_AXES or any(n < 0 for n in shape):
        raise ValueError(f"no value has rows of shape {shape}")
    return math.prod(shape)
