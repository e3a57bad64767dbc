"""Networks that cannot be evaluated row by row under encryption, and why."""

from __future__ import annotations

import numpy as np
import torch
from onnx import helper
from torch import Tensor, nn
from torch.nn import functional

from tests.importers.zoo.of_exported import graph, perceptron
from tests.importers.zoo.specimen import Network, function, refused


class BatchStatistics(nn.Module):
    """Batch norm that takes the statistics of the rows that come together."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.layer(x)))


class Depends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) if x.sum() > 0 else self.other(x)


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


class AlwaysDrops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, training=True)


def scripted() -> nn.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(perceptron(), torch.rand(2, 4))


class Unpooled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pooled, positions = functional.max_pool2d(x, 2, return_indices=True)
        return functional.max_unpool2d(torch.relu(pooled), positions, 2)


def of_classical() -> object:
    """A linear classifier as converters write it."""
    call = helper.make_node(
        "LinearRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        coefficients=[1.0, 2.0, 3.0, 4.0],
        intercepts=[0.5],
    )
    return graph([call], ((4,), (1,)), {}, opsets=[helper.make_opsetid("ai.onnx.ml", 3)])


def with_loop() -> object:
    """A conditional whose condition is a function of the input."""
    import onnx

    branches = {
        name: helper.make_graph(
            [helper.make_node(kind, ["x"], [f"{name}/y"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}/y", onnx.TensorProto.FLOAT, ["n", 4])],
        )
        for name, kind in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], **branches),
    ]
    return graph(nodes, ((4,), (4,)), {"zero": np.float32(0)})


def refusals() -> list[Network]:
    rows = "rows"
    return [
        refused("batch statistics", BatchStatistics, why=rows),
        refused("softmax over rows", function(lambda x: x.softmax(dim=0)), why=rows),
        refused("centred over rows", function(lambda x: x - x.mean(0)), why=rows),
        refused("rows multiplied with each other", function(lambda x: x @ x.T), why=rows),
        refused("sorted over rows", function(lambda x: x.sort(dim=0).values), why=rows),
        refused("rows in turn", function(lambda x: x.flip(0)), why=rows),
        refused("differences of rows", function(lambda x: x[1:] - x[:-1]), why=rows),
        refused("control flow by data", Depends, why="data"),
        refused("noise", Noisy, why="nothing may be random|results are random"),
        refused(
            "dropout that never stops", AlwaysDrops, why="nothing may be random|results are random|training"
        ),
        refused("traced module", scripted, why="jit"),
        refused("unpooling", Unpooled, (1, 4, 4), why="positions"),
        refused("Fourier transform", function(lambda x: torch.fft.rfft(x).abs()), why="complex|fft"),
        refused("distinct values", function(torch.unique), why="unique"),
        refused("inverse", function(torch.linalg.inv), (2, 2), why="linalg_inv|inverse"),
        refused(
            "sampled at encrypted places",
            function(lambda x, y: functional.grid_sample(x, y.clamp(-1, 1), align_corners=False)),
            (1, 3, 3),
            (2, 2, 2),
            why="grid_sampl",
        ),
        refused("constant", function(lambda x: torch.ones(3)), why="depend"),
        refused("ONNX: classical operators", of_classical, by="onnx", why="ai.onnx.ml"),
        refused("ONNX: conditional on data", with_loop, by="onnx", why="graph of its own"),
    ]
