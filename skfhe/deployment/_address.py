"""Where a model is on a server."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

__all__ = ["Address"]

_MODEL = re.compile(r"(?P<prefix>.*)/v2/models/(?P<name>[^/]+)(/versions/(?P<version>[^/]+))?")


@dataclass(frozen=True)
class Address:
    """Where a model is.

    Parameters
    ----------
    root : str
        Of the server, without a slash at its end.
    name, version : str or None
        None stands for the only model of a server, and for the version that it chooses.
    """

    root: str
    name: str | None = None
    version: str | None = None

    @classmethod
    def read(cls, url: str) -> "Address":
        """Return the parts of an address as a user gives it."""
        forms = "http[s]://HOST[:PORT][/MODEL], or …/v2/models/MODEL[/versions/VERSION]"
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected the address of a server, {forms}, got {url!r}")
        if "@" in parts.netloc:
            raise ValueError("an address with a name or password in it is shown in messages; pass token=")
        if parts.query or parts.fragment:
            raise ValueError(f"expected {forms}, got {url!r}, which has more after the path")
        host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        found = _MODEL.fullmatch(path)
        if found:
            version = found["version"]
            return cls(host + found["prefix"], unquote(found["name"]), version and unquote(version))
        if path.count("/") > 1:
            raise ValueError(f"expected {forms}, got {url!r}")
        return cls(host, unquote(path[1:]) or None)

    @property
    def path(self) -> str:
        """Of the model's own addresses."""
        assert self.name is not None  # it has been looked for
        version = "" if self.version is None else f"/versions/{quote(self.version, safe='')}"
        return f"/v2/models/{quote(self.name, safe='')}{version}"
