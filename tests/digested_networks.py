"""Imported networks that are compared with stored digests.

Weights and rows are multiples of powers of two, so that the sums of a layer are exact in whatever order a
processor adds them up.
"""

import brevitas.nn as qnn
import numpy as np
import onnx
import torch
from brevitas.quant import Int8WeightPerChannelFloat
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from skfhe.importers import quantize_brevitas_qat_model, quantize_onnx_model, quantize_torch_model
from tests.digests import Evaluated, grid

__all__ = ["NETWORKS"]

N_ROWS = 64
PROVEN = {"range_source": "proven"}
CALIBRATED = {"range_source": "calibrated"}
UNDER_ENCRYPTION = {"op_inputs": 3, "model_outputs": 3}
"""Otherwise what a network ends in is computed after decryption, where it combines several values."""
EXACT = {"rounding_threshold_bits": {"n_bits": 5, "method": "exact"}}
APPROXIMATE = {"rounding_threshold_bits": {"n_bits": 5, "method": "approximate"}}


class Function(nn.Module):
    """A function as a network."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, *x):
        return self.function(*self.layers, *x)


def filled(net, seed=50):
    """Overwrite a network's parameters and statistics; those that scale stay positive."""
    for index, (name, values) in enumerate(net.state_dict().items()):
        if name.endswith("running_var"):
            values.copy_(torch.from_numpy(grid(seed + index, *values.shape, span=0.5) + 1))
        elif name.endswith(("weight", "bias", "running_mean")):
            values.copy_(torch.from_numpy(grid(seed + index, *values.shape, span=1.0, step=1 / 16)))
    return net.eval()


def evaluated(quantize, net, shapes, options):
    """Import a network, and let it evaluate the rows that it was calibrated on."""
    rows = tuple(grid(seed, N_ROWS, *shape) for seed, shape in enumerate(shapes))
    module = quantize(net, rows if len(rows) > 1 else rows[0], **options)
    q = module.quantize_input(*rows)
    results = {"encoded": q, "forward": module.forward(*rows)}
    return Evaluated(module, results, q if isinstance(q, tuple) else (q,))


def of_torch(net, *shapes, n_bits=3, rounding_threshold_bits=None, **options):
    """Quantize a torch network after training."""
    options |= {"n_bits": n_bits, "rounding_threshold_bits": rounding_threshold_bits}
    return evaluated(quantize_torch_model, filled(net), shapes, options)


def of_brevitas(net, *shapes, **options):
    """Import a Brevitas network, whose scales are constants or follow from its weights."""
    return evaluated(quantize_brevitas_qat_model, filled(net), shapes, options)


def of_onnx(nodes, inputs, constants, outputs=("y",), n_bits=3, rounding_threshold_bits=None, **options):
    """Quantize an ONNX network of these nodes; ``inputs`` are the shapes of rows by name."""
    options |= {"n_bits": n_bits, "rounding_threshold_bits": rounding_threshold_bits}
    given = [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", *v]) for k, v in inputs.items()]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "network", given, results, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    types = {value.name: value.type for value in onnx.shape_inference.infer_shapes(model).graph.output}
    for value in model.graph.output:
        value.type.CopyFrom(types[value.name])
    return evaluated(quantize_onnx_model, model, inputs.values(), options)


def node(kind, inputs, outputs="y", **attributes):
    return helper.make_node(kind, inputs.split(","), outputs.split(","), **attributes)


def constant(seed, *shape):
    return grid(seed, *shape, span=1.0, step=1 / 16).astype(np.float32)


# What the networks compute


def perceptron(activation=nn.ReLU, n_inputs=6):
    return nn.Sequential(nn.Linear(n_inputs, 5), activation(), nn.Linear(5, 4), activation(), nn.Linear(4, 3))


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 2, groups=2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def residual(inner, outer, x):
    return outer(functional.relu(x + inner(functional.relu(x))))


def two_of_two(first, second, x, y):
    """Join two inputs, and return two outputs of which one reads the other."""
    joined = torch.cat([first(x), y[:, :2]], dim=1)
    hidden = functional.relu(joined)
    return second(hidden), hidden.sum(1, keepdim=True)


def attention(x, y):
    return functional.relu(x @ y.mT - 0.25) @ y


def product(layer, x, y):
    return layer(x * y + x) * y[:, :2]


def chosen(x, y):
    return torch.where(x > y, x, 0.5 * y) + (x > 0.25).float()


def moved(x):
    """Slice, flip, pad, join and repeat, before a function."""
    y = functional.pad(x.flip(2), (1, 0), value=0.5)[:, [1, 0, 1]]
    return functional.relu(torch.cat([y.mT[:, 1:], x.new_full((len(x), 1, 3), -0.5)], dim=1)).sum(2)


def pooled(x):
    return torch.cat([x.amax((2, 3)), x.mean((2, 3)), x.amin((2, 3))], dim=1)


def fake_quantized(layer, x):
    """Round values to multiples of scales, as a network trained with its quantizers does; none is a tie."""
    x = torch.clamp(torch.round(x / 0.25), -8, 7) * 0.25
    weight = torch.clamp(torch.round(layer.weight / 0.25), -3, 3) * 0.25
    h = functional.relu(functional.linear(x, weight, layer.bias + 1 / 128))
    return torch.clamp(torch.round(h / 0.5), 0, 7) * 0.5 @ torch.eye(4).to(x)[:, :2]


CONSTANT = {"scaling_impl_type": "const"}


def quantized_perceptron():
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=4, scaling_init=2.0, **CONSTANT),
        qnn.QuantLinear(6, 5, True, weight_bit_width=3, weight_quant=Int8WeightPerChannelFloat),
        nn.BatchNorm1d(5),
        qnn.QuantReLU(bit_width=3, scaling_init=1.5, **CONSTANT),
        qnn.QuantLinear(5, 3, True, weight_bit_width=3),
    )


def quantized_convolutions():
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=3, scaling_init=1.75, **CONSTANT),
        qnn.QuantConv2d(2, 4, 3, padding=1, stride=2, weight_bit_width=3, bias=True),
        qnn.QuantReLU(bit_width=2, scaling_init=2.5, **CONSTANT),
        qnn.QuantConv2d(4, 4, 2, groups=2, weight_bit_width=2, bias=False),
        qnn.QuantTanh(bit_width=3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(4, 3, True, weight_bit_width=3),
    )


def quantized_residual(first, inner, second, third, outer, x):
    x = first(x)
    return outer(third(x + second(torch.relu(inner(x)))))


def quantized_residual_layers():
    return (
        qnn.QuantIdentity(bit_width=3, scaling_init=2.0, **CONSTANT),
        qnn.QuantLinear(6, 6, True, weight_bit_width=2),
        qnn.QuantIdentity(bit_width=3, scaling_init=3.0, **CONSTANT),
        qnn.QuantReLU(bit_width=3, scaling_init=4.0, **CONSTANT),
        qnn.QuantLinear(6, 2, True, weight_bit_width=3),
    )


def quantizer(name, x, low, high, scale, zero_point):
    """Nodes and constants that round a value to integers from low to high."""
    kind = np.int8 if low < 0 else np.uint8
    nodes = [
        node("QuantizeLinear", f"{x},{name}/scale,{name}/zero", f"{name}/q"),
        node("Clip", f"{name}/q,{name}/low,{name}/high", f"{name}/c"),
        node("DequantizeLinear", f"{name}/c,{name}/scale,{name}/zero", name),
    ]
    constants = {"scale": np.float32(scale), "zero": kind(zero_point), "low": kind(low), "high": kind(high)}
    return nodes, {f"{name}/{key}": np.asarray(value) for key, value in constants.items()}


def onnx_quantized():
    first, first_constants = quantizer("a", "x", -8, 7, 0.25, 0)
    second, second_constants = quantizer("b", "h", 0, 7, 0.375, 2)
    weights = {"w": constant(0, 6, 4) * 4, "v": constant(1, 4, 2) * 4}
    weights = {name: np.rint(value) / np.float32(8) for name, value in weights.items()}
    nodes = [*first, node("MatMul", "a,w", "m"), node("HardSwish", "m", "h"), *second, node("MatMul", "b,v")]
    return of_onnx(nodes, {"x": (6,)}, first_constants | second_constants | weights, import_qat=True)


NETWORKS = {
    "perceptron, proven intervals": lambda: of_torch(perceptron(), (6,), **PROVEN),
    "perceptron, calibrated intervals": lambda: of_torch(
        perceptron(n_inputs=24), (24,), n_bits=3, margin=0.0, **CALIBRATED
    ),
    "perceptron, bits by kind": lambda: of_torch(
        perceptron(nn.Tanh),
        (6,),
        n_bits={"model_inputs": 5, "op_inputs": 3, "op_weights": 2, "model_outputs": 4},
        **PROVEN,
    ),
    "perceptron, rounded exactly": lambda: of_torch(perceptron(), (6,), n_bits=5, **EXACT, **PROVEN),
    "perceptron, rounded approximately": lambda: of_torch(
        perceptron(nn.Sigmoid), (6,), n_bits=5, **APPROXIMATE, **PROVEN
    ),
    "perceptron, calibrated and rounded": lambda: of_torch(
        perceptron(nn.LeakyReLU, 24), (24,), n_bits=6, calibration="minmax", margin=0.0, **EXACT, **CALIBRATED
    ),
    "convolutions": lambda: of_torch(convolutions(), (2, 6, 6), **PROVEN),
    "convolutions, calibrated and rounded": lambda: of_torch(
        convolutions(), (2, 6, 6), n_bits=5, calibration="percentile", **APPROXIMATE, **CALIBRATED
    ),
    "convolution along one axis": lambda: of_torch(
        nn.Sequential(
            nn.Conv1d(2, 2, 3, padding="same", dilation=2), nn.GELU(), nn.Flatten(), nn.Linear(10, 2)
        ),
        (2, 5),
        **PROVEN,
    ),
    "transposed convolution": lambda: of_torch(
        nn.Sequential(nn.ConvTranspose2d(2, 2, 2, stride=2, groups=2), nn.ReLU(), nn.Conv2d(2, 1, 3)),
        (2, 2, 2),
        **PROVEN,
    ),
    "max pool": lambda: of_torch(
        nn.Sequential(nn.Conv2d(1, 2, 2), nn.MaxPool2d(3, stride=2, padding=1)),
        (1, 5, 5),
        n_bits=UNDER_ENCRYPTION,
        **EXACT,
        **PROVEN,
    ),
    "average pool": lambda: of_torch(
        nn.Sequential(
            nn.AvgPool2d(2, 1, padding=1, count_include_pad=False), nn.SiLU(), nn.Flatten(), nn.Linear(16, 2)
        ),
        (1, 3, 3),
        **PROVEN,
    ),
    "reductions": lambda: of_torch(Function(pooled), (2, 2, 2), **PROVEN),
    "residual": lambda: of_torch(
        Function(residual, nn.Linear(5, 5), nn.Linear(5, 2)), (5,), n_bits=6, **EXACT, **PROVEN
    ),
    "two inputs and outputs": lambda: of_torch(
        Function(two_of_two, nn.Linear(4, 3), nn.Linear(5, 2)), (4,), (3,), **PROVEN
    ),
    "matrices multiplied": lambda: of_torch(Function(attention), (2, 3), (2, 3), n_bits=2, **PROVEN),
    "products": lambda: of_torch(
        Function(product, nn.Linear(4, 2)),
        (4,),
        (4,),
        n_bits={"op_inputs": 6, "model_outputs": 6},
        **EXACT,
        **PROVEN,
    ),
    "comparisons": lambda: of_torch(Function(chosen), (4,), (4,), **PROVEN),
    "elements moved": lambda: of_torch(Function(moved), (2, 3), **PROVEN),
    "quantizers of plain torch": lambda: of_torch(
        Function(fake_quantized, nn.Linear(6, 4)), (6,), import_qat=True
    ),
    "Brevitas perceptron": lambda: of_brevitas(quantized_perceptron(), (6,)),
    "Brevitas convolutions": lambda: of_brevitas(quantized_convolutions(), (2, 8, 8)),
    "Brevitas residual": lambda: of_brevitas(
        Function(quantized_residual, *quantized_residual_layers()), (6,), rounding_threshold_bits=4
    ),
    "ONNX perceptron": lambda: of_onnx(
        [node("Gemm", "x,w,b", "h", transB=1), node("Relu", "h", "r"), node("MatMul", "r,v")],
        {"x": (6,)},
        {"w": constant(0, 5, 6), "b": constant(1, 5), "v": constant(2, 5, 3)},
        **PROVEN,
    ),
    "ONNX convolutions": lambda: of_onnx(
        [
            node("Conv", "x,w,b", "c", pads=[1, 1, 0, 0], strides=[2, 2]),
            node("BatchNormalization", "c,s,b,m,s", "n"),
            node("HardSigmoid", "n", "h"),
            node("MaxPool", "h", "p", kernel_shape=[2, 2]),
            node("Flatten", "p"),
        ],
        {"x": (2, 5, 5)},
        {
            "w": constant(0, 3, 2, 2, 2),
            "b": constant(1, 3),
            "s": np.float32([0.5, 0.75, 1.25]),
            "m": constant(2, 3),
        },
        n_bits=UNDER_ENCRYPTION,
        **EXACT,
        **CALIBRATED,
    ),
    "ONNX, two inputs and outputs": lambda: of_onnx(
        [
            node("MatMul", "x,z", "m"),
            node("Concat", "m,x", "c", axis=2),
            node("Greater", "c,t", "g"),
            node("Cast", "g", to=TensorProto.FLOAT),
            node("ReduceMean", "c,axes", "mean", keepdims=0),
        ],
        {"x": (2, 3), "z": (3, 2)},
        {"t": np.float32(0.25), "axes": np.array([1], dtype=np.int64)},
        ("y", "mean"),
        n_bits=2,
        **PROVEN,
    ),
    "ONNX with quantizers": onnx_quantized,
}
