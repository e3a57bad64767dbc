"""What the two files of a model say of it, without compiling anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skfhe.deployment._archive import read_archive
from skfhe.deployment._client_model import ClientModel
from skfhe.deployment._predictors import EstimatorPredictor, ModulePredictor
from skfhe.deployment._steps.after_steps import AfterSteps
from skfhe.deployment._values import from_values

if TYPE_CHECKING:
    from skfhe.circuit import CircuitSpecs
    from skfhe.cost import ErrorRate
    from skfhe.program import Program

__all__ = ["ModelFiles", "describe"]

NAMES = ("client.zip", "server.zip")


@dataclass(frozen=True, eq=False)
class ModelFiles:
    """What the files of a model say.

    Attributes
    ----------
    name : str
        Class of the estimator, or of the meta-estimator around several.
    methods : tuple of str
        What it answers; empty without ``client.zip``.
    steps : tuple of str
        Classes of what a client does to rows before.
    members : tuple
        The client's halves of the estimators inside, each with an encoder and a decoder; empty without
        ``client.zip``.
    specs : CircuitSpecs or None
        What ciphertexts look like; None without ``client.zip``.
    program : Program or None
        None without ``server.zip``.
    error_rate : ErrorRate or None
        That it was compiled for; None without ``server.zip``.
    batch_sizes : tuple of int
    file_bytes : dict of str to int
        Of each file that is there.
    circuit_id : str
    skfhe_version, engine_version : str
        That the files were written by.
    """

    name: str
    methods: tuple[str, ...]
    steps: tuple[str, ...]
    members: tuple[Any, ...]
    specs: CircuitSpecs | None
    program: Program | None
    error_rate: ErrorRate | None
    batch_sizes: tuple[int, ...]
    file_bytes: dict[str, int]
    circuit_id: str
    skfhe_version: str
    engine_version: str


def describe(source: str | os.PathLike[str]) -> ModelFiles:
    """Return what the files say that `save` wrote.

    Parameters
    ----------
    source : str or path-like
        The folder, or one of its two files: then what the other one says is not known.

    Returns
    -------
    ModelFiles

    Raises
    ------
    FileNotFoundError
        If there is neither file.
    ValueError
        If a file is anything else, was altered, is of a version that this skfhe does not read, or if the two
        are of different circuits.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.deployment import describe, save
    >>> from skfhe.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=200).fit(X, y)
    >>> circuit = model.compile()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, folder)
    ...     files = describe(folder)
    >>> files.name, files.program.output_bits
    ('LogisticRegression', [21])
    """
    paths = _files(Path(source))
    archives = {kind: read_archive(path, kind) for kind, path in paths.items()}  # type: ignore[arg-type]
    ids = {archive.circuit_id for archive in archives.values()}
    if len(ids) > 1:
        raise ValueError(
            f"client.zip and server.zip of {source} are of different circuits: one was replaced without the "
            "other. Save the model again"
        )
    any_archive = next(iter(archives.values()))
    client = ClientModel.read(paths["client"]) if "client" in paths else None
    saved: Any = None
    if "server" in archives:
        saved = from_values(archives["server"].values, archives["server"].arrays, "SavedProgram")
    return ModelFiles(
        name="" if client is None else _name(client.predictor),
        methods=() if client is None else client.predictor.methods,
        steps=() if client is None else tuple(_steps(client.predictor)),
        members=() if client is None else tuple(_members(client.predictor)),
        specs=None if client is None else client.specs,
        program=None if saved is None else saved.program,
        error_rate=None if saved is None else saved.error_rate,
        batch_sizes=client.specs.batch_sizes if client is not None else saved.batch_sizes,
        file_bytes={path.name: path.stat().st_size for path in paths.values()},
        circuit_id=any_archive.circuit_id,
        skfhe_version=any_archive.skfhe_version,
        engine_version=any_archive.engine_version,
    )


def _files(source: Path) -> dict[str, Path]:
    """Return the files by kind."""
    if source.is_dir():
        found = {name.removesuffix(".zip"): source / name for name in NAMES if (source / name).is_file()}
        if not found:
            raise FileNotFoundError(f"there is neither client.zip nor server.zip in {source}")
        return found
    if not source.exists():
        raise FileNotFoundError(f"there is no {source}")
    for kind in ("client", "server"):
        try:
            read_archive(source, kind)
        except ValueError as error:
            if kind == "server":
                raise ValueError(str(error)) from None
        else:
            return {kind: source}
    raise AssertionError


def _inside(predictor: Any) -> Iterator[Any]:
    """Yield the predictors that one is made of."""
    for field in fields(predictor) if is_dataclass(predictor) else ():
        value = getattr(predictor, field.name)
        for each in value if isinstance(value, tuple) else (value,):
            if hasattr(each, "encode") and hasattr(each, "answer"):
                yield each


def _members(predictor: Any) -> Iterator[Any]:
    if isinstance(predictor, EstimatorPredictor | ModulePredictor):
        yield predictor
        return
    for each in _inside(predictor):
        yield from _members(each)


def _name(predictor: Any) -> str:
    if isinstance(predictor, EstimatorPredictor):
        return predictor.rows.estimator
    if isinstance(predictor, ModulePredictor):
        return "network"
    if isinstance(predictor, AfterSteps):
        return _name(predictor.predictor)
    return f"{type(predictor).__name__} of {', '.join(dict.fromkeys(map(_name, _inside(predictor))))}"


def _steps(predictor: Any) -> Iterator[str]:
    """Yield the classes of the steps before, in order."""
    if isinstance(predictor, AfterSteps):
        steps = getattr(predictor.steps, "steps", (predictor.steps,))
        yield from (type(getattr(step, "step", step)).__name__ for step in steps)
        yield from _steps(predictor.predictor)
