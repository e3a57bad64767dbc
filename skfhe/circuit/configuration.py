"""Options of a compilation: the error rate, and concrete's configuration behind it."""

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skfhe.circuit.engine import fhe

__all__ = ["DEFAULT_P_ERROR", "ErrorRate", "resolve_error_rate"]

DEFAULT_P_ERROR = 2.0**-40
"""Probability that one lookup reads a wrong cell, unless another is asked for."""


@dataclass(frozen=True)
class ErrorRate:
    """How often lookups may go wrong: one of the two is set.

    Parameters
    ----------
    p_error : float or None
        Probability that one lookup reads a wrong cell.
    global_p_error : float or None
        Probability that any lookup of one run does.
    """

    p_error: float | None = DEFAULT_P_ERROR
    global_p_error: float | None = None

    def per_lookup(self, n_lookups: int) -> float:
        """Return the probability for one lookup of a run of ``n_lookups``."""
        if self.p_error is not None:
            return self.p_error
        assert self.global_p_error is not None
        return 1.0 - (1.0 - self.global_p_error) ** (1.0 / max(1, n_lookups))


def resolve_error_rate(
    p_error: float | None,
    global_p_error: float | None,
    configuration: "fhe.Configuration | None" = None,
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
        If both are given, or one lies outside (0, 1).
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
    for name, rate in (("p_error", p_error), ("global_p_error", global_p_error)):
        if rate is None:
            continue
        if isinstance(rate, bool) or not isinstance(rate, Real):
            raise TypeError(f"{name} must be a number in (0, 1), got {rate!r}")
        if not 0.0 < float(rate) < 1.0:
            raise ValueError(f"{name} must lie in (0, 1), both excluded, got {rate!r}")
    if p_error is None and global_p_error is None:
        return ErrorRate()
    return ErrorRate(
        None if p_error is None else float(p_error),
        None if global_p_error is None else float(global_p_error),
    )
