"""Layers with weights, poolings, sums, extrema."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.torch_examples.example import Example, Function, example, normalized


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


def of_layers() -> dict[str, list[Example]]:
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
