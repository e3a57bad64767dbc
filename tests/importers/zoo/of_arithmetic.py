"""Arithmetic of encrypted values, and functions of whole rows inside a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.zoo.specimen import Network, function, network


class TrainingStep(nn.Module):
    """A step of logistic regression whose rows, labels and weights are all encrypted."""

    def forward(self, x: Tensor, y: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
        errors = torch.sigmoid(torch.bmm(x, weights) + bias) - y
        return weights - 0.2 * torch.bmm(x.transpose(1, 2), errors) / x.size(1)


class Normed(nn.Module):
    """A norm between two layers."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(4, 4), norm, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.norm(self.first(x))))


class Unit(nn.Module):
    """Values over their Euclidean norm."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1)


class Ranged(nn.Module):
    """Values between the smallest and the largest."""

    def forward(self, x: Tensor) -> Tensor:
        low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
        return (x - low) / (high - low + 0.5)


class Standardized(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=-1, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 0.1)


class SoftMixture(nn.Module):
    """A softmax inside a network."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, dim=-1)


def of_two(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return x + 2 * y, x - y, x * y


def quotients(x: Tensor, y: Tensor) -> Tensor:
    return x / (y.abs() + 1) + torch.atan(y) / 2


def polynomial(x: Tensor) -> Tensor:
    return ((0.3 * x - 0.5) * x + 0.2) * x**2 + 1


def median_of_three(x: Tensor) -> Tensor:
    a, b, c = x.unbind(1)
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


def logic(x: Tensor, y: Tensor) -> Tensor:
    either = (x > y) | (x < -0.5)
    return (either & ~(y > 1)).float() + (x >= 0).to(x.dtype)


def distances(x: Tensor, y: Tensor) -> Tensor:
    manhattan = (x - y).abs().sum(-1)
    euclidean = torch.linalg.vector_norm(x - y, dim=-1)
    return torch.stack([manhattan, euclidean, functional.pairwise_distance(x, y)], dim=-1)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return functional.cosine_similarity(x, y + 0.5, dim=-1)


def moments(x: Tensor) -> Tensor:
    return torch.stack([x.var(1), x.std(1, correction=0), x.mean(1), x.norm(dim=1), x.pow(3).mean(1)], dim=1)


def fused(x: Tensor, y: Tensor) -> Tensor:
    lerped = torch.lerp(x, y, 0.3)
    return torch.addcmul(lerped, x, y, value=0.5) - torch.addcdiv(y, x, y.abs() + 1.5)


def log_sums(x: Tensor) -> Tensor:
    return torch.logsumexp(x, dim=1) + functional.softplus(x).sum(1)


def steps(x: Tensor) -> Tensor:
    return torch.round(2 * x) / 2 + x.clamp(-1, 0.5) + torch.floor(x) - torch.sign(x) + torch.fmod(x, 0.7)


def chain(x: Tensor) -> Tensor:
    return (
        torch.tanh(torch.log1p(torch.exp(torch.sin(3 * x))))
        + torch.sqrt(x.abs() + 0.1)
        + torch.erf(x) * torch.cos(x)
    )


def counts(x: Tensor) -> Tensor:
    """How many elements exceed each threshold."""
    thresholds = torch.tensor([-0.5, 0.0, 0.5]).to(x)
    return (x[:, :, None] > thresholds).to(x.dtype).sum(dim=1)


def masked_mean(x: Tensor) -> Tensor:
    """The mean of the positive elements."""
    mask = (x > 0).to(x.dtype)
    return (x * mask).sum(1) / (mask.sum(1) + 1)


def few_sorted(x: Tensor) -> Tensor:
    """The sorted elements, weighted by constants."""
    return x.sort(dim=1).values @ torch.tensor([1.0, -2.0, 3.0]).to(x)


def two_largest(x: Tensor) -> Tensor:
    return torch.relu(x.topk(2, dim=1).values.sum(1)) + 1


def so_far(x: Tensor) -> Tensor:
    """How far below the largest so far."""
    return torch.relu(x.cummax(dim=1).values - x - 0.2)


def pairwise(x: Tensor) -> Tensor:
    return torch.sigmoid(3 * (x[:, :, None] - x[:, None])).sum(-1)


def huber(x: Tensor, y: Tensor) -> Tensor:
    """A loss, written out."""
    distance = (x - y).abs()
    return torch.where(distance < 1, distance.square() / 2, distance - 0.5).sum(1)


def products_of_matrices(x: Tensor, y: Tensor) -> Tensor:
    return torch.baddbmm(x, x, y, beta=0.5, alpha=2.0).sum(-1)


def with_own_transpose(x: Tensor) -> Tensor:
    return torch.relu(torch.matmul(x, x.transpose(2, 1)))


def shaped(x: Tensor) -> Tensor:
    """Sums over each of the axes and over several."""
    return torch.cat([x.sum(1), x.sum(2), x.sum((1, 2), keepdim=True).flatten(1), x.mean(-1)], dim=1)


def odds(x: Tensor) -> Tensor:
    probability = torch.sigmoid(x) * 0.9 + 0.05
    return torch.logit(probability) + torch.sigmoid(x - 1) + torch.where(x > 0, x, torch.expm1(x))


def chosen(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(x > 0, y, -x)


def scalars(x: Tensor) -> Tensor:
    return 3 - 2 * x / 4 + x * torch.tensor([1.0, 2.0, 3.0]).to(x)


def arithmetic() -> list[Network]:
    two, bound = ((3,), (3,)), {"bound": 0.2}
    return [
        network("affine", function(scalars), (3,)),
        network("sum, difference, product", function(of_two), *two, **bound),
        network("quotients", function(quotients), *two, **bound),
        network("polynomial", function(polynomial), (3,)),
        network("median of three", function(median_of_three), (3,), **bound),
        network("comparisons and logic", function(logic), *two, bound=0.4),
        network("distances", function(distances), *two, **bound),
        network("cosine similarity", function(cosine), *two, **bound),
        network("moments", function(moments), **bound),
        network("fused arithmetic", function(fused), *two, bound=0.3),
        network("logarithms of sums", function(log_sums), (3,), **bound),
        network("rounding and remainders", function(steps), (3,), bound=0.3),
        network("chain of functions", function(chain), (3,)),
        network("counts", function(counts), bound=0.3),
        network("masked mean", function(masked_mean), **bound),
        network("sort of three", function(few_sorted), (3,), **bound),
        network("two largest of four", function(two_largest), **bound),
        network("cumulative maximum", function(so_far), **bound),
        network("differences of all pairs", function(pairwise), (3,), **bound),
        network("Huber's loss", function(huber), *two, **bound),
        network("products of matrices", function(products_of_matrices), (2, 2), (2, 2), **bound),
        network("product with the own transpose", function(with_own_transpose), (2, 3), **bound),
        network("sums over axes", function(shaped), (2, 3)),
        network("odds", function(odds), (3,), **bound),
        network("choice of two", function(chosen), *two, bound=0.3),
        network("training step", TrainingStep, (3, 2), (3, 1), (2, 1), (1, 1), **bound),
        network("unit norm between layers", lambda: Normed(Unit()), bound=0.3),
        network("range norm between layers", lambda: Normed(Ranged()), bound=0.3),
        network("standardized between layers", lambda: Normed(Standardized()), bound=0.3),
        network("softmax between layers", lambda: Normed(SoftMixture()), bound=0.3),
    ]
