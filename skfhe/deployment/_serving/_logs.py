"""A line of JSON for each thing that happened, without a byte of data, of a key or of a token.

What is logged is an event's name and fields that are numbers, names and identifiers of the server's own. The
text of an exception may quote what a client sent, so of an exception there are its type and its place in the
code, no more.
"""

from __future__ import annotations

import datetime
import json
import logging
import traceback
from typing import Any, TextIO

__all__ = ["JsonLines", "is_logged", "log", "log_to", "shortened"]

_LOGGER = logging.getLogger("skfhe.serving")
_OTHERS = ("uvicorn.error",)


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line.

        Parameters
        ----------
        record : LogRecord
            With ``fields`` as an attribute, if there are any.

        Returns
        -------
        str
        """
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line.update(_place(record.exc_info[1]))
        return json.dumps(line)


def _place(exception: BaseException) -> dict[str, Any]:
    """Return what is logged of an exception."""
    frames = traceback.extract_tb(exception.__traceback__)
    return {
        "exception": type(exception).__qualname__,
        "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def log(event: str, level: int = logging.INFO, exception: BaseException | None = None, **fields: Any) -> None:
    """Log one event.

    Parameters
    ----------
    event : str
        Its name, one of a few.
    level : int, default=logging.INFO
    exception : Exception, optional
        That led to it.
    **fields
        Numbers, and words of our own. None is left out.
    """
    if _LOGGER.isEnabledFor(level):
        present = {name: value for name, value in fields.items() if value is not None}
        if exception is not None:
            present.update(_place(exception))
        _LOGGER.log(level, event, extra={"fields": present})


def is_logged() -> bool:
    """Whether events are written anywhere."""
    logger: logging.Logger | None = _LOGGER
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def log_to(stream: TextIO, level: str) -> logging.Handler:
    """Write events to ``stream`` from now on, and those of the HTTP library, too.

    Parameters
    ----------
    stream : file
    level : str

    Returns
    -------
    Handler
        To be removed by whoever wants them there no more.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name in (_LOGGER.name, *_OTHERS):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level.upper())
        logger.propagate = False
    return handler


def shortened(key_id: str | None) -> str | None:
    """Return as much of a name of keys as tells them apart in a log."""
    return key_id[:12] if key_id else None
