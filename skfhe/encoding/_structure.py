"""What a network returns, besides arrays: dictionaries, lists and tuples around them."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from keyword import iskeyword
from typing import Any, Literal

__all__ = ["Structure", "structured"]


@dataclass(frozen=True, eq=False)
class Structure:
    """A value, nothing, or a container of further ones.

    Parameters
    ----------
    kind : {"value", "nothing", "tuple", "list", "dict", "named tuple"}
    name : str, default=""
        Of the class of a named tuple.
    keys : sequence of str, default=()
        Of a dictionary, or the fields of a named tuple.
    parts : sequence of Structure, default=()
        What is in it.

    Examples
    --------
    >>> value = Structure("value")
    >>> pair = Structure("named tuple", "Pair", ("first", "second"), (value, value))
    >>> Structure("dict", keys=("pair", "rest"), parts=(pair, Structure("nothing"))).of([1, 2])
    {'pair': Pair(first=1, second=2), 'rest': None}
    """

    kind: Literal["value", "nothing", "tuple", "list", "dict", "named tuple"]
    name: str = ""
    keys: Sequence[str] = ()
    parts: Sequence[Structure] = ()

    def __post_init__(self) -> None:
        keyed = self.kind in ("dict", "named tuple")
        if len(set(self.keys)) != len(self.keys) or len(self.keys) != (len(self.parts) if keyed else 0):
            raise ValueError(f"the keys {[*self.keys]} do not fit {len(self.parts)} part(s) of a {self.kind}")
        if self.parts and self.kind in ("value", "nothing"):
            raise ValueError(f"a {self.kind} has no parts")
        if self.kind == "named tuple":
            hidden = [key for key in self.keys if key.startswith("_")]
            wrong = [name for name in (self.name, *self.keys) if not name.isidentifier() or iskeyword(name)]
            if hidden or wrong:
                raise ValueError(f"no named tuple has the name or the fields {[*hidden, *wrong]}")

    @property
    def n_values(self) -> int:
        """How many values are in it."""
        return int(self.kind == "value") + sum(part.n_values for part in self.parts)

    @property
    def is_plain(self) -> bool:
        """Whether it is one value, or a tuple of values."""
        return self.kind == "value" or (
            self.kind == "tuple" and all(part.kind == "value" for part in self.parts)
        )

    def of(self, values: Sequence[Any]) -> Any:
        """Return values in their places.

        Raises
        ------
        ValueError
            If they are more or fewer than there are places.
        """
        if len(values) != self.n_values:
            raise ValueError(f"expected {self.n_values} value(s), got {len(values)}")
        return self._filled(iter(values))

    def _filled(self, values: Iterator[Any]) -> Any:
        if self.kind == "value":
            return next(values)
        if self.kind == "nothing":
            return None
        parts = [part._filled(values) for part in self.parts]
        if self.kind == "dict":
            return dict(zip(self.keys, parts, strict=True))
        if self.kind == "named tuple":
            return _class_of(self.name, tuple(self.keys))(*parts)
        return parts if self.kind == "list" else tuple(parts)


@cache
def _class_of(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields)


def structured(values: Sequence[Any], structure: Structure | None) -> Any:
    """Return the outputs of a network as it returns them.

    Without a structure that is the only one of them, or all in a tuple.
    """
    if structure is not None:
        return structure.of(values)
    return values[0] if len(values) == 1 else tuple(values)
