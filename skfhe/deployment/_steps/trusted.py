"""Steps that stay scikit-learn's own, in skops' format, for a client that has both and trusts their types."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from skfhe.deployment._steps.tables import Table

__all__ = ["KeptStep", "LoadedStep", "load_kept_steps", "type_of_kept"]

_NOT_SKOPS = (zipfile.BadZipFile, LookupError, TypeError, ValueError, RuntimeError, EOFError, OSError)
"""What a zip file or JSON raises that is none, or not as skops writes it."""


@dataclass(frozen=True, eq=False)
class KeptStep:
    """A transformer in skops' format; nothing of it is loaded before its types are trusted.

    Parameters
    ----------
    place : str
        Where it stands in the pipeline, for messages.
    data : bytes
    """

    place: str
    data: bytes

    def transform(self, rows: Any) -> Any:
        """Raise a ValueError: it has to be loaded first."""
        raise ValueError(
            f"{self.place} is kept in skops' format. Name the types in it that you trust: "
            f"Client(..., trusted=[{type_of_kept(self.data)!r}, …])."
        )


@dataclass(frozen=True, eq=False)
class LoadedStep:
    """A transformer of scikit-learn, on a client that has it.

    Parameters
    ----------
    transformer : estimator
    """

    transformer: Any

    def transform(self, rows: Any) -> Any:
        """Return what the transformer gives, dense where it is sparse."""
        if isinstance(rows, Table):
            import pandas as pd

            columns = dict(enumerate(rows.values))
            rows = pd.DataFrame(columns if rows.block is None else rows.block).set_axis(
                list(rows.columns), axis=1
            )
        output = self.transformer.transform(rows)
        return output.toarray() if hasattr(output, "toarray") else output


def type_of_kept(data: bytes) -> str:
    """Return the full name of a kept transformer's class, without loading anything."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            # skops reads all of them; what is not compressed, and not read twice, takes no more than is there
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(
                entry.file_size for entry in entries
            ) > len(data):
                raise ValueError("it is compressed")
            schema = json.loads(archive.read("schema.json"))
        return f"{schema['__module__']}.{schema['__class__']}"
    except _NOT_SKOPS as error:
        raise ValueError(f"A step is not in skops' format: {error}") from error


def load_kept_steps(steps: Any, trusted: Collection[str] = ()) -> Any:
    """Return a step or predictor with all transformers in it that skops keeps loaded.

    Parameters
    ----------
    steps : dataclass
    trusted : collection of str
        Full names of the types that may be loaded: the class of each kept transformer, and whatever is in it
        that skops does not trust by itself.

    Returns
    -------
    dataclass
        The same object if it keeps none.

    Raises
    ------
    ValueError
        If a type is not among the trusted ones. Nothing is loaded then.
    ImportError
        If skops or scikit-learn is not installed.
    """
    if isinstance(steps, KeptStep):
        return LoadedStep(_loaded(steps, frozenset(trusted)))
    if isinstance(steps, tuple):
        loaded = tuple(load_kept_steps(step, trusted) for step in steps)
        return steps if all(new is old for new, old in zip(loaded, steps, strict=True)) else loaded
    if not dataclasses.is_dataclass(steps) or isinstance(steps, type):
        return steps
    old = {field.name: getattr(steps, field.name) for field in dataclasses.fields(steps) if field.init}
    new = {name: load_kept_steps(value, trusted) for name, value in old.items()}
    changed = {name: value for name, value in new.items() if value is not old[name]}
    return dataclasses.replace(steps, **changed) if changed else steps


def _loaded(step: KeptStep, trusted: frozenset[str]) -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise ImportError(
            f"{step.place} is kept in skops' format: the client needs skops and scikit-learn. "
            'Install them: pip install "skfhe[skops]", or "skops>=0.12" alone where the client was installed '
            "without torch and the engine."
        ) from error
    data = step.data
    needed = {type_of_kept(data), *skops.io.get_untrusted_types(data=data)}
    if not needed <= trusted:
        raise ValueError(
            f"{step.place} has types not trusted: {sorted(needed - trusted)}. Nothing was loaded. If "
            f"you trust who wrote the file, name them: Client(..., trusted={sorted(needed)})."
        )
    return skops.io.loads(data, trusted=sorted(trusted))
