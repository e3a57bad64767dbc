"""``skfhe serve``: models over HTTP."""

import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from skfhe._cli.terminal import answer_to_closed_pipes, console, failed

__all__ = ["serve"]


def serve(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="MODEL…", help="Folders that skfhe.deployment.save wrote.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on, by default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any; by default 8000.")] = None,
    keys: Annotated[str | None, typer.Option(help="Folder or fsspec URL of evaluation keys.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that compute, by default 2.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key of the certificate, PEM.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Bearer tokens, in lines of NAME TOKEN.")] = None,
    grace: Annotated[
        float | None, typer.Option(help="Seconds to finish what runs at the end, by default 30.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; by default info.")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting; may be repeated.")
    ] = None,
    settings: Annotated[bool, typer.Option("--settings", help="List all settings, and end.")] = False,
) -> None:
    """Serve models over HTTP, by the Open Inference Protocol v2.

    Every setting is an environment variable, too: SKFHE_PORT is --port. Log lines are JSON, on stderr.
    """
    try:
        from skfhe.deployment import ServerSettings, run_server
    except ImportError as error:
        raise failed(str(error)) from None
    if settings:
        _list_settings(ServerSettings)
        return
    answer_to_closed_pipes(signal.SIG_IGN)  # a client that hangs up must not end the server
    named = [pair.partition("=") for pair in more or []]
    given: dict[str, Any] = {name.replace("-", "_"): value for name, _, value in named}
    options = {
        **{"host": host, "port": port, "keys": keys, "workers": workers, "tls_cert": tls_cert},
        **{"tls_key": tls_key, "token_file": token_file, "grace": grace, "log_level": log_level},
        "folders": tuple(folders) if folders else None,
    }
    given.update({name: value for name, value in options.items() if value is not None})
    try:
        run_server(ServerSettings.from_environment(os.environ, **given), lambda line: print(line, flush=True))
    except (ValueError, OSError) as error:
        raise failed(str(error)) from None


def _list_settings(settings: Any) -> None:
    """Print all settings of a server."""
    table = Table("setting", "default", "what it is", title="SKFHE_… in capitals, or --set")
    for row in settings.describe():
        table.add_row(*row)
    console(110).print(table)
