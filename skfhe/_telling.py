"""What is told while something takes long: records of a logger, and bars if they are asked for.

Records of the logger ``skfhe`` say what was done, with which parameters and how long it took: numbers, names
of classes, of models' features none, never a row's value or a key. Nobody sees them who has not configured
logging.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from skfhe._config import config_context, get_config

__all__ = ["log", "logger", "megabytes", "progress", "showing", "shows_progress", "timed"]

logger = logging.getLogger("skfhe")
logger.addHandler(logging.NullHandler())


def log(message: str, *values: Any) -> None:
    """Log at INFO what was done.

    Parameters
    ----------
    message : str
        With a place for each value, as `logging` has them.
    *values
        Numbers and names; a callable is called if the record is made.
    """
    if logger.isEnabledFor(logging.INFO):
        logger.info(message, *(value() if callable(value) else value for value in values))


def timed() -> Callable[[], str]:
    """Return what says how many seconds have passed since now."""
    start = time.perf_counter()
    return lambda: f"{time.perf_counter() - start:.3g} s"


def megabytes(n_bytes: float) -> str:
    """Return a size for people.

    Examples
    --------
    >>> megabytes(98_352), megabytes(113_770_496)
    ('0.0984 MB', '114 MB')
    """
    return f"{n_bytes / 1e6:.3g} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.3g} GB"


def shows_progress() -> bool:
    """Whether bars are to be shown, in this thread."""
    return bool(get_config()["progress"])


@contextmanager
def showing(wanted: bool) -> Iterator[None]:
    """Show bars within the ``with`` block, if a call asks for it; otherwise leave that as it is."""
    if not wanted:
        yield
        return
    with config_context(progress=True):
        yield


@contextmanager
def progress(
    what: str, total: int | None = None, unit: str = "it", **options: Any
) -> Iterator[Callable[[int], Any]]:
    """Show a bar within the ``with`` block, if there are to be any.

    Parameters
    ----------
    what : str
        What stands before it.
    total : int, optional
        Without it what was done is counted, and nothing said of what is left.
    unit : str, default="it"
    **options
        As ``tqdm`` takes them.

    Yields
    ------
    callable
        To be called with how much more was done.
    """
    if not shows_progress() or sys.stderr is None:  # a service may have none
        yield _nothing
        return
    from tqdm.auto import tqdm

    with tqdm(desc=what, total=total, unit=unit, **options) as bar:
        yield bar.update


def _nothing(n: int = 1) -> None:
    """Show nothing."""
