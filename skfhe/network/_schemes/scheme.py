"""What decides how floats become integers: the two schemes have this in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skfhe._typing import FloatArray, IntArray
from skfhe.encoding import AffineQuantizer
from skfhe.network._cells import rounded
from skfhe.network._emitter import Emitter
from skfhe.network._node import Node
from skfhe.network._operations import Quantize
from skfhe.network._symbolic import Grid, RawInput, Symbolic

__all__ = ["Scheme"]


class Scheme:
    """Chooses the integers that stand for the floats of a network.

    Parameters
    ----------
    emitter : Emitter

    Attributes
    ----------
    quantizers : list of (int, AffineQuantizer)
        For each input of the program, the network's input that it encodes, and how.
    """

    on_two_grids = False
    """Whether values have grids of their own, whose sums are to be exact for what quantizes them."""

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.quantizers: list[tuple[int, AffineQuantizer]] = []
        self._known: dict[Any, Any] = {}

    def encrypt(
        self, index: int, shape: tuple[int, ...], quantizer: AffineQuantizer, rows: Tensor, label: str
    ) -> int:
        """Append an input of the program that encodes input ``index`` of the network."""
        self.quantizers.append((index, quantizer))
        low, high = (np.full(shape, end, dtype=np.int64) for end in (quantizer.low, quantizer.high))
        return self.emitter.input(low, high, quantizer.quantize(rows.numpy()), label)

    @property
    def looks_up_outputs(self) -> bool:
        """Whether outputs were asked to be looked up, as far as they can be."""
        return False

    def narrower(self, n_bits: int) -> str:
        """Say how the user has two values of ``n_bits`` bits each, as what to use instead."""
        raise NotImplementedError

    def input(self, node: Node, index: int) -> Symbolic | RawInput:
        """Take over an input of the network."""
        raise NotImplementedError

    def quantize(self, x: Any, operation: Quantize, reference: Tensor) -> Symbolic:
        """Apply a quantizer of the network's own."""
        scale, zero_point = operation.scale.numpy(), operation.zero_point.numpy()

        def encode(floats: FloatArray) -> IntArray:
            return rounded(operation.function(torch.from_numpy(floats)).numpy())

        grid = Grid.of(scale, -zero_point * scale, x.shape)
        return self.emitter.tabulate(replace(x, reference=reference), encode, grid, operation.modulo_bits)

    def operand(self, x: Any, axis: int | None) -> Symbolic:
        """Return ``x`` on a grid, so that it can take part in sums.

        Parameters
        ----------
        x : Symbolic or RawInput
        axis : int or None
            Axis of a row along which the scale may vary; None for one scale.
        """
        raise NotImplementedError

    def factor(self, x: Any) -> Symbolic:
        """Return ``x`` on a grid whose scale may vary from element to element."""
        return self.operand(x, None)

    def narrowed(self, x: Symbolic, most: int) -> Symbolic:
        """Return ``x``, on a grid if it has more than ``most`` bits."""
        return x if self.emitter.type_of(x.position).bits <= most else self.operand(x, None)

    def weights(
        self, weight: FloatArray, sample: FloatArray, wanted: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Return integers (n_inputs, n_outputs) and a scale an output for float weights of that shape.

        ``sample`` (n_samples, n_inputs) is some of what they are multiplied with, ``wanted``
        (n_samples, n_outputs) the products that the original network has there, but for a constant an output.
        """
        raise NotImplementedError

    def rescaled(
        self, weight: FloatArray, sample: FloatArray, wanted: FloatArray, least: FloatArray, cell: int
    ) -> tuple[IntArray, FloatArray] | None:
        """Return integers for `weights` at scales that are not less than some; None if they are not chosen.

        ``cell`` is how many integers of the accumulators are rounded to one.
        """
        return None

    def corrected(self, x: Symbolic, axis: int) -> Symbolic:
        """Return the result of a linear layer with its scales and offsets put right, along ``axis``."""
        return x

    def aligned(self, a: Any, b: Any, looked_up: bool) -> tuple[Symbolic, int, Symbolic, int, Any] | None:
        """Return two values on a common grid.

        Parameters
        ----------
        a, b : Symbolic or RawInput
        looked_up : bool
            Whether their difference is looked up at once.

        Returns
        -------
        a, factor_a, b, factor_b, scale
            ``factor`` times the integers of each counts in steps of ``scale``.
        None
            If there is no common grid.
        """
        raise NotImplementedError

    def decoded(self, x: Any) -> Symbolic:
        """Return an output as it is to be decrypted."""
        raise NotImplementedError
