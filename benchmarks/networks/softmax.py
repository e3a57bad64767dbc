"""Both forms of softmax inside a network: ``python -m benchmarks.networks.softmax``.

Normal logits, given as inputs of the network or computed by an orthogonal layer, 300 rows to calibrate on and
100 to measure on. Errors are root mean squares over the standard deviation of torch's results; the form that
`skfhe.network.probabilities` takes is marked.
"""

import argparse
import warnings

import numpy as np
import torch
from torch import nn

from skfhe.importers import QuantizedModule, quantize_torch_model
from skfhe.network import probabilities

DEVIATIONS = (0.5, 1.0, 2.0, 4.0, 8.0)


class Logits(nn.Module):
    """Softmax of inputs, or of a linear function of them."""

    def __init__(self, matrix: torch.Tensor | None) -> None:
        super().__init__()
        self.matrix = matrix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return probabilities over the last axis."""
        return torch.softmax(x if self.matrix is None else x @ self.matrix.to(x), -1)


def measured(n: int, deviation: float, behind_a_layer: bool, n_bits: int) -> tuple[float, QuantizedModule]:
    rng = np.random.default_rng(0)
    X = deviation * rng.normal(size=(400, 2, n))
    matrix = torch.from_numpy(np.linalg.qr(rng.normal(size=(n, n)))[0]) if behind_a_layer else None
    net = Logits(matrix)
    widths = {"op_inputs": n_bits, "model_outputs": n_bits}
    module = quantize_torch_model(net, X[:300], widths, rounding_threshold_bits=n_bits, margin=1.5)
    wanted = net(torch.from_numpy(X[300:])).numpy()
    error = np.sqrt(np.square(module.forward(X[300:]) - wanted).mean()) / wanted.std()
    return float(error), module


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bits", type=int, default=8)
    n_bits = parser.parse_args().bits
    warnings.simplefilter("ignore")
    own = probabilities.MOST_LOST
    print("| logits | members | deviation | as they are | maximum subtracted |")
    print("|---|--:|--:|---|---|")
    for behind_a_layer in (False, True):
        for n in (4, 16):
            for deviation in DEVIATIONS:
                cells = []
                lookups = []
                for most_lost in (own, np.inf, 0.0):
                    probabilities.MOST_LOST = most_lost
                    error, module = measured(n, deviation, behind_a_layer, n_bits)
                    lookups.append(sum(module.cost_.lookups.values()))
                    cells.append(f"{error:.1%}, {lookups[-1] / 2:.0f} lookups")
                marked = [
                    f"**{c}**" if m == lookups[0] else c for c, m in zip(cells[1:], lookups[1:], strict=True)
                ]
                where = "of a layer" if behind_a_layer else "inputs"
                print(f"| {where} | {n} | {deviation} | {' | '.join(marked)} |", flush=True)
    probabilities.MOST_LOST = own


if __name__ == "__main__":
    main()
