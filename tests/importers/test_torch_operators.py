"""Every operator of the table agrees with torch, or says why it cannot be evaluated encrypted."""

import numpy as np
import pytest
import torch
from packaging.version import Version
from torch import nn
from torch.nn import functional

from benchmarks.networks.operators import worst
from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import quantize_torch_model
from skfhe.importers._errors import ERRORS
from skfhe.importers._operators import NAMES, OPERATORS, operator_table
from skfhe.importers._replacements import suggested
from skfhe.importers._torch.reader import capture, in_double_precision, read_torch
from tests.importers.torch_examples import EXAMPLES, RARE, Function, errors, fresh_rows, rows

OF_TORCH = [operator for operator in OPERATORS if operator.torch]
OLD = Version(torch.__version__) < Version("2.9")
NOT_IN_OLD = {"instance_norm", "median, kthvalue, quantile"}
"""What torch itself does not export before 2.9."""
KINDS = {operator.name: operator.kind for operator in OPERATORS}
ALL = [(name, one) for name, some in EXAMPLES.items() for one in some]
ELEMENTWISE = [(name, one) for name, one in ALL if KINDS[name] == "elementwise"]


def named(pairs):
    return [pytest.param(one, id=f"{name}-{one.name}") for name, one in pairs]


def assert_close_to_torch(one, **n_bits):
    calibration = rows(one)
    fresh = fresh_rows(one, calibration)
    widths = {"op_inputs": one.n_bits, **n_bits}
    module = quantize_torch_model(one.net, calibration, widths, rounding_threshold_bits=one.rounding)
    assert max(errors(one, module.forward(*calibration), calibration)) <= one.bound
    assert max(errors(one, module.forward(*fresh), fresh, RARE)) <= one.bound
    return module


@pytest.mark.parametrize("one", named(ALL))
def test_results_are_those_of_torch(one):
    """Functions are looked up, outputs too: all is said by the program, and decoding is affine."""
    if OLD and any(one in EXAMPLES[name] for name in NOT_IN_OLD):
        pytest.skip("torch does not export it")
    module = assert_close_to_torch(one, model_outputs=one.n_bits)
    assert all(hasattr(decoder, "scale") for decoder in module.decoder_.decoders)


@pytest.mark.parametrize("one", named(ELEMENTWISE))
def test_functions_may_be_left_to_who_decrypts(one):
    assert_close_to_torch(one)


@pytest.mark.parametrize("operator", OF_TORCH, ids=lambda operator: operator.name)
def test_every_name_in_the_table_is_one_that_torch_export_gives(operator):
    if OLD and operator.name in NOT_IN_OLD:
        pytest.skip("torch does not export it")
    captured = set()
    for one in EXAMPLES[operator.name]:
        inputs = [torch.from_numpy(x) for x in rows(one)]
        exported = capture(in_double_precision(one.net), inputs, decompose=lambda exported: exported)
        schemas = (getattr(node.target, "_schema", None) for node in exported.graph.nodes)
        captured |= {schema.name.split("::")[1] for schema in schemas if schema is not None}
    assert set(operator.torch) <= captured


@pytest.mark.parametrize("name", ["linear", "relu", "lerp", "sort"])
def test_errors_in_the_documentation_are_those_measured(name):
    """Here on few rows of the table; all are measured anew by the benchmark that writes them down."""
    error, jumps = worst(name)
    assert jumps == ERRORS[name][1]
    assert ERRORS[name][0] / 2 <= error + 1e-3 <= ERRORS[name][0] * 2 + 2e-3


def test_errors_are_those_of_the_operators_that_there_are():
    only_onnx = [operator.name for operator in OPERATORS if not operator.torch]
    assert list(ERRORS) == [*EXAMPLES, *only_onnx]


def test_every_example_belongs_to_a_row_of_the_table():
    assert set(EXAMPLES) == {operator.name for operator in OF_TORCH}
    assert operator_table().count("\n") == len(OPERATORS) + 1


# ------------------------------------------------------------------------------------------- what is exact


def quantizers(module):
    """Return the quantizer of each input of the program."""
    return [quantizer for _, quantizer in module.encoder_.quantizers]


def quantized(module, *x):
    """Return the floats that the encrypted integers of rows stand for."""
    encoded = module.quantize_input(*x)
    encoded = encoded if isinstance(encoded, tuple) else (encoded,)
    return [q.dequantize(v) for q, v in zip(quantizers(module), encoded, strict=True)]


@pytest.mark.parametrize("n_bits", [3, 6])
def test_a_product_is_that_of_the_quantized_factors(n_bits):
    """Also if the factors' zeros lie between integers, and in another place for each element."""
    shift = torch.tensor([0.3, -1.7, 0.0], dtype=torch.float64)
    rng = np.random.default_rng(0)
    X, Y = rng.uniform(-2, 2, (100, 2, 3)), rng.uniform(-1, 3, (100, 2, 3))
    module = quantize_torch_model(Function(lambda x, y: (x + 0.3) * (y * 2 + shift)), (X, Y), n_bits)
    x, y = quantized(module, X, Y)
    exact = (x + 0.3) * (y * 2 + shift.numpy())
    scales = [q.scale.ravel()[0] for q in quantizers(module)]
    assert np.abs(module.forward(X, Y) - exact).max() <= 2 * scales[0] * scales[1] + 1e-9


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_extremum_is_that_of_the_quantized_members(largest, sign):
    X = np.random.default_rng(0).uniform(-2, 2, (100, 3, 4))
    net = Function(lambda x: (sign * x + 0.5).amax(2) if largest else (sign * x + 0.5).amin(2))
    module = quantize_torch_model(net, X, 5)
    (x,) = quantized(module, X)
    exact = (sign * x + 0.5).max(axis=2) if largest else (sign * x + 0.5).min(axis=2)
    error = np.abs(module.forward(X) - exact).max()
    assert error < 1e-9


def test_truth_values_are_encrypted_in_one_bit():
    """A layer that sums them needs the bits of its weights and of their number alone."""
    X = np.random.default_rng(0).uniform(-1, 1, (200, 4))
    net = Function(lambda x: (x > 0).double() @ torch.ones(4, 1, dtype=torch.float64))
    module = quantize_torch_model(net, X, 8)
    assert module.output_bits_ == [3]
    distance = np.abs(X).min(axis=1)
    found, exact = module.forward(X), (X > 0).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found[distance > 0.01], exact[distance > 0.01], atol=0.05)


def test_values_of_few_bits_keep_them_beside_wide_ones():
    """Rounding an accumulator for its lookup leaves alone what is concatenated with it."""
    X, Y = np.random.default_rng(0).uniform(-2, 2, (2, 200, 3))
    net = Function(lambda x, y: torch.relu(torch.cat([(x @ torch.ones(3, 1).to(x)) * y, y], dim=1)))
    module = quantize_torch_model(net, (X, Y), 8, rounding_threshold_bits=8)
    found = module.forward(X, Y)[:, 3:]
    assert np.abs(found - np.maximum(Y, 0)).max() <= 4 / 255


def test_the_table_that_decodes_wide_accumulators_is_small():
    X = np.random.default_rng(0).uniform(-1, 1, (100, 64))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 2048), nn.Sigmoid()).double()
    module = quantize_torch_model(net, X, {"op_inputs": 8, "op_weights": 10})
    assert module.output_bits_[0] > 16
    assert module.decoder_.decoders[0].table.size <= 1 << 24
    with torch.no_grad():
        wanted = net(torch.from_numpy(X)).numpy()
    assert np.abs(module.forward(X) - wanted).max() < 0.01


def test_networks_may_hold_tensors_in_single_precision():
    X = np.random.default_rng(0).uniform(-1, 1, (200, 3))
    net = Function(lambda x: functional.linear(x.float() + torch.zeros(3), torch.eye(3)[:2]))
    np.testing.assert_allclose(quantize_torch_model(net, X, 8).forward(X), X[:, :2], atol=0.01)


# ------------------------------------------------------------------------------------------ what is refused


class Inner(nn.Module):
    """A function that is not at the top of its network."""

    def __init__(self, function):
        super().__init__()
        self.head = nn.Sequential(nn.Identity(), Function(function))

    def forward(self, x):
        return self.head(x)


def refusal(net, *shape, error=UnsupportedOperatorError):
    X = np.random.default_rng(0).uniform(-2, 2, (50, *shape))
    with pytest.raises(error) as caught:
        quantize_torch_model(net, X, 8, rounding_threshold_bits=8)
    return str(caught.value)


@pytest.mark.parametrize(
    ("net", "shape", "name", "place", "instead"),
    [
        (Inner(lambda x: x.argmax(1)), (4,), "argmax", "head.1.argmax", "in the clear"),
        (Inner(lambda x: x.argsort(1)), (4,), "argsort", "head.1.argsort", "in the clear"),
        (Inner(lambda x: x.logcumsumexp(1)), (4,), "logcumsumexp", "head.1.logcumsumexp", "cumsum"),
        (Inner(lambda x: torch.linalg.matrix_norm(x, 2)), (4, 3), "linalg_svdvals", "head.1.", "Frobenius"),
    ],
)  # fmt: skip
def test_an_unknown_operator_is_named_with_its_place_and_what_helps(net, shape, name, place, instead):
    message = refusal(net, *shape)
    assert f"{name!r} at '{place}" in message
    assert "cannot be evaluated encrypted" in message
    assert instead in message.split("; use ")[1]


@pytest.mark.parametrize("function", [torch.erfinv, torch.lgamma, torch.atan2, torch.fft.fft])
def test_there_is_no_advice_where_none_is_known_to_help(function):
    """Operators that are spelled alike are of no use: lgamma is no clamp_max, erfinv no erf."""
    arguments = 2 if function is torch.atan2 else 1
    message = refusal(Inner(lambda x: function(*[x] * arguments).real), 4)
    assert message.endswith(
        "cannot be evaluated encrypted: it is none of the operators in docs/your_own_network.md"
    )


@pytest.mark.parametrize("framework", ["torch", "onnx"])
def test_what_is_suggested_can_be_imported(framework):
    for name, instead in suggested(framework).items():
        assert name not in NAMES[framework]
        assert set(instead) <= NAMES[framework]


def added_at(x):
    return torch.zeros(len(x), 2).to(x).index_add(1, torch.tensor([0, 1, 1, 0]), x)


REPLACED = {
    "logcumsumexp": (lambda x: x.logcumsumexp(1), lambda x: x.exp().cumsum(1).log(), (4,)),
    "index_add": (
        added_at,
        lambda x: x @ torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]).to(x),
        (4,),
    ),
}


@pytest.mark.parametrize("name", REPLACED)
def test_what_is_suggested_computes_the_same_and_is_evaluated(name):
    unsupported, instead, shape = REPLACED[name]
    X = np.random.default_rng(0).uniform(-2, 2, (100, *shape))
    wanted = unsupported(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(instead(torch.from_numpy(X)).numpy(), wanted, atol=1e-9)
    assert name in suggested("torch")
    with pytest.raises(UnsupportedOperatorError, match=r"; use .* instead$"):
        quantize_torch_model(Function(unsupported), X, 8, rounding_threshold_bits=9)
    found = quantize_torch_model(Function(instead), X, 8, rounding_threshold_bits=9).forward(X)
    assert np.sqrt(np.square(found - wanted).mean()) <= 0.2 * wanted.std()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(0),
        lambda x: x.sum(),
        lambda x: x - x.mean(0),
        lambda x: x.max(0).values,
        lambda x: x.amin(),
        lambda x: x.cumsum(0),
        lambda x: x @ x.T,
        lambda x: torch.ones(5, len(x)).to(x) @ x,
        lambda x: x.flip(0),
        lambda x: x[0],
        lambda x: x[0, 0],
        lambda x: x[:2],
        lambda x: x[:, None] - x[None],
        lambda x: x.tril(),
        lambda x: x.triu(),
    ],
)
def test_rows_cannot_be_mixed(function):
    """Each row is encrypted apart: what several lead to must be what each leads to alone."""
    assert "it mixes rows, which are encrypted apart" in refusal(Inner(function), 4)


def joined_axes(x):
    b, t, f = x.shape
    return (x.reshape(b * t, f) @ torch.ones(f, 2).to(x)).relu().reshape(b, t, 2)


def with_rows_second(x):
    turned = x.transpose(0, 1)
    return (turned * turned.sum(0, keepdim=True)).transpose(0, 1)


def convolved_together(x):
    b, t, f = x.shape
    images = x.reshape(b * t, 1, f)
    kernel = torch.tensor([[[1.0, -1.0, 2.0]], [[0.0, 1.0, 3.0]]]).to(x)
    pooled = functional.max_pool1d(functional.conv1d(images, kernel, stride=2, padding=1), 2)
    return functional.avg_pool1d(pooled.reshape(b, -1, 2), 2)


@pytest.mark.parametrize(
    ("function", "where"),
    [
        (joined_axes, lambda y, n: y),
        (with_rows_second, lambda y, n: y),
        (convolved_together, lambda y, n: y),
        (lambda x: x.flatten(1).T, lambda y, n: y.T),
        (lambda x: x.transpose(0, 1) + 1, lambda y, n: y.transpose(1, 0, 2)),
        (lambda x: x.reshape(-1, 4), lambda y, n: y.reshape(n, 3, 4)),
        (lambda x: x.flatten(), lambda y, n: y.reshape(n, 12)),
        (lambda x: x[:, :, 0].reshape(-1, 1), lambda y, n: y.reshape(n, 3, 1)),
        (lambda x: torch.stack([x.mean(1), x.amax(1)]), lambda y, n: y.transpose(1, 0, 2)),
        (lambda x: torch.cat([x, 2 * x]), lambda y, n: y.reshape(2, n, 3, 4).transpose(1, 0, 2, 3)),
        (lambda x: x.repeat(2, 1, 1), lambda y, n: y.reshape(2, n, 3, 4).transpose(1, 0, 2, 3)),
        (lambda x: torch.stack(x.unbind(0)).view(len(x), -1), lambda y, n: y),
        (lambda x: x.mean((1, 2)).squeeze(), lambda y, n: y),
        pytest.param(
            torch.vmap(lambda row: row.amax(0) * 2),
            lambda y, n: y,
            marks=pytest.mark.skipif(OLD, reason="torch does not export vmap"),
        ),
        (lambda x: torch.cat([x.sum(1, keepdim=True).squeeze(), x.amax(1)], 1), lambda y, n: y),
    ],
)
def test_rows_may_be_anywhere_in_a_tensor(function, where):
    """Their axis may be turned, joined with others and split again: what counts is that no two rows meet.

    Outputs have the rows first. The network that was read is torch's, to double precision, on all rows.
    """
    X = np.random.default_rng(0).normal(size=(20, 3, 4))
    wanted = where(function(torch.from_numpy(X)).numpy(), len(X))
    (output,) = read_torch(Function(function), [torch.from_numpy(X)]).outputs
    assert output.shape == wanted.shape[1:]
    np.testing.assert_allclose(output.reference.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.arange(len(x))[:, None],
        lambda x: torch.cat([x, torch.arange(len(x))[:, None].to(x)], 1),
        lambda x: torch.hstack([x, torch.arange(len(x))[:, None].to(x)]),
    ],
)
def test_constants_cannot_differ_from_row_to_row(function):
    assert "depends on which and how many there are" in refusal(Inner(function), 4)


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Inner(lambda x: functional.dropout(x)), "random"),
        (Inner(lambda x: functional.rrelu(x, training=True)), "random"),
        (Inner(lambda x: x + torch.rand_like(x)), "nothing may be random"),
        (Inner(lambda x: x + torch.randn(4)), "random"),
        pytest.param(
            nn.BatchNorm1d(4, track_running_stats=False),
            "statistics are those of the rows",
            marks=pytest.mark.skipif(
                Version(torch.__version__) < Version("2.8"), reason="it cannot export buffers that are None"
            ),
        ),
        (
            Inner(lambda x: functional.batch_norm(x, x.new_zeros(4), x.new_ones(4), training=True)),
            "statistics are those of the rows",
        ),
        (Inner(lambda x: x.max(1).indices), "positions of extrema"),
        (Inner(lambda x: functional.max_pool1d(x[:, None], 2, 1, 0, 1, False, True)[1] + 1), "positions of"),
        (Inner(lambda x: torch.ones(9).to(x)[x.long().clamp(0, 8)]), "positions are encrypted"),
        (Inner(lambda x: x.gather(1, x.long().clamp(0, 3))), "positions are encrypted"),
        (Inner(lambda x: x[x > 0]), "positions are encrypted"),
        (nn.Conv1d(3, 2, 2), "mixes rows"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_encrypted_says_why(net, reason):
    assert reason in refusal(net, 4)


def test_a_network_that_branches_on_its_data_is_refused():
    message = refusal(Inner(lambda x: x if x.sum() > 0 else -x), 4, error=ValueError)
    assert message.startswith("torch.export could not capture Inner")
    assert "control flow does not depend on the data" in message


def test_poles_that_the_calibration_rows_reach_are_an_error():
    net = nn.Sequential(Function(lambda x: 1 / x.round()), nn.Linear(4, 2))
    message = refusal(net, 4, error=ValueError)
    assert "'1' reads infinite values or NaN" in message


class MeanOfRows(nn.Module):
    """Divides by the number of rows, which torch.export takes for a constant."""

    def forward(self, x):
        return x / x.shape[0]


def test_results_that_depend_on_the_number_of_rows_are_refused():
    with pytest.raises(
        ValueError,
        match=r"mixes rows, which are encrypted apart, or depends on which and how many",
    ):
        quantize_torch_model(MeanOfRows(), np.random.default_rng(0).normal(size=(50, 4)))
