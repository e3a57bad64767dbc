"""What follows the last accumulator, and what results come in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.zoo.specimen import Network, network


class Scores(nn.Module):
    """A perceptron, and a function of its scores."""

    def __init__(self, tail: Callable[[Tensor], Any], n_scores: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, n_scores))
        self.tail = tail

    def forward(self, x: Tensor) -> Any:
        return self.tail(self.body(x))


class Answer(NamedTuple):
    label: Tensor
    probabilities: Tensor


class Prototypes(nn.Module):
    """How near a row is to prototypes, by the cosine."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
        self.prototypes = nn.Parameter(torch.randn(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.body(x), dim=1) @ functional.normalize(self.prototypes, dim=1).T


class Heads(nn.Module):
    """Several answers of one body, with a softmax for each or not."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.kind, self.value = nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x)
        return {"kind": self.kind(x).softmax(-1), "value": self.value(x).squeeze(-1)}


class AveragedProbabilities(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x).softmax(-1) for member in self.members]).mean(0)


def named(scores: Tensor) -> Answer:
    return Answer(scores.argmax(dim=1), scores.softmax(dim=1))


def ordered(scores: Tensor) -> dict[str, Any]:
    return OrderedDict(scores=scores, halves=scores.chunk(3, dim=1), largest=scores.max(dim=1))


def boxes(scores: Tensor) -> Tensor:
    """Corners of boxes, from centres and logarithms of sizes."""
    centre, size = torch.sigmoid(scores[:, :2]), torch.exp(scores[:, 2:].clamp(-2, 1))
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)


def mixture(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shares, means, deviations = scores.chunk(3, dim=1)
    return shares.softmax(dim=1), means, functional.softplus(deviations)


def entropy(scores: Tensor) -> Tensor:
    logs = functional.log_softmax(scores / 0.7, dim=1)
    return -(logs.exp() * logs).sum(dim=1)


def ordinal(scores: Tensor) -> Tensor:
    """Probabilities of ordered classes, from those of exceeding each."""
    return torch.cumprod(torch.sigmoid(scores), dim=1)


def ranked(scores: Tensor) -> tuple[Tensor, Tensor]:
    values, order = scores.sort(dim=1, descending=True)
    return values, order


def tails() -> list[Network]:
    def tail(name: str, call: Callable[[Tensor], Any], n_scores: int = 3, **options: Any) -> Network:
        return network(name, lambda: Scores(call, n_scores), **options)

    labels = {"bound": float("inf")}
    return [
        tail("softmax at the end", lambda s: s.softmax(dim=-1)),
        tail("log-softmax at the end", lambda s: functional.log_softmax(s, dim=1)),
        tail("argmax at the end", lambda s: s.argmax(dim=1), **labels),
        tail("two best classes", lambda s: s.topk(2, dim=1), **labels),
        tail("norm at the end", lambda s: functional.normalize(s, dim=1)),
        tail("label of a sigmoid", lambda s: (torch.sigmoid(s) > 0.5).float(), bound=0.4),
        tail("named tuple", named, **labels),
        tail("dictionary of several kinds", ordered, **labels),
        network("dictionary of two heads", Heads),
        tail("boxes", boxes, 4),
        tail("mixture density", mixture, 6),
        tail("entropy of a softmax", entropy, bound=0.2),
        tail("ordinal probabilities", ordinal),
        tail("ranked classes", ranked, **labels),
        tail("one-hot label", lambda s: functional.one_hot(s.argmax(1), 3), **labels),
        network("nearest prototypes", Prototypes),
        network("averaged probabilities", AveragedProbabilities),
    ]
