"""The Brevitas network in double precision and the integer program are the same function."""

import numpy as np
import pytest
import torch
from torch import nn

from skfhe.encoding import TableDecoder, calibrate_thresholds
from skfhe.network import Lowered
from skfhe.neural_network import _mlp_network
from skfhe.neural_network._activation import check_activation
from skfhe.neural_network._mlp_network import in_double_precision, lower_mlp
from skfhe.program import ops, run, trace
from tests.neural_network.small_networks import small_network

ACTIVATIONS = [
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.SiLU,
    nn.GELU, nn.Softplus, nn.Identity,
]  # fmt: skip


def trained_network(
    activation=nn.ReLU, n_layers=2, n_accum_bits=4, n_w_bits=2, n_a_bits=2, seed=0, skip=False
):
    """Return a briefly trained network, its encoder, and data that reaches beyond the training range."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(150, 4))
    encoder = calibrate_thresholds(X, 3)
    module = small_network(
        encoder,
        n_layers=n_layers,
        n_w_bits=n_w_bits,
        n_a_bits=n_a_bits,
        n_accum_bits=n_accum_bits,
        n_output_w_bits=4,
        n_output_bits=8,
        activation_function=activation,
        input_noise=1.0,
        skip_connection=skip,
    )
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    target = torch.as_tensor(X[:, :3] ** 2, dtype=torch.float32)
    for _ in range(30):
        loss = (module(torch.as_tensor(X)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval(), encoder, np.concatenate([X, 100 * rng.normal(size=(50, 4))])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_equal_brevitas_for_every_activation(activation):
    module, encoder, X = trained_network(activation)
    program, (kept,), (decoder,) = lower_mlp(module)
    (q,) = run(program, encoder.select(kept).quantize(X))
    with torch.no_grad():
        double = in_double_precision(module)
        exact = double.output(double.hidden[0](double.encode(double.encoder.counts(torch.as_tensor(X)))))
    integers = np.rint((exact.value.numpy() - decoder.offset) / decoder.scale)
    np.testing.assert_array_equal(q, integers)
    np.testing.assert_allclose(decoder.decode(q), exact.value.numpy(), atol=1e-12)


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("n_w_bits", [1, 2, 3])
def test_every_layer_s_integers_equal_brevitas(n_layers, n_w_bits):
    """Layer by layer, for the neurons that the passes leave: the activations of both are the same."""
    module, encoder, X = trained_network(n_layers=n_layers, n_w_bits=n_w_bits)
    program, (kept,), (decoder,) = lower_mlp(module)
    values = trace(program, encoder.select(kept).quantize(X))
    double = in_double_precision(module)
    with torch.no_grad():
        h = double.encode(double.encoder.counts(torch.as_tensor(X)))
        found = []
        for layer in double.hidden:
            h = layer(h)
            # h.int() refuses double precision in Brevitas before 0.13
            found.append(torch.round(h.value / h.scale + h.zero_point).numpy().astype(np.int64))
        scores = double.output(h).value.numpy()
    for position, integers in zip(program.lookups, found, strict=True):
        columns = {column.tobytes() for column in np.ascontiguousarray(integers.T)}
        for column in np.ascontiguousarray(values[position].T):
            assert column.tobytes() in columns
    np.testing.assert_array_equal(values[-1], np.rint((scores - decoder.offset) / decoder.scale))


@pytest.mark.slow
def test_approximate_rounding_has_room_for_every_neighbour(monkeypatch):
    """Near a tie, 13 may be rounded to 16, for which four bits have no room: its cell changes its sign."""
    lowered = []
    monkeypatch.setattr(
        _mlp_network, "narrow_lookups", lambda program: lowered.append(program) or (program, (0,))
    )
    lower_mlp(trained_network(n_layers=3, n_accum_bits=4, seed=2)[0], (2, "approximate"))
    for value in lowered[0].values:
        if isinstance(value.op, ops.Round):
            before = lowered[0].values[value.arguments[0]].type
            neighbours = value.type.high + np.where(before.high > value.type.high, 1 << value.op.lsbs, 0)
            assert neighbours.max() < 1 << max(value.type.bits, before.bits)


@pytest.mark.parametrize("method", ["exact", "approximate"])
@pytest.mark.parametrize("n_bits", [4, 3, 2, 1])
def test_rounded_networks_are_those_whose_sums_are_rounded(method, n_bits):
    """Counted from its least, each hidden sum is replaced by the middle of what it is rounded to, exactly."""
    module, encoder, X = trained_network(n_accum_bits=5)
    program, (kept,), (decoder,) = lower_mlp(module, (n_bits, method))
    assert max(program.accumulator_bits) <= 5
    double = in_double_precision(module)
    (layer,) = double.hidden
    with torch.no_grad():
        quantized = layer.linear.quant_weight()
        weight = torch.round(quantized.value / quantized.scale)
        lowest = weight.clamp(max=0).sum(dim=1)
        sums = double.encode(double.encoder.counts(torch.as_tensor(X))).value @ weight.T - lowest
        unit = 1 << (5 - n_bits)
        if method == "exact":
            middles = torch.floor(sums / unit) * unit + (unit - 1) / 2
        else:
            middles = torch.floor(sums / unit + 0.5) * unit - 0.5
        rounded = (middles + lowest) * quantized.scale.flatten()
        exact = double.output(layer.quantizer(layer.activation(layer.norm(rounded)))).value.numpy()
    (q,) = run(program, encoder.select(kept).quantize(X))
    np.testing.assert_array_equal(q, np.rint((exact - decoder.offset) / decoder.scale))


def test_decoders_that_are_not_affine_are_an_error(monkeypatch):
    """Scores are sums of accumulators: a decoder that is left out would leave out its part of them."""
    module, _, _ = trained_network()
    lowered = Lowered(None, [], [TableDecoder(0, np.zeros((1, 2)))])
    monkeypatch.setattr(_mlp_network, "lower_network", lambda *_: lowered)
    with pytest.raises(TypeError, match="was given a TableDecoder"):
        lower_mlp(module)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_skip_connection_equals_brevitas(n_layers):
    """The two outputs of the program, added in the clear, are the network's scores."""
    module, encoder, X = trained_network(n_layers=n_layers, skip=True)
    program, kept, decoders = lower_mlp(module)
    outputs = run(program, encoder.select(kept[0]).quantize(X), encoder.levels(X)[:, kept[1]])
    scores = sum(decoder.decode(q) for decoder, q in zip(decoders, outputs, strict=True))
    with torch.no_grad():
        exact = in_double_precision(module)(torch.as_tensor(X)).numpy()
    np.testing.assert_allclose(scores, exact, atol=1e-12)


@pytest.mark.parametrize("n_accum_bits", range(2, 11))
@pytest.mark.parametrize("n_layers", [2, 3])
def test_accumulators_fit_for_the_worst_inputs(n_accum_bits, n_layers):
    """Inputs made to push each neuron of the first layer to its ends reach the proven width at most.

    The ends are reached exactly there, for the bits of the input may be set independently; deeper
    layers cannot exceed theirs.
    """
    module, _, _ = trained_network(n_accum_bits=n_accum_bits, n_layers=n_layers, n_w_bits=3)
    program, _, _ = lower_mlp(module)
    assert max(program.accumulator_bits) <= n_accum_bits
    weight = program.values[1].op.weight
    worst = np.concatenate([(weight > 0).T, (weight < 0).T]).astype(np.int64)
    values = trace(program, worst)
    assert values[1].max() == program.values[1].type.max
    assert values[1].min() == program.values[1].type.min
    for position in program.lookups:
        read = values[program.values[position].arguments[0]]
        assert read.min() >= 0
        assert read.max() < 2**n_accum_bits


@pytest.mark.parametrize(
    ("activation", "reason"),
    [
        (nn.Softmax, "mixes elements"),
        (nn.PReLU, "parameters of its own"),
        (nn.GLU, "mixes elements|element by element"),
        (nn.Threshold, "element by element"),
        (nn.ReLU(), "must be a class"),
        ("relu", "must be a class"),
    ],
)
def test_unsupported_activations_say_why(activation, reason):
    with pytest.raises(ValueError, match=reason):
        check_activation(activation)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_supported_activations_pass(activation):
    assert check_activation(activation) is activation
