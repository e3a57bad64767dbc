"""All that can be set of a server, in one place."""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

__all__ = ["ServerSettings"]

PREFIX = "SKFHE_"
IN_BYTES, MAY_BE_ZERO = "in bytes", "may be zero"
_PROTECTING = ("tls_cert", "tls_key", "tls_client_ca", "tokens", "token_file")
"""Settings without which a server is more open, so that an empty variable, a mistake, must not unset them."""
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _key_folder() -> str:
    """Return where evaluation keys are kept if nothing else is said, by the XDG base directories."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return str(Path(state) / "skfhe" / "keys")


@dataclass(frozen=True)
class ServerSettings:
    """What a server serves, where, and within which limits.

    Every setting is an environment variable, too: its name in capitals after ``SKFHE_``. Sizes are in bytes,
    where text may say ``"20 GB"``; times in seconds.

    Parameters
    ----------
    {parameters}

    Raises
    ------
    ValueError
        If a setting cannot be what it is set to, or two do not go together.

    Examples
    --------
    >>> from skfhe.deployment import ServerSettings
    >>> environment = {{"SKFHE_FOLDERS": "models/iris", "SKFHE_KEY_QUOTA": "5 GB"}}
    >>> settings = ServerSettings.from_environment(environment, port=0)
    >>> settings.key_quota, settings.port
    (5000000000, 0)
    """

    folders: Annotated[
        tuple[Path, ...], "folders of models; the environment variable has : between them"
    ] = ()
    host: Annotated[str, "address to listen on; 0.0.0.0 for all"] = "127.0.0.1"
    port: Annotated[int, "port to listen on; 0 for any that is free", MAY_BE_ZERO] = 8000
    tls_cert: Annotated[Path | None, "certificate chain, PEM"] = None
    tls_key: Annotated[Path | None, "private key of the certificate, PEM"] = None
    tls_client_ca: Annotated[Path | None, "certificates, PEM, by one of which a client's must be signed"] = (
        None
    )
    tokens: Annotated[str | None, "bearer tokens: lines as in a token file, with commas between them"] = (
        field(default=None, repr=False)
    )
    token_file: Annotated[Path | None, "lines of NAME TOKEN [BYTES OF KEYS]; TOKEN may be sha256:HEX"] = None

    keys: Annotated[str, "folder or fsspec URL of evaluation keys, which servers can share"] = field(
        default_factory=_key_folder
    )
    key_quota: Annotated[int | None, "bytes of all evaluation keys", IN_BYTES] = 20 * 10**9
    key_max_age: Annotated[float | None, "seconds after which unused evaluation keys expire"] = 30 * 86400.0
    keys_per_owner: Annotated[
        int | None, "evaluation keys of the owner of one token; any number without tokens"
    ] = 100

    workers: Annotated[int, "processes that compute; one alone leaves a gap when it ends"] = 2
    threads: Annotated[int | None, "threads of each worker; the cores, shared out, by default"] = None
    worker_memory: Annotated[
        int | None,
        "bytes of keys and runs in a worker, above kept_key_bytes; what they need by default",
        IN_BYTES,
    ] = None
    run_timeout: Annotated[float, "seconds that one run may take in a worker"] = 600.0
    kept_key_bytes: Annotated[int, "bytes of expanded keys that each worker keeps", IN_BYTES] = 10**9

    max_rows: Annotated[int, "rows of one request"] = 1024
    max_batch_rows: Annotated[int, "rows that are run together; a request of more runs alone"] = 256
    window: Annotated[float, "seconds that a free worker waits for company to a request", MAY_BE_ZERO] = 0.0
    max_waiting: Annotated[int, "requests that may wait, half of them of one token, or else one key set"] = (
        1000
    )
    max_body_memory: Annotated[
        int, "bytes of bodies that are received or wait, half of one token", IN_BYTES
    ] = 2 * 10**9
    max_header_bytes: Annotated[int, "bytes of a request's head, and of the JSON in its body", IN_BYTES] = (
        65536
    )
    max_connections: Annotated[int, "connections; requests on more are answered by 503"] = 1000

    request_timeout: Annotated[float, "seconds that a request may take, and may ask for"] = 600.0
    keep_alive: Annotated[float, "seconds that a connection may idle; more than the load balancer's"] = 75.0
    head_timeout: Annotated[float, "seconds in which the head of a request must come"] = 20.0
    body_timeout: Annotated[float, "seconds in which a small body must come, or be taken"] = 20.0
    min_body_rate: Annotated[float, "bytes a second, by which larger bodies have more time"] = 20_000.0
    grace: Annotated[float, "seconds that running requests have when the server stops", MAY_BE_ZERO] = 30.0
    log_level: Annotated[str, "debug, info, warning or error"] = "info"

    def __post_init__(self) -> None:
        for name in _SETTINGS:
            value, may_be_zero = getattr(self, name), MAY_BE_ZERO in _marks(name)
            if isinstance(value, int | float) and not (value > 0 or (may_be_zero and value == 0)):
                raise ValueError(
                    f"{name} must be {'0 or more' if may_be_zero else 'more than 0'}, got {value}"
                )
        if not self.folders:
            raise ValueError("there is no model to serve: name the folders of models")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together; only one of them is given")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca asks clients for certificates, which needs tls_cert and tls_key")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise ValueError(f"log_level must be debug, info, warning or error, got {self.log_level!r}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **given: Any) -> ServerSettings:
        """Return the settings that environment variables make.

        Parameters
        ----------
        environment : mapping of str to str, optional
            The process's own if it is not given.
        **given
            Settings that go before the environment's, as values or as text; None is not given.

        Returns
        -------
        ServerSettings

        Raises
        ------
        ValueError
            If a setting is not known or its text cannot be read, naming it.
        """
        environment = os.environ if environment is None else environment
        unknown = sorted(set(given) - set(_SETTINGS))
        if unknown:
            raise ValueError(f"there is no setting {unknown[0]!r}; there are {', '.join(_SETTINGS)}")
        empty = [name for name in _PROTECTING if environment.get(PREFIX + name.upper()) == ""]
        if empty:
            raise ValueError(
                f"{PREFIX}{empty[0].upper()} is empty: unset it if the server is meant to be open without it"
            )
        values = {
            name: _read(name, environment[PREFIX + name.upper()])
            for name in _SETTINGS
            if environment.get(PREFIX + name.upper())
        }
        for name, value in given.items():
            if value is not None:
                values[name] = _read(name, value) if isinstance(value, str) else value
        return cls(**values)

    @staticmethod
    def describe() -> list[tuple[str, str, str]]:
        """Return the name, the default and the meaning of every setting."""
        defaults = {
            name: setting.default_factory() if callable(setting.default_factory) else setting.default
            for name, setting in _SETTINGS.items()
        }
        return [(name, str(defaults[name]), _marks(name)[0]) for name in _SETTINGS]


_SETTINGS = {setting.name: setting for setting in fields(ServerSettings)}
_HINTS = typing.get_type_hints(ServerSettings, include_extras=True)


def _documented() -> str:
    """Return what the class documents of its parameters: the one place that says it is above."""
    lines = []
    for name, setting in _SETTINGS.items():
        kind, meaning, *_ = typing.get_args(_HINTS[name])
        kind = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else kind
        default = "" if callable(setting.default_factory) else f", default={setting.default!r}"
        lines += [f"{name} : {kind}{default}", f"    {meaning[0].upper()}{meaning[1:]}."]
    return "\n    ".join(lines).replace("pathlib._local.", "").replace("pathlib.", "")


def _marks(name: str) -> tuple[str, ...]:
    """Return what a setting is for, and what is to be known of its values."""
    marks: tuple[str, ...] = _HINTS[name].__metadata__
    return marks


def _read(name: str, text: str) -> Any:
    """Return the value of a setting that was given as text."""
    kind = typing.get_args(_HINTS[name])[0]
    kinds = typing.get_args(kind) or (kind,)
    if name == "folders":
        return tuple(Path(each) for each in text.split(os.pathsep) if each)
    if type(None) in kinds and text.lower() == "none":
        return None
    try:
        if int in kinds:
            return read_size(text) if IN_BYTES in _marks(name) else int(text)
        if float in kinds:
            return float(text)
    except ValueError as error:
        raise ValueError(f"{name} cannot be {text!r}: {error}") from None
    return Path(text) if Path in kinds else text


def read_size(text: str) -> int:
    """Return a number of bytes that was written with a unit or without.

    Parameters
    ----------
    text : str
        Such as ``"20 GB"`` or ``"1000000"``.

    Returns
    -------
    int

    Raises
    ------
    ValueError
    """
    number = text.strip().upper()
    unit = next((unit for unit in ("KB", "MB", "GB", "TB") if number.endswith(unit)), "")
    try:
        return int(float(number.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise ValueError(f"expected bytes, such as 1000000 or 20 GB, got {text!r}") from None


if ServerSettings.__doc__:  # there is none under python -OO
    ServerSettings.__doc__ = ServerSettings.__doc__.format(parameters=_documented())
