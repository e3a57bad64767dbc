"""Terminals: characters that they do not know, readers that have had enough, colours."""

import codecs
import io
import signal
import sys
from typing import Any

import typer
from rich.console import Console

__all__ = ["QuietConsole", "answer_to_closed_pipes", "console", "failed", "prepare_streams"]

SPELLED = {"…": "...", "×": "x", "·": "-", "→": "->", "≤": "<=", "≥": ">=", "µ": "u", "–": "-"}
"""What terminals that do not know a character are shown in its place; a question mark for others."""
WIDTH = 100


class QuietConsole(Console):
    """A console whose caller hears of it when nobody reads on."""

    def on_broken_pipe(self) -> None:
        """Raise what was raised: rich would end the process here."""
        raise


def console(width: int = WIDTH) -> Console:
    """Return what prints tables: as wide as the terminal up to ``width``, and without colours if piped.

    rich leaves colours out where output is no terminal, where ``NO_COLOR`` is set, and where ``TERM`` is
    ``dumb``; and boxes are drawn in ASCII where the encoding has nothing else.
    """
    made = QuietConsole(highlight=False)
    return made if made.is_terminal and made.width < width else QuietConsole(width=width, highlight=False)


def failed(message: str) -> typer.Exit:
    """Print why a command cannot do what it was asked for, and return what ends it."""
    typer.echo(f"skfhe: {message}", err=True)
    return typer.Exit(1)


def answer_to_closed_pipes(handler: Any) -> None:
    """Set what is done when nobody reads what is written."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, handler)


def prepare_streams() -> None:
    """End without a word when nobody reads on, and spell out what a terminal cannot show."""
    answer_to_closed_pipes(getattr(signal, "SIG_DFL", None))
    codecs.register_error("skfhe.spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="skfhe.spelled")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Answer to a character that an encoding does not have, as an error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(SPELLED.get(character, "?") for character in unknown), error.end
