"""Random networks, imported: ``python -m benchmarks.networks.random_networks``.

Draws small networks of supported operators (linear layers, convolutions, poolings, activations, residual
sums, concatenations, slices, paddings, two inputs, two outputs), random bit-widths and rounding. A fifth go
through ONNX, a fifth are Brevitas networks. Each is quantized, priced, evaluated in the clear on calibration
rows and on fresh ones, and where a row is predicted to be quick, compiled, simulated and evaluated encrypted.

A row of the output is one network: how far the integers' results are from the float network's (root mean
square over the deviation of the latter), what a row is predicted to cost, and what came out. "equal" means
that simulated, or encrypted, integers are the clear ones; with approximate rounding, elements may be off.
"""

import argparse
import io
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skfhe.circuit import compile_program
from skfhe.exceptions import AccumulatorOverflowError, CompilationError, UnsupportedOperatorError
from skfhe.importers import (
    QuantizedModule,
    quantize_brevitas_qat_model,
    quantize_onnx_model,
    quantize_torch_model,
)

N_ROWS = 300
DOCUMENTED = (AccumulatorOverflowError, CompilationError, UnsupportedOperatorError)
SECONDS = 0.5
"""A row that is predicted to take less is evaluated encrypted."""
ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.Softplus, nn.Softsign, nn.LogSigmoid),
    *(nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.PReLU),
)


class Network(nn.Module):
    """Steps applied one after another to the first input; ``tail`` takes the others, too."""

    def __init__(self, steps: list[nn.Module], tail: nn.Module, two_outputs: bool) -> None:
        super().__init__()
        self.steps, self.tail = nn.ModuleList(steps), tail
        self.two_outputs = two_outputs

    def forward(self, x: Tensor, *others: Tensor) -> Any:
        """Apply the steps, and the tail to all inputs."""
        for step in self.steps:
            x = step(x)
        result = self.tail(x.flatten(1), *others)
        return (result, torch.tanh(result[:, :1])) if self.two_outputs else result


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x, *self.layers)


class Tail(nn.Module):
    """A linear layer of all inputs, with an activation or none."""

    def __init__(self, sizes: list[int], n_outputs: int, activation: nn.Module | None, joined: bool) -> None:
        super().__init__()
        self.joined = joined
        widths = [sum(sizes)] if joined else sizes
        self.layers = nn.ModuleList([nn.Linear(n, n_outputs) for n in widths])
        self.activation = activation or nn.Identity()

    def forward(self, *x: Tensor) -> Tensor:
        """Apply a linear layer to each input, or one to all."""
        if self.joined:
            return self.activation(self.layers[0](torch.cat(x, dim=1)))
        return self.activation(sum(layer(rows) for layer, rows in zip(self.layers, x, strict=True)))


@dataclass(frozen=True)
class Drawn:
    """A network, its inputs' shapes, and how it is imported."""

    net: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    via: str
    options: dict[str, Any]


def pick(rng: np.random.Generator, choices: Any) -> Any:
    """Return one of some choices."""
    return choices[int(rng.integers(len(choices)))]


def flat_steps(rng: np.random.Generator, n: int) -> list[Callable[[], nn.Module]]:
    """Return makers of layers on rows of ``n`` features."""
    half = n // 2
    return [
        lambda: nn.Linear(n, int(rng.integers(2, 9))),
        lambda: pick(rng, ACTIVATIONS)(),
        lambda: nn.BatchNorm1d(n),
        lambda: Apply(lambda x, f: x + torch.relu(f(x)), nn.Linear(n, n)),
        lambda: Apply(lambda x, f: torch.cat([x, f(x)], dim=1), nn.Linear(n, 2)),
        lambda: Apply(lambda x: x[:, half:]),
        lambda: Apply(lambda x: nn.functional.pad(x, (1, 1))),
        lambda: Apply(lambda x: x.flip(1) * 0.5 + 0.1),
        lambda: Apply(lambda x: torch.maximum(x, -0.5 * x)),
        lambda: Apply(lambda x: torch.where(x > 0, x, 0.1 * x * x)),
        lambda: Apply(lambda x: torch.sqrt(x.abs() + 0.1)),
        lambda: Apply(lambda x: x - x.mean(dim=1, keepdim=True)),
        lambda: Apply(lambda x: torch.cat([x, torch.relu(x)], dim=1)[:, n - 1 :]),
        lambda: Apply(lambda x: torch.log(torch.relu(x) + 0.05)),
        lambda: Apply(lambda x, f: x * torch.sigmoid(f(x)), nn.Linear(n, n)),
    ]


def spatial_steps(rng: np.random.Generator, shape: tuple[int, ...]) -> list[Callable[[], nn.Module]]:
    """Return makers of layers on rows of channels and one or two axes."""
    channels, size, flat = shape[0], min(shape[1:]), len(shape) == 2
    conv = nn.Conv1d if flat else nn.Conv2d
    average, largest = (nn.AvgPool1d, nn.MaxPool1d) if flat else (nn.AvgPool2d, nn.MaxPool2d)
    norm = nn.BatchNorm1d if flat else nn.BatchNorm2d
    makers: list[Callable[[], nn.Module]] = [
        lambda: conv(channels, int(rng.integers(1, 4)), pick(rng, (1, 2, 3)), padding=1),
        lambda: pick(rng, ACTIVATIONS)(),
        lambda: norm(channels),
        lambda: Apply(lambda x, f: x + f(x), conv(channels, channels, 3, padding=1)),
        lambda: conv(channels, channels, 2, groups=channels) if size > 1 else nn.Identity(),
        lambda: Apply(lambda x: torch.cat([x, torch.tanh(x)], dim=1)[:, : channels + 1]),
        lambda: Apply(lambda x: nn.functional.pad(nn.functional.pad(x, (1, 0)), (0, 1))[..., 1:]),
    ]
    if size > 1:
        makers += [lambda: average(2), lambda: largest(2)]
    return makers


def float_network(rng: np.random.Generator) -> tuple[nn.Module, tuple[tuple[int, ...], ...]]:
    """Return a random float network and the shapes of its inputs."""
    shape = pick(rng, ((4,), (6,), (8,), (2, 6), (1, 8), (1, 5, 5), (2, 4, 4)))
    x, steps = torch.randn(8, *shape), []
    for _ in range(int(rng.integers(2, 6))):
        makers = flat_steps(rng, x.shape[1]) if x.ndim == 2 else spatial_steps(rng, tuple(x.shape[1:]))
        step = pick(rng, makers)()
        result = step(x)
        if 2 <= result[0].numel() <= 60:
            x, _ = result.detach(), steps.append(step)
    others = [(4,)] if rng.random() < 0.25 else []
    sizes = [x[0].numel(), *(n for (n,) in others)]
    activation = pick(rng, ACTIVATIONS)() if rng.random() < 0.5 else None
    tail = Tail(sizes, int(rng.integers(1, 4)), activation, joined=rng.random() < 0.5)
    net = Network(steps, tail, two_outputs=rng.random() < 0.2)
    with torch.no_grad():  # statistics for normalization
        net.train()(torch.randn(200, *shape), *(torch.randn(200, *other) for other in others))
    return net.eval(), (shape, *others)


def brevitas_network(rng: np.random.Generator) -> tuple[nn.Module, tuple[tuple[int, ...], ...]]:
    """Return a random Brevitas network and the shapes of its inputs."""
    import brevitas.nn as qnn

    def bits() -> int:
        return int(rng.integers(2, 5))

    image = rng.random() < 0.4
    layers: list[nn.Module] = [qnn.QuantIdentity(bit_width=bits())]
    n = 1 if image else 6
    for _ in range(int(rng.integers(1, 4))):
        n_next = int(rng.integers(2, 6))
        if image:
            layers.append(qnn.QuantConv2d(n, n_next, 2, bias=True, weight_bit_width=bits()))
        else:
            layers.append(qnn.QuantLinear(n, n_next, bias=True, weight_bit_width=bits()))
        layers.append(pick(rng, (qnn.QuantReLU, qnn.QuantIdentity))(bit_width=bits()))
        n = n_next
    shape = (1, 5, 5) if image else (6,)
    net = nn.Sequential(*layers, nn.Flatten())
    size = net(torch.randn(4, *shape))[0].numel()
    net.append(qnn.QuantLinear(size, 2, bias=True, weight_bit_width=bits()))
    net.train()(torch.randn(200, *shape))
    return net.eval(), (shape,)


def draw(seed: int) -> Drawn:
    """Return the network of a seed."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    via = ("torch", "torch", "torch", "onnx", "brevitas")[seed % 5]
    net, shapes = brevitas_network(rng) if via == "brevitas" else float_network(rng)
    n_bits, threshold = int(rng.integers(2, 9)), int(rng.integers(3, 7))
    rounding: Any = pick(rng, (None, threshold, {"n_bits": threshold, "method": "approximate"}))
    options = {"rounding_threshold_bits": rounding}
    return Drawn(net, shapes, via, options if via == "brevitas" else options | {"n_bits": n_bits})


def quantized(drawn: Drawn, rows: tuple[np.ndarray, ...]) -> QuantizedModule:
    """Import a network by its own way."""
    if drawn.via == "brevitas":
        return quantize_brevitas_qat_model(drawn.net, rows, **drawn.options)
    if drawn.via == "torch":
        return quantize_torch_model(drawn.net, rows, **drawn.options)
    buffer, names = io.BytesIO(), [f"x{i}" for i in range(len(rows))]
    examples = tuple(torch.from_numpy(x[:3]).float() for x in rows)
    axes = {name: {0: "n"} for name in names}
    torch.onnx.export(drawn.net, examples, buffer, input_names=names, dynamic_axes=axes, dynamo=False)
    import onnx

    return quantize_onnx_model(onnx.load_from_string(buffer.getvalue()), rows, **drawn.options)


def relative_error(found: Any, wanted: Any) -> float:
    """Return the largest error of an output, in units of its deviation."""
    pairs = zip(*(v if isinstance(v, tuple) else (v,) for v in (found, wanted)), strict=True)
    return max(float(np.sqrt(np.square(f - w).mean()) / max(w.std(), 1e-12)) for f, w in pairs)


def as_arrays(values: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(v) for v in (values if isinstance(values, tuple) else (values,)))


def evaluated(module: QuantizedModule, rows: tuple[np.ndarray, ...], exact: bool) -> str:
    """Compile a module and compare three ways of evaluating some rows."""
    module.fhe_circuit_ = compile_program(module.program_, batch_sizes=(1,))
    q = module.quantize_input(*(x[:2] for x in rows))
    clear = as_arrays(module.quantized_forward(q))
    results = []
    for mode in ("simulate", "execute"):
        found = as_arrays(module.quantized_forward(q, fhe=mode))
        off = sum(int((f != c).sum()) for f, c in zip(found, clear, strict=True))
        results.append(f"{mode}d " + ("equal" if not off else "DIFFERENT" if exact else "near"))
    return ", ".join(results)


def examined(seed: int, encrypted: bool) -> tuple[str, Counter[str]]:
    """Return a line about the network of a seed, and what it counts as."""
    drawn = draw(seed)
    rng = np.random.default_rng(seed + 1000)
    rows, fresh = (tuple(rng.normal(size=(N_ROWS, *shape)) for shape in drawn.shapes) for _ in range(2))
    rounding = drawn.options["rounding_threshold_bits"]
    what = f"{seed:3d} {drawn.via:8s} {drawn.options.get('n_bits', '–')} {rounding!s:42s}"
    counts: Counter[str] = Counter()
    try:
        module = quantized(drawn, rows)
        double = drawn.net.double().eval()
        with torch.no_grad():
            wanted = double(*(torch.from_numpy(x) for x in rows))
        wanted = tuple(w.numpy() for w in wanted) if isinstance(wanted, tuple) else wanted.numpy()
        found = module.forward(*rows)
        if not all(np.isfinite(f).all() for f in as_arrays(found)):
            counts["not finite"] += 1
        error = relative_error(found, wanted)
        left = 0
        for i in range(N_ROWS):
            try:
                module.forward(*(x[i : i + 1] for x in fresh))
            except AccumulatorOverflowError:
                left += 1
        counts["fresh rows refused"] += left
        cost = module.cost_
        what += f" error {error:7.3f}, {cost.n_lookups:4d} lookups, {cost.seconds:8.2f} s, {left:3d} refused"
        counts["far off"] += error > 1
        counts["quantized"] += 1
        if encrypted and cost.seconds < SECONDS:
            exact = not isinstance(rounding, dict)
            outcome = evaluated(module, rows, exact)
            what += f", {outcome}"
            counts.update(outcome.split(", "))
    except DOCUMENTED as error:
        what += f" {type(error).__name__}: {error}"
        counts[type(error).__name__] += 1
    except Exception as error:
        what += f" UNDOCUMENTED {type(error).__name__}: {error}"
        counts["undocumented"] += 1
    return what, counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--clear", action="store_true", help="nothing is compiled")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    total: Counter[str] = Counter()
    start = time.process_time()
    for seed in range(arguments.first, arguments.first + arguments.networks):
        line, counts = examined(seed, not arguments.clear)
        print(line, flush=True)
        total += counts
    print(dict(total), f"{time.process_time() - start:.0f} s of CPU")


if __name__ == "__main__":
    main()
