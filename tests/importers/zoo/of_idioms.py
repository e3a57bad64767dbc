"""Ways of moving elements, and of writing rows of several axes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.zoo.specimen import Network, function, network


class StepsFirst(nn.Module):
    """Axes swapped, a layer, and swapped back."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x.transpose(0, 1)))).transpose(0, 1)


class Joined(nn.Module):
    """Rows and steps are one axis to a layer that takes only one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        b, t, f = x.shape
        return self.inner(x.reshape(b * t, f)).reshape(b, t, -1)


class Unflattened(nn.Module):
    """The same for images, by flatten and unflatten."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x.flatten(0, 1)))
        return y.unflatten(0, (x.shape[0], x.shape[1])).mean(dim=(3, 4))


class Members(nn.Module):
    """An ensemble, stacked in front of the rows and averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


class Column(nn.Module):
    """One column of all elements, for a function of elements, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = nn.Sequential(nn.Linear(1, 3), nn.Tanh(), nn.Linear(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.shape(x.view(-1, 1)).view(x.shape[0], -1)


class AllInOne(nn.Module):
    """Elements in one column, to a function of elements; the result stays one."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.reshape(x, (-1, 1))
        x = torch.abs(torch.exp(torch.log(1 + torch.sigmoid(x))))
        return torch.flatten(x, 1)


class Unbound(nn.Module):
    """Steps one by one, each through the same layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.relu(self.layer(step)) for step in x.unbind(1)], dim=1).flatten(1)


class Stacked(nn.Module):
    """Answers of several layers, stacked in front of the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.heads = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(self.first(x))
        return torch.stack([head(x) for head in self.heads])


class Picked(nn.Module):
    """Elements by constant positions, in several ways."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor([2, 0, 3, 1]))
        self.layer = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        by_index = x[:, self.order][:, [0, 0, 1]]
        gathered = x.gather(1, self.order.expand(len(x), -1))[:, 1:3]
        selected = x.index_select(1, self.order[:2])
        sliced = torch.cat([x[:, ::2], x[:, -1:].flip(1)], dim=1)
        return torch.relu(self.layer(torch.cat([by_index, gathered, selected, sliced], dim=1)))


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([True, False, True, False]))
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.where(self.mask, x, 0.0)
        y = self.layer(kept).masked_fill(torch.tensor([False, True, False]), 0.5)
        return torch.relu(y)


class Written(nn.Module):
    """A result that is written part by part, some parts in place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape[0], 6, dtype=x.dtype)
        y[:, :4] = self.layer(x)
        y[:, 4] = x.sum(dim=1)
        y[:, 1:3] *= 2
        y[:, 5] += 0.5
        return torch.relu_(y)


class Rearranged(nn.Module):
    """Heads of features, by reshape and permute, as einops would have it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        heads = self.layer(x).reshape(b, t, 3, 2).permute(2, 0, 1, 3)
        return torch.tanh(heads[0] + heads[1] - heads[2]).movedim(1, -1)


def mapped() -> nn.Module:
    layer = nn.Linear(3, 2)

    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return torch.vmap(lambda row: torch.relu(self.layer(row)))(x)

    return Mapped()


def padded(x: Tensor) -> Tensor:
    """Pads of several axes and kinds."""
    x = functional.pad(x, (1, 2))
    x = functional.pad(x, (1, 0, 0, 2), value=0.5)
    x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
    return functional.pad(x, (0, 0, 1, 1, 0, 0, 0, 0))


def repeated(x: Tensor) -> Tensor:
    wide = x.unsqueeze(-1).expand(-1, -1, 2) + x.repeat(1, 2).view(len(x), 2, -1).mT
    return torch.relu(wide.repeat_interleave(2, dim=1)).squeeze(-1)


def split(x: Tensor) -> Tensor:
    a, b, c = x.split([1, 2, 3], dim=1)
    d, e = x.chunk(2, dim=1)
    return torch.cat([torch.relu(b), a.expand_as(c) + c, (d - e).abs()], dim=1)


def windows(x: Tensor) -> Tensor:
    """Moving averages and spreads, over windows that overlap."""
    cut = x.unfold(1, 3, 1)
    return torch.cat([cut.mean(-1), cut.amax(-1) - cut.amin(-1)], dim=1)


def triangles(x: Tensor) -> Tensor:
    matrix = torch.einsum("bi,bj->bij", x, x)
    return torch.cat([matrix.tril().sum(-1), matrix.diagonal(dim1=1, dim2=2)], dim=1)


def rolled(x: Tensor) -> Tensor:
    return torch.relu(x - x.roll(1, dims=1)) + x.flip(1).cumsum(dim=1)


def with_itself(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The input as it is, repeated, and shifted."""
    return x, x.unsqueeze(1).expand(-1, 2, -1), x + 3


def added(x: Tensor, y: Tensor) -> Tensor:
    return x + y


def idioms() -> list[Network]:
    return [
        network("transpose(0, 1) and back", StepsFirst, (2, 3)),
        network("reshape(b * t, f) and back", Joined, (2, 3)),
        network("flatten(0, 1) and unflatten", Unflattened, (2, 1, 3, 3)),
        network("stack on axis 0, then mean", Members),
        network("stack on axis 0, returned", Stacked, rows_first=lambda y: y.transpose(0, 1)),
        network("view(-1, 1) and back", Column, (3,)),
        network("reshape(-1, 1), returned", AllInOne, (3,), rows_first=lambda y: y.reshape(-1, 3, 1)),
        network("unbind, then stack", Unbound, (3, 2)),
        network("picked by constants", Picked),
        network("constant masks", Masked),
        network("written part by part", Written),
        network("heads by reshape and permute", Rearranged, (2, 4), bound=0.2),
        network("vmap", mapped, (3,)),
        network("pads", function(padded), (1, 2, 3)),
        network("expand and repeat", function(repeated), (2,)),
        network("split and chunk", function(split), (6,)),
        network("windows", function(windows), (5,)),
        network("products of all pairs", function(triangles), (3,)),
        network("roll and flip", function(rolled)),
        network("input as output", function(with_itself), (3,)),
        network("sum of two inputs", function(added), (3,), (3,)),
    ]
