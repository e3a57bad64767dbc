"""Networks of linear layers and functions of elements."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from tests.importers.zoo.specimen import Network, network


class Residual(nn.Module):
    """What a network adds to its input."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Highway(nn.Module):
    """A gate chooses, element by element, between a layer's value and its input."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(size, size), nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return gate * torch.tanh(self.value(x)) + (1 - gate) * x


class Repeated(nn.Module):
    """One layer, applied again and again, and then layers of a list with a shift after each."""

    def __init__(self, size: int, n_times: int) -> None:
        super().__init__()
        self.shared = nn.Linear(size, size)
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(n_times))
        self.shifts = [torch.rand(size) - 0.5 for _ in range(n_times)]

    def forward(self, x: Tensor) -> Tensor:
        for _ in self.layers:
            x = torch.relu(self.shared(x))
        for layer, shift in zip(self.layers, self.shifts, strict=True):
            x = torch.tanh(layer(x) + shift)
        return x


class Experts(nn.Module):
    """Experts, weighted by a softmax over gates."""

    def __init__(self, size: int, n_experts: int) -> None:
        super().__init__()
        self.gates = nn.Linear(size, n_experts)
        self.experts = nn.ModuleList(nn.Linear(size, 2) for _ in range(n_experts))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.gates(x).softmax(dim=-1)
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        return (weights[:, :, None] * answers).sum(dim=1)


class Maxout(nn.Module):
    def __init__(self, size: int, n_units: int, n_pieces: int) -> None:
        super().__init__()
        self.pieces = nn.Linear(size, n_units * n_pieces)
        self.head = nn.Linear(n_units, 2)
        self.n_pieces = n_pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pieces(x).unflatten(-1, (-1, self.n_pieces)).amax(dim=-1))


class Siamese(nn.Module):
    """How far apart one network puts two rows."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(size, 3), nn.Tanh())

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.embed(x) - self.embed(y)).abs().sum(dim=1)


class WideAndDeep(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.wide = nn.Linear(size, 2)
        self.deep = nn.Sequential(nn.Linear(size, 6), nn.ReLU(), nn.Linear(6, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.wide(x) + self.deep(x)


class FactorizationMachine(nn.Module):
    """Products of all pairs of features, by the square of a sum and the sum of squares."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear, self.factors = nn.Linear(size, 1), nn.Parameter(torch.randn(size, 3) / 2)

    def forward(self, x: Tensor) -> Tensor:
        pairs = (x @ self.factors).square().sum(1) - x.square() @ self.factors.square().sum(1)
        return self.linear(x).squeeze(1) + 0.5 * pairs


class RadialBasis(nn.Module):
    def __init__(self, size: int, n_centres: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(n_centres, size))
        self.head = nn.Linear(n_centres, 2)

    def forward(self, x: Tensor) -> Tensor:
        distances = (x[:, None] - self.centres).square().sum(dim=-1)
        return self.head(torch.exp(-distances / 4))


class DeepSet(nn.Module):
    """A function of a set: of the sum of a function of its members."""

    def __init__(self) -> None:
        super().__init__()
        self.member = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        self.whole = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(self.member(x).sum(dim=1))


class Autoencoder(nn.Module):
    """Returns what it makes of a row, and in evaluation what it says of it between."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(6, 4), nn.ELU(), nn.Linear(4, 4))
        self.decode = nn.Sequential(nn.Linear(2, 4), nn.ELU(), nn.Linear(4, 6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x).chunk(2, dim=1)
        drawn = torch.randn_like(mean) * torch.exp(log_variance / 2) if self.training else 0
        return self.decode(mean + drawn), mean, log_variance


class SumsOfFunctions(nn.Module):
    """Linear layers over several functions of each value."""

    def __init__(self, size: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4 * size, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.cat([functional.silu(x), torch.sin(2 * x), torch.cos(2 * x), x**2], dim=-1))


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 3, 4) / 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("bi,oij,bj->bo", x, self.weight, y)


class OwnWeights(nn.Module):
    """A small network whose weights another one computes."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(3, 2 * 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.bmm(self.weights(x).view(-1, 2, 2), y.unsqueeze(-1)).squeeze(-1)


class Steps(nn.Module):
    """An activation of steps, each written by a mask."""

    def __init__(self, thresholds: list[float]) -> None:
        super().__init__()
        self.linear, self.thresholds = nn.Linear(4, 4), thresholds

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        steps = torch.zeros_like(x)
        for threshold in self.thresholds:
            one = torch.zeros_like(x)
            one[x > threshold] = 1.0
            steps = steps + one
        return steps


class Euler(nn.Module):
    """An ordinary differential equation, some steps of it."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + 0.2 * self.slope(x)
        return x


class Branches(nn.Module):
    """Several functions of one value, and of what a layer makes of it, added."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x - torch.sigmoid(self.linear(2 * x)) + torch.sigmoid(x + 1) - torch.sigmoid(x / 2)


class OneLayerForAll(nn.Module):
    """Two inputs of different sizes; a layer reads the sum of what it and another one made of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.first(self.first(x) + self.second(y))


def perceptron(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), *layers, nn.Linear(6, 3))


def deep(n_layers: int) -> nn.Sequential:
    hidden = [layer for _ in range(n_layers) for layer in (nn.Linear(8, 8), nn.ReLU())]
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), *hidden, nn.Linear(8, 3))


def pruned() -> nn.Sequential:
    net = perceptron(nn.ReLU())
    prune.l1_unstructured(net[0], "weight", amount=0.5)
    prune.random_structured(net[2], "weight", amount=1, dim=1)
    return net


def all_zero() -> nn.Sequential:
    net = perceptron(nn.ReLU())
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net


class Activations(nn.Module):
    """Every activation of torch, beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.ModuleList(
            [
                *(nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU(), nn.Threshold(0.1, -0.5)),
                *(nn.ELU(), nn.SELU(), nn.CELU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish()),
                *(nn.Sigmoid(), nn.Tanh(), nn.LogSigmoid(), nn.Softplus(), nn.Softsign(), nn.Tanhshrink()),
                *(nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(), nn.Softshrink(), nn.Hardshrink()),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([each(x) for each in self.each], dim=1)


def perceptrons() -> list[Network]:
    return [
        network("linear model", lambda: nn.Linear(4, 3)),
        network("perceptron", lambda: perceptron(nn.ReLU())),
        network("perceptron with sigmoid", lambda: perceptron(nn.Sigmoid())),
        network("perceptron with tanh and dropout", lambda: perceptron(nn.Tanh(), nn.Dropout(0.3))),
        network("perceptron with batch norm", lambda: perceptron(nn.BatchNorm1d(6), nn.SiLU())),
        network("perceptron with layer norm", lambda: perceptron(nn.LayerNorm(6), nn.GELU()), bound=0.2),
        network("perceptron of five layers", lambda: deep(4), bound=0.2),
        network("pruned perceptron", pruned),
        network("perceptron of zeros", all_zero, bound=0.0),
        network("activations", Activations, (2,)),
        network(
            "residual",
            lambda: nn.Sequential(Residual(nn.Sequential(nn.Linear(4, 4), nn.ReLU())), nn.Linear(4, 2)),
        ),
        network("highway", lambda: nn.Sequential(Highway(4), nn.Linear(4, 2)), bound=0.2),
        network("gated linear unit", lambda: nn.Sequential(nn.Linear(4, 6), nn.GLU(), nn.Linear(3, 2))),
        network("one layer again and again", lambda: Repeated(4, 2), bound=0.2),
        network("experts under a softmax", lambda: Experts(4, 3), bound=0.2),
        network("maxout", lambda: Maxout(4, 3, 2)),
        network("siamese", lambda: Siamese(4), (4,), (4,)),
        network("wide and deep", lambda: WideAndDeep(4)),
        network("factorization machine", lambda: FactorizationMachine(5), (5,)),
        network("radial basis functions", lambda: RadialBasis(3, 4), (3,), bound=0.2, slow=True),
        network("deep set", DeepSet, (3, 3)),
        network("autoencoder of three outputs", Autoencoder, (6,), bound=0.2),
        network(
            "sums of functions",
            lambda: nn.Sequential(SumsOfFunctions(3, 3), SumsOfFunctions(3, 2)),
            (3,),
            bound=0.2,
        ),
        network("bilinear form of two inputs", Bilinear, (3,), (4,), bound=0.2),
        network("weights from a network", OwnWeights, (3,), (2,)),
        network("steps by masks", lambda: Steps([-0.5, 0.0, 0.5]), bound=0.3),
        network("Euler steps", Euler, (3,)),
        network("branches", Branches),
        network("one layer for two inputs", OneLayerForAll, (3,), (5,)),
    ]
