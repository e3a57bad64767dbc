"""Functions of elements, activations among them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from tests.importers.torch_examples.example import Example, example, univariate


def of_functions() -> dict[str, list[Example]]:
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


def of_activations() -> dict[str, list[Example]]:
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
