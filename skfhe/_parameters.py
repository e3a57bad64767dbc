"""Checks of parameters that several families of estimators take, and imported networks with them."""

import sys
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from skfhe._typing import Rounding

__all__ = ["check_fhe_mode", "check_rounding", "frames_to_caller", "what_to_lower"]

FHE_MODES = ("disable", "simulate", "execute")
METHODS = ("exact", "approximate")
WIDTHS = ("module__n_accum_bits", "module__n_output_bits", "n_bits", "kernel_bits")
"""Parameters of estimators that bound what lookups read and what outputs hold."""


def check_rounding(value: Any) -> Rounding | None:
    """Return ``rounding_threshold_bits`` as bits and method.

    Parameters
    ----------
    value : int, dict or None
        Bits to round to, or ``{"n_bits": k, "method": "exact" | "approximate"}``.

    Returns
    -------
    tuple of int and str, or None

    Raises
    ------
    ValueError
        If it is neither, or the bits are not an int of at least 1.

    Examples
    --------
    >>> check_rounding(4), check_rounding({"n_bits": 3, "method": "approximate"})
    ((4, 'exact'), (3, 'approximate'))
    """
    if value is None:
        return None
    given: dict[str, Any] = value if isinstance(value, dict) else {"n_bits": value}
    n_bits, method = given.get("n_bits", 0), given.get("method", "exact")
    is_int = isinstance(n_bits, Integral) and not isinstance(n_bits, bool)
    if not is_int or int(n_bits) < 1 or method not in METHODS or set(given) - {"n_bits", "method"}:
        raise ValueError(
            "rounding_threshold_bits must be None, an int of at least 1, or a dict "
            f'{{"n_bits": int, "method": "exact" | "approximate"}}, got {value!r}'
        )
    return int(n_bits), method


def check_fhe_mode(fhe: object) -> None:
    """Raise a `ValueError` unless ``fhe`` is one of the three modes."""
    if fhe not in FHE_MODES:
        raise ValueError(f"fhe must be one of {', '.join(map(repr, FHE_MODES))}, got {fhe!r}")


def what_to_lower(parameters: Mapping[str, Any]) -> str:
    """Return which of an estimator's parameters make its program narrower, as advice.

    Parameters
    ----------
    parameters : mapping of str to object
        By name, as ``get_params`` returns them.

    Returns
    -------
    str
        Empty if there are none.

    Examples
    --------
    >>> what_to_lower({"n_bits": 12, "alpha": 1.0})
    'lower n_bits'
    >>> what_to_lower({"n_bits": None})
    ''
    """
    given = [name for name in WIDTHS if parameters.get(name) is not None]
    return f"lower {' or '.join(given)}" if given else ""


def frames_to_caller() -> int:
    """Return the ``stacklevel``, counted from whoever asks, of the call that a user made."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("skfhe."):
        frame, level = frame.f_back, level + 1
    return level
