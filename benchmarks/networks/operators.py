"""How near each operator comes to torch, and what it takes: ``python -m benchmarks.networks.operators``.

Prints a Markdown table of the examples in ``tests/importers/torch_examples``: networks of one operator each,
quantized to so many bits with all functions looked up, on uniform rows. The error is the root mean square on
200 rows that were not calibrated on, without the two farthest off, over the standard deviation of torch's
results. For functions that jump it is the share of elements next to a jump, on its other side: off by more
than a twentieth of that deviation.

With ``--write`` the largest error of each operator's examples at 8 bits is written down for the table in
``docs/your_own_network.md``, and nothing printed.
"""

import argparse
import warnings
from pathlib import Path

from skfhe.importers import QuantizedModule, _errors, quantize_torch_model
from tests.importers.torch_examples import EXAMPLES, RARE, Example, errors, fresh_rows, rows

N_BITS = 8
"""At which errors are written down."""
HEAD = ("operator", "example", "bits", "rounded to", "relative error", "lookups a row")


def measured(example: Example, n_bits: int) -> tuple[float, QuantizedModule]:
    """Return the largest error of an example's outputs, and the module."""
    calibration = rows(example)
    widths = {"op_inputs": n_bits, "model_outputs": n_bits}
    module = quantize_torch_model(example.net, calibration, widths, rounding_threshold_bits=example.rounding)
    fresh = fresh_rows(example, calibration)
    return max(errors(example, module.forward(*fresh), fresh, RARE)), module


def cells(operator: str, example: Example, n_bits: int) -> tuple[str, ...]:
    error, module = measured(example, n_bits)
    lookups = module.cost_.lookups
    return (
        operator,
        example.name.replace("|", "\\|"),
        str(n_bits),
        "–" if example.rounding is None else str(example.rounding),
        f"{error:.1%}" + (" off" if example.jumps else ""),
        ", ".join(f"{count} × {bits}-bit" for bits, count in sorted(lookups.items())) or "none",
    )


def worst(operator: str) -> tuple[float, bool]:
    """Return the largest error of an operator's examples, and whether it is a share of elements."""
    examples = EXAMPLES[operator]
    examples = [one for one in examples if one.n_bits == N_BITS] or examples
    errors = [(measured(one, one.n_bits)[0], one.jumps) for one in examples]
    return max(errors, key=lambda each: each[0])


def write(operators: list[str]) -> None:
    """Write the errors of some operators down, and keep those of others."""
    found = {name: error for name, error in _errors.ERRORS.items() if name in EXAMPLES}
    found |= {name: worst(name) for name in operators}
    lines = [
        f"    {name!r}: ({found[name][0]:.4f}, {found[name][1]}),".replace("'", '"')
        for name in EXAMPLES
        if name in found
    ]
    path = Path(_errors.__file__)
    head = path.read_text().split("{", 1)[0]
    path.write_text(head + "{\n" + "\n".join(lines) + "\n}\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--operators", nargs="*", default=list(EXAMPLES), choices=list(EXAMPLES), metavar="NAME"
    )
    parser.add_argument("--bits", type=int, help="in place of each example's own")
    parser.add_argument("--write", action="store_true", help="write errors down for the documentation")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.write:
        write(arguments.operators)
        return
    print(f"| {' | '.join(HEAD)} |")
    print("|---|---|--:|--:|--:|---|")
    for operator in arguments.operators:
        for example in EXAMPLES[operator]:
            print(f"| {' | '.join(cells(operator, example, arguments.bits or example.n_bits))} |")


if __name__ == "__main__":
    main()
