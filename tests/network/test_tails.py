"""Where a network is cut, and functions of torch as steps in NumPy."""

import numpy as np
import pytest
import torch
from packaging.version import Version
from torch.nn import functional

from skfhe.encoding import TableDecoder
from skfhe.exceptions import UnsupportedOperatorError
from skfhe.network import Emitter, NetworkBuilder, PostTraining, after_decryption, lower_network
from skfhe.network._aten import UntraceableError, traced

torch.manual_seed(0)
ROWS = torch.randn(40, 4, dtype=torch.float64)
MATRICES = torch.randn(10, 2, 4, dtype=torch.float64)
COLUMN = torch.randn(4, dtype=torch.float64)

FUNCTIONS = {
    "softmax": lambda x: torch.softmax(x, 1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "argmax": lambda x: x.argmax(1),
    "topk": lambda x: torch.topk(x, 2),
    "smallest": lambda x: torch.topk(x, 2, largest=False),
    "sort": lambda x: torch.sort(x, dim=0, descending=True, stable=True),
    "kthvalue": lambda x: x.kthvalue(2, 1),
    "median": lambda x: x.median(1),
    "quantile": lambda x: torch.quantile(x, 0.3, dim=1),
    "normalize": functional.normalize,
    "other norms": lambda x: torch.stack([x.norm(p=p) for p in (0, 1, 3, torch.inf)]),
    "logsumexp": lambda x: x.logsumexp(1),
    "variance": lambda x: x.var(1),
    "layer norm": lambda x: functional.layer_norm(x, (4,), COLUMN, COLUMN),
    "group norm": lambda x: functional.group_norm(x[None], 2),
    "rms norm": lambda x: functional.rms_norm(x, (4,)),
    "cosine similarity": lambda x: functional.cosine_similarity(x, x * COLUMN),
    "distances": lambda x: torch.cdist(x[None], x[None].flip(1)),
    "attention": lambda x: functional.scaled_dot_product_attention(x[None], x[None], x[None]),
    "einsum": lambda x: torch.einsum("bi,bj->bij", x, x),
    "gather": lambda x: torch.gather(x, 1, x.argmax(1, keepdim=True)),
    "index": lambda x: x[torch.arange(2), x.argmax(1) - 4],
    "activations": lambda x: functional.gelu(functional.elu(x)) + functional.silu(functional.leaky_relu(x)),
    "tanh form": lambda x: functional.gelu(x, approximate="tanh"),
    "conditions": lambda x: torch.where((x > 0) & ~(x > 1), x, torch.zeros_like(x)).sum(),
    "counts": lambda x: (x > 0).sum(1) / (x > -1).any(1),
    "rounding": lambda x: x.round(decimals=1) + torch.div(x, 0.3, rounding_mode="floor") + x.clamp(max=0.5),
    "in place": lambda x: x.clone().mul_(2).add_(1),
    "parts written": lambda x: torch.cat([functional.pad(x, (1, 1), value=2.0), x.flip(1)], 1).roll(1, 1),
    "cumulative": lambda x: x.cumsum(1) + x.cumprod(1) + torch.cummax(x, 1)[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_torch_have_steps_in_numpy(name):
    """Rows are independent of each other, and equal torch's to the order of sums."""
    if name == "quantile" and Version(torch.__version__) < Version("2.9"):
        pytest.skip("torch does not trace it")
    tail = traced(FUNCTIONS[name], [MATRICES])
    found = tail.apply(MATRICES.numpy())
    for index, row in enumerate(MATRICES):
        exact = FUNCTIONS[name](row)
        for ours, theirs in zip(found, [exact] if isinstance(exact, torch.Tensor) else exact, strict=True):
            np.testing.assert_allclose(ours[index], theirs.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("function", [torch.linalg.det, lambda x: x if x.sum() > 0 else -x, torch.unique])
def test_other_functions_are_refused(function):
    with pytest.raises(UntraceableError, match=r"none of the operators|cannot be traced"):
        traced(function, [MATRICES[:, :, :2]])


def built(ending, n_outputs=3):
    """Return a network of one layer with weights, and what ``ending`` makes of its results."""
    build = NetworkBuilder([ROWS], ["x"])
    build.at("linear", "head")
    weight = torch.linspace(-1, 1, 4 * n_outputs, dtype=torch.float64).reshape(4, n_outputs) ** 3
    logits = build.linear(build.inputs[0], weight, torch.ones(n_outputs))
    build.at("ending", "ending")
    result = ending(build, logits)
    build.outputs += result if isinstance(result, list) else [result]
    return build


def lowered(build, model_outputs=None):
    return lower_network(build, PostTraining(Emitter("proven", 0.25, None), 4, 4, 4, model_outputs, "mse"))


def divided(build, logits):
    powers = build.univariate(logits, torch.exp)
    total = build.broadcast(build.total(powers, [0], True), powers.shape)
    return build.elementwise(torch.div, powers, total, kind="divide")


def test_functions_of_one_element_are_tables_as_ever():
    found = lowered(built(lambda build, logits: build.univariate(logits, torch.sigmoid)))
    assert found.tail is None
    assert isinstance(found.decoders[0], TableDecoder)
    both = lowered(
        built(
            lambda build, logits: build.elementwise(
                torch.mul, logits, build.univariate(logits, torch.sigmoid), kind="multiply"
            )
        )
    )
    assert both.tail is None  # x * sigmoid(x) is one, too


def test_sums_alone_begin_no_tail():
    assert lowered(built(lambda build, logits: build.total(logits, [0], False))).tail is None


def test_a_softmax_by_hand_needs_no_lookup():
    """Nothing but the accumulators is decrypted: powers and their sum follow from them."""
    found = lowered(built(divided))
    assert found.tail is not None
    assert not found.program.lookups
    assert len(found.program.outputs) == 1
    build = built(divided)
    decoded = [build.outputs[0].arguments[0].arguments[0].reference.numpy()]
    np.testing.assert_allclose(found.tail.apply(*decoded)[0], build.outputs[0].reference.numpy(), atol=1e-12)


def test_norms_are_computed_of_the_accumulators():
    """Their squares would take a lookup an element."""

    def ending(build, logits):
        norm = build.univariate(build.total(build.univariate(logits, torch.square), [0], True), torch.sqrt)
        total = build.total(logits, [0], True)
        return build.elementwise(torch.div, total, norm, kind="divide")

    build = built(ending)
    found = lowered(build)
    assert not found.program.lookups
    (result,) = found.tail.apply(build.nodes[1].reference.numpy())
    np.testing.assert_allclose(result, build.outputs[0].reference.numpy(), atol=1e-12)


def test_outputs_that_were_asked_for_in_bits_are_looked_up():
    found = lowered(built(divided), model_outputs=3)
    assert found.tail is None
    assert found.program.lookups


def test_what_waits_for_decryption_goes_with_all_that_follows():
    def ending(build, logits):
        largest = after_decryption(build, lambda x: x.argmax(), logits)
        return [logits, build.affine(largest, 2.0, 1.0)]

    build = built(ending)
    found = lowered(build)
    assert len(found.program.outputs) == 1
    logits, doubled = found.tail.apply(build.outputs[0].reference.numpy())
    np.testing.assert_array_equal(logits, build.outputs[0].reference.numpy())
    np.testing.assert_array_equal(doubled, 2 * logits.argmax(axis=1) + 1)


def test_layers_with_weights_cannot_wait():
    def ending(build, logits):
        shares = after_decryption(build, lambda x: x.softmax(0), logits)
        build.at("linear", "second")
        return build.linear(shares, torch.tensor([[1.0], [2.0], [3.0]]))

    message = r"'ending' at 'ending' .*has to wait for decryption, and 'second' reads its result"
    with pytest.raises(UnsupportedOperatorError, match=message):
        lowered(built(ending))


def test_an_average_behind_a_maximum_is_left_to_the_client():
    """Windows of ones have no weights: their sums are steps like any other."""
    from skfhe.network import Window, layers

    def ending(build, logits):
        image = build.reshape(logits, (1, 1, 3, 4))
        window = Window([2, 2], [1, 2], [(0, 0), (1, 1)], [1, 1])
        largest = build.extremum_over(image, [1], True, largest=True)
        build.at("avg_pool2d", "pool")
        return layers.average_pool(
            build, largest, window, lambda x: functional.avg_pool2d(x, 2, (1, 2), (0, 1))
        )

    build = built(ending, n_outputs=12)
    found = lowered(build)
    (result,) = found.tail.apply(build.nodes[1].reference.numpy())
    np.testing.assert_allclose(result, build.outputs[0].reference.numpy(), atol=1e-12)
