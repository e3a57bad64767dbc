"""Networks that weigh or mix tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.zoo.of_perceptrons import Residual
from tests.importers.zoo.specimen import Network, function, network

TOKENS = (3, 4)
"""Tokens of a row, and features of each."""


class Attention(nn.Module):
    """One head, its softmax written out."""

    def __init__(self, size: int, causal: bool = False) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(-2, -1) / x.shape[-1] ** 0.5
        if self.causal:
            later = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
            scores = scores.masked_fill(later, float("-inf"))
        return torch.softmax(scores, dim=-1) @ self.value(x)


class Heads(nn.Module):
    """Several heads over one product with all weights, by torch's own attention."""

    def __init__(self, size: int, n_heads: int, causal: bool = False) -> None:
        super().__init__()
        self.all, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.n_heads, self.causal = n_heads, causal

    def forward(self, x: Tensor) -> Tensor:
        b, t, f = x.shape
        q, k, v = (y.view(b, t, self.n_heads, -1).transpose(1, 2) for y in self.all(x).split(f, dim=-1))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(y.transpose(1, 2).contiguous().view(b, t, f))


class Multihead(nn.Module):
    def __init__(self, size: int, n_heads: int, batch_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(size, n_heads, batch_first=batch_first)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        if self.batch_first:
            return self.attention(x, x, x, need_weights=False)[0]
        x = x.transpose(0, 1)
        return self.attention(x, x, x)[0].transpose(0, 1)


class Cross(nn.Module):
    """Tokens of one input ask those of another, and say how much each counted."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(size, 1, batch_first=True)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.attention(x, y, y)


class LinearAttention(nn.Module):
    """Attention without a softmax: keys and values are multiplied first."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q, k = (functional.elu(layer(x)) + 1 for layer in (self.query, self.key))
        weights = torch.einsum("btf,bf->bt", q, k.sum(dim=1))
        return torch.einsum("btf,bfv->btv", q, torch.einsum("btf,btv->bfv", k, self.value(x))) / (
            weights.unsqueeze(-1) + 1
        )


class Mixer(nn.Module):
    """Linear layers over the tokens, then over the features."""

    def __init__(self, n_tokens: int, size: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(size, eps=0.1), nn.LayerNorm(size, eps=0.1)
        self.tokens = nn.Sequential(nn.Linear(n_tokens, 4), nn.GELU(), nn.Linear(4, n_tokens))
        self.features = nn.Sequential(nn.Linear(size, 4), nn.GELU(), nn.Linear(4, size))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.first(x).mT).mT
        return x + self.features(self.second(x))


class Vision(nn.Module):
    """A transformer of patches of an image, with a class token and places."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 4, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1, 4) / 2)
        self.places = nn.Parameter(torch.randn(1, 5, 4) / 2)
        self.block = nn.TransformerEncoderLayer(
            4, 1, 4, 0.1, norm_first=True, batch_first=True, layer_norm_eps=0.1
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.places
        return self.head(self.block(x)[:, 0])


class Pooled(nn.Module):
    """Tokens weighted by a softmax of scores of their own, and by constant queries."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scores = nn.Linear(size, 1)
        self.queries = nn.Parameter(torch.randn(2, size) / 2)

    def forward(self, x: Tensor) -> Tensor:
        weighted = (self.scores(x).softmax(dim=1) * x).sum(dim=1)
        asked = (self.queries @ x.mT).softmax(dim=-1) @ x
        return torch.cat([weighted, asked.flatten(1)], dim=1)


class GatedTokens(nn.Module):
    """A gMLP block: one half of the features gates the other, through the tokens."""

    def __init__(self, n_tokens: int, size: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(size, 4), nn.Linear(2, size)
        self.spatial = nn.Conv1d(n_tokens, n_tokens, 1)

    def forward(self, x: Tensor) -> Tensor:
        u, v = functional.gelu(self.up(x)).chunk(2, dim=-1)
        return x + self.down(u * self.spatial(v))


class SwiGLU(nn.Module):
    """The block after attention of recent language models: RMS norm, then a gated linear unit."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(size, eps=0.1)
        self.gate, self.up, self.down = nn.Linear(size, 3), nn.Linear(size, 3), nn.Linear(3, size)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


class Biased(nn.Module):
    """Scores with a bias for each distance between tokens."""

    def __init__(self, n_tokens: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(2 * n_tokens - 1))
        steps = torch.arange(n_tokens)
        self.register_buffer("distance", steps[:, None] - steps + n_tokens - 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x @ x.mT / 2 + self.bias[self.distance], dim=-1) @ x


class NonLocal(nn.Module):
    """Pixels ask each other."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(2, 2, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = torch.einsum("bfi,bfj->bij", q, k).softmax(-1)
        return x + torch.einsum("bij,bfj->bfi", weights, v).reshape(x.shape)


def inhibited(x: Tensor) -> Tensor:
    """Attention by distances: what is far inhibits."""
    distances = (x[:, :, None] - x[:, None]).abs().sum(dim=-1)
    return torch.relu(x[:, None] - distances[..., None] / 2).sum(dim=2)


def fourier(n_tokens: int) -> nn.Module:
    """Tokens mixed by the real part of a Fourier transform, as a matrix."""
    steps = torch.arange(n_tokens)
    matrix = torch.cos(2 * torch.pi * steps[:, None] * steps / n_tokens)
    return Residual(nn.Sequential(_Left(matrix), nn.Linear(4, 4), nn.ReLU()))


class _Left(nn.Module):
    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, x: Tensor) -> Tensor:
        return self.matrix @ x


def encoder(norm_first: bool, batch_first: bool = True, **options: object) -> nn.Module:
    return nn.TransformerEncoderLayer(
        4, 2, 6, norm_first=norm_first, batch_first=batch_first, layer_norm_eps=0.1, **options
    )


def attention() -> list[Network]:
    bound = {"bound": 0.4}
    return [
        network("attention by hand", lambda: Attention(4), TOKENS, **bound),
        network("attention by hand, causal", lambda: Attention(4, True), TOKENS, **bound, slow=True),
        network("attention of two heads", lambda: Heads(4, 2), TOKENS, **bound, slow=True),
        network("attention of two heads, causal", lambda: Heads(4, 2, True), TOKENS, **bound, slow=True),
        network("MultiheadAttention", lambda: Multihead(4, 2, True), TOKENS, **bound),
        network(
            "MultiheadAttention, tokens first", lambda: Multihead(4, 2, False), TOKENS, **bound, slow=True
        ),
        network("MultiheadAttention of two inputs", lambda: Cross(4), (2, 4), TOKENS, **bound, slow=True),
        network("TransformerEncoderLayer", lambda: encoder(False), TOKENS, **bound, slow=True),
        network(
            "TransformerEncoderLayer, norm first",
            lambda: encoder(True, activation="gelu"),
            TOKENS,
            **bound,
            slow=True,
        ),
        network(
            "TransformerEncoder of two layers",
            lambda: nn.TransformerEncoder(encoder(True), 2, enable_nested_tensor=False),
            TOKENS,
            slow=True,
            bound=0.8,
        ),
        network(
            "TransformerDecoderLayer",
            lambda: nn.TransformerDecoderLayer(4, 1, 4, batch_first=True, layer_norm_eps=0.1),
            (2, 4),
            (2, 4),
            slow=True,
            bound=0.8,
        ),
        network("linear attention", lambda: LinearAttention(3), (3, 3), **bound, slow=True),
        network("token mixer", lambda: Mixer(*TOKENS), TOKENS, **bound, slow=True),
        network("vision transformer", Vision, (1, 4, 4), **bound, slow=True),
        network("attention pooling", lambda: Pooled(4), TOKENS, **bound, slow=True),
        network("gated tokens", lambda: GatedTokens(*TOKENS), TOKENS, bound=0.2),
        network("RMS norm and gated linear unit", lambda: SwiGLU(4), TOKENS, **bound, slow=True),
        network("attention with biases of distance", lambda: Biased(3), TOKENS, **bound),
        network("attention of pixels", NonLocal, (2, 2, 2), **bound, slow=True),
        network("attention by distances", function(inhibited), (2, 3), bound=0.2),
        network("Fourier mixing", lambda: fourier(3), TOKENS, bound=0.2),
    ]
