"""The models that a server has, each with its versions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from skfhe.circuit import CircuitSpecs, KeyStream
from skfhe.deployment._client_model import ClientModel
from skfhe.deployment._server import Server
from skfhe.deployment._serving._errors import RequestError
from skfhe.deployment._serving._protocol import INPUT, OUTPUT, most_body_bytes, tensor

__all__ = ["ModelRepository", "ServedModel", "read_models"]

SERVER_FILE, CLIENT_FILE = "server.zip", "client.zip"
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_WORD_BYTES = 8
_FRAME_BYTES = 1024
"""More than a batch has besides what is encrypted, once and again for each input."""


@dataclass(frozen=True, eq=False, repr=False)
class ServedModel:
    """One version of a model.

    Parameters
    ----------
    name, version : str
    folder : Path
        In which its ``server.zip`` is.
    client_file : bytes
        What its clients get.
    digest : str
        SHA-256 of that.
    specs : CircuitSpecs
        What its ciphertexts and keys look like.
    """

    name: str
    version: str
    folder: Path
    client_file: bytes
    digest: str
    specs: CircuitSpecs

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one encrypted row, as it is sent."""
        forms = [form for part in self.specs.parts for form in part.forms("inputs")]
        return sum(form.size for form in forms) * _WORD_BYTES

    @cached_property
    def key_bytes(self) -> int:
        """Bytes of the evaluation keys, as they are sent."""
        return KeyStream(self.specs, "0" * 64).n_bytes

    def most_request_bytes(self, max_rows: int, max_header_bytes: int) -> int:
        """Return the limit of the body of an infer request."""
        frame = _FRAME_BYTES * (1 + len(self.specs.inputs))
        return most_body_bytes(max_rows * self.row_bytes + frame, max_header_bytes)

    def metadata(self, versions: Iterable[str], max_rows: int, max_header_bytes: int) -> dict[str, Any]:
        """Return what the protocol has a server tell of a model, and under ``parameters`` what is ours.

        Parameters
        ----------
        versions : iterable of str
            That there are of the model.
        max_rows, max_header_bytes : int
            Limits of the server.
        """
        return {
            "name": self.name,
            "versions": list(versions),
            "platform": "skfhe",
            "inputs": [tensor(INPUT)],
            "outputs": [tensor(OUTPUT)],
            "parameters": {
                "version": self.version,
                "circuit_id": self.specs.circuit_id,
                "client_sha256": self.digest,
                "client_bytes": len(self.client_file),
                "key_bytes": self.key_bytes,
                "max_key_bytes": self.key_bytes,
                "row_bytes": self.row_bytes,
                "max_rows": max_rows,
                "max_request_bytes": self.most_request_bytes(max_rows, max_header_bytes),
            },
        }


class ModelRepository:
    """Models by name and version.

    Parameters
    ----------
    models : iterable of ServedModel
    """

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self._versions: dict[str, dict[str, ServedModel]] = {}
        for model in models:
            versions = self._versions.setdefault(model.name, {})
            if model.version in versions:
                raise ValueError(
                    f"{versions[model.version].folder} and {model.folder} are both model {model.name!r}, "
                    "which is the name of the folder: rename one, or make them numbered folders in one"
                )
            versions[model.version] = model

    def __iter__(self) -> Iterator[ServedModel]:
        return (model for versions in self._versions.values() for model in versions.values())

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return sorted(self._versions)

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, ascending."""
        return sorted(self._versions[name], key=int)

    def get(self, name: str, version: str | None = None) -> ServedModel:
        """Return a version of a model, by default the highest.

        Parameters
        ----------
        name : str
        version : str or None

        Returns
        -------
        ServedModel

        Raises
        ------
        RequestError
            If there is none.
        """
        if name not in self._versions:
            raise RequestError(
                404, "there is no such model; GET /v2/models names those that are", "unknown_model"
            )
        wanted = self.versions(name)[-1] if version is None else version
        if wanted not in self._versions[name]:
            known = ", ".join(self.versions(name))
            raise RequestError(404, f"the model has no such version; there are {known}", "unknown_model")
        return self._versions[name][wanted]


def read_models(folders: Iterable[Path]) -> ModelRepository:
    """Return the models in folders.

    Parameters
    ----------
    folders : iterable of Path
        Each has what `save` wrote, or numbered folders that have, which are versions.

    Returns
    -------
    ModelRepository

    Raises
    ------
    FileNotFoundError
        If there is no model in a folder, or only a half of it.
    ValueError
        If a file cannot be read, or two models have one name.
    """
    return ModelRepository(model for folder in folders for model in _read_folder(folder))


def _read_folder(folder: Path) -> Iterator[ServedModel]:
    """Yield the versions of one model."""
    name, folder = Path(os.path.abspath(folder)).name, folder.resolve()  # of a link, its own name
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; name the folder that save wrote the model to")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a model's name: use letters, digits, '.', '_' and '-'")
    if (folder / SERVER_FILE).exists():
        yield _read_model(folder, name, "1")
        return
    versions = [each for each in folder.iterdir() if re.fullmatch("[1-9][0-9]{0,17}", each.name)]
    if not versions:
        inside = sorted(each.parent.name for each in folder.glob(f"*/{SERVER_FILE}"))
        hint = f"; it has folders that have one: {', '.join(inside)}" if inside else ""
        raise FileNotFoundError(
            f"{folder} has no {SERVER_FILE}, and no numbered folders of versions{hint}. Name the folder that "
            "save wrote the model to"
        )
    for each in sorted(versions, key=lambda path: int(path.name)):
        yield _read_model(each, name, each.name)


def _read_model(folder: Path, name: str, version: str) -> ServedModel:
    """Return the model of which the two halves are in ``folder``."""
    for file in (SERVER_FILE, CLIENT_FILE):
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f"{folder} has no {file}; save writes both {SERVER_FILE} and {CLIENT_FILE}"
            )
    data = (folder / CLIENT_FILE).read_bytes()
    client = ClientModel.read(data)
    Server(folder)  # raises an error if the two are not of one model, or a worker could not read its half
    assert client.digest is not None  # it was read
    return ServedModel(name, version, folder, data, client.digest, client.specs)
