"""``client.zip`` and ``server.zip``: a manifest, values as JSON, and the bytes of arrays.

Both are zip files of three entries, stored and not compressed, so that the same model has the same bytes
wherever it was saved, and a file never becomes larger than it is:

``manifest.json``
    The format's name, the schema's version, which half it is, the circuit's id, the versions that wrote it,
    and size and SHA-256 of the other two.
``model.json``
    Type and shape of each array, and the values, as `skfhe.deployment._values` writes them.
``arrays.bin``
    The arrays one after the other, little-endian, each at a multiple of eight bytes.

The halves of a model have the circuit's id in common. It is computed from what is evaluated, so that halves
which do not belong together are noticed wherever they meet: by `Server` in a folder, in every batch, and in
evaluation keys.

Changing the schema
-------------------

`SCHEMA_VERSION` says how a file is to be read. It stays while files that were written before still mean the
same, and rises with every other change:

- It stays for a new class in the table of values, and for a new field of a class whose default is what all
  files meant that lack it. An older skfhe names the class or the field that it does not know, and the version
  that wrote it.
- It rises where a field changes its meaning, its type or its name, where a field or a class is dropped, and
  for any change of the three entries.
- Whoever raises it adds to `_LOADERS` what turns values of the version before into those of the new one, and
  keeps the loaders of all earlier ones, and a pair of files of the version before in
  ``tests/deployment/fixtures``.

A manifest's fields ``format``, ``schema_version`` and ``skfhe_version`` are the same in all versions, so that
each can say what it was given.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import secrets
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

import skfhe
from skfhe._typing import Array

__all__ = ["SCHEMA_VERSION", "Archive", "Kind", "packed", "read_archive", "write_files"]

Kind = Literal["client", "server"]

FORMAT = "skfhe-model"
SCHEMA_VERSION = 1
_LOADERS: dict[int, Callable[[Any], Any]] = {}
"""By version, what turns its values into those of the next."""

_ENTRIES = ("manifest.json", "model.json", "arrays.bin")
_EPOCH = (1980, 1, 1, 0, 0, 0)
MOST_BYTES = (1 << 32) - (1 << 20)
"""Of a file: beyond them zip files have another form."""
MOST_MANIFEST_BYTES = 1 << 14
MOST_VALUE_BYTES = 1 << 28
_ALIGNMENT = 8
_TYPES = (
    "|b1",
    "|i1",
    "|u1",
    *(f"<{kind}" for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8")),
)
_END = struct.Struct("<4s4H2LH")
"""The record at a zip file's end: signature, disks, entries twice, directory's size and place, comment."""
_ENGINE = "concrete-python"


@dataclass(frozen=True, eq=False)
class Archive:
    """What was read of a file, all of it checked but the values.

    Parameters
    ----------
    kind : {"client", "server"}
    circuit_id : str
    values : dict
    arrays : tuple of ndarray
        Read-only views of one buffer.
    digest : str
        SHA-256 of the file, in hexadecimal.
    skfhe_version, engine_version : str
        That it was written by.
    """

    kind: Kind
    circuit_id: str
    values: Any
    arrays: tuple[Array, ...]
    digest: str
    skfhe_version: str
    engine_version: str


# Writing.


def packed(kind: Kind, values: Any, arrays: Sequence[Array], circuit_id: str) -> bytes:
    """Return the bytes of a file.

    Parameters
    ----------
    kind : {"client", "server"}
    values : dict
        Of what JSON can say.
    arrays : sequence of ndarray
        Little-endian.
    circuit_id : str

    Returns
    -------
    bytes
        The same for the same arguments, under the same versions of skfhe and the engine.

    Raises
    ------
    ValueError
        If the model is too large for such a file.
    """
    described = [{"dtype": each.dtype.str, "shape": [*each.shape]} for each in arrays]
    model = _json({"arrays": described, "values": values})
    data = b"".join(part for each in arrays for part in (each.tobytes(), bytes(-each.nbytes % _ALIGNMENT)))
    if len(model) > MOST_VALUE_BYTES or len(model) + len(data) > MOST_BYTES - (1 << 20):
        raise ValueError(
            f"this model takes {(len(model) + len(data)) / 2**20:.0f} MiB, and a file holds at most "
            f"{MOST_BYTES >> 20}, {MOST_VALUE_BYTES >> 20} of them beside arrays"
        )
    manifest = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "circuit_id": circuit_id,
        "skfhe_version": skfhe.__version__,
        "engine_version": engine_version(),
        "files": {
            name: _described(content) for name, content in zip(_ENTRIES[1:], (model, data), strict=True)
        },
    }
    return _zipped((_json(manifest), model, data))


def _zipped(contents: Sequence[bytes | memoryview]) -> bytes:
    """Return the zip file of the three entries: there is one way to write it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in zip(_ENTRIES, contents, strict=True):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _json(values: Any) -> bytes:
    return json.dumps(values, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()


def _described(content: bytes | memoryview) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def engine_version() -> str:
    """Return the version of the engine that is installed, empty if none is; it is not imported."""
    try:
        return metadata.version(_ENGINE)
    except metadata.PackageNotFoundError:
        return ""


def write_files(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files of a folder such that each is either as before or complete.

    All are on the disk under temporary names before the first is renamed. Who is interrupted between two
    renames leaves complete files that do not belong together, which have other circuit ids.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    contents : dict of str to bytes
        By name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waiting: dict[str, Path] = {}
    try:
        for name, content in contents.items():
            waiting[name] = folder / f".{name}.{secrets.token_hex(8)}.part"
            with open(waiting[name], "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name in contents:
            os.replace(waiting[name], folder / name)
            del waiting[name]
        _sync(folder)
    finally:
        for temporary in waiting.values():
            temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Reading.


def read_archive(source: str | os.PathLike[str] | bytes, kind: Kind) -> Archive:
    """Return what a file holds, having checked all of it but the values.

    Parameters
    ----------
    source : str, path-like or bytes
        The file, the folder that it lies in, or its content.
    kind : {"client", "server"}
        Which half it has to be.

    Returns
    -------
    Archive

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, or was altered, or is of a version that this skfhe does not read; nothing
        was made of it then.
    """
    name, data = _content(source, kind)
    try:
        return _unpacked(data, kind)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read: {error}") from (error.__cause__ or None)


def _content(source: str | os.PathLike[str] | bytes, kind: Kind) -> tuple[str, bytes]:
    """Return what to call a source, and its bytes."""
    if isinstance(source, bytes | bytearray | memoryview):
        return f"{kind}.zip", bytes(source)
    path = Path(source)
    if path.is_dir():
        path = path / f"{kind}.zip"
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size} bytes, and a {kind}.zip at most {MOST_BYTES}")
    return str(path), path.read_bytes()


def _unpacked(data: bytes, kind: Kind) -> Archive:
    contents = _entries(data)
    manifest = _manifest(contents["manifest.json"])
    _check_version(manifest)
    if manifest.keys() != {
        *("format", "schema_version", "kind", "circuit_id", "skfhe_version", "engine_version", "files")
    }:
        raise ValueError("its manifest has other fields than it should")
    if manifest["kind"] != kind:
        raise ValueError(
            f"it is a {_said(manifest['kind'])} file, expected the {kind}'s: client.zip is for who encrypts "
            "and decrypts, server.zip for who evaluates"
        )
    circuit_id, engine = manifest["circuit_id"], manifest["engine_version"]
    if not _is_digest(circuit_id) or not isinstance(engine, str) or len(engine) > 64:
        raise ValueError("its manifest has fields that cannot be")
    expected = {name: _described(contents[name]) for name in _ENTRIES[1:]}
    if manifest["files"] != expected:
        raise ValueError("its content has other sizes or checksums than its manifest says: it was altered")
    model = _parsed(contents["model.json"], "model.json")
    if not isinstance(model, dict) or model.keys() != {"arrays", "values"}:
        raise ValueError("its model.json has other fields than it should")
    values = model["values"]
    for version in range(manifest["schema_version"], SCHEMA_VERSION):
        values = _LOADERS[version](values)
    return Archive(
        kind,
        circuit_id,
        values,
        _arrays(model["arrays"], contents["arrays.bin"]),
        hashlib.sha256(data).hexdigest(),
        manifest["skfhe_version"],
        engine,
    )


def _entries(data: bytes) -> dict[str, memoryview]:
    """Return the three entries of a zip file, without a copy."""
    if not data.startswith(b"PK\x03\x04") or len(data) < _END.size:
        raise ValueError(f"expected a zip file, which begins with b'PK', got {data[:4]!r} …")
    signature, *disks, n_here, n_entries, _, _, comment = _END.unpack(data[-_END.size :])
    if signature != b"PK\x05\x06" or any(disks) or comment:
        raise ValueError("its end is missing, or something follows it: it was truncated or altered")
    if not n_here == n_entries == len(_ENTRIES):
        raise ValueError(f"it has {n_entries} entries, expected {', '.join(_ENTRIES)}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = archive.infolist()
            if [entry.orig_filename for entry in found] != [*_ENTRIES]:
                names = [_said(entry.orig_filename) for entry in found]
                raise ValueError(f"it has the entries {', '.join(names)}; expected {', '.join(_ENTRIES)}")
            most = dict(zip(_ENTRIES, (MOST_MANIFEST_BYTES, MOST_VALUE_BYTES, MOST_BYTES), strict=True))
            contents = {}
            for entry in found:
                if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits:
                    raise ValueError(f"{entry.filename} is compressed or encrypted; its writer does neither")
                if not entry.file_size == entry.compress_size <= min(len(data), most[entry.filename]):
                    raise ValueError(f"{entry.filename} states {entry.file_size} bytes, which it cannot have")
                with archive.open(entry) as file:
                    contents[entry.filename] = memoryview(file.read(entry.file_size))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, struct.error) as error:
        raise ValueError(f"it was truncated or altered: {error}") from error
    if _zipped([contents[name] for name in _ENTRIES]) != data:
        raise ValueError("its entries are not packed as they were written: it was altered, or packed anew")
    return contents


def _manifest(content: memoryview) -> dict[str, Any]:
    manifest = _parsed(content, "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"its manifest is not that of {FORMAT!r}, which skfhe.deployment.save writes")
    return manifest


def _check_version(manifest: dict[str, Any]) -> None:
    """Raise an error, which says what to install, for a file of another schema."""
    version, writer = manifest.get("schema_version"), manifest.get("skfhe_version")
    if type(version) is not int or not isinstance(writer, str) or not _is_version(writer):
        raise ValueError("its manifest does not say which version of skfhe wrote it")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"it is newer: skfhe {writer} wrote it by schema {version}, and this is skfhe "
            f"{skfhe.__version__}, which reads {SCHEMA_VERSION}. Install skfhe>={writer} here"
        )
    oldest = min(_LOADERS, default=SCHEMA_VERSION)
    if version < oldest:
        raise ValueError(
            f"it is older: skfhe {writer} wrote it by schema {version}, and this is skfhe "
            f"{skfhe.__version__}, which reads {oldest} to {SCHEMA_VERSION}. Save the model again, or "
            f"install skfhe=={writer}"
        )


def _is_version(text: str) -> bool:
    return 0 < len(text) <= 64 and all(letter.isalnum() or letter in ".+-" for letter in text)


def _is_digest(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 64 and not set(text) - set("0123456789abcdef")


def _parsed(content: memoryview, name: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number of JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name is given twice")
        return found

    try:
        return json.loads(bytes(content), parse_constant=refuse, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its {name} is not what was written: {error}") from error


def _arrays(described: Any, data: memoryview) -> tuple[Array, ...]:
    """Return the arrays that lie one after the other, as read-only views."""
    if not isinstance(described, list):
        raise ValueError("its model.json describes no arrays")
    found, start = [], 0
    for number, each in enumerate(described):
        if not isinstance(each, dict) or each.keys() != {"dtype", "shape"} or each["dtype"] not in _TYPES:
            raise ValueError(f"array {number} is of no type that files hold: {_said(each)}")
        shape = each["shape"]
        if (
            not isinstance(shape, list)
            or len(shape) > 8
            or not all(type(n) is int and 0 <= n <= MOST_BYTES for n in shape)
        ):
            raise ValueError(f"array {number} has the shape {_said(shape)}")
        kind = np.dtype(each["dtype"])
        size = math.prod(shape) * kind.itemsize
        if start + size > len(data):
            raise ValueError(f"array {number} states {size} bytes, and {len(data) - start} are left")
        array = np.frombuffer(data[start : start + size], dtype=kind).reshape(shape)
        if kind == np.bool_ and array.size and array.view(np.uint8).max() > 1:
            raise ValueError(f"array {number} has truth values that are neither 0 nor 1")
        array.flags.writeable = False
        found.append(array)
        start += size + -size % _ALIGNMENT
    if start != len(data):
        raise ValueError(f"its arrays have {start} bytes, and there are {len(data)}")
    return tuple(found)


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
