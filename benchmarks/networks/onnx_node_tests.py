"""ONNX's own node tests, read as float networks: ``python -m benchmarks.networks.onnx_node_tests``.

Each test that the ``onnx`` package ships is a graph of one operator, or of the operators that it is made of,
with inputs and the outputs expected of them. It counts as supported if it is read with some of its inputs
encrypted, a row being the whole of a tensor, and the float network's outputs are those expected: with all of
its floats encrypted, else with its first input alone, else with all inputs that are no text. What has no
input to encrypt must be computed as a constant. Everything else is refused, truly if its reason is one of
those that the table names, and wrongly otherwise.
"""

import argparse
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers._onnx.model import checked
from skfhe.importers._onnx.reader import Reader
from skfhe.network import Node

SUPPORTED, CONSTANT, WRONGLY = "supported", "a constant", "refused wrongly"
REASONS = {
    "text": "works on text|decodes files|casts to STRING",
    "sequences, optionals, maps": "is no tensor|does not return tensors",
    "random": "random|training mode",
    "a step of training": "step of training",
    "operators of ai.onnx.ml: a converter is named": "ai.onnx.ml",
    "the result's shape depends on encrypted values": "shape of its result depends",
    "steps or branches depend on encrypted values": (
        "number of steps is|condition is encrypted|graph of its own"
    ),
    "integers wrap around": "wrap around",
    "scales chosen while running": "chosen while running",
    "infinite or NaN inputs alone": "nothing finite",
}
"""Why a test is refused truly: by what the error says."""
GENERATORS = {"MelWeightMatrix", "Range"}
"""Operators whose results are constants of a network, though they take floats."""
TOLERANCES = {"float16": 1e-2, "bfloat16": 1e-2}


@dataclass
class Outcome:
    """What came of one test.

    Parameters
    ----------
    name : str
    operators : str
    outcome : str
    why : str
        The last error.
    """

    name: str
    operators: str
    outcome: str
    why: str = ""


def node_tests() -> Iterator[tuple[str, onnx.ModelProto, list[Any], list[Any]]]:
    """Yield the name, model, inputs and outputs of each test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = load_model_tests(kind="node")
    for test in tests:
        for values in test.data_sets:
            inputs, outputs = ([as_array(v) for v in part] for part in values)
            yield test.name, test.model, inputs, outputs


def as_array(value: Any) -> Any:
    """Return a tensor as an array, in whichever form it is shipped."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if np.isscalar(value) else value


def choices(model: onnx.ModelProto, inputs: list[Any]) -> list[list[int]]:
    """Return which inputs are encrypted, in the order in which it is tried."""
    usable = [
        i
        for i, value in enumerate(inputs)
        if isinstance(value, np.ndarray) and value.dtype.kind not in "OSUc" and value.size
    ]
    floats = [i for i in usable if inputs[i].dtype.kind not in "iub" and "int" not in inputs[i].dtype.name]
    found = [floats, usable[:1], usable, *([i] for i in floats), *([i] for i in usable)]
    tried = [list(c) for c in dict.fromkeys(tuple(c) for c in found if c)]
    makes_constants = not floats or model.graph.node[0].op_type in GENERATORS
    return [*tried, []] if makes_constants else tried


def with_constants(model: onnx.ModelProto, inputs: list[Any], encrypted: list[int]) -> onnx.ModelProto:
    """Return a model that takes the encrypted inputs alone."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.ir_version = max(made.ir_version, 8)  # before, initializers had to be inputs
    values = list(made.graph.input)
    del made.graph.input[:]
    for i, value in enumerate(values):
        if i in encrypted:
            made.graph.input.append(value)
            continue
        if not isinstance(inputs[i], np.ndarray):
            raise UnsupportedOperatorError("an input is no tensor")
        made.graph.initializer.append(numpy_helper.from_array(inputs[i], value.name))
    return made


def read(model: onnx.ModelProto, inputs: list[Any], encrypted: list[int]) -> tuple[list[Any], bool]:
    """Return a test's outputs as they are read, and whether any is encrypted."""
    given = with_constants(model, inputs, encrypted)
    rows = [torch.from_numpy(np.asarray(inputs[i]).astype(np.float64))[None] for i in encrypted]
    with torch.no_grad():
        reader = Reader(checked(given), rows, None, True)
        reader.walk(reader.model.graph)
    found = [reader.values[output.name] for output in given.graph.output]
    return [v.reference[0].numpy() if isinstance(v, Node) else v for v in found], any(
        isinstance(v, Node) for v in found
    )


def agree(found: Any, expected: Any) -> bool:
    """Whether an output is the expected one, to the tolerance of its type."""
    if not isinstance(expected, np.ndarray) or expected.dtype.kind in "OSU":
        return False
    tolerance = TOLERANCES.get(expected.dtype.name, 1e-3)
    a, b = np.asarray(found).astype(np.float64), expected.astype(np.float64)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=tolerance, atol=1e-5, equal_nan=True))


def tried(name: str, model: onnx.ModelProto, inputs: list[Any], outputs: list[Any]) -> Outcome:
    """Read one test in each way, until its outputs are those expected."""
    kinds = [f"{n.domain}.{n.op_type}".lstrip(".") for n in model.graph.node]
    operators = kinds[0] if len(kinds) == 1 else f"{name.removeprefix('test_')} ({len(kinds)} nodes)"
    errors = []
    if not all(isinstance(value, np.ndarray) for value in outputs):
        return Outcome(name, operators, "refused truly: sequences, optionals, maps", "an output is no tensor")
    for encrypted in choices(model, inputs):
        try:
            found, is_encrypted = read(model, inputs, encrypted)
        except Exception as error:
            errors.append(str(error))
            continue
        if all(agree(a, b) for a, b in zip(found, outputs, strict=True)):
            return Outcome(name, operators, SUPPORTED if is_encrypted else CONSTANT)
        shapes = [np.shape(v) for v in found], [np.shape(v) for v in outputs]
        errors.append(f"its outputs differ: of shapes {shapes[0]}, expected {shapes[1]}")
    for reason, pattern in REASONS.items():
        if any(re.search(pattern, error) for error in errors):
            return Outcome(name, operators, f"refused truly: {reason}", errors[0])
    return Outcome(name, operators, WRONGLY, errors[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="part of the names of the tests to run")
    parser.add_argument("--show", default=WRONGLY, help="list the tests whose outcome has this in it")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    outcomes = [tried(*test) for test in node_tests() if arguments.only in test[0]]
    for outcome in outcomes:
        if arguments.show in outcome.outcome:
            print(f"{outcome.name} [{outcome.operators}] {outcome.outcome}: {outcome.why[:240]}")
    counts = Counter(outcome.outcome for outcome in outcomes)
    print("\n| outcome | tests |\n|---|--:|")
    for outcome_name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        print(f"| {outcome_name} | {count} |")
    print(f"| all | {len(outcomes)} |")


if __name__ == "__main__":
    main()
