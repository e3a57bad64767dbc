"""How near each operator comes to torch, and what it takes: ``python -m benchmarks.networks.operators``.

Prints a Markdown table of the examples in ``tests/importers/torch_examples``: networks of one operator each,
quantized to so many bits with all functions looked up, on uniform rows. The error is the root mean square on
200 rows that were not calibrated on, without the two farthest off, over the standard deviation of torch's
results. For functions that jump it is the share of elements next to a jump, on its other side: off by more
than a twentieth of that deviation.

With ``--write`` the largest error of each operator's examples at 8 bits is written down for the table in
``docs/your_own_network.md``, and nothing printed. Operators that torch does not have are measured then, too,
on the graphs in ``tests/importers/onnx_examples.py`` and ``onnx_parts.py``, against onnxruntime.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from skfhe.exceptions import CompilationError
from skfhe.importers import QuantizedModule, _errors, quantize_onnx_model, quantize_torch_model
from skfhe.importers._operators import OPERATORS
from tests.importers import onnx_examples, onnx_parts, onnx_runtime
from tests.importers.torch_examples import EXAMPLES, RARE, Example, errors, fresh_rows, rows

N_BITS = 8
"""At which errors are written down."""
ROUNDED_TO = 12
"""Bits that accumulators of graphs are rounded to where a lookup cannot read them."""
N_ROWS = 200
ONLY_ONNX = {row.name: row.onnx for row in OPERATORS if not row.torch}
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


def worst_graph(types: tuple[str, ...]) -> tuple[float, bool]:
    """Return the largest error of the graphs with an operator of ``types``, as `worst` does."""
    graphs = onnx_examples.EXAMPLES | onnx_parts.PARTS
    found = []
    for name, graph in graphs.items():
        if any(node.op_type in types for node in graph.nodes):
            results, expected = _of_graph(graph, reference=name in onnx_parts.ONLY_IN_ONNX)
            found += [_error(*pair) for pair in zip(results, expected, strict=True)]
    return max(found, key=lambda each: each[0])


def _of_graph(
    graph: onnx_examples.Example, reference: bool
) -> tuple[tuple[np.ndarray, ...], list[np.ndarray]]:
    """Return the results of a quantized graph on fresh rows, and those wanted."""
    model = graph.model()
    calibration, fresh = (  # without the first two rows, which are constant
        [array[2:] for array in graph.arrays(N_ROWS + 2, seed=seed)] for seed in (1, 2)
    )
    widths = {"op_inputs": N_BITS, "model_outputs": N_BITS}
    given = model, tuple(calibration), widths
    try:
        module = quantize_onnx_model(*given, rounding_threshold_bits=None)
    except CompilationError:
        module = quantize_onnx_model(*given, rounding_threshold_bits=ROUNDED_TO)
    results = module.forward(*fresh)
    expected = (onnx_runtime.evaluated if reference else onnx_runtime.runtime)(model, fresh)
    return (results if isinstance(results, tuple) else (results,)), expected


def _error(result: np.ndarray, wanted: np.ndarray) -> tuple[float, bool]:
    """Return the relative error of results, or of whole numbers the share that is another."""
    if np.array_equal(wanted, np.rint(wanted)):
        return float(np.mean(np.rint(result) != wanted)), True
    nearest = np.sort(np.square(result - wanted).ravel())[: int(result.size * (1 - RARE))]
    return float(np.sqrt(nearest.mean()) / wanted.std()), False


def write(operators: list[str]) -> None:
    """Write the errors of some operators down, and keep those of others."""
    every = [*EXAMPLES, *ONLY_ONNX]
    found = {name: error for name, error in _errors.ERRORS.items() if name in every}
    for name in operators:
        found[name] = worst(name) if name in EXAMPLES else worst_graph(ONLY_ONNX[name])
    lines = [
        f"    {name!r}: ({found[name][0]:.4f}, {found[name][1]}),".replace("'", '"')
        for name in every
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
        "--operators",
        nargs="*",
        default=[*EXAMPLES, *ONLY_ONNX],
        choices=[*EXAMPLES, *ONLY_ONNX],
        metavar="NAME",
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
        for example in EXAMPLES.get(operator, []):
            print(f"| {' | '.join(cells(operator, example, arguments.bits or example.n_bits))} |")


if __name__ == "__main__":
    main()
