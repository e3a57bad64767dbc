"""A network for each way of calling each operator of the table, and how far it may be from torch.

Rows are uniform, so that ``n`` bits err by ``1 / (2**n - 1)`` of a value's standard deviation: 0.4 % at 8
bits. A sum of several values deviates by about a sixth of its range, and calibrated bounds add up to half of
that range on both sides; rounded to 8 bits it errs by up to 1.4 % of its deviation. Values whose sum or
difference is looked up have 7 bits then: 0.8 % each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["EXAMPLES", "RARE", "Example", "errors", "fresh_rows", "rows"]

N_ROWS = 200
BOUND = 0.02
"""Of a few quantizations to 8 bits, one after the other."""
FAR = 0.05
"""A function that jumps is either near or, next to a jump, far off; in units of its deviation."""
RARE = 0.01
"""Rows that reach hidden values beyond those of ``N_ROWS`` calibration rows."""


class Function(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Any:
        return self.function(*x)


@dataclass(frozen=True)
class Example:
    """One network.

    Parameters
    ----------
    name : str
    net : nn.Module
    shapes : tuple of tuple of int
        Shape of a row of each input.
    span : tuple of float
        Inputs are uniform in it.
    bound : float
        Of the relative error, or with ``jumps`` of the share of elements that are far off.
    rounding : int or None
        ``rounding_threshold_bits``, where an accumulator of many bits is looked up.
    jumps : bool
        Whether the function is discontinuous: a rounded argument may lie on the other side of a jump.
    n_bits : int
        For values, weights and outputs.
    """

    name: str
    net: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    span: tuple[float, float] = (-2.0, 2.0)
    bound: float = BOUND
    rounding: int | None = None
    jumps: bool = False
    n_bits: int = 8


def example(name: str, net: Callable[..., Any], *shapes: tuple[int, ...], **options: Any) -> Example:
    module = net if isinstance(net, nn.Module) else Function(net)
    return Example(name, module, shapes or ((6,),), **options)


def rows(of: Example, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Draw rows for each input of an example."""
    rng = np.random.default_rng(seed)
    return tuple(rng.uniform(*of.span, (N_ROWS, *shape)) for shape in of.shapes)


def fresh_rows(of: Example, calibration: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Draw other rows within the range of those of a calibration."""
    return tuple(
        np.clip(x, seen.min(axis=0), seen.max(axis=0))
        for x, seen in zip(rows(of, seed=1), calibration, strict=True)
    )


def errors(of: Example, found: Any, inputs: tuple[np.ndarray, ...], rare: float = 0.0) -> list[float]:
    """Return the error of each output.

    That is the root mean square over the original's deviation, without the ``rare`` part of the rows that is
    farthest off: some rows that were not calibrated on reach hidden values beyond all that were seen. With
    ``jumps`` it is the share of elements that are far off.
    """
    net = of.net.double().eval()
    with torch.no_grad():
        wanted = net(*(torch.from_numpy(x.copy()) for x in inputs))
    found = found if isinstance(found, tuple) else (found,)
    wanted = tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)
    assert len(found) == len(wanted)
    result = []
    for y, tensor in zip(found, wanted, strict=True):
        y_torch = tensor.double().numpy()
        assert y.shape == y_torch.shape
        off = np.abs(y - y_torch).reshape(len(y), -1) / (float(y_torch.std()) or 1.0)
        nearest = np.argsort(off.max(axis=1))[: int(np.ceil(len(off) * (1 - rare)))]
        result.append(float(np.mean(off > FAR)) if of.jumps else float(np.sqrt(np.mean(off[nearest] ** 2))))
    return result


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.inner(x))


class Squeezed(nn.Module):
    """A block that scales its channels by what it sees of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scales(x.mean((2, 3)))[:, :, None, None]


def filled(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :2] = -1
    y[:, 0] = x.sum(1)
    y[:, 1:3] = 2 * x[:, :2]
    y[:, 3] += 1.5
    y[:, [4, 5]] = x[:, [1, 0]]
    return y


def negative_cleared(x: Tensor) -> Tensor:
    y = x + 0.5
    y[y < 0] = 0
    return y


def summed_in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y += 1
    y *= 2
    y -= x.flip(1)
    y /= 4
    return y


def diagonal_cleared(x: Tensor) -> Tensor:
    y = x.exp()
    y.diagonal(dim1=1, dim2=2).zero_()
    y[:, 0, 1:].fill_(2.5)
    return y


def written_through_view(x: Tensor) -> Tensor:
    y = 2 * x
    part = y.view(-1, 2, 3)[:, 0]
    part.clamp_(min=0.0)
    return y


def normalized(net: nn.Module) -> nn.Module:
    """Give batch normalizations statistics and parameters that matter."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.3, 2)
            if module.affine:
                nn.init.uniform_(module.weight, -1.5, 1.5)
                nn.init.uniform_(module.bias, -1, 1)
    return net


def univariate(
    name: str, function: Callable[[Tensor], Tensor], low: float = -2.0, high: float = 2.0, **options: Any
):
    return example(name, function, (6,), span=(low, high), **options)


def _linear() -> dict[str, list[Example]]:
    draw = torch.randn
    bias, matrix, other = draw(4), draw(6, 4), draw(4, 6)
    batch, vector = draw(3, 5, 4), draw(5)
    wide = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    return {
        "linear": [
            example("with bias", nn.Linear(6, 4)),
            example("without bias", nn.Linear(6, 4, bias=False)),
            example("over the last of three axes", nn.Linear(5, 2), (2, 3, 5)),
            example("perceptron", wide, rounding=8),
            example("addmm", lambda x: torch.addmm(bias.to(x), x, matrix.to(x), beta=2, alpha=0.5)),
            example("addmm, bias encrypted", lambda x: torch.addmm(x[:, :4], x, matrix.to(x)), rounding=8),
        ],
        "matmul by constants": [
            example("constant right", lambda x: x @ matrix.to(x), (3, 6)),
            example("constant left", lambda x: other.to(x) @ x, (6, 2)),
            example("vector right", lambda x: x @ vector.to(x), (3, 5)),
            example("vector left", lambda x: vector.to(x) @ x, (5, 3)),
            example("constants of each matrix right", lambda x: x @ batch.to(x), (3, 2, 5)),
            example("constants of each matrix left", lambda x: batch.to(x) @ x, (3, 4, 2)),
            example("mm", lambda x: torch.mm(x, matrix.to(x))),
            example("mv", lambda x: torch.mv(x, vector.to(x)), (5,)),
        ],
        "matmul of two encrypted": [
            example("matrices", lambda x, y: x @ y, (2, 3), (3, 2)),
            example("matrices, rounded", lambda x, y: x @ y, (2, 3), (3, 2), rounding=8),
            example("matrices of few bits", lambda x, y: x @ y, (2, 3), (3, 2), n_bits=4, bound=0.15),
            example("bmm with itself", lambda x: torch.bmm(x, x.mT), (3, 4)),
            example("broadcast", lambda x, y: x @ y[:, None], (2, 2, 3), (3, 2)),
            example(
                "attention scores",
                lambda x, y: functional.relu(x @ y.mT * 0.3 + 0.5) @ y,
                (2, 3),
                (2, 3),
                rounding=8,
                bound=0.04,
            ),
        ],
        "conv1d": [
            example("stride", nn.Conv1d(3, 2, 3, stride=2), (3, 8)),
            example("padding", nn.Conv1d(3, 2, 3, padding=2, dilation=2), (3, 8)),
            example("same", nn.Conv1d(4, 4, 4, padding="same", groups=2), (4, 8)),
            example("valid", nn.Conv1d(3, 2, 3, padding="valid", bias=False), (3, 8)),
            example("convolution", convolved(draw(2, 3, 2), draw(2)), (3, 4)),
            example("reflected padding", nn.Conv1d(2, 2, 3, padding=1, padding_mode="reflect"), (2, 6)),
        ],
        "conv2d": [
            example("stride and padding", nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 7, 6)),
            example("groups", nn.Conv2d(4, 6, (2, 3), groups=2, padding=(0, 1)), (4, 4, 5)),
            example("depthwise", nn.Conv2d(3, 3, 3, groups=3, bias=False), (3, 5, 5)),
            example("same", nn.Conv2d(2, 2, (2, 3), padding="same", dilation=(1, 2)), (2, 5, 6)),
            example("circular padding", nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), (1, 4, 4)),
            example(
                "block",
                normalized(
                    nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 2))
                ),
                (2, 5, 5),
                rounding=8,
            ),
            example("convolution", convolved(draw(2, 1, 2, 2), None, groups=2), (2, 3, 3)),
            example("convolution, padding", convolved(draw(2, 2, 2, 2), draw(2), padding=1), (2, 3, 3)),
        ],
        "transposed convolution": [
            example("1d", nn.ConvTranspose1d(3, 2, 3, stride=2, padding=1, output_padding=1), (3, 4)),
            example("2d", nn.ConvTranspose2d(2, 4, 3, stride=2, groups=2), (2, 3, 3)),
            example("2d, dilation", nn.ConvTranspose2d(1, 2, 2, dilation=2, bias=False), (1, 3, 3)),
            example("convolution", convolved(draw(2, 1, 2), None, transposed=True), (2, 3)),
        ],
        "batch_norm": [
            example("1d of features", normalized(nn.BatchNorm1d(6))),
            example("1d of channels", normalized(nn.BatchNorm1d(3)), (3, 4)),
            example("2d", normalized(nn.BatchNorm2d(3)), (3, 2, 2)),
            example("without affine", normalized(nn.BatchNorm2d(2, affine=False)), (2, 2, 2)),
            example(
                "before relu in place",
                normalized(nn.Sequential(nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.ReLU(inplace=True))),
                (2, 5),
                rounding=8,
            ),
        ],
        "avg_pool": [
            example("1d", nn.AvgPool1d(3, stride=2), (2, 7)),
            example("1d, padding", nn.AvgPool1d(3, 2, padding=1, ceil_mode=True), (2, 8)),
            example(
                "1d, padding not counted", nn.AvgPool1d(3, 1, padding=1, count_include_pad=False), (2, 5)
            ),
            example("2d", nn.AvgPool2d(2), (2, 4, 4)),
            example("2d, padding", nn.AvgPool2d((3, 2), padding=1), (2, 5, 5)),
            example(
                "2d, padding not counted", nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), (2, 5, 5)
            ),
            example("2d, ceil_mode", nn.AvgPool2d(3, 2, ceil_mode=True), (2, 6, 6)),
            example("2d, divisor", nn.AvgPool2d(2, divisor_override=3), (1, 4, 4)),
            example("without channels", lambda x: functional.avg_pool1d(x, 2), (6,)),
            example("2d without channels", lambda x: functional.avg_pool2d(x, 2), (4, 4)),
        ],
        "adaptive and global avg_pool": [
            example("1d", nn.AdaptiveAvgPool1d(3), (2, 6)),
            example("1d, not dividing", nn.AdaptiveAvgPool1d(3), (2, 7)),
            example("2d", nn.AdaptiveAvgPool2d((2, 1)), (2, 4, 3)),
            example("2d, not dividing", nn.AdaptiveAvgPool2d((2, 3)), (2, 5, 4)),
            example("2d, one size kept", nn.AdaptiveAvgPool2d((None, 1)), (2, 2, 3)),
        ],
        "upsample, linear": [
            example("1d", nn.Upsample(scale_factor=2, mode="linear"), (2, 4)),
            example("2d", nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 3)),
            example("2d, corners", nn.Upsample((4, 5), mode="bilinear", align_corners=True), (1, 3, 2)),
        ],
        "cumsum": [
            example("last axis", lambda x: x.cumsum(-1), (2, 5)),
            example("first axis of a row", lambda x: x.cumsum(1), (4, 2)),
        ],
        "sum": [
            example("one axis", lambda x: x.sum(1), (3, 4)),
            example("several axes kept", lambda x: x.sum((1, 3), keepdim=True), (2, 3, 2)),
            example("last axis", lambda x: x.sum(dim=-1), (6,)),
            example("of comparisons", lambda x: (x > 0.5).sum(-1), (6,), jumps=True, bound=0.04),
        ],
        "mean": [
            example("one axis", lambda x: x.mean(-1), (3, 4)),
            example("several axes kept", lambda x: x.mean((-1, -2), True), (2, 3, 2)),
            example(
                "subtracted",
                lambda x: functional.relu(x - x.mean(1, keepdim=True)),
                (6,),
                rounding=8,
                bound=0.03,
            ),
        ],
        "dropout": [
            example("Dropout", nn.Dropout()),
            example("Dropout2d", nn.Dropout2d(), (2, 2, 2)),
            example("AlphaDropout", nn.AlphaDropout()),
            example("FeatureAlphaDropout", nn.FeatureAlphaDropout(), (2, 2)),
            example("native_dropout", lambda x: torch.native_dropout(x, 0.5, False)[0]),
            example(
                "after relu in place", nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(inplace=True)), (6,)
            ),
        ],
        "max_pool": [
            example("1d", nn.MaxPool1d(3, stride=2), (2, 7)),
            example("1d, padding", nn.MaxPool1d(3, 2, padding=1, ceil_mode=True), (2, 8)),
            example("1d, indices", lambda x: functional.max_pool1d(x, 2, return_indices=True)[0], (2, 4)),
            example("2d", nn.MaxPool2d(2), (2, 4, 4)),
            example("2d, padding", nn.MaxPool2d((3, 2), 2, padding=1), (1, 5, 5)),
            example("2d, dilation", nn.MaxPool2d(2, 1, dilation=2), (1, 4, 4)),
            example("2d, ceil_mode", nn.MaxPool2d(3, 2, ceil_mode=True), (1, 6, 6)),
            example("2d, indices", lambda x: functional.max_pool2d(x, 2, return_indices=True)[0], (1, 4, 4)),
            example("without channels", lambda x: functional.max_pool2d(x, 2), (4, 4)),
            example(
                "rounded",
                nn.Sequential(nn.Conv2d(1, 2, 2), nn.MaxPool2d(2)),
                (1, 5, 5),
                rounding=8,
                bound=0.03,
            ),
            example(
                "of a normalized convolution",
                normalized(nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.MaxPool2d(2))),
                (1, 5, 5),
                rounding=8,
                bound=0.05,
            ),
        ],
        "adaptive and global max_pool": [
            example("1d", nn.AdaptiveMaxPool1d(2), (2, 6)),
            example("2d", nn.AdaptiveMaxPool2d(1), (2, 3, 3)),
            example("2d, two by one", nn.AdaptiveMaxPool2d((2, 1)), (2, 4, 3)),
            example("2d, not dividing", nn.AdaptiveMaxPool2d((2, 3)), (1, 5, 4)),
        ],
        "amax, max over an axis": [
            example("amax", lambda x: x.amax(1), (3, 4)),
            example("amax of several axes", lambda x: x.amax((1, 2), keepdim=True), (2, 3)),
            example("max", lambda x: x.max(-1).values, (3, 4)),
            example("max, kept", lambda x: x.max(1, keepdim=True)[0], (6,)),
            example("amax of negated", lambda x: (-x).amax(1), (3, 4)),
            example("amax of shifted", lambda x: (x + torch.arange(4).to(x)).amax(-1), (3, 4)),
            example("amax of scaled", lambda x: (x * torch.tensor([1.0, -2.0, 0.5]).to(x)).amax(-1), (3,)),
        ],
        "amin, min over an axis": [
            example("amin", lambda x: x.amin(1), (3, 4)),
            example("amin of several axes", lambda x: x.amin((1, 2)), (2, 3)),
            example("min", lambda x: x.min(-1).values, (3, 4)),
            example("min, kept", lambda x: x.min(1, keepdim=True)[0], (6,)),
            example(
                "amin of a layer",
                nn.Sequential(nn.Linear(6, 4), Function(lambda x: x.amin(1))),
                rounding=8,
                bound=0.05,
            ),
        ],
    }


def _movement() -> dict[str, list[Example]]:
    mask = torch.tensor([True, False, True, True])
    positions = torch.tensor([2, 0, 3])
    return {
        "flatten": [
            example("Flatten", nn.Flatten(), (2, 3)),
            example("of some axes", lambda x: x.flatten(1, 2), (2, 2, 2)),
            example("with the rows kept", lambda x: x.flatten(2), (2, 2, 2)),
        ],
        "reshape, view": [
            example("reshape", lambda x: x.reshape(x.shape[0], 3, 2)),
            example("reshape, rows left open", lambda x: x.reshape(-1, 3, 2)),
            example("view", lambda x: x.view(-1, 2, 3)),
            example("Unflatten", nn.Unflatten(1, (2, 3))),
            example("view_as", lambda x: x.view_as(x.reshape(-1, 2, 3))),
            example("reshape_as", lambda x: x.reshape_as(x.view(-1, 3, 2))),
            example("before an operator in place", reshaped_in_place, (2, 3)),
        ],
        "transpose, permute": [
            example("transpose", lambda x: x.transpose(1, 2), (2, 3)),
            example("permute", lambda x: x.permute(0, 3, 1, 2), (2, 3, 2)),
            example("t", lambda x: x.sum(-1).t(), (3,)),
            example("T", lambda x: x.sum(-1).T, (3,)),
            example("mT", lambda x: x.mT, (2, 3)),
            example("mH", lambda x: x.mH, (2, 3)),
            example("adjoint", lambda x: x.adjoint(), (2, 3)),
            example("swapaxes", lambda x: x.swapaxes(1, 2), (2, 3)),
            example("swapdims", lambda x: x.swapdims(1, 2), (2, 3)),
            example("movedim", lambda x: x.movedim((1, 2), (2, 3)), (2, 3, 2)),
            example("moveaxis", lambda x: x.moveaxis(1, -1), (2, 3, 2)),
        ],
        "squeeze": [
            example("one axis", lambda x: x.squeeze(1), (1, 3)),
            example("several axes", lambda x: x.squeeze((1, 3)), (1, 3, 1)),
            example("all axes", lambda x: x.squeeze(), (1, 3)),
        ],
        "unsqueeze": [
            example("last", lambda x: x.unsqueeze(-1)),
            example("by indexing", lambda x: x[:, None]),
        ],
        "expand, repeat": [
            example("expand", lambda x: x[:, None].expand(-1, 2, -1), (3,)),
            example("expand_as", lambda x, y: x[:, None].expand_as(y) + y, (3,), (2, 3)),
            example("repeat", lambda x: x.repeat(1, 2), (3,)),
            example("repeat_interleave", lambda x: x.repeat_interleave(2, 1), (3,)),
            example(
                "repeat_interleave by element",
                lambda x: x.repeat_interleave(torch.tensor([1, 0, 2]), 1, output_size=3),
                (3,),
            ),
            example("tile", lambda x: torch.tile(x, (1, 2)), (3,)),
            example("broadcast_to", lambda x: x[:, None].broadcast_to(len(x), 2, 3), (3,)),
        ],
        "concat, stack": [
            example("cat", lambda x, y: torch.cat([x, 2 * y], 1), (2, 3), (1, 3)),
            example("cat along the last axis", lambda x: torch.cat([x, -x, x], -1), (2, 2)),
            example(
                "cat with constants",
                lambda x: torch.cat([x.new_ones(len(x), 1), x, x.new_zeros(len(x), 2)], 1),
            ),
            example("cat of functions", lambda x: torch.cat([x.relu(), x.sin()], 1)),
            example("cat of products", cat_of_products, (3,), (3,), rounding=8, bound=0.04),
            example("concat", lambda x: torch.concat([x, x], 1)),
            example("concatenate", lambda x: torch.concatenate([x, x], 1)),
            example("stack", lambda x, y: torch.stack([x, y, x + 1], 1), (3,), (3,)),
            example("stack at the end", lambda x: torch.stack([x, x.new_full(x.shape, 1.5)], -1), (3,)),
            example("hstack", lambda x: torch.hstack([x, x])),
            example("column_stack", lambda x: torch.column_stack([x, x.sum(1)])),
            example("dstack", lambda x: torch.dstack([x, -x]), (2, 2)),
        ],
        "slice, select, narrow": [
            example("slice", lambda x: x[:, 1:5]),
            example("slice with steps", lambda x: x[:, 1::2, :-1], (4, 3)),
            example("select", lambda x: x[:, 2]),
            example("select from the end", lambda x: x[..., -1], (2, 3)),
            example("narrow", lambda x: x.narrow(1, 1, 3)),
            example("diagonal", lambda x: x.diagonal(dim1=1, dim2=2), (3, 3)),
        ],
        "split, chunk": [
            example("split", lambda x: x.split(4, 1)),
            example("split by sizes", lambda x: torch.split(x, [1, 2, 3], -1)),
            example("chunk", lambda x: x.chunk(2, -1)[1]),
            example("unbind", lambda x: torch.unbind(x, 1)[1:], (3, 2)),
            example("tensor_split", lambda x: x.tensor_split(4, 1)[:2]),
            example("unsafe_chunk", lambda x: torch.unsafe_chunk(x, 2, 1)[0]),
            example("unsafe_split", lambda x: torch.unsafe_split(x, 4, 1)[1]),
            example("hsplit", lambda x: torch.hsplit(x, 2)[1]),
        ],
        "gather, index": [
            example("gather", lambda x: x.gather(1, torch.tensor([[2, 0, 0]]).expand(len(x), -1))),
            example("index", lambda x: x[:, [2, 0, 3]]),
            example("index by two", lambda x: x[:, [0, 1], [1, 0]], (2, 3)),
            example("index by a mask", lambda x: x[:, mask], (4, 2)),
            example("index_select", lambda x: x.index_select(1, positions)),
            example(
                "take_along_dim", lambda x: torch.take_along_dim(x, torch.tensor([[1], [0]])[None], 2), (2, 3)
            ),
        ],
        "pad": [
            example("zeros", nn.ZeroPad2d((1, 0, 2, 1)), (1, 2, 2)),
            example("a constant", nn.ConstantPad1d(2, -1.5), (2, 3)),
            example("cropped", lambda x: functional.pad(x, (-1, 1), value=0.5)),
            example("reflected", nn.ReflectionPad1d(2), (2, 4)),
            example("reflected, 2d", nn.ReflectionPad2d(1), (1, 3, 3)),
            example("replicated", nn.ReplicationPad1d((1, 2)), (2, 4)),
            example("replicated, 2d", nn.ReplicationPad2d(1), (1, 2, 2)),
            example("circular", nn.CircularPad1d(2), (2, 3)),
            example("constant_pad_nd", lambda x: torch.constant_pad_nd(x, [1, 1], 2.0), (3,)),
            example("of a function", lambda x: functional.pad(x.exp(), (1, 1), value=0.25), (3,)),
        ],
        "unfold": [
            example("unfold", lambda x: x.unfold(1, 3, 2), (7,)),
            example("of images", nn.Unfold((2, 3), padding=1, stride=2), (1, 3, 4)),
        ],
        "flip, roll": [
            example("flip", lambda x: x.flip(1, 2), (2, 3)),
            example("fliplr", lambda x: torch.fliplr(x)),
            example("roll", lambda x: x.roll(2, 1)),
            example("roll of two axes", lambda x: torch.roll(x, (1, 1), (1, 2)), (2, 3)),
            example("rot90", lambda x: torch.rot90(x, 1, (1, 2)), (2, 3)),
        ],
        "tril, triu": [
            example("tril", lambda x: x.tril(), (3, 3)),
            example("triu", lambda x: x.triu(1), (3, 4)),
        ],
        "pixel_shuffle": [
            example("PixelShuffle", nn.PixelShuffle(2), (4, 2, 1)),
            example("PixelUnshuffle", nn.PixelUnshuffle(2), (1, 2, 4)),
            example("ChannelShuffle", nn.ChannelShuffle(2), (4, 1, 2)),
        ],
        "upsample, nearest": [
            example("1d", nn.Upsample(scale_factor=2), (2, 3)),
            example("2d", nn.UpsamplingNearest2d((4, 3)), (1, 2, 3)),
            example("nearest-exact", nn.Upsample(5, mode="nearest-exact"), (1, 3)),
            example("nearest-exact, 2d", nn.Upsample((3, 3), mode="nearest-exact"), (1, 2, 2)),
        ],
        "contiguous, clone, detach": [
            example("contiguous", lambda x: x.mT.contiguous(), (2, 3)),
            example("clone", lambda x: x.clone()),
            example("detach", lambda x: x.detach()),
            example("alias", lambda x: torch.ops.aten.alias(x)),
        ],
        "writing to parts": [
            example("parts", filled, (6,)),
            example("through a view", written_through_view, (6,)),
            example("sums", summed_in_place, (6,)),
            example("a diagonal", diagonal_cleared, (3, 3)),
        ],
    }


def convolved(
    weight: Tensor, bias: Tensor | None, padding: int = 0, transposed: bool = False, groups: int = 1
) -> Callable[[Tensor], Tensor]:
    n = weight.ndim - 2

    def call(x: Tensor) -> Tensor:
        kernel, added = weight.to(x), bias if bias is None else bias.to(x)
        return torch.convolution(
            x, kernel, added, [1] * n, [padding] * n, [1] * n, transposed, [0] * n, groups
        )

    return call


def reshaped_in_place(x: Tensor) -> Tensor:
    y = (x + 1).transpose(1, 2).contiguous()
    y.mul_(0.5)
    return y.transpose(1, 2).reshape(-1, 6)


def cat_of_products(x: Tensor, y: Tensor) -> Tensor:
    return functional.relu(torch.cat([x * y, x - y, torch.where(x > 0, y, 0.5)], 1))


def _arithmetic() -> dict[str, list[Example]]:
    vector, matrix = torch.tensor([0.5, -1.0, 2.0]), torch.linspace(-1, 1, 6).reshape(2, 3)
    mask = torch.tensor([True, False, True])
    two = {"shapes": ((3,), (3,))}

    def of_two(name: str, function: Callable[..., Any], **options: Any) -> Example:
        return example(name, function, *two["shapes"], **options)

    return {
        "add": [
            example("scalar", lambda x: x + 1.5),
            example("scalar first", lambda x: 1.5 + x),
            example("tensor", lambda x: x + vector.to(x), (2, 3)),
            example("tensor broadcast", lambda x: x + matrix.to(x), (1, 3)),
            example("alpha", lambda x: torch.add(x, vector.to(x), alpha=3), (3,)),
            of_two("encrypted", lambda x, y: x + y),
            of_two("encrypted, rounded", lambda x, y: functional.relu(x + 3 * y), rounding=8),
            example("encrypted, broadcast", lambda x, y: x + y[:, None], (2, 3), (3,)),
            of_two("encrypted, alpha", lambda x, y: torch.add(x, y, alpha=-2)),
            of_two("encrypted, in place", lambda x, y: (2 * x).add_(y)),
            example("itself", lambda x: x + x.relu()),
            example("residual", Residual(), rounding=8),
            of_two("functions", lambda x, y: (x.sin() + y.exp()).relu(), rounding=8),
        ],
        "subtract": [
            example("scalar", lambda x: x - 1.5),
            example("from a scalar", lambda x: 1.5 - x),
            example("from a tensor", lambda x: vector.to(x) - x, (3,)),
            of_two("encrypted", lambda x, y: x - y),
            of_two("subtract", lambda x, y: torch.subtract(x, y, alpha=2)),
            of_two("rsub", lambda x, y: torch.rsub(x, y, alpha=2)),
            example("encrypted, broadcast", lambda x, y: x[:, :, None] - y[:, None], (2,), (3,)),
            of_two("in place", lambda x, y: (2 * x).sub_(y)),
        ],
        "multiply": [
            example("scalar", lambda x: x * -1.5),
            example("tensor", lambda x: x * vector.to(x), (2, 3)),
            example("multiply", lambda x: torch.multiply(vector.to(x), x), (3,)),
            of_two("encrypted", lambda x, y: x * y),
            of_two("encrypted, rounded", lambda x, y: x * y, rounding=8),
            of_two("encrypted, few bits", lambda x, y: x * y, n_bits=4, bound=0.15),
            example("encrypted, shifted", lambda x, y: (x + 0.3) * (y + vector.to(x)), (2, 3), (2, 3)),
            example("encrypted, broadcast", lambda x, y: x * y, (2, 3), (2, 1)),
            example("itself", lambda x: x * x),
            example("by a function of itself", lambda x: x * torch.sigmoid(x)),
            of_two("by a function", lambda x, y: x * torch.sigmoid(y), rounding=8),
            of_two("in place", lambda x, y: (2 * x).mul_(y)),
            example("squeeze and excite", Squeezed(), (3, 2, 2), rounding=8, bound=0.04),
        ],
        "divide": [
            example("scalar", lambda x: x / 3),
            example("tensor", lambda x: torch.divide(x, vector.to(x)), (3,)),
            example("true_divide", lambda x: torch.true_divide(x, 0.3)),
            univariate("of a scalar", lambda x: 2 / x, 0.4, 3),
            univariate("of a tensor", lambda x: torch.linspace(1, 2, 6).to(x) / x, 0.4, 3),
            example("floor_divide", lambda x: x // 0.7, jumps=True),
            example("truncated", lambda x: torch.div(x, 0.7, rounding_mode="trunc"), jumps=True),
            example("in place", lambda x: (2 * x).div_(3)),
            of_two("encrypted", lambda x, y: x / y, span=(0.5, 2)),
            of_two("encrypted, rounded", lambda x, y: x / y, span=(0.5, 2), rounding=8, bound=0.04),
            of_two("encrypted, few bits", lambda x, y: x / y, span=(0.5, 2), n_bits=4, bound=0.2),
            of_two(
                "encrypted, floor", lambda x, y: x // y, span=(0.5, 2), jumps=True, rounding=8, bound=0.03
            ),
        ],
        "maximum": [
            of_two("maximum", lambda x, y: torch.maximum(x, y)),
            of_two("maximum, rounded", lambda x, y: torch.maximum(x, y), rounding=8),
            of_two("max", lambda x, y: torch.max(x, 0.5 * y)),
            of_two("fmax", lambda x, y: torch.fmax(x + 0.3, y)),
            example("tensor", lambda x: torch.maximum(x, vector.to(x)), (3,)),
            example("broadcast", lambda x, y: torch.maximum(x, y), (2, 3), (1, 1)),
            of_two("of negated", lambda x, y: torch.maximum(-x, y)),
            of_two("of shifted", lambda x, y: torch.maximum(x + vector.to(x), y)),
        ],
        "minimum": [
            of_two("minimum", lambda x, y: torch.minimum(x, y)),
            of_two("minimum, rounded", lambda x, y: torch.minimum(x, y), rounding=8),
            of_two("min", lambda x, y: torch.min(x, 0.5 * y)),
            of_two("fmin", lambda x, y: torch.fmin(x + 0.3, y)),
            example("tensor", lambda x: torch.minimum(vector.to(x), x), (3,)),
            of_two("of negated", lambda x, y: torch.minimum(x, -y)),
        ],
        "comparisons": [
            example("gt", lambda x: x > 0.3, jumps=True),
            example("ge", lambda x: torch.ge(x, vector.to(x)), (2, 3), jumps=True),
            example("lt", lambda x: x < -0.3, jumps=True),
            example("le", lambda x: x >= 0.4, jumps=True),
            example("eq", lambda x: x.round() == 1, jumps=True),
            example("ne", lambda x: x.round() != 1, jumps=True),
            example("greater", lambda x: torch.greater(x, 0.3), jumps=True),
            example("greater_equal", lambda x: torch.greater_equal(x, 0.3), jumps=True),
            example("less", lambda x: torch.less(x, 0.3), jumps=True),
            example("less_equal", lambda x: torch.less_equal(x, 0.3), jumps=True),
            example("not_equal", lambda x: torch.not_equal(x.sign(), 1), jumps=True),
            of_two("two encrypted", lambda x, y: x > y, jumps=True),
            of_two("two encrypted, rounded", lambda x, y: x <= y, jumps=True, rounding=8),
            of_two("two encrypted, equal", lambda x, y: x.round() == y.round(), jumps=True),
            of_two("two encrypted, choosing", lambda x, y: torch.where(x > y, x, 2 * y), jumps=True),
            of_two("multiplied", lambda x, y: (x > 0) * y, jumps=True),
        ],
        "where": [
            example("constants", lambda x: torch.where(x > 0.3, 1.5, -0.5), jumps=True),
            example(
                "tensors", lambda x: torch.where(x > 0.3, vector.to(x), matrix.to(x)), (2, 3), jumps=True
            ),
            example("of itself", lambda x: torch.where(x > 0, x, 0.1 * x)),
            of_two("constant if true", lambda x, y: torch.where(x > 0, 0.5, y), jumps=True),
            of_two("constant if false", lambda x, y: torch.where(x > 0, y, vector.to(x)), jumps=True),
            of_two(
                "constant if true, rounded", lambda x, y: torch.where(x > 0, 0.5, y), rounding=8, jumps=True
            ),
            of_two("both", lambda x, y: torch.where(x > 0, x, y), jumps=True),
            example("three", lambda c, x, y: torch.where(c > 0, x, y), (2,), (2,), (2,), jumps=True),
            example(
                "three, rounded",
                lambda c, x, y: torch.where(c > 0, x, y),
                (2,),
                (2,),
                (2,),
                jumps=True,
                rounding=8,
            ),
            of_two("constant condition", lambda x, y: torch.where(mask, x, y)),
            example("constant condition and choice", lambda x: torch.where(mask, x, 0.5), (2, 3)),
            example("masked_fill", lambda x: x.masked_fill(mask, 0.5), (2, 3)),
            of_two("masked_fill, encrypted", lambda x, y: x.masked_fill(y > 0, 0.5), jumps=True),
            example("by a mask of itself", negative_cleared),
            example(
                "masked_fill of constants",
                lambda x: vector.to(x).expand(len(x), 3).masked_fill(x > 0, -1.0),
                (3,),
                jumps=True,
            ),
        ],
        "logical and, or, xor, not": [
            of_two("logical_and", lambda x, y: torch.logical_and(x > 0, y > 0.3), jumps=True),
            of_two("logical_or", lambda x, y: torch.logical_or(x > 0, y > 0.3), jumps=True),
            of_two("logical_xor", lambda x, y: torch.logical_xor(x > 0, y > 0.3), jumps=True),
            example("logical_not", lambda x: torch.logical_not(x > 0), jumps=True),
            of_two("&", lambda x, y: (x > 0) & (y > 0.3), jumps=True),
            of_two("|", lambda x, y: (x > 0) | (y > 0.3), jumps=True),
            of_two("^", lambda x, y: (x > 0) ^ (y > 0.3), jumps=True),
            example("~", lambda x: ~(x > 0), jumps=True),
            example("bitwise_and", lambda x: torch.bitwise_and(x > 0, x < 1), jumps=True),
            example("bitwise_or", lambda x: torch.bitwise_or(x < 0, x > 1), jumps=True),
            example("bitwise_xor", lambda x: torch.bitwise_xor(x < 0, x < 1), jumps=True),
            example("with a constant", lambda x: (x > 0) & mask, (2, 3), jumps=True),
            of_two("sum of truth values", lambda x, y: (x > 0) + (y > 0.3), jumps=True),
            example("of integers", lambda x: x.round().int() & 1, jumps=True),
            of_two("three", lambda x, y: (x > 0) & (y > 0) & (x + y < 2), jumps=True, bound=0.03),
        ],
    }


def _functions() -> dict[str, list[Example]]:
    slopes = torch.linspace(0.1, 0.6, 6)
    by_channel = torch.tensor([0.02, 0.05, 0.03])
    return {
        "negative": [univariate("neg", lambda x: -x), univariate("negative", torch.negative)],
        "abs": [univariate("abs", torch.abs), univariate("absolute", torch.absolute)],
        "sign": [
            univariate("sign", torch.sign, jumps=True),
            univariate("sgn", torch.sgn, jumps=True),
        ],
        "pow, square, sqrt, rsqrt, reciprocal": [
            univariate("square", torch.square),
            univariate("cube", lambda x: x**3),
            univariate("of a scalar", lambda x: 2**x),
            univariate("by tensors", lambda x: x ** (1 + slopes.to(x)), 0.1, 3),
            univariate("float_power", lambda x: torch.float_power(x, 1.5), 0.1, 3),
            univariate("sqrt", torch.sqrt, 0.01, 4),
            univariate("rsqrt", torch.rsqrt, 0.2, 4),
            univariate("reciprocal", torch.reciprocal, 0.3, 3),
            univariate("in place", lambda x: (x + 3).sqrt_()),
            example("encrypted exponent", torch.pow, (3,), (3,), span=(0.5, 2.0), n_bits=4, bound=0.2),
        ],
        "exp, exp2, expm1": [
            univariate("exp", torch.exp),
            univariate("exp2", torch.exp2),
            univariate("expm1", torch.expm1),
        ],
        "log, log2, log10, log1p": [
            univariate("log", torch.log, 0.1, 4),
            univariate("log2", torch.log2, 0.1, 4),
            univariate("log10", torch.log10, 0.1, 4),
            univariate("log1p", torch.log1p, -0.8, 4),
        ],
        "round, floor, ceil, trunc, frac": [
            univariate("round", torch.round, jumps=True),
            univariate("round to decimals", lambda x: torch.round(x, decimals=1), jumps=True, bound=0.06),
            univariate("floor", torch.floor, jumps=True),
            univariate("ceil", torch.ceil, jumps=True),
            univariate("trunc", torch.trunc, jumps=True),
            univariate("fix", torch.fix, jumps=True),
            univariate("frac", torch.frac, jumps=True),
        ],
        "remainder, fmod": [
            univariate("remainder", lambda x: x % 0.7, jumps=True),
            univariate("fmod", lambda x: torch.fmod(x, 0.7), jumps=True),
            univariate("of a scalar", lambda x: torch.remainder(1.0, x), 0.3, 2, jumps=True, bound=0.03),
        ],
        "clamp": [
            univariate("clamp", lambda x: x.clamp(-1, 1.5)),
            univariate("one side", lambda x: torch.clamp(x, max=0.5)),
            univariate("by tensors", lambda x: torch.clamp(x, -slopes.to(x), slopes.to(x))),
            univariate("clip", lambda x: x.clip(0, 1)),
            univariate("clamp_min", lambda x: torch.clamp_min(x, -0.5)),
            univariate("clamp_max", lambda x: torch.clamp_max(x, 0.5)),
            univariate("in place", lambda x: (x + 1).clamp_(0, 1)),
        ],
        "sin, cos, tan": [
            univariate("sin", torch.sin),
            univariate("cos", torch.cos),
            univariate("tan", torch.tan, -1.2, 1.2),
        ],
        "asin, acos, atan": [
            univariate("asin", torch.asin, -0.95, 0.95),
            univariate("acos", torch.acos, -0.95, 0.95),
            univariate("atan", torch.atan),
            univariate("arcsin", torch.arcsin, -0.95, 0.95),
            univariate("arccos", torch.arccos, -0.95, 0.95),
            univariate("arctan", torch.arctan),
        ],
        "sinh, cosh": [univariate("sinh", torch.sinh), univariate("cosh", torch.cosh)],
        "asinh, acosh, atanh": [
            univariate("asinh", torch.asinh),
            univariate("acosh", torch.acosh, 1.05, 4),
            univariate("atanh", torch.atanh, -0.95, 0.95),
            univariate("arcsinh", torch.arcsinh),
            univariate("arccosh", torch.arccosh, 1.05, 4),
            univariate("arctanh", torch.arctanh, -0.95, 0.95),
        ],
        "erf, erfc": [univariate("erf", torch.erf), univariate("erfc", torch.erfc)],
        "casts": [
            univariate("to int", lambda x: x.to(torch.int32), jumps=True),
            univariate("to bool", lambda x: x.round().bool(), jumps=True),
            univariate("to float", lambda x: (x > 0).float(), jumps=True),
            univariate("to double", lambda x: x.double()),
            univariate("type_as", lambda x: (x > 0).type_as(x), jumps=True),
            univariate("after an operator in place", lambda x: x.mul_(2).long(), jumps=True),
            example(
                "before a layer",
                lambda x: (x > 0).float() @ torch.ones(6, 2).to(torch.float32),
                jumps=True,
                bound=0.05,
            ),
        ],
        "fake_quantize": [
            example(
                "per tensor",
                lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 3, -16, 15),
                jumps=True,
                bound=0.06,
            ),
            example(
                "per channel",
                lambda x: torch.fake_quantize_per_channel_affine(
                    x.float(), by_channel, torch.tensor([0, 3, -2], dtype=torch.int32), 1, -128, 127
                ),
                (3, 2),
            ),
        ],
    }


def _activations() -> dict[str, list[Example]]:
    return {
        "relu": [
            univariate("ReLU", nn.ReLU()),
            univariate("in place", nn.ReLU(inplace=True)),
            univariate("functional", functional.relu),
        ],
        "relu6": [
            univariate("ReLU6", nn.ReLU6(), -3, 9),
            univariate("in place", nn.ReLU6(inplace=True), -3, 9),
        ],
        "leaky_relu": [
            univariate("LeakyReLU", nn.LeakyReLU(0.2)),
            univariate("in place", nn.LeakyReLU(inplace=True)),
        ],
        "prelu": [
            univariate("PReLU", nn.PReLU()),
            example("by channel", nn.PReLU(3, init=0.3), (3, 2)),
            univariate(
                "before an operator in place", nn.Sequential(nn.PReLU(init=0.1), nn.ReLU6(inplace=True))
            ),
        ],
        "rrelu": [univariate("RReLU", nn.RReLU(0.1, 0.5))],
        "elu": [univariate("ELU", nn.ELU(0.7)), univariate("in place", nn.ELU(inplace=True))],
        "selu": [univariate("SELU", nn.SELU())],
        "celu": [univariate("CELU", nn.CELU(0.5))],
        "gelu": [univariate("GELU", nn.GELU()), univariate("tanh", nn.GELU(approximate="tanh"))],
        "silu": [univariate("SiLU", nn.SiLU()), univariate("by hand", lambda x: x * torch.sigmoid(x))],
        "sigmoid": [univariate("Sigmoid", nn.Sigmoid())],
        "logsigmoid": [univariate("LogSigmoid", nn.LogSigmoid())],
        "hardsigmoid": [univariate("Hardsigmoid", nn.Hardsigmoid(), -4, 4)],
        "hardswish": [univariate("Hardswish", nn.Hardswish(), -4, 4)],
        "hardtanh": [univariate("Hardtanh", nn.Hardtanh(-0.5, 1))],
        "mish": [univariate("Mish", nn.Mish())],
        "softplus": [univariate("Softplus", nn.Softplus(beta=2, threshold=3))],
        "softsign": [univariate("Softsign", nn.Softsign())],
        "tanh": [univariate("Tanh", nn.Tanh()), univariate("in place", lambda x: (2 * x).tanh_())],
        "tanhshrink": [univariate("Tanhshrink", nn.Tanhshrink())],
        "softshrink": [univariate("Softshrink", nn.Softshrink(0.6))],
        "hardshrink": [univariate("Hardshrink", nn.Hardshrink(0.6), jumps=True)],
        "threshold": [
            univariate("Threshold", nn.Threshold(0.4, -1), jumps=True),
            univariate("without a jump", nn.Threshold(0.4, 0.4)),
        ],
        "glu": [
            example("GLU", nn.GLU(), (6,)),
            example("GLU, rounded", nn.GLU(1), (4, 2), rounding=8),
        ],
    }


def _all() -> dict[str, list[Example]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {**_linear(), **_movement(), **_arithmetic(), **_functions(), **_activations()}


EXAMPLES = _all()
