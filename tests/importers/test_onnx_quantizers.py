"""ONNX networks that quantize their own values: what the graph's quantizers yield is read off exactly."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from skfhe.importers import quantize_onnx_model
from tests.importers.onnx_examples import (
    F,
    graph,
    node,
    normal,
    small_integers,
)
from tests.importers.onnx_runtime import assert_agree, runtime


def quantized(name, x, bits, scale, signed=False, zero_point=0):
    """Nodes and constants that round a value to so many bits, as Brevitas writes them."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    kind = np.int8 if signed else np.uint8
    nodes = [
        node("QuantizeLinear", f"{x},{name}/scale,{name}/zero", f"{name}/q"),
        node("Clip", f"{name}/q,{name}/low,{name}/high", f"{name}/c"),
        node("DequantizeLinear", f"{name}/c,{name}/scale,{name}/zero", name),
    ]
    constants = {"scale": F(scale), "zero": kind(zero_point), "low": kind(low), "high": kind(high)}
    return nodes, {f"{name}/{key}": value for key, value in constants.items()}


def weights(name, rng, shape, scales, axis=0):
    """Nodes and constants of weights of three bits, a scale a channel."""
    constants = {
        f"{name}/q": rng.integers(-3, 4, size=shape).astype(np.int8),
        f"{name}/scale": F(scales),
        f"{name}/zero": np.zeros(len(scales), dtype=np.int8),
    }
    return [node("DequantizeLinear", f"{name}/q,{name}/scale,{name}/zero", name, axis=axis)], constants


@pytest.mark.parametrize("zero_point", [0, 5])
def test_quantizers_of_a_graph_are_read_off_exactly(zero_point):
    """Convolution, activation, pooling, dense layer: lookups do to the bit what the quantizers do."""
    rng = np.random.default_rng(0)
    parts = [
        quantized("xq", "x", 4, 0.21, zero_point == 0, zero_point),
        weights("w", rng, (3, 2, 3, 3), [0.11, 0.07, 0.31]),
        ([node("Conv", "xq,w,b", "c"), node("HardSwish", "c", "r")], {"b": F([0.3, -0.2, 0.1])}),
        quantized("rq", "r", 4, 0.17, False, zero_point // 2),
        ([node("MaxPool", "rq", "p", kernel_shape=[2, 2], strides=[2, 2]), node("Flatten", "p", "f")], {}),
        weights("v", rng, (4, 12), [0.013, 0.021, 0.017, 0.029]),
        ([node("Gemm", "f,v,d", "y", transB=1)], {"d": normal(4)}),
    ]
    nodes = [n for part, _ in parts for n in part]
    constants = {name: value for _, part in parts for name, value in part.items()}
    model = graph(nodes, {"x": (2, 6, 6)}, constants, opset=14)
    x = normal(200, 2, 6, 6, seed=3)
    module = quantize_onnx_model(model, x, import_qat=True)
    assert_agree(module.forward(x), runtime(model, [x]), 1e-5)


def test_networks_exported_by_brevitas_are_imported_exactly(tmp_path):
    pytest.importorskip("onnxoptimizer", reason="Brevitas exports with it")
    import brevitas.nn as qnn
    from brevitas.export import export_onnx_qcdq

    torch.manual_seed(0)
    net = nn.Sequential(
        qnn.QuantIdentity(bit_width=4, return_quant_tensor=True),
        qnn.QuantConv2d(2, 4, 3, bias=True, weight_bit_width=3),
        nn.BatchNorm2d(4),
        qnn.QuantReLU(bit_width=3, return_quant_tensor=True),
        nn.Flatten(),
        qnn.QuantLinear(16, 3, bias=True, weight_bit_width=3),
    )
    x = torch.from_numpy(normal(200, 2, 4, 4))
    for _ in range(5):
        net.train()(x)
    export_onnx_qcdq(net.eval(), args=x[:1], export_path=str(tmp_path / "net.onnx"), dynamo=False)
    module = quantize_onnx_model(tmp_path / "net.onnx", x, import_qat=True)
    assert_agree(module.forward(x), runtime(onnx.load(tmp_path / "net.onnx"), [x.numpy()]), 1e-5)
    assert_agree(module.forward(x), [net.double()(x.double()).detach().numpy()], 1e-5)


def test_quantizers_written_in_plain_arithmetic_are_read_off():
    """Rounding to multiples of a scale, as graphs were written before there were quantizers."""
    nodes = [
        *(
            node("Div", "x,s", "a"),
            node("Round", "a", "b"),
            node("Clip", "b,-8,7", "c"),
            node("Mul", "c,s", "d"),
        ),
        node("MatMul", "d,w", "e"),
        *(node("Mul", "e,ten", "g"), node("Floor", "g", "h"), node("Clip", "h,0,7", "y")),
    ]
    constants = {"s": F(0.25), "-8": F(-8), "7": F(7), "0": F(0), "ten": F(10), "w": small_integers(4, 3)}
    model = graph(nodes, {"x": (4,)}, constants)
    x = normal(100, 4)
    assert_agree(quantize_onnx_model(model, x, import_qat=True).forward(x), runtime(model, [x]), 1e-5)
