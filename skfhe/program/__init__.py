"""The integer program: what a quantized model computes, exactly.

`ProgramBuilder` makes a `Program` of the operations in `skfhe.program.ops`; `run` evaluates it on
clear integers; `verify` checks it; `draw` shows it as boxes and arrows, as notebooks do by themselves.
"""

from skfhe.program import ops
from skfhe.program._blocks import blocks
from skfhe.program._drawing import Arrow, Box, Drawing, draw
from skfhe.program._graph import Program, ProgramBuilder, Value, rebuild
from skfhe.program._integer_products import correlate
from skfhe.program._interpreter import evaluate, run, run_batched, trace
from skfhe.program._parts import Part, independent_parts, join
from skfhe.program._ranges import infer_type
from skfhe.program._residues import declared_types, is_approximate
from skfhe.program._tables import is_negacyclic, leading_shape, read_tables, table_numbers
from skfhe.program._types import IntegerType, bit_width
from skfhe.program._verify import verify

__all__ = [
    "Arrow",
    "Box",
    "Drawing",
    "IntegerType",
    "Part",
    "Program",
    "ProgramBuilder",
    "Value",
    "bit_width",
    "blocks",
    "correlate",
    "declared_types",
    "draw",
    "evaluate",
    "independent_parts",
    "infer_type",
    "is_approximate",
    "is_negacyclic",
    "join",
    "leading_shape",
    "ops",
    "read_tables",
    "rebuild",
    "run",
    "run_batched",
    "table_numbers",
    "trace",
    "verify",
]
