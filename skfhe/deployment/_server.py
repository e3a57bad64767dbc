"""The half of a model that evaluates ciphertexts, in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from skfhe.deployment._archive import engine_version, read_archive
from skfhe.deployment._programs import SavedProgram
from skfhe.deployment._values import from_values

if TYPE_CHECKING:
    from skfhe.circuit import Batch, CircuitSpecs, CompiledCircuit, EvaluationKeys

__all__ = ["Server"]


class Server:
    """A model that evaluates ciphertexts and can decrypt none.

    Parameters
    ----------
    source : str, path-like or bytes
        ``server.zip``, the folder that it lies in, or its content.

    Attributes
    ----------
    circuit_id : str
        Names what is evaluated; batches and ``client.zip`` have to be of the same.
    digest : str
        SHA-256 of ``server.zip``, in hexadecimal.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is anything else, was altered, is of a version that this skfhe does not read, or lies beside a
        ``client.zip`` of another circuit.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skfhe.deployment import Server, save
    >>> from skfhe.linear_model import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=200).fit(X, y)
    >>> circuit = model.compile()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, folder)
    ...     server = Server(folder)
    >>> session = circuit.session  # in another process, `Client` has this
    >>> batch = session.encrypt(*model.encoder_.encode(X[:1]))
    >>> result = server.run(batch.to_bytes(), session.evaluation_keys.to_bytes())
    >>> bool(model.decoder_.decode(*session.decrypt(result)).argmax() == y[0])
    True
    """

    def __init__(self, source: str | os.PathLike[str] | bytes) -> None:
        archive = read_archive(source, "server")
        if not isinstance(source, bytes):
            _check_pair(Path(source), archive.circuit_id)
        self._saved: SavedProgram = from_values(archive.values, archive.arrays, "SavedProgram")
        self.circuit_id = archive.circuit_id
        self.digest = archive.digest
        self._engine_version = archive.engine_version
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Server(circuit {self.circuit_id[:12]}…)"

    @cached_property
    def compiled(self) -> CompiledCircuit:
        """The circuit, compiled on first use and found to be that of the file.

        Raises
        ------
        ValueError
            If the engine that is installed makes another circuit of the program: it has other parameters,
            and keys and ciphertexts for the one are noise to the other.
        """
        with self._lock:
            if "compiled" in vars(self):
                found: CompiledCircuit = vars(self)["compiled"]
                return found
            compiled = self._saved.compiled()
            if compiled.specs.circuit_id != self.circuit_id:
                installed = engine_version()
                if installed == self._engine_version:
                    raise ValueError(
                        "server.zip holds another program than it was saved with: it compiles to circuit "
                        f"{compiled.specs.circuit_id[:12]}…, and the file names {self.circuit_id[:12]}…"
                    )
                raise ValueError(
                    f"server.zip was saved with concrete-python {self._engine_version}, and "
                    f"{installed or 'none'} is installed, which compiles the program to other parameters; "
                    f"install concrete-python=={self._engine_version}, or save the model again and give "
                    "clients the new client.zip"
                )
            vars(self)["compiled"] = compiled
            return compiled

    def load(self) -> Server:
        """Compile now, rather than on first use.

        Returns
        -------
        Server
            This one. Errors are those of `compiled`.
        """
        self.compiled  # noqa: B018
        return self

    @property
    def specs(self) -> CircuitSpecs:
        """What keys and ciphertexts look like."""
        return self.compiled.specs

    def run(self, ciphertexts: Batch | bytes, keys: EvaluationKeys | bytes) -> Batch:
        """Evaluate the model on one encrypted batch.

        Parameters
        ----------
        ciphertexts : Batch or bytes
            As ``Client.encrypt`` returns them, or what ``to_bytes`` made of that.
        keys : EvaluationKeys or bytes
            As ``Client.evaluation_keys`` returns them, or what ``to_bytes`` made of that.

        Returns
        -------
        Batch
            For ``Client.decrypt``.

        Raises
        ------
        CiphertextMismatchError
            If ciphertexts and keys do not belong together, or not to this circuit.
        ValueError
            If bytes are not those of a batch or of evaluation keys, or the program does not compile to the
            circuit of the file.
        """
        return self.compiled.run(_batch(ciphertexts), _keys(keys))

    def run_together(self, ciphertexts: Sequence[Batch | bytes], keys: EvaluationKeys | bytes) -> list[Batch]:
        """Evaluate several batches under the same keys, in as few calls as there can be.

        Parameters
        ----------
        ciphertexts : sequence of Batch or bytes
        keys : EvaluationKeys or bytes

        Returns
        -------
        list of Batch
            In the same order. Errors are those of `run`.
        """
        of_keys = _keys(keys)
        return self.compiled.run_together([_batch(each) for each in ciphertexts], of_keys)


def _batch(ciphertexts: Batch | bytes) -> Batch:
    from skfhe.circuit import Batch

    return Batch.from_bytes(ciphertexts) if isinstance(ciphertexts, bytes) else ciphertexts


def _keys(keys: EvaluationKeys | bytes) -> EvaluationKeys:
    from skfhe.circuit import EvaluationKeys

    return EvaluationKeys.from_bytes(keys) if isinstance(keys, bytes) else keys


def _check_pair(path: Path, circuit_id: str) -> None:
    """Raise an error if the client's file that lies beside a server's is of another circuit."""
    folder = path if path.is_dir() else path.parent
    beside = folder / "client.zip"
    if not beside.exists():
        return
    other = read_archive(beside, "client").circuit_id
    if other != circuit_id:
        raise ValueError(
            f"{beside} and the server.zip beside it are of different circuits, {other[:12]}… and "
            f"{circuit_id[:12]}…: one was replaced without the other. Save the model again"
        )
