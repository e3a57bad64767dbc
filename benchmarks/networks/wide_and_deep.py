"""What wide and deep networks take: ``python -m benchmarks.networks.wide_and_deep``.

- ``wide``: a perceptron of 3,072 inputs, 32 hidden neurons, 10 outputs.
- ``resnet``: a ResNet-18 of few channels (4, 8, 16, 32) for images of 32 × 32 pixels in three colours.
- ``transformer``: one block of four tokens of eight features, two heads.

They are drawn, not trained, and read with uniform rows: what they cost does not depend on it. Prints what the
import takes, in seconds and in memory at its peak, what a row is predicted to cost, and what the report says
would make it cheaper. No row is encrypted; the transformer is compared with its simulation. The memory is of
the whole process, so that networks are to be measured one at a time.
"""

import argparse
import resource
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import seconds
from skfhe.importers import QuantizedModule, quantize_torch_model


class BasicBlock(nn.Module):
    """Two convolutions with batch normalization, and what passes them."""

    def __init__(self, n_read: int, n_made: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(n_read, n_made, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_made),
            nn.ReLU(),
            nn.Conv2d(n_made, n_made, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_made),
        )
        self.past: nn.Module = nn.Identity()
        if stride > 1 or n_read != n_made:
            self.past = nn.Sequential(
                nn.Conv2d(n_read, n_made, 1, stride, bias=False), nn.BatchNorm2d(n_made)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return as many channels as are made."""
        return torch.relu(self.inner(x) + self.past(x))


def resnet18(widths: tuple[int, int, int, int] = (4, 8, 16, 32)) -> nn.Sequential:
    """Return a ResNet-18 for small images: a convolution, four stages of two blocks, an average."""
    n = widths[0]
    layers: list[nn.Module] = [nn.Conv2d(3, n, 3, 1, 1, bias=False), nn.BatchNorm2d(n), nn.ReLU()]
    for stage, width in enumerate(widths):
        layers += [BasicBlock(n, width, 2 if stage else 1), BasicBlock(width, width, 1)]
        n = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, 10))


def wide() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3072, 32), nn.ReLU(), nn.Linear(32, 10))


def transformer() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "wide": (wide, (3072,)),
    "resnet": (resnet18, (3, 32, 32)),
    "transformer": (transformer, (4, 8)),
}


def relative(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the root mean square of the error, over the deviation of what is exact."""
    return float(np.sqrt(np.mean(np.square(found - exact))) / exact.std())


def main() -> None:
    """Import each network, and print what it takes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--rows", type=int, default=100, help="calibration rows")
    parser.add_argument("--bits", type=int, help="n_bits; searched for by default")
    parser.add_argument("--rounding", type=int, help="bits of approximate rounding; searched for by default")
    parser.add_argument("--simulated-rows", type=int, default=5, help="of the transformer")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    options: dict[str, Any] = {}
    if arguments.bits:
        options["n_bits"] = arguments.bits
    if arguments.rounding:
        options["rounding_threshold_bits"] = {"n_bits": arguments.rounding, "method": "approximate"}
    for name in arguments.networks:
        make, shape = NETWORKS[name]
        torch.manual_seed(0)
        net = make().eval()
        X = np.random.default_rng(0).uniform(-1, 1, (arguments.rows, *shape))
        made: list[QuantizedModule] = []
        taken = seconds(lambda: made.append(quantize_torch_model(net, X, **options)))  # noqa: B023
        (module,) = made
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(f"{name}: imported in {taken:.1f} s, {peak} MB")
        print(f"  {module.cost_}")
        with torch.no_grad():
            exact = net(torch.from_numpy(X).float()).double().numpy()
        print(f"  error in the clear: {relative(module.forward(X), exact):.1%}")
        print("\n".join(f"  {line}" for line in str(module.report()).splitlines()))
        if name == "transformer":
            n = arguments.simulated_rows
            print(f"  compiled in {seconds(module.compile):.1f} s")
            simulated = module.forward(X[:n], fhe="simulate")
            print(f"  error in simulation: {relative(simulated, exact[:n]):.1%}")


if __name__ == "__main__":
    main()
