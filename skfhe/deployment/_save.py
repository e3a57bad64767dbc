"""Writing what each of two machines needs of a model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skfhe.deployment._archive import packed, write_files
from skfhe.deployment._client_model import ClientModel
from skfhe.deployment._programs import SavedProgram
from skfhe.deployment._rows import frames_to_caller
from skfhe.deployment._values import to_values
from skfhe.exceptions import UnsupportedModelError
from skfhe.program import IntegerType

if TYPE_CHECKING:
    from skfhe.circuit import CircuitSpecs, CompiledCircuit

__all__ = ["save"]


def save(
    model: Any, folder: str | os.PathLike[str], *, overwrite: bool = False, trusted: Collection[str] = ()
) -> None:
    """Write ``client.zip`` and ``server.zip`` of a compiled model.

    Parameters
    ----------
    model : estimator, Pipeline, search or QuantizedModule
        Fitted and compiled. Of a search, its best estimator; steps before the estimator of a pipeline run on
        the client.
    folder : str or path-like
        Made if it is missing. Its name is the model's name on a server.
    overwrite : bool, default=False
        Replace files that are there.
    trusted : collection of str, default=()
        Full names of types, such as ``"my_package.MyScaler"``. A step before the estimator that a client
        cannot compute by itself is kept in skops' format if its class, and whatever else is in it that skops
        does not trust, is among them. The client then needs scikit-learn and skops, and to be given the same
        names.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    NotCompiledError
        If it is not compiled.
    UnsupportedModelError
        If a part of it cannot be evaluated by a client and a server in one round, or its evaluation keys are
        too large to be sent; the message says which.
    FileExistsError
        If there is such a file, unless ``overwrite``.
    ValueError
        If the model is too large for such a file, or was compiled with options of the engine that files do
        not hold.

    Warns
    -----
    UserWarning
        If ranges of accumulators were seen on calibration rows alone.

    Notes
    -----
    Each file appears at once and complete. If the process ends between the two, a new one may lie beside an
    old one, which `Server` notices: they have other circuit ids.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.deployment import save
    >>> from skfhe.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=200).fit(X, y)
    >>> circuit = model.compile()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, folder)
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['client.zip', 'server.zip']
    """
    from skfhe.deployment._reading import read_predictor

    folder = Path(folder)
    found = [str(folder / name) for name in ("client.zip", "server.zip") if (folder / name).exists()]
    if found and not overwrite:
        raise FileExistsError(
            f"{' and '.join(found)} exist(s); give another folder, or overwrite=True to replace the model"
        )
    reading = read_predictor(model, trusted)
    compiled = _joined(reading.members)
    _check_keys(model, compiled)
    _warn_of_calibrated_ranges(compiled)
    try:
        client = ClientModel(reading.predictor, _public(compiled.specs)).to_bytes()
    except TypeError as error:
        raise UnsupportedModelError(
            f"a part of this {type(model).__name__} cannot be written: {error}"
        ) from error
    server = packed("server", *to_values(SavedProgram.of(compiled)), compiled.specs.circuit_id)
    write_files(folder, {"server.zip": server, "client.zip": client})


def _check_keys(model: Any, compiled: CompiledCircuit) -> None:
    """Raise an error for a model whose keys no client could send, before a client has generated them."""
    from skfhe.circuit import sent_key_bytes

    try:
        sent_key_bytes(part.parameters for part in compiled.specs.parts)
    except ValueError as error:
        raise UnsupportedModelError(
            f"this {type(model).__name__} cannot be saved for two machines: {error}. They are smaller with "
            "narrower accumulators: fewer bits (n_bits, rounding_threshold_bits, module__n_accum_bits), or a "
            "larger p_error"
        ) from error


def _warn_of_calibrated_ranges(compiled: CompiledCircuit) -> None:
    """Warn of intervals that rows can leave, which neither of two machines can notice."""
    if compiled.program.range_source == "calibrated":
        warnings.warn(
            "the ranges of this model's accumulators were seen on calibration rows, not proven. In one "
            "process, rows that leave them are refused; between two machines nobody can check that, and such "
            'rows get wrong results. Use range_source="proven" where rows may be unlike those of calibration',
            UserWarning,
            stacklevel=frames_to_caller(),
        )


def _public(specs: CircuitSpecs) -> CircuitSpecs:
    """Return what a client may know of a circuit: not the intervals of its outputs, but their width alone.

    Sums of weights are the ends of those intervals: with one feature, they are its weights.
    """
    outputs = []
    for kind in specs.outputs:
        half = 1 << (kind.bits - 1)
        low, high = (-half, half - 1) if kind.min < 0 else (0, 2 * half - 1)
        outputs.append(IntegerType.of(low, high, kind.shape))
    return replace(specs, outputs=tuple(outputs))


def _joined(members: tuple[CompiledCircuit, ...]) -> CompiledCircuit:
    """Return one circuit of those of all members."""
    if len(members) == 1:
        return members[0]
    from skfhe.circuit import CompiledCircuit
    from skfhe.cost import ErrorRate, lookup_p_error
    from skfhe.program import join

    options = [SavedProgram.of(member).options for member in members]
    if any(other != options[0] for other in options):
        raise ValueError(
            "the members were compiled with different options; compile all of them with the same"
        )
    rates = [lookup_p_error(member.program, member.error_rate) for member in members]
    program = join([member.program for member in members])
    return CompiledCircuit(program, ErrorRate(min(rates)), members[0].configuration, None)
