"""What the entries were given, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, get_args

import torch
from torch import Tensor, nn

from skfhe._parameters import check_rounding
from skfhe._typing import RangeSource
from skfhe.encoding import as_floats
from skfhe.importers._search import Options, Setting, Space
from skfhe.network import Calibration

__all__ = ["Request", "check_module", "check_request", "rows_of_inputs"]

DEFAULT_TOLERANCE = 0.01
AUTO = "auto"
MAX_BITS = 16
UNQUANTIZED = 8
"""Bits of what reaches a layer of a trained network unquantized, unless others are given."""


@dataclass(frozen=True, eq=False)
class Request:
    """How a network is to be quantized.

    Parameters
    ----------
    options : Options
    space : Space
    tolerance : float
    lenient : bool
        Whether what comes near is taken where nothing fits.
    validation : list of Tensor or None
        Rows that settings are measured on, for each input.
    """

    options: Options
    space: Space
    tolerance: float
    lenient: bool
    validation: list[Tensor] | None


def check_module(net: Any) -> None:
    """Raise a `TypeError` unless ``net`` is a torch module that can be captured."""
    if isinstance(net, torch.jit.ScriptModule):
        raise TypeError(
            f"the network is a torch.jit.{type(net).__name__}, which torch.export does not capture; give the "
            "torch.nn.Module that it was scripted or traced from, or save it with "
            "torch.onnx.export(net, args, path, dynamo=False) and use compile_onnx_model"
        )
    if not isinstance(net, nn.Module):
        raise TypeError(f"the network must be a torch.nn.Module, got {type(net).__name__}")


def rows_of_inputs(inputset: Any, name: str = "inputset") -> list[Tensor]:
    """Return the rows of each input, checked."""
    given: Sequence[Any] = inputset if isinstance(inputset, tuple) else (inputset,)
    if not given:
        raise ValueError(f"{name} is an empty tuple; give one array for each input of the network")
    arrays = [as_floats(values, f"{name}[{index}]") for index, values in enumerate(given)]
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"all inputs of the {name} must have the same number of rows, got {lengths}")
    if lengths[0] == 0:
        raise ValueError(f"{name} has no rows; give some that represent the data, a few hundred at best")
    return [torch.from_numpy(array) for array in arrays]


def check_request(
    n_bits: Any,
    import_qat: bool,
    rounding_threshold_bits: Any,
    tolerance: Any,
    validation: Any,
    inputs: Sequence[Tensor],
    calibration: Calibration,
    range_source: RangeSource | None,
    margin: float,
    mixed: bool = False,
) -> Request:
    """Return what the parameters of an entry ask for.

    Parameters are those of `skfhe.compile_torch_model`; ``inputs`` are the rows of its inputset, and with
    ``mixed`` a network that quantizes itself is quantized after training where it does not.

    Raises
    ------
    ValueError
        If one of them has a wrong value.
    """
    if calibration not in get_args(Calibration):
        raise ValueError(
            f"calibration must be one of {', '.join(get_args(Calibration))}, got {calibration!r}"
        )
    range_source = range_source or ("proven" if import_qat else "calibrated")
    if range_source not in get_args(RangeSource):
        raise ValueError(f'range_source must be "proven" or "calibrated", got {range_source!r}')
    if not isinstance(margin, int | float) or not 0 <= margin < float("inf"):
        raise ValueError(f"margin must be a finite number of at least 0, got {margin!r}")
    lenient = tolerance is None
    tolerance = DEFAULT_TOLERANCE if tolerance is None else tolerance
    if not isinstance(tolerance, int | float) or isinstance(tolerance, bool) or not 0 <= tolerance < 1:
        raise ValueError(
            "tolerance must be a number in [0, 1), the share of rows that may change or the relative error, "
            f"or None, got {tolerance!r}"
        )
    widths = None if _is_auto(n_bits) else _bit_widths(n_bits)
    if import_qat and _is_auto(n_bits):
        widths = _bit_widths(UNQUANTIZED)
    auto_rounding = _is_auto(rounding_threshold_bits)
    widths_given = widths or {}
    given = Setting(
        widths_given.get("model_inputs"),
        None if import_qat and not mixed else widths_given.get("op_inputs"),
        None if import_qat and not mixed else widths_given.get("op_weights"),
        widths_given.get("model_outputs"),
        None if auto_rounding else check_rounding(rounding_threshold_bits),
    )
    return Request(
        Options(import_qat, calibration, range_source, float(margin), mixed),
        Space(given, widths=not import_qat and _is_auto(n_bits), rounding=auto_rounding),
        float(tolerance),
        lenient,
        _validation(validation, inputs),
    )


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


def _validation(validation: Any, inputs: Sequence[Tensor]) -> list[Tensor] | None:
    if validation is None:
        return None
    rows = rows_of_inputs(validation, "validation")
    shapes, wanted = ([tuple(x.shape[1:]) for x in each] for each in (rows, inputs))
    if shapes != wanted:
        raise ValueError(
            f"validation must hold rows like those of the inputset, of shapes {wanted}, got {shapes}; give a "
            "tuple with one array for each input of the network"
        )
    return rows


def _bit_widths(n_bits: Any) -> dict[str, int] | None:
    """Return the bits of each kind of value."""
    if n_bits is None:
        return None
    kinds = ("model_inputs", "op_inputs", "op_weights", "model_outputs")
    given = n_bits if isinstance(n_bits, dict) else {"op_inputs": n_bits}
    valid = all(
        isinstance(v, Integral) and not isinstance(v, bool) and 1 <= int(v) <= MAX_BITS
        for v in given.values()
    )
    if not given or set(given) - set(kinds) or not valid:
        raise ValueError(
            f'n_bits must be an int in [1, {MAX_BITS}], "auto", or a dict of ints with some of the keys '
            f"{', '.join(kinds)}, got {n_bits!r}"
        )
    widths = {name: int(bits) for name, bits in given.items()}
    default = widths.get("op_inputs", max(widths.values()))
    return dict.fromkeys(kinds[:3], default) | widths
