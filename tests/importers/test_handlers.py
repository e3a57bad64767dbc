"""Tables of handlers: no operator has two, no import adds or loses one, and none is there in vain."""

import itertools
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from packaging.version import Version

from skfhe.importers import _replacements as replacements
from skfhe.importers._handlers import HandlerTable
from skfhe.importers._onnx import reader as onnx_reader
from skfhe.importers._onnx.elementwise import COMPARISONS, FUNCTIONS
from skfhe.importers._operators import ELEMENTWISE, MOVEMENT, NAMES
from skfhe.importers._torch import reader as torch_reader
from skfhe.importers._torch.decompositions import DECOMPOSITIONS
from skfhe.importers._torch.handlers import HANDLERS
from tests.importers.onnx_examples import EXAMPLES as ONNX_EXAMPLES
from tests.importers.onnx_parts import PARTS
from tests.importers.torch_examples import EXAMPLES, Function, rows

SHAPES = {"Shape", "Size"}
"""Operators of ONNX whose results are constants, whatever is encrypted: they are no rows of the table."""
CONVERTERS = {
    "FusedMatMul",
    "FusedGemm",
    "FusedConv",
    "BiasGelu",
    "FastGelu",
    "QuickGelu",
}
"""Operators that onnxruntime's optimizer writes, of a domain of its own."""


DECOMPOSED = {name.split(".")[0] for name in DECOMPOSITIONS.names}


class Recorded(HandlerTable):
    """A table that notes which of its handlers are called, and which answered."""

    def __init__(self, table):
        super().__init__()
        self.called, self.answered = set(), set()
        for name in table.names:
            self._add(name, self.recorded(name, table[name]))

    def recorded(self, name, handler):
        def handle(*args, **kwargs):
            self.called.add(name)
            result = handler(*args, **kwargs)
            if result is not None:
                self.answered.add(name)
            return result

        return handle


def test_a_second_handler_of_an_operator_is_refused():
    table = HandlerTable()
    table.handles("add", "sum")(max)
    with pytest.raises(ValueError, match="'sum' has two handlers, max and min"):
        table.handles("sum")(min)
    with pytest.raises(ValueError, match="'mul' has two handlers, abs and abs"):
        table.handles("mul", "mul")(abs)
    assert table["sum"] is max


def test_tables_of_two_modules_with_a_handler_for_one_operator_are_refused():
    first, second = HandlerTable(), HandlerTable()
    first.handles("add")(max)
    second.handles("mul", "add")(min)
    for tables in ((first, second), (second, first)):
        with pytest.raises(ValueError, match="'add' has two handlers"):
            tables[0].joined(*tables[1:])
    assert first.names == {"add"}


@pytest.mark.slow
def test_the_order_of_imports_does_not_matter():
    """Whichever module is imported first, the readers know the same operators."""
    modules = [
        "_onnx.layer_handlers",
        "_onnx.elementwise",
        "_onnx.reader",
        "_torch.integers",
        "_torch.handlers",
        "_torch.reductions",
        "_torch.reader",
    ]
    orders = (modules, modules[::-1])
    code = """if True:
        import sys
        from importlib import import_module
        for name in sys.argv[1:]:
            import_module(f"skfhe.importers.{name}")
        for framework in ("_onnx", "_torch"):
            print(sorted(import_module(f"skfhe.importers.{framework}.reader").HANDLERS.names))
    """
    found = [
        subprocess.run(
            [sys.executable, "-c", code, *order], capture_output=True, text=True, check=True
        ).stdout
        for order in orders
    ]
    assert found[0].count("\n") == 2
    assert len(set(found)) == 1


def test_every_operator_of_the_table_is_one_that_a_reader_reaches():
    reached = HANDLERS.names | ELEMENTWISE["torch"] | MOVEMENT["torch"] | DECOMPOSED
    assert reached | torch_reader._LINEAR_MAPS >= NAMES["torch"]
    assert onnx_reader.HANDLERS.names | set(FUNCTIONS) | MOVEMENT["onnx"] >= NAMES["onnx"]


def test_every_handler_is_one_of_an_operator_of_the_table():
    assert HANDLERS.names <= NAMES["torch"]
    assert NAMES["torch"] >= DECOMPOSED
    assert not DECOMPOSED & HANDLERS.names
    assert onnx_reader.HANDLERS.names - SHAPES <= NAMES["onnx"]
    assert set(FUNCTIONS) <= ELEMENTWISE["onnx"]
    assert not set(FUNCTIONS) & onnx_reader.HANDLERS.names
    assert set(FUNCTIONS) >= COMPARISONS


@pytest.mark.slow
def test_every_handler_and_every_rule_of_torch_s_reader_is_reached(monkeypatch):
    """What the reader knows of a function of two values is of use where no handler answers before."""
    table = Recorded(HANDLERS)
    monkeypatch.setattr(torch_reader, "HANDLERS", table)
    mapped, seen = set(), set()
    linear_map = torch_reader.layers.linear_map
    monkeypatch.setattr(
        torch_reader.layers,
        "linear_map",
        lambda build, *args: mapped.add(build.name) or linear_map(build, *args),
    )
    elementwise = torch_reader._Reader._elementwise
    monkeypatch.setattr(
        torch_reader._Reader,
        "_elementwise",
        lambda self, name, *args: seen.add(name) or elementwise(self, name, *args),
    )
    for one in itertools.chain(*EXAMPLES.values()):
        inputs = [torch.from_numpy(x[:8]) for x in rows(one)]
        torch_reader.read_torch(torch_reader.in_double_precision(one.net), inputs)
    assert table.called == HANDLERS.names
    assert seen >= set(torch_reader._KINDS) | torch_reader._BITWISE
    assert mapped >= {name.strip("_") for name in torch_reader._LINEAR_MAPS}
    never = ELEMENTWISE["torch"] - seen - table.answered
    assert not never, f"{never} are in the table, and no example reaches them"


def test_every_handler_of_onnx_s_reader_is_reached(monkeypatch):
    table = Recorded(onnx_reader.HANDLERS)
    monkeypatch.setattr(onnx_reader, "HANDLERS", table)
    newer = set()  # operators that the installed onnx does not know yet
    for example in (*ONNX_EXAMPLES.values(), *PARTS.values()):
        model = example.model()
        if example.opset > onnx.defs.onnx_opset_version():
            newer |= {node.op_type for node in model.graph.node}
        else:
            onnx_reader.read_onnx(model, [torch.from_numpy(x) for x in example.arrays(n_rows=3)])
    assert table.names - newer <= table.called <= table.names


@pytest.mark.parametrize("name", sorted(torch_reader._SHAPE_ONLY))
def test_what_depends_on_a_shape_alone_is_a_constant(name):
    """Tensors that are made like an encrypted value, and hold nothing of it."""
    arguments = {
        "full_like": (2.0,),
        "new_full": ((1, 4), 2.0),
        "fill": (2.0,),
        **dict.fromkeys(("new_zeros", "new_ones", "new_empty"), ((1, 4),)),
    }
    function = getattr(torch.ops.aten, name)

    def added(x):
        constant = function(x, *arguments.get(name, ()))
        return x + (torch.zeros_like(constant) if "empty" in name else constant)

    X = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4)))
    network = torch_reader.read_torch(Function(added), [X])
    constant = {"ones": 1.0, "full": 2.0, "fill": 2.0}
    value = next((v for part, v in constant.items() if part in name), 0.0)
    torch.testing.assert_close(network.outputs[0].reference, X + value)


def test_replacements_are_those_of_operators_that_there_are():
    """In the newest release that is tested; older ones lack some."""
    missing = {name for name in replacements.suggested("torch") if not hasattr(torch.ops.aten, name)}
    assert missing <= ({"_fused_rms_norm"} if Version(torch.__version__) < Version("2.9") else set())
    own = {name for name in replacements.suggested("onnx") if not onnx.defs.has(name)}
    assert own == CONVERTERS
