"""Networks that come as ONNX: exported, quantized by onnxruntime, or written node by node."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tests.importers.zoo.of_attention import Attention, Heads
from tests.importers.zoo.of_convolutions import Block, UNet, lenet
from tests.importers.zoo.of_perceptrons import Residual
from tests.importers.zoo.of_recurrent import LastState
from tests.importers.zoo.of_tails import Scores
from tests.importers.zoo.specimen import Network, exported, network, settled


def conv_residual() -> nn.Sequential:
    return nn.Sequential(Block(1, 2, 1), nn.Flatten(), nn.Linear(18, 2))


def block() -> nn.Sequential:
    """A block of a transformer; torch's own layer is not exported in evaluation mode."""
    inner = nn.Sequential(nn.LayerNorm(4, eps=0.1), nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4))
    return nn.Sequential(Residual(nn.Sequential(nn.LayerNorm(4, eps=0.1), Heads(4, 2))), Residual(inner))


class Recurrent(nn.Module):
    """A recurrent layer as ONNX has one."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.inner = LastState(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def statically_quantized(
    make: Any, shape: tuple[int, ...], form: str, per_channel: bool = False, symmetric: bool = False
) -> onnx.ModelProto:
    """Export a network and have onnxruntime quantize it."""
    from onnxruntime import quantization

    rng = np.random.default_rng(0)
    rows = rng.uniform(-1.5, 1.5, (64, *shape)).astype(np.float32)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(rows)

        def get_next(self) -> Any:
            row = next(self.rest, None)
            return None if row is None else {"x0": row[None]}

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # that the graph might be simplified before
        path, made = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        onnx.save(exported(settled(make()), [rows[:2]]), path)
        quantization.quantize_static(
            path,
            made,
            Reader(),
            quant_format=quantization.QuantFormat[form],
            per_channel=per_channel,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"ActivationSymmetric": symmetric},
        )
        logging.disable(logging.NOTSET)
        return onnx.load(made)


def graph(
    nodes: list[Any],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    constants: dict[str, np.ndarray],
    opset: int = 21,
    **model: Any,
) -> onnx.ModelProto:
    """A model of one input x and one output y, rows of known shapes."""
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
        for name, shape in zip("xy", shapes, strict=True)
    ]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    opsets = [helper.make_opsetid("", opset), *model.pop("opsets", [])]
    return helper.make_model(
        helper.make_graph(nodes, "network", value[:1], value[1:], tensors),
        opset_imports=opsets,
        ir_version=10,
        **model,
    )


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, shape[0] ** -0.5, shape).astype(np.float32)


def with_functions() -> onnx.ModelProto:
    """A graph that calls a function of its own, and one that is a function of ONNX."""
    opset = [helper.make_opsetid("", 21)]
    body = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("Celu", ["c"], ["d"], alpha=0.5)]
    layer = helper.make_function("own", "Layer", ["a", "b"], ["d"], body, opset)
    calls = [
        helper.make_node("Layer", ["x", "v"], ["h"], domain="own"),
        helper.make_node("Layer", ["h", "w"], ["y"], domain="own"),
    ]
    constants = {"v": weights(4, 4), "w": weights(4, 2)}
    return graph(calls, ((4,), (2,)), constants, opsets=[helper.make_opsetid("own", 1)], functions=[layer])


def of_truth_values() -> onnx.ModelProto:
    """Comparisons, logic and casts."""
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
        helper.make_node("Less", ["x", "one"], ["small"]),
        helper.make_node("And", ["positive", "small"], ["both"]),
        helper.make_node("Not", ["small"], ["large"]),
        helper.make_node("Cast", ["both"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("CastLike", ["large", "x"], ["other"]),
        helper.make_node("Add", ["number", "other"], ["total"]),
        helper.make_node("MatMul", ["total", "w"], ["y"]),
    ]
    return graph(nodes, ((4,), (2,)), {"zero": np.float32(0), "one": np.float32(1), "w": weights(4, 2)})


def layer_normalization() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["h"]),
        helper.make_node("LayerNormalization", ["h", "scale", "bias"], ["n"], epsilon=0.1),
        helper.make_node("Gelu", ["n"], ["g"]),
        helper.make_node("MatMul", ["g", "w"], ["y"]),
    ]
    ones = np.ones(4, dtype=np.float32)
    return graph(
        nodes, ((4,), (2,)), {"v": weights(4, 4), "w": weights(4, 2), "scale": ones, "bias": ones / 4}
    )


def linear_quantized() -> onnx.ModelProto:
    """A perceptron with quantizers of few bits, by hand."""
    scale, zero = np.float32(0.25), np.uint8(8)
    levels = (np.random.default_rng(2).integers(-3, 4, (4, 4)).astype(np.int8), np.float32(0.2), np.int8(0))
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Clip", ["q", "low", "high"], ["c"]),
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["levels", "ws", "wz"], ["w"]),
        helper.make_node("MatMul", ["d", "w"], ["m"]),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    constants = {
        "s": scale,
        "z": zero,
        "low": np.uint8(0),
        "high": np.uint8(15),
        "levels": levels[0],
        "ws": levels[1],
        "wz": levels[2],
    }
    return graph(nodes, ((4,), (4,)), constants)


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def einsums() -> nn.Module:
    class Einsums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 2))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(torch.einsum("btf,fo->bot", x, self.weight)).sum(-1)

    return Einsums()


def of_onnx() -> list[Network]:
    def onnx_network(name: str, make: Any, *shapes: tuple[int, ...], **options: Any) -> Network:
        return network(f"ONNX: {name}", make, *shapes, **({"by": "onnx"} | options))

    def static(name: str, make: Any, shape: tuple[int, ...], form: str, **options: Any) -> Network:
        return network(
            f"onnxruntime: {name}",
            lambda: statically_quantized(make, shape, form, **options),
            shape,
            by="onnx qat",
            bound=0.1,
        )

    first = {"batch_first": True}
    lstm, gru = (lambda kind=kind: Recurrent(kind(2, 2, **first)) for kind in (nn.LSTM, nn.GRU))
    return [
        onnx_network("perceptron", perceptron),
        onnx_network("CNN", lambda: lenet(nn.MaxPool2d(2, 1)), (1, 6, 6), bound=0.2, span=(0.0, 1.0)),
        onnx_network("residual block", conv_residual, (1, 3, 3), bound=0.2),
        onnx_network("U-net", lambda: UNet(nn.Upsample(scale_factor=2)), (1, 4, 4), bound=0.3),
        onnx_network("attention", lambda: Attention(3), (2, 3), bound=0.4),
        onnx_network("attention of two heads", lambda: Heads(4, 2), (3, 4), bound=0.4),
        onnx_network("transformer block", block, (2, 4), bound=0.6, slow=True),
        onnx_network("LSTM", lstm, (3, 2), bound=0.4),
        onnx_network("GRU", gru, (3, 2), bound=0.4),
        onnx_network("softmax at the end", lambda: Scores(lambda s: s.softmax(dim=-1))),
        onnx_network("argmax at the end", lambda: Scores(lambda s: s.argmax(dim=1)), bound=float("inf")),
        onnx_network("einsum", einsums, (2, 3)),
        onnx_network("functions", with_functions, bound=0.2),
        onnx_network("truth values", of_truth_values, bound=0.4),
        onnx_network("LayerNormalization", layer_normalization, bound=0.4),
        onnx_network("QuantizeLinear by hand", linear_quantized, by="onnx qat", bound=1e-4),
        static("QDQ", perceptron, (4,), "QDQ"),
        static("QDQ by channel", perceptron, (4,), "QDQ", per_channel=True),
        static("QDQ of a residual CNN", conv_residual, (1, 3, 3), "QDQ"),
        static("QDQ, symmetric", perceptron, (4,), "QDQ", symmetric=True),
        static("QOperator", perceptron, (4,), "QOperator"),
        static("QOperator of a residual CNN", conv_residual, (1, 3, 3), "QOperator"),
    ]
