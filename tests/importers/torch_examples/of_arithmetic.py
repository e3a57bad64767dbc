"""Functions of two values, and of a value and a constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.torch_examples.example import Example, example, univariate


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


def negative_cleared(x: Tensor) -> Tensor:
    y = x + 0.5
    y[y < 0] = 0
    return y


def of_arithmetic() -> dict[str, list[Example]]:
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
