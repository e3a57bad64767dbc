"""The server's half of a model: a program, and how it was compiled."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from skfhe.program import Program, ops, verify

if TYPE_CHECKING:
    from skfhe.circuit import CompiledCircuit
    from skfhe.cost import ErrorRate

__all__ = ["SavedProgram"]

MOST_BATCH_SIZES = 16
MOST_ROWS = 1 << 16
"""Of a compiled batch."""
MOST_PADDED = 1 << 28
"""Elements of what a convolution reads, with the zeros around it."""

_WRITTEN = frozenset(
    (
        *("loop_parallelize", "dataflow_parallelize", "auto_parallelize", "compress_evaluation_keys"),
        *("compress_input_ciphertexts", "auto_adjust_rounders", "auto_adjust_truncators", "single_precision"),
        *("parameter_selection_strategy", "multi_parameter_strategy", "comparison_strategy_preference"),
        *("bitwise_strategy_preference", "shifts_with_promotion", "multivariate_strategy_preference"),
        *("min_max_strategy_preference", "relu_on_bits_threshold", "relu_on_bits_chunk_size"),
        *("if_then_else_chunk_size", "rounding_exactness", "optimize_tlu_based_on_measured_bounds"),
        *("enable_tlu_fusing", "optimize_tlu_based_on_original_bit_width", "security_level"),
        *("dynamic_indexing_check_out_of_bounds", "dynamic_assignment_check_out_of_bounds"),
        "optim_lsbs_with_lut",
    )
)
"""Options of the engine that change what is compiled, and that files hold."""
_INT_OR_BOOL = frozenset({"optimize_tlu_based_on_original_bit_width"})
_WITHOUT_EFFECT = frozenset(
    (
        *("verbose", "show_graph", "show_bit_width_constraints", "show_bit_width_assignments"),
        *("show_assigned_graph", "show_mlir", "show_optimizer", "show_statistics", "show_progress"),
        *("progress_title", "progress_tag", "print_tlu_fusing", "dump_artifacts_on_unexpected_failures"),
        *("compiler_debug_mode", "compiler_verbose_mode", "fhe_simulation", "fhe_execution"),
        *("detect_overflow_in_simulation", "simulate_encrypt_run_decrypt", "enable_unsafe_features"),
        *("use_insecure_key_cache", "insecure_key_cache_location", "p_error", "global_p_error"),
    )
)
"""Options that say what is shown, or kept where, or that skfhe sets itself."""


@dataclass(frozen=True, eq=False)
class SavedProgram:
    """All that ``server.zip`` holds.

    Parameters
    ----------
    program : Program
        Whose labels count the layers, and name nothing.
    p_error, global_p_error : float or None
        The error rate that it was compiled for; one of the two is set.
    batch_sizes : tuple of int
    options : dict
        Of the engine, by name, that are not its defaults.
    """

    program: Program
    p_error: float | None
    global_p_error: float | None
    batch_sizes: tuple[int, ...]
    options: dict[str, bool | int | str | tuple[str, ...]]

    def __post_init__(self) -> None:
        from skfhe.cost import ErrorRate

        ErrorRate(self.p_error, self.global_p_error)
        if (self.p_error is None) == (self.global_p_error is None):
            raise ValueError("expected one of p_error and global_p_error")
        sizes = self.batch_sizes
        if list(sizes) != sorted({1, *sizes}) or len(sizes) > MOST_BATCH_SIZES or sizes[-1] > MOST_ROWS:
            raise ValueError(f"expected batch sizes from 1 to {MOST_ROWS}, ascending, got {sizes}")
        unknown = self.options.keys() - _WRITTEN
        if unknown:
            raise ValueError(f"files hold no option {', '.join(sorted(unknown))} of the engine")
        _check_shapes(self.program)
        verify(self.program)

    @property
    def error_rate(self) -> ErrorRate:
        """The error rate that it was compiled for."""
        from skfhe.cost import ErrorRate

        return ErrorRate(self.p_error, self.global_p_error)

    @classmethod
    def of(cls, compiled: CompiledCircuit) -> SavedProgram:
        """Return what a file holds of a compiled circuit.

        Raises
        ------
        ValueError
            If it was compiled with an option that files do not hold.
        """
        rate = compiled.error_rate
        return cls(
            _unnamed(compiled.program),
            rate.p_error if rate.global_p_error is None else None,
            rate.global_p_error,
            compiled.batch_sizes,
            _options(compiled.configuration),
        )

    def compiled(self) -> CompiledCircuit:
        """Return the program to be compiled again, on first use.

        Raises
        ------
        ValueError
            If the engine that is installed does not take an option.
        """
        from skfhe.circuit import CompiledCircuit

        return CompiledCircuit(self.program, self.error_rate, _configuration(self.options), self.batch_sizes)


def _unnamed(program: Program) -> Program:
    """Return a program with numbers in place of names of inputs and layers."""
    layers = dict.fromkeys(v.label for v in program.values if not isinstance(v.op, ops.Input))
    number = {label: number for number, label in enumerate(layers, start=1)}
    inputs = itertools.count(1)
    values = [
        replace(
            v, label=f"input {next(inputs)}" if isinstance(v.op, ops.Input) else f"layer {number[v.label]}"
        )
        for v in program.values
    ]
    return Program(tuple(values), program.outputs, program.range_source)


# Options of the engine.


def _options(configuration: Any) -> dict[str, Any]:
    """Return the options that are not the engine's defaults, in plain values."""
    if configuration is None:
        return {}
    defaults = vars(type(configuration)())
    changed = {name: value for name, value in vars(configuration).items() if value != defaults.get(name)}
    refused = sorted(changed.keys() - _WRITTEN - _WITHOUT_EFFECT)
    if refused:
        raise ValueError(
            f"this model was compiled with {', '.join(refused)}, which files do not hold; compile it with a "
            "configuration without that, and save it then"
        )
    return {name: _plain(value) for name, value in changed.items() if name in _WRITTEN}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_plain(each) for each in value)
    return value.value if isinstance(value, Enum) else value


def _configuration(options: Mapping[str, Any]) -> Any:
    """Return the engine's options that differ from its defaults, or None if none does."""
    if not options:
        return None
    import skfhe.circuit  # loads the engine with its warnings and signal handlers kept in check

    skfhe.circuit.CompiledCircuit  # noqa: B018
    from concrete import fhe

    defaults = vars(fhe.Configuration())
    try:
        given = {name: _taken(name, value, defaults[name]) for name, value in options.items()}
        return fhe.Configuration(**given)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the engine that is installed does not take the options {options}: {error}"
        ) from error


def _taken(name: str, value: Any, default: Any) -> Any:
    """Return the value of an option as the engine has it."""
    if isinstance(default, list):
        return list(value)
    if isinstance(default, Enum):
        return type(default)(value)
    if type(value) is not type(default) and not (name in _INT_OR_BOOL and type(value) in (bool, int)):
        raise ValueError(f"{name} is {value!r}, a {type(value).__name__}; expected {type(default).__name__}")
    return value


# Shapes, before anything is computed from them.


def _check_shapes(program: Program) -> None:
    """Raise an error unless every value has the shape that its operation gives, by shapes alone.

    `verify` computes intervals, and so takes as much memory as values are large. The intervals that a
    file states are in it, so what has their shape is no larger than the file.
    """
    for position, value in enumerate(program.values):
        if any(not 0 <= a < position for a in value.arguments):
            raise ValueError(f"%{position} uses a value that does not come before it")
        shapes = [program.values[a].type.shape for a in value.arguments]
        n_arguments = _ARGUMENTS.get(type(value.op), 1)
        if n_arguments is not None and len(shapes) != n_arguments:
            raise ValueError(f"%{position} has {len(shapes)} argument(s), expected {n_arguments}")
        try:
            shape = _shape(value.op, shapes)
        except (LookupError, TypeError) as error:
            raise ValueError(f"%{position} ({type(value.op).__name__}) does not fit its arguments") from error
        if shape != value.type.shape:
            raise ValueError(
                f"%{position} ({type(value.op).__name__}) states shape {value.type.shape}, and computes "
                f"{shape}"
            )


_ARGUMENTS: dict[type, int | None] = {ops.Input: 0, ops.Add: 2, ops.Subtract: 2, ops.Concatenate: None}


def _shape(op: ops.Op, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape of a row of what an operation computes, or raise a ValueError if it cannot be."""
    if isinstance(op, ops.Input):
        return op.low.shape
    if isinstance(op, ops.Linear):
        if op.weight.ndim != 2 or op.weight.dtype.kind not in "iu":
            raise ValueError(f"Linear needs a matrix of integers, got {op.weight.shape} of {op.weight.dtype}")
        return (*shapes[0][:-1], op.weight.shape[1])
    if isinstance(op, ops.Convolution):
        return _convolved(op, shapes[0])
    if isinstance(op, ops.Reshape):
        if any(n < 0 for n in op.shape) or math.prod(op.shape) != math.prod(shapes[0]):
            raise ValueError(f"{shapes[0]} cannot be reshaped to {op.shape}")
        return op.shape
    if isinstance(op, ops.Sum):
        axis = _axis(op.axis, shapes[0])
        return (*shapes[0][:axis], *shapes[0][axis + 1 :])
    if isinstance(op, ops.Gather):
        axis, length = _axis(op.axis, shapes[0]), shapes[0][op.axis]
        if op.indices.size and not -length <= op.indices.min() <= op.indices.max() < length:
            raise ValueError(f"Gather reads outside an axis of {length}")
        return (*shapes[0][:axis], *op.indices.shape, *shapes[0][axis + 1 :])
    if isinstance(op, ops.Concatenate):
        axis = _axis(op.axis, shapes[0])
        others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
        if len(others) != 1 or len({len(shape) for shape in shapes}) != 1:
            raise ValueError(f"{shapes} cannot be joined along axis {op.axis}")
        return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
    if isinstance(op, ops.Lookup) and (op.step < 1 or op.tables.ndim < 1 or not op.tables.shape[-1]):
        raise ValueError(f"Lookup needs tables with cells, and a positive step, got {op.tables.shape}")
    if isinstance(op, ops.Round | ops.Truncate) and not 0 <= op.lsbs < 64:
        raise ValueError(f"{type(op).__name__} of {op.lsbs} bits cannot be")
    if isinstance(op, ops.Modulo) and not 2 <= op.n_bits < 64:
        raise ValueError(f"Modulo of {op.n_bits} bits cannot be")
    return shapes[0]


def _axis(axis: int, shape: tuple[int, ...]) -> int:
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"there is no axis {axis} in {shape}")
    return axis % len(shape)


def _convolved(op: ops.Convolution, shape: tuple[int, ...]) -> tuple[int, ...]:
    if op.weight.ndim != 4 or op.weight.dtype.kind not in "iu" or len(shape) != 3:
        raise ValueError(f"Convolution of {shape} with weights {op.weight.shape} cannot be")
    if min(*op.strides, *op.dilation, op.groups) < 1 or min(op.padding) < 0:
        raise ValueError("Convolution takes positive strides, dilation and groups, and no negative padding")
    top, left, bottom, right = op.padding
    height, width = shape[1] + top + bottom, shape[2] + left + right
    kernel = [(n - 1) * step + 1 for n, step in zip(op.weight.shape[2:], op.dilation, strict=True)]
    if height < kernel[0] or width < kernel[1] or shape[0] * height * width > MOST_PADDED:
        raise ValueError(f"Convolution with weights {op.weight.shape} and padding {op.padding} cannot be")
    return (
        len(op.weight),
        (height - kernel[0]) // op.strides[0] + 1,
        (width - kernel[1]) // op.strides[1] + 1,
    )
