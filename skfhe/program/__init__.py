"""The integer program: what a quantized model computes, exactly.

`ProgramBuilder` makes a `Program` of the operations in `skfhe.program.ops`; `run` evaluates it on
clear integers; `optimize` rewrites it; `verify` checks it.
"""

from skfhe.program import ops
from skfhe.program.graph import Program, ProgramBuilder, Value
from skfhe.program.inputs import drop_unused_inputs
from skfhe.program.interpreter import run, run_batched, trace
from skfhe.program.parts import Part, independent_parts
from skfhe.program.passes import DEFAULT_PASSES, optimize
from skfhe.program.types import IntegerType, bit_width
from skfhe.program.verify import verify

__all__ = [
    "DEFAULT_PASSES",
    "IntegerType",
    "Part",
    "Program",
    "ProgramBuilder",
    "Value",
    "bit_width",
    "drop_unused_inputs",
    "independent_parts",
    "ops",
    "optimize",
    "run",
    "run_batched",
    "trace",
    "verify",
]
