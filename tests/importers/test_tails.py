"""What networks end in is computed after decryption, and comes back as the network returns it."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from skfhe import compile_torch_model
from skfhe.deployment import Client, Server, save
from skfhe.encoding import OutputDecoders, TailDecoder
from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import quantize_torch_model

X = np.random.default_rng(0).normal(size=(80, 4))


class Answer(NamedTuple):
    """What a classifier might return."""

    logits: torch.Tensor
    label: torch.Tensor


class Ending(nn.Module):
    """The same two layers, and a function of their logits."""

    def __init__(self, ending):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
        self.ending = ending

    def forward(self, x):
        return self.ending(self.last(torch.relu(self.first(x))))


@pytest.fixture(scope="module")
def plain():
    """The network without an ending."""
    return quantize_torch_model(Ending(lambda z: z), X, n_bits=4)


def compared(found, expected):
    if isinstance(expected, torch.Tensor):
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-9, atol=1e-9)
        assert found.dtype == (np.float64 if expected.is_floating_point() else np.int64)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            compared(found[key], value)
    elif expected is None:
        assert found is None
    else:
        assert getattr(found, "_fields", None) == getattr(expected, "_fields", None)
        assert isinstance(found, list) == isinstance(expected, list)
        for one, other in zip(found, expected, strict=True):
            compared(one, other)


ENDINGS = {
    "softmax": lambda z: z.softmax(1),
    "log_softmax": lambda z: functional.log_softmax(z, -1),
    "argmax": lambda z: z.argmax(1),
    "topk": lambda z: tuple(z.topk(2)),
    "maximum and its position": lambda z: tuple(z.max(1)),
    "norm": lambda z: functional.normalize(z),
    "by hand": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
    "standardized": lambda z: (z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True),
    "product": lambda z: z[:, 0] * z[:, 1],
    "one hot": lambda z: functional.one_hot(z.argmax(1), 3),
    "picked": lambda z: z[torch.arange(len(z)), z.argmax(1)],
    "entropy": lambda z: -(z.softmax(1) * z.log_softmax(1)).sum(1),
    "dict": lambda z: {"logits": z, "shares": z.softmax(1)},
    "named tuple": lambda z: Answer(z, z.argmax(1)),
    "nested": lambda z: [z, ({"label": z.argmax(1), "none": None}, z.amax(1))],
    "list": lambda z: [z],
}


@pytest.mark.parametrize("name", ENDINGS)
def test_an_ending_is_computed_of_the_decrypted_logits(name, plain):
    """In floats, exactly: no integer and no lookup depends on it."""
    module = quantize_torch_model(Ending(ENDINGS[name]), X, n_bits=4)
    compared(module.forward(X), ENDINGS[name](torch.from_numpy(plain.forward(X))))
    assert module.cost_.lookups == plain.cost_.lookups


def test_functions_of_single_elements_are_tables():
    module = quantize_torch_model(Ending(torch.sigmoid), X, n_bits=4)
    assert isinstance(module.decoder_, OutputDecoders)


def test_outputs_asked_for_in_bits_are_looked_up():
    ending = Ending(lambda z: torch.maximum(z[:, 0], z[:, 1]))
    clear = quantize_torch_model(ending, X, n_bits=4, rounding_threshold_bits=6)
    looked_up = quantize_torch_model(
        ending, X, n_bits={"op_inputs": 4, "model_outputs": 4}, rounding_threshold_bits=6
    )
    assert isinstance(clear.decoder_, TailDecoder)
    assert isinstance(looked_up.decoder_, OutputDecoders)
    assert looked_up.cost_.n_lookups > clear.cost_.n_lookups
    shares = quantize_torch_model(Ending(ENDINGS["argmax"]), X, n_bits={"op_inputs": 4, "model_outputs": 4})
    assert isinstance(shares.decoder_, TailDecoder)  # which no lookup computes


def test_a_layer_with_weights_behind_an_argmax_is_refused():
    net = nn.Sequential(Ending(lambda z: functional.one_hot(z.argmax(1), 3).to(z)), nn.Linear(3, 2))
    with pytest.raises(UnsupportedOperatorError, match=r"argmax.*cannot be evaluated encrypted"):
        quantize_torch_model(net, X, n_bits=4)


def test_an_ending_that_numpy_does_not_have_is_refused_for_what_it_is():
    ending = Ending(lambda z: torch.linalg.det(z[:, :, None] * z[:, None]))
    with pytest.raises(UnsupportedOperatorError, match=r"det.* none of the operators in docs"):
        quantize_torch_model(ending, X, n_bits=4)


@pytest.mark.slow
def test_encrypted_rows_and_a_client_give_what_the_module_gives(tmp_path):
    """The server sees neither the tail nor what the network returns."""
    module = compile_torch_model(
        Ending(lambda z: Answer(z.softmax(1), z.argmax(1))), X, 2, range_source="proven"
    )
    assert max(module.cost_.lookups) <= 6
    clear = module.forward(X[:3])
    encrypted = module.forward(X[:3], fhe="execute")
    save(module, tmp_path)
    client = Client(tmp_path / "client.zip")
    served = client.decrypt(
        Server(tmp_path / "server.zip").run(client.encrypt(X[:3]), client.evaluation_keys())
    )
    for found in (encrypted, served):
        assert type(found).__name__ == "Answer"
        np.testing.assert_array_equal(found.logits, clear.logits)
        np.testing.assert_array_equal(found.label, clear.label)


def test_onnx_networks_have_tails_too():
    """A softmax in parts, as other frameworks write it: the cut does not depend on who wrote the network."""
    from onnx import TensorProto, helper, numpy_helper

    from skfhe.importers import quantize_onnx_model

    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(4, 3)), "axes": np.array([1])}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Exp", ["z"], ["e"]),
        helper.make_node("ReduceSum", ["e", "axes"], ["s"], keepdims=1),
        helper.make_node("Div", ["e", "s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "shares",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    module = quantize_onnx_model(model, X, n_bits=8)
    assert module.cost_.n_lookups == 0
    shares = module.forward(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    exact = torch.softmax(torch.from_numpy(X @ constants["w"]), 1).numpy()
    assert np.abs(shares - exact).max() < 0.03
