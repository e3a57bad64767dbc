"""Operators by their parts compute what torch's own do, in double precision."""

import pytest
import torch
from packaging.version import Version
from torch import nn
from torch.nn import functional

from skfhe.importers._torch.decompositions import DECOMPOSITIONS, by_parts
from tests.importers.torch_examples import Function
from tests.importers.torch_examples.of_parts import several

SHAPES = {"row": (1, 6), "image": (1, 4, 6), "cube": (1, 4, 3, 3, 2)}


def ones(*shape):
    return torch.linspace(-1, 1, torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def of_rows(function, *shapes):
    return Function(function), shapes or (SHAPES["image"],)


def layer(net, *shapes):
    return net, shapes or (SHAPES["image"],)


def with_parameters(net):
    torch.manual_seed(0)
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -1, 1)
    return net


class First(nn.Module):
    """All tensors of a recurrent layer's result, side by side."""

    def __init__(self, memory):
        super().__init__()
        self.memory = memory

    def forward(self, *x):
        results, state = self.memory(*x)
        return results, *(state if isinstance(state, tuple) else (state,))


class Cell(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state = self.cell(x[:, 0])
        return self.cell(x[:, 1], state)


def recurrent(kind, **options):
    return First(kind(6, 3, batch_first=True, **options)), ((1, 4, 6),)


def sequences_first(kind):
    return First(kind(6, 3)), ((4, 1, 6),)


CASES = {
    "layer_norm": layer(nn.LayerNorm(6)),
    "layer_norm of two axes": layer(nn.LayerNorm((4, 6), eps=0.1)),
    "layer_norm without parameters": layer(nn.LayerNorm(6, elementwise_affine=False)),
    "layer_norm without bias": layer(nn.LayerNorm(6, bias=False)),
    "rms_norm": layer(nn.RMSNorm(6)),
    "rms_norm with epsilon": layer(nn.RMSNorm((4, 6), eps=0.1, elementwise_affine=False)),
    "group_norm": layer(nn.GroupNorm(2, 4)),
    "group_norm of images": layer(nn.GroupNorm(1, 4, affine=False), (1, 4, 3, 2)),
    "instance_norm": layer(nn.InstanceNorm1d(4, affine=True)),
    "instance_norm of volumes": layer(nn.InstanceNorm3d(4), SHAPES["cube"]),
    "instance_norm, running statistics": layer(nn.InstanceNorm2d(4, track_running_stats=True), (1, 4, 3, 2)),
    "attention": of_rows(lambda x: functional.scaled_dot_product_attention(x, x.flip(1), x * 2)),
    "attention, causal": of_rows(
        lambda x: functional.scaled_dot_product_attention(x, x.flip(1), x, is_causal=True, scale=0.3)
    ),
    "attention, mask added": of_rows(
        lambda x: functional.scaled_dot_product_attention(x, x, x, attn_mask=ones(4, 4))
    ),
    "attention, mask with empty rows": of_rows(
        lambda x: functional.scaled_dot_product_attention(x, x, x, attn_mask=ones(4, 4) > 0)
    ),
    "attention, shared keys": of_rows(
        lambda x: functional.scaled_dot_product_attention(x, x[:, :2], x[:, 2:], enable_gqa=True),
        (1, 4, 3, 2),
    ),
    "MultiheadAttention": layer(nn.MultiheadAttention(6, 2, batch_first=True), *[(1, 4, 6)] * 3),
    "TransformerEncoderLayer": layer(nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, norm_first=True)),
    **{
        name: of_rows(several(*functions))
        for name, functions in {
            "var": [
                lambda x: x.var(),
                lambda x: x.var(1),
                lambda x: torch.var(x, dim=(1, 2), correction=0, keepdim=True),
            ],
            "std": [lambda x: x.std(), lambda x: x.std(-1, keepdim=True, unbiased=False)],
            "var_mean": [
                torch.var_mean,
                lambda x: torch.var_mean(x, 1),
                lambda x: torch.var_mean(x, dim=2, correction=2),
            ],
            "std_mean": [torch.std_mean, lambda x: torch.std_mean(x, dim=1)],
            "norm": [
                lambda x: x.norm(),
                lambda x: x.norm(dim=1),
                lambda x: x.norm(p=1, dim=(1, 2)),
                lambda x: x.norm(p=3, dim=2, keepdim=True),
                lambda x: torch.linalg.vector_norm(x, ord=float("inf"), dim=1),
                lambda x: torch.linalg.vector_norm(x, ord=-float("inf")),
                lambda x: torch.linalg.vector_norm(x, ord=0, dim=2),
                lambda x: torch.linalg.norm(x, ord=1, dim=1),
                lambda x: torch.linalg.norm(x, dim=(1, 2)),
                lambda x: torch.linalg.matrix_norm(x),
                lambda x: torch.linalg.matrix_norm(x, ord=1),
                lambda x: torch.linalg.matrix_norm(x, ord=-float("inf"), keepdim=True),
                lambda x: functional.normalize(x, dim=1),
            ],
            "distance": [
                lambda x: functional.pairwise_distance(x, x.flip(1)),
                lambda x: torch.cdist(x, x[:, :2] + 1),
                lambda x: functional.cosine_similarity(x, x.flip(2), dim=1),
                lambda x: functional.cosine_similarity(x, x.flip(2), dim=-1, eps=100.0),
            ],
            "product": [
                lambda x: torch.addcmul(x, x, x.flip(1), value=0.5),
                lambda x: torch.addcdiv(x, x, x.flip(1) + 3),
                lambda x: torch.lerp(x, x.flip(1), 0.3),
                lambda x: torch.lerp(x, x.flip(1), x),
                lambda x: torch.baddbmm(x[:, :, :4], x, x.mT, beta=2, alpha=0.3),
                lambda x: torch.linalg.vecdot(x, x.flip(1)),
                lambda x: torch.linalg.cross(x[..., :3], x[..., 3:]),
                lambda x: torch.cross(x[:, :3], x[:, 1:], dim=1),
                lambda x: x.prod(),
                lambda x: x.prod(2, keepdim=True),
                lambda x: x.cumprod(1),
                lambda x: torch.tensordot(x, ones(6, 4, 2), dims=[[2, 1], [0, 1]]),
                lambda x: torch.inner(x, x.flip(2)),
                lambda x: torch.kron(x, ones(2, 3)),
                lambda x: torch.linalg.multi_dot([x[0], ones(6, 3), ones(3)]),
            ],
            "einsum": [
                lambda x: torch.einsum("bij,bkj->bik", x, x.flip(1)),
                lambda x: torch.einsum("bij,bij->b", x, x),
                lambda x: torch.einsum("...ij->...ji", x),
                lambda x: torch.einsum("...ij,jk", x, ones(6, 2)),
                lambda x: torch.einsum("bii->bi", x[:, :, :4]),
                lambda x: torch.einsum("bij,jk,kl->bl", x, ones(6, 2), ones(2, 3)),
                lambda x: torch.einsum("bi,bj->bij", x[:, 0], x[:, 1]),
                lambda x: torch.einsum("bij->", x),
                lambda x: torch.einsum("bij,kl->bk", x, ones(3, 2)),
                lambda x: torch.einsum("bhi,bhj->bhij", x, x[:, :1]),
            ],
            "function": [
                lambda x: torch.logit(x.sigmoid()),
                lambda x: torch.logit(x, 0.1),
                lambda x: torch.logaddexp(x, 30 * x.flip(1)),
                lambda x: torch.hypot(x, x.flip(1)),
                lambda x: torch.sinc(x.round()),
                lambda x: torch.xlogy(x, x.exp()),
                lambda x: x.diff(dim=1),
                lambda x: x.diff(n=2, dim=2, prepend=x[:, :, :1]),
                lambda x: (x > 0).any(),
                lambda x: (x > 0).any(1, keepdim=True),
                lambda x: (x > -1).all(dim=2),
                lambda x: x.relu().count_nonzero(1),
            ],
        }.items()
    },
    "bilinear": layer(nn.Bilinear(6, 5, 3), (1, 4, 6), (1, 4, 5)),
    "LSTM": recurrent(nn.LSTM),
    "LSTM, two layers both ways": recurrent(
        nn.LSTM, num_layers=2, bidirectional=True, bias=False, dropout=0.5
    ),
    "LSTM, projected": recurrent(nn.LSTM, proj_size=2),
    "LSTM, steps first": sequences_first(nn.LSTM),
    "GRU": recurrent(nn.GRU),
    "GRU, two layers both ways": recurrent(nn.GRU, num_layers=2, bidirectional=True, bias=False),
    "RNN": recurrent(nn.RNN),
    "RNN of relu, both ways": recurrent(nn.RNN, nonlinearity="relu", bidirectional=True),
    "RNN, given state": (First(nn.RNN(6, 3, batch_first=True)), ((1, 4, 6), (1, 1, 3))),
    "LSTMCell": layer(Cell(nn.LSTMCell(6, 3))),
    "GRUCell": layer(Cell(nn.GRUCell(6, 3, bias=False))),
    "RNNCell": layer(Cell(nn.RNNCell(6, 3, nonlinearity="relu"))),
}


def exported(net, inputs):
    with torch.no_grad():
        return torch.export.export(net, inputs, strict=False)


def operators(program):
    return {node.target for node in program.graph.nodes if node.op == "call_function"}


@pytest.mark.parametrize("name", CASES)
def test_parts_compute_what_the_operator_does(name):
    if name.startswith("instance_norm") and Version(torch.__version__) < Version("2.9"):
        pytest.skip("torch does not export it")
    net, shapes = CASES[name]
    net = with_parameters(net).double().eval()
    torch.manual_seed(0)
    inputs = tuple(torch.rand(shape, dtype=torch.float64) * 2 - 1 for shape in shapes)
    parts = by_parts(exported(net, inputs))
    left = {str(target).split(".")[1] for target in operators(parts) if hasattr(target, "_schema")}
    assert not left & {key.split(".")[0] for key in DECOMPOSITIONS.names}
    with torch.no_grad():
        wanted, found = net(*inputs), parts.module()(*inputs)
    wanted, found = (v if isinstance(v, tuple) else (v,) for v in (wanted, found))
    for a, b in zip(found, wanted, strict=True):
        assert a is b is None or a.shape == b.shape
        if b is not None:
            torch.testing.assert_close(a.double(), b.double(), rtol=1e-9, atol=1e-9)


def test_networks_without_such_operators_keep_what_they_are_made_of():
    """Their integers depend on it: a linear layer by its parts is another one to calibrate."""
    net = nn.Sequential(
        nn.Conv1d(4, 3, 2), nn.BatchNorm1d(3), nn.GELU(), nn.Flatten(), nn.Linear(15, 2)
    ).eval()
    captured = exported(net.double(), (torch.rand(1, 4, 6, dtype=torch.float64),))
    assert by_parts(captured) is captured
