"""Calibration runs the network along with building and lowering it, and each layer once."""

import numpy as np
import pytest
import torch
from torch import nn

from skfhe.importers._torch.reader import in_double_precision, read_torch
from skfhe.network import Emitter, NetworkBuilder, PostTraining, _emitter, lower_network
from skfhe.network._operations import Linear, Operation
from skfhe.program import ops, trace

N_ROWS = 50


def image_network():
    torch.manual_seed(0)
    return in_double_precision(
        nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            nn.BatchNorm2d(2),
            nn.PReLU(2),
            nn.MaxPool2d(2),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(2, 3),
            nn.GELU(),
            nn.Linear(3, 2),
        )
    )


def images():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(N_ROWS, 1, 4, 4)))


def subclasses(kind):
    return [each for direct in kind.__subclasses__() for each in (direct, *subclasses(direct))]


def test_building_evaluates_each_operation_once(monkeypatch):
    """On the calibration rows; constants and shapes may be traced on others."""
    evaluated = []
    for kind in subclasses(Operation):
        if "evaluate" in vars(kind):

            def evaluate(self, *x, own=kind.evaluate):
                if len(x[0]) == N_ROWS:
                    evaluated.append(self)
                return own(self, *x)

            monkeypatch.setattr(kind, "evaluate", evaluate)
    network = read_torch(image_network(), [images()])
    operations = [node.operation for node in network.nodes if node.arguments]
    assert sorted(map(id, evaluated)) == sorted(map(id, operations))


def test_functions_of_elements_see_all_rows_once_even_if_they_broadcast():
    """A parameter of its own for each of several results of one element."""
    calls = []
    slopes = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    def function(x):
        calls.append(len(x))
        return x * slopes

    X = torch.randn(N_ROWS, 1, dtype=torch.float64)
    build = NetworkBuilder([X], ["x"])
    build.at("mul", "here")
    node = build.univariate(build.inputs[0], function)
    assert calls.count(N_ROWS) == 1
    assert node.shape == node.arguments[0].shape == (3,)
    torch.testing.assert_close(node.reference, X * slopes)


@pytest.mark.parametrize("range_source", ["proven", "calibrated"])
@pytest.mark.parametrize("rounding", [None, (5, "exact"), (5, "approximate")])
def test_lowering_evaluates_each_value_of_the_program_once(monkeypatch, range_source, rounding):
    """Accumulators included, whose interval is that of the very sample: it is the program's own integers.

    Other weights may be tried for a layer whose accumulators are rounded, each once.
    """
    calls = []
    evaluate = _emitter.evaluate
    monkeypatch.setattr(_emitter, "evaluate", lambda op, *x: calls.append(op) or evaluate(op, *x))
    emitter = Emitter(range_source, 0.25, rounding)
    lowered = lower_network(
        read_torch(image_network(), [images()]), PostTraining(emitter, 4, 4, 4, None, "mse")
    )
    values = lowered.program.values
    layers = [op for op in calls if isinstance(op, ops.Linear | ops.Convolution)]
    n_layers = sum(isinstance(value.op, ops.Linear | ops.Convolution) for value in values)
    assert len(calls) - len(layers) == len(values) - len(lowered.program.inputs) - n_layers
    assert len({id(op) for op in layers}) == len(layers)
    if rounding is None:
        assert len(layers) == n_layers
    ((_, quantizer),) = lowered.quantizers
    computed = trace(lowered.program, quantizer.quantize(images().numpy()))
    for sample, integers in zip(emitter.samples, computed, strict=True):
        np.testing.assert_array_equal(sample, integers)


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4)])
def test_weights_lie_the_same_way_round_in_the_network_and_in_the_program(shape):
    """(n_inputs, n_outputs), as rows are multiplied with them."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, size=(4, 2))
    weight[0] = 3, 1
    X = torch.from_numpy(rng.normal(size=(N_ROWS, *shape)))
    build = NetworkBuilder([X], ["x"])
    build.at("linear", "layer")
    node = build.linear(build.inputs[0], torch.from_numpy(weight))
    assert isinstance(node.operation, Linear)
    torch.testing.assert_close(node.reference, X @ torch.from_numpy(weight).double())
    build.outputs.append(node)
    scheme = PostTraining(Emitter("proven", 0.0, None), 8, 8, 4, None, "minmax")
    (op,) = (v.op for v in lower_network(build, scheme).program.values if isinstance(v.op, ops.Linear))
    if len(shape) > 1:  # one scale for all inputs, so that the weights are the integers that they were
        np.testing.assert_array_equal(op.weight, weight)
    assert op.weight.shape == (4, 2)


def test_every_value_is_labelled_by_the_node_that_it_stands_for():
    """Whoever lowers reads the current node from the emitter; lookups bear the label of what they read."""
    emitter = Emitter("calibrated", 0.25, None)
    network = read_torch(image_network(), [images()])
    lowered = lower_network(network, PostTraining(emitter, 4, 4, 4, None, "mse"))
    assert emitter.node is network.outputs[-1]
    layers = [v.label for v in lowered.program.values if isinstance(v.op, ops.Linear | ops.Convolution)]
    assert [label for label in layers if label != "4"] == ["0", "6", "8"]
