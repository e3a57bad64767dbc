"""Operators that are written by their parts: norms, attention, statistics, products, memory, order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.torch_examples.example import Example, example

ROWS = (3, 4)


def several(*functions: Callable[..., Any]) -> Callable[..., tuple[Tensor, ...]]:
    """Return the results of several functions."""

    def call(*x: Tensor) -> tuple[Tensor, ...]:
        found = [function(*x) for function in functions]
        return tuple(y for each in found for y in (each if isinstance(each, tuple) else (each,)))

    return call


def rounded(name: str, net: Callable[..., Any], *shapes: tuple[int, ...], **options: Any) -> Example:
    """Return an example whose accumulators are wider than a lookup reads."""
    return example(name, net, *(shapes or (ROWS,)), rounding=8, **options)


class Steps(nn.Module):
    """The last result of a recurrent layer or cell."""

    def __init__(self, memory: nn.Module) -> None:
        super().__init__()
        self.memory = memory

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.memory, nn.RNNBase):
            return self.memory(x)[0]
        first = self.memory(x[:, 0])
        last = self.memory(x[:, 1], first)
        return last[0] if isinstance(last, tuple) else last


def of_norms() -> dict[str, list[Example]]:
    return {
        "layer_norm": [rounded("with parameters", nn.LayerNorm(4), bound=0.04)],
        "rms_norm": [rounded("without epsilon", nn.RMSNorm(4), bound=0.04)],
        "group_norm": [rounded("two groups", nn.GroupNorm(2, 4), (4, 3), bound=0.04)],
        "instance_norm": [rounded("of the row", nn.InstanceNorm1d(2), (2, 6), bound=0.04)],
        "var": [
            rounded("var, var_mean", several(lambda x: x.var(2), lambda x: torch.var_mean(x, 1)), bound=0.05)
        ],
        "std": [
            rounded("std, std_mean", several(lambda x: x.std(2), lambda x: torch.std_mean(x, 1)), bound=0.08)
        ],
        "norms": [
            rounded(
                "of vectors and matrices",
                several(
                    lambda x: torch.linalg.vector_norm(x, dim=2),
                    lambda x: torch.linalg.norm(x, ord=1, dim=2),
                    torch.linalg.matrix_norm,
                ),
                bound=0.08,
            ),
            rounded("normalize", lambda x: functional.normalize(x, dim=2), bound=0.05),
        ],
        "distances": [
            rounded(
                "of pairs",
                several(
                    lambda x, y: functional.pairwise_distance(x, y),
                    lambda x, y: torch.cdist(x, y + 3),
                ),
                (2, 3),
                (2, 3),
                bound=0.08,
            )
        ],
        "cosine_similarity": [
            rounded("of two", lambda x, y: functional.cosine_similarity(x, y, dim=2), ROWS, ROWS, bound=0.15)
        ],
    }


def of_attention() -> dict[str, list[Example]]:
    causal = torch.ones(3, 3).tril() > 0
    return {
        "softmax": [
            rounded("of few", nn.Softmax(2), bound=0.06),
            rounded("of widely spread logits", lambda x: (4 * x).softmax(1), (6,), bound=0.12),
            rounded(
                "masked",
                lambda x: torch._safe_softmax(torch.where(causal, x, -torch.inf), -1),
                (3, 3),
                bound=0.1,
            ),
        ],
        "log_softmax": [rounded("of few", nn.LogSoftmax(2), bound=0.04)],
        "logsumexp": [
            rounded("near", lambda x: x.logsumexp(2), bound=0.06),
            rounded("far", lambda x: (4 * x).logsumexp((1, 2), keepdim=True), bound=0.06),
        ],
        "logaddexp": [rounded("of two", torch.logaddexp, ROWS, ROWS, bound=0.04)],
        "attention": [
            rounded(
                "with itself",
                lambda x: functional.scaled_dot_product_attention(x, x, x, is_causal=True),
                bound=0.12,
            )
        ],
    }


def of_products() -> dict[str, list[Example]]:
    matrix = torch.randn(4, 2, dtype=torch.float64)
    cube = torch.randn(2, 2, 3, dtype=torch.float64)

    def one(x: Tensor) -> Tensor:
        """Vectors of a row: functions of vectors take no rows beside."""
        return x[:, 0, :3]

    return {
        "einsum": [
            example("by constants", lambda x: torch.einsum("bij,jk->bk", x, matrix), ROWS),
            rounded("of two", lambda x: torch.einsum("bij,bkj->bik", x, x), bound=0.03),
        ],
        "products of vectors": [
            example(
                "of two",
                several(
                    lambda x, y: torch.linalg.vecdot(x, y),
                    lambda x, y: torch.linalg.cross(one(x), one(y)),
                    lambda x, y: torch.cross(one(x), one(y), dim=1),
                ),
                ROWS,
                ROWS,
            ),
            rounded(
                "by constants",
                several(
                    lambda x: torch.tensordot(x, matrix, dims=1),
                    lambda x: torch.inner(x, matrix.T),
                    lambda x: torch.kron(x, torch.ones(1, 1, 2).to(x)),
                    lambda x: torch.linalg.multi_dot([one(x), cube[:, 0].T, cube[0, :, 1:]]),
                ),
                ROWS,
            ),
        ],
        "product plus something": [
            rounded("baddbmm", lambda x: torch.baddbmm(x[:, :, :3], x, x.mT, beta=2, alpha=0.3), bound=0.03),
            rounded(
                "addcmul, addcdiv",
                several(
                    lambda x, y: torch.addcmul(x, x, y, value=2), lambda x, y: torch.addcdiv(x, x, y + 3)
                ),
                ROWS,
                ROWS,
                bound=0.04,
            ),
        ],
        "lerp": [
            rounded(
                "by a constant and by a value",
                several(lambda x, y: torch.lerp(x, y, 0.3), lambda x, y: torch.lerp(x, y, x)),
                ROWS,
                ROWS,
                bound=0.04,
            )
        ],
        "bilinear": [rounded("of two", nn.Bilinear(4, 3, 2), (4,), (3,), bound=0.05)],
        "prod": [rounded("of few", several(lambda x: x.prod(1), lambda x: x.cumprod(1)), (3, 2), bound=0.05)],
        "logit": [example("clamped", lambda x: torch.logit(x, 0.1), span=(0.0, 1.0))],
        "hypot": [rounded("of two", torch.hypot, ROWS, ROWS, bound=0.04)],
        "sinc, xlogy": [example("each", several(torch.sinc, lambda x: torch.xlogy(x, x + 3)))],
        "diff": [
            example("of neighbours", several(lambda x: x.diff(dim=1), lambda x: torch.trapezoid(x, dim=1)))
        ],
        "any, all, count_nonzero": [
            example(
                "of truth values",
                several(
                    lambda x: (x > 1).any(1), lambda x: (x > -1).all(1), lambda x: (x > 0).count_nonzero(1)
                ),
                jumps=True,
                bound=0.03,
            )
        ],
    }


def of_order() -> dict[str, list[Example]]:
    return {
        "sort": [
            rounded("both ways", several(lambda x: x.sort(2, descending=True)[0], lambda x: x.sort(1)[0])),
        ],
        "topk": [
            rounded(
                "two",
                several(lambda x: x.topk(2, 1)[0], lambda x: x.topk(1, 2, largest=False)[0]),
                bound=0.03,
            )
        ],
        "median, kthvalue, quantile": [
            rounded(
                "of five",
                several(
                    lambda x: x.median(1)[0], lambda x: x.kthvalue(2, 1)[0], lambda x: x.quantile(0.3, dim=1)
                ),
                (5,),
                bound=0.03,
            )
        ],
        "cummax, cummin": [
            rounded("along an axis", several(lambda x: x.cummax(2)[0], lambda x: x.cummin(1)[0]), bound=0.03)
        ],
        "aminmax": [rounded("over an axis", lambda x: tuple(torch.aminmax(x, dim=2)), bound=0.03)],
    }


def of_integers() -> dict[str, list[Example]]:
    def words(x: Tensor) -> Tensor:
        return x.round().long()

    return {
        "embedding": [
            example(
                "of rounded values",
                nn.Sequential(Rounded(), nn.Embedding(5, 2)),
                (3,),
                span=(0.0, 4.0),
                jumps=True,
            )
        ],
        "embedding_bag": [
            example(
                "mean",
                nn.Sequential(Rounded(), nn.EmbeddingBag(5, 2)),
                (3,),
                span=(0.0, 4.0),
                jumps=True,
                bound=0.03,
            )
        ],
        "one_hot": [
            example(
                "of rounded values",
                lambda x: functional.one_hot(words(x), 5),
                (3,),
                span=(0.0, 4.0),
                jumps=True,
            )
        ],
    }


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round().long()


class Each(nn.Module):
    """The results of several networks for the same input."""

    def __init__(self, *nets: nn.Module) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(net(x) for net in self.nets)


def of_memory() -> dict[str, list[Example]]:
    lstm = (nn.LSTM(3, 2, batch_first=True), nn.LSTMCell(3, 2))
    gru = (nn.GRU(3, 2, batch_first=True), nn.GRUCell(3, 2))
    rnn = (
        nn.RNN(3, 2, batch_first=True, bidirectional=True),
        nn.RNN(3, 2, batch_first=True, nonlinearity="relu"),
        nn.RNNCell(3, 2),
        nn.RNNCell(3, 2, nonlinearity="relu"),
    )
    return {
        name: [rounded("layers and cells", Each(*map(Steps, memories)), (2, 3), bound=0.1)]
        for name, memories in (("lstm", lstm), ("gru", gru), ("rnn", rnn))
    }


def of_volumes() -> dict[str, list[Example]]:
    volume = (2, 3, 3, 3)
    return {
        "conv3d": [
            example("strided, padded, grouped", nn.Conv3d(2, 4, 2, (2, 1, 1), (1, 0, 1), groups=2), volume)
        ],
        "poolings of volumes": [
            example(
                "averages",
                several(nn.AvgPool3d(2, padding=1, count_include_pad=False), nn.AdaptiveAvgPool3d((3, 1, 2))),
                volume,
            ),
            rounded(
                "maxima",
                several(
                    nn.MaxPool3d(2, 1),
                    nn.AdaptiveMaxPool3d((1, 3, 3)),
                    lambda x: functional.max_pool3d_with_indices(x, 2)[0],
                ),
                (1, 3, 3, 3),
                bound=0.04,
            ),
        ],
        "upsample, cubic": [
            example(
                "and smoothed",
                several(
                    lambda x: functional.interpolate(x, scale_factor=2, mode="bicubic"),
                    lambda x: functional.interpolate(x, 2, mode="bicubic", antialias=True),
                    lambda x: functional.interpolate(x, 2, mode="bilinear", antialias=True),
                ),
                (1, 3, 3),
            )
        ],
        "upsample, trilinear": [
            example(
                "twice as large",
                lambda x: functional.interpolate(x, scale_factor=2, mode="trilinear"),
                (1, 2, 2, 2),
            )
        ],
        "upsample of volumes, nearest": [
            example(
                "and exact",
                several(
                    lambda x: functional.interpolate(x, scale_factor=2),
                    lambda x: functional.interpolate(x, 3, mode="nearest-exact"),
                ),
                (1, 2, 2, 2),
            )
        ],
        "transposed convolution of volumes": [example("of one", nn.ConvTranspose3d(1, 2, 2), (1, 2, 2, 2))],
        "fold": [example("sums", nn.Fold((3, 3), (2, 2)), (4, 4))],
    }


def of_parts() -> dict[str, list[Example]]:
    return {
        **of_volumes(),
        **of_norms(),
        **of_attention(),
        **of_products(),
        **of_order(),
        **of_integers(),
        **of_memory(),
    }
