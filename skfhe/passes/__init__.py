"""Rewrites of a program that keep what it computes and make it cheaper to run encrypted.

Each pass is a pure function from a program to a program, in a file of its own. `optimize` applies
`DEFAULT_PASSES` in order and verifies the program after each.
"""

from collections.abc import Callable, Iterable

from skfhe.passes._drop_idle_channels import drop_idle_channels
from skfhe.passes._drop_single_axes import drop_single_axes
from skfhe.passes._drop_unused_inputs import drop_unused_inputs
from skfhe.passes._drop_unused_values import drop_unused_values
from skfhe.passes._fuse_lookups import fuse_lookups
from skfhe.passes._merge_equal_values import merge_equal_values
from skfhe.passes._narrow_lookups import narrow_lookups
from skfhe.passes._protect_roundings import protect_roundings
from skfhe.passes._reduce_residues import reduce_residues
from skfhe.passes._round_constant_cells import round_constant_cells
from skfhe.passes._shift_accumulators import shift_accumulators
from skfhe.program import Program, verify

__all__ = [
    "DEFAULT_PASSES",
    "drop_idle_channels",
    "drop_single_axes",
    "drop_unused_inputs",
    "drop_unused_values",
    "fuse_lookups",
    "merge_equal_values",
    "narrow_lookups",
    "optimize",
    "protect_roundings",
    "reduce_residues",
    "round_constant_cells",
    "shift_accumulators",
]

Pass = Callable[[Program], Program]

DEFAULT_PASSES: tuple[Pass, ...] = (
    drop_single_axes,
    merge_equal_values,
    fuse_lookups,
    drop_idle_channels,
    shift_accumulators,
    reduce_residues,
    drop_unused_values,
)


def optimize(program: Program, passes: Iterable[Pass] = DEFAULT_PASSES) -> Program:
    """Apply ``passes`` in order, verifying the program before the first and after each.

    Parameters
    ----------
    program : Program
    passes : iterable of callable, default=DEFAULT_PASSES
        Functions from a program to a program.

    Returns
    -------
    Program
        Computes the same outputs from the same inputs.

    Raises
    ------
    ValueError
        If a pass returns a program that is not well formed.
    """
    verify(program)
    for rewrite in passes:
        program = rewrite(program)
        verify(program)
    return program
