"""How often lookups may go wrong: each, or any of a run."""

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

__all__ = ["DEFAULT_P_ERROR", "SMALLEST_P_ERROR", "ErrorRate", "resolve_error_rate"]

DEFAULT_P_ERROR = 2.0**-40
"""Probability that one lookup reads a wrong cell, unless another is asked for."""

SMALLEST_P_ERROR = 2.0**-128
"""Smallest error rate that can be asked for, of a lookup or of a run.

A wrong result is then as unlikely as a key that is guessed. The engine has parameters for far smaller rates
of narrow lookups, at many times the price, until it aborts the process near the smallest float.
"""


@dataclass(frozen=True)
class ErrorRate:
    """How often lookups may go wrong: one of the two is set.

    Parameters
    ----------
    p_error : float or None
        Probability that one lookup reads a wrong cell.
    global_p_error : float or None
        Probability that any lookup of one run does.

    Raises
    ------
    ValueError
        If one lies outside (0, 1), or is smaller than 2**-128.
    TypeError
        If one is not a number.
    """

    p_error: float | None = DEFAULT_P_ERROR
    global_p_error: float | None = None

    def __post_init__(self) -> None:
        for name in ("p_error", "global_p_error"):
            rate: Any = getattr(self, name)
            if rate is None:
                continue
            is_number = isinstance(rate, Real) and not isinstance(rate, bool)
            if not is_number:
                raise TypeError(f"{name} must be a number in (0, 1), got {rate!r}")
            if not (0 < rate < 1 and float(rate) < 1.0):
                raise ValueError(f"{name} must lie in (0, 1), both excluded, got {rate!r}")
            if rate < SMALLEST_P_ERROR:
                raise ValueError(
                    f"{name}={rate!r} is smaller than 2**-128, the smallest that can be asked for; a wrong "
                    "result is then as unlikely as a guessed key"
                )
            object.__setattr__(self, name, float(rate))

    def per_lookup(self, n_lookups: int) -> float:
        """Return the probability for one lookup of a run of ``n_lookups``.

        Examples
        --------
        >>> print(f"{ErrorRate(None, 1e-15).per_lookup(10):.3g}")
        1e-16
        """
        if self.p_error is not None:
            return self.p_error
        assert self.global_p_error is not None
        # one minus the root of what is close to one would leave nothing of a small rate
        return -math.expm1(math.log1p(-self.global_p_error) / max(1, n_lookups))


class _Configuration(Protocol):
    """What is read of the engine's configuration."""

    p_error: float | None
    global_p_error: float | None


def resolve_error_rate(
    p_error: float | None,
    global_p_error: float | None,
    configuration: _Configuration | None = None,
) -> ErrorRate:
    """Choose the error rate from the arguments, the configuration, and the default, in this order.

    Parameters
    ----------
    p_error, global_p_error : float or None
        At most one of the two.
    configuration : concrete.fhe.Configuration or None
        Read when neither is given.

    Returns
    -------
    ErrorRate

    Raises
    ------
    ValueError
        If both are given, or one lies outside (0, 1), or is smaller than 2**-128.
    TypeError
        If one is not a number.
    """
    if p_error is None and global_p_error is None and configuration is not None:
        p_error, global_p_error = configuration.p_error, configuration.global_p_error
    if p_error is not None and global_p_error is not None:
        raise ValueError(
            f"p_error={p_error!r} and global_p_error={global_p_error!r} were both given; "
            "give one: p_error for each lookup, or global_p_error for a whole run"
        )
    return ErrorRate() if p_error is None and global_p_error is None else ErrorRate(p_error, global_p_error)
