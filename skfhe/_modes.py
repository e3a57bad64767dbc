"""How an estimator evaluates rows where a call does not say it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skfhe._parameters import check_fhe_mode
from skfhe.exceptions import ClearEvaluationError

__all__ = ["FRESH", "Mode", "compiling"]

CLEAR = ("allow", "forbid")


@dataclass(frozen=True)
class Mode:
    """What `skfhe.set_mode` gives an estimator.

    Parameters
    ----------
    fhe : {"disable", "simulate", "execute"}, default="disable"
        How rows are evaluated where a call does not say it.
    clear : {"allow", "forbid"}, default="allow"
        Whether a call may ask for rows to be evaluated in the clear.
    options : mapping, default={}
        What to compile with, where an encrypted evaluation comes before ``compile``.
    common : skfhe.circuit.CommonKeys, optional
        What the circuit has in common with those of other estimators in the same object.
    """

    fhe: str = "disable"
    clear: str = "allow"
    options: Mapping[str, Any] = field(default_factory=dict)
    common: Any = None

    def __post_init__(self) -> None:
        check_fhe_mode(self.fhe)
        if self.clear not in CLEAR:
            raise ValueError(f"clear must be one of {', '.join(map(repr, CLEAR))}, got {self.clear!r}")
        if self.clear == "forbid" and self.fhe != "execute":
            raise ValueError(
                f'clear="forbid" was given with the mode {self.fhe!r}, which evaluates in the clear; give '
                '"execute" with it'
            )

    @property
    def compiles(self) -> bool:
        """Whether the first evaluation that needs a circuit makes it."""
        return self.fhe != "disable"

    def compiles_otherwise(self, before: Mode) -> bool:
        """Whether there are options to compile with, and another mode had others."""
        mine, others = (
            {name: value for name, value in mode.options.items() if name != "verbose"}
            for mode in (self, before)
        )
        return bool(mine) and mine != others

    def resolved(self, fhe: str | None, name: str) -> str:
        """Return how to evaluate rows, where ``fhe`` is what a call said, or None.

        Parameters
        ----------
        fhe : str or None
        name : str
            Of the estimator's class, for the message.

        Raises
        ------
        ValueError
            If ``fhe`` is no mode.
        ClearEvaluationError
            If rows would be evaluated in the clear, and may not.
        """
        chosen = self.fhe if fhe is None else fhe
        check_fhe_mode(chosen)
        if chosen != "execute":
            self.check_clear(f"fhe={chosen!r}", name)
        return chosen

    def check_clear(self, what: str, name: str) -> None:
        """Raise a `ClearEvaluationError` if nothing may be evaluated in the clear, as ``what`` would."""
        if self.clear == "forbid":
            raise ClearEvaluationError(
                f'{what} of this {name} evaluates in the clear, and set_mode(…, clear="forbid") forbids '
                'that; leave it out, or allow it by set_mode(…, "execute")'
            )


FRESH = Mode()
"""Of a fresh estimator."""

_lock = threading.RLock()


def compiling() -> Any:
    """Return the lock that is held while an estimator is compiled on its first use: threads do it once."""
    return _lock


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # the parent's may be held by a thread that is not here


os.register_at_fork(after_in_child=_after_fork_in_child)
