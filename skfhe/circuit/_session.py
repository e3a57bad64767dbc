"""The half of a circuit that knows the keys, and nothing of the program but what it takes and returns."""

import threading
from dataclasses import dataclass, field
from typing import Any

from skfhe._typing import IntArray
from skfhe.circuit._batch import Batch
from skfhe.circuit._bindings import ClientFunction
from skfhe.circuit._host import PerProcess
from skfhe.circuit._keys import EvaluationKeys, KeyId, KeySet, generate_keys
from skfhe.circuit._specs import CircuitSpecs, function_name

__all__ = ["ClientSession"]


@dataclass(eq=False)
class _Made:
    """What the engine made in one process, which no other may use.

    Parameters
    ----------
    keys : KeySet or None
        That the functions work under.
    functions : dict of int to tuple of ClientFunction
        By number of rows, one for each part.
    lock : lock
        Held while keys or functions are made.
    """

    keys: KeySet | None = None
    functions: dict[int, tuple[ClientFunction, ...]] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)


class ClientSession:
    """Secret keys for one circuit: what encrypts batches, and alone can decrypt them.

    It knows what ciphertexts look like, and neither weights nor tables; it loads the engine's bindings, and
    nothing that compiles. Any number of threads may use it. A forked process has its parent's keys, and draws
    random numbers of its own. It is not pickled: what others may have are `evaluation_keys`.

    Parameters
    ----------
    specs : CircuitSpecs
        As `CompiledCircuit.specs` has them.
    key_cache : str, optional
        Folder in which the engine keeps secret keys, in files that everyone on the machine can read. For
        trials alone.

    Attributes
    ----------
    specs : CircuitSpecs
    """

    def __init__(self, specs: CircuitSpecs, key_cache: str | None = None) -> None:
        self.specs = specs
        self._key_cache = key_cache
        self._keys: KeySet | None = None
        self._made = PerProcess(_Made)

    def __repr__(self) -> str:
        return f"ClientSession({'with' if self._keys else 'without'} keys)"

    def __reduce__(self) -> Any:
        raise TypeError("a session has secret keys, and is not pickled; make another one of its specs")

    def keygen(self, force: bool = False) -> None:
        """Generate the secret and evaluation keys.

        Parameters
        ----------
        force : bool, default=False
            Replace keys that exist.
        """
        self._present_keys(force)

    def _present_keys(self, force: bool = False) -> KeySet:
        with self._made.here().lock:
            if force or self._keys is None:
                parameters = tuple(part.parameters for part in self.specs.parts)
                self._keys = generate_keys(parameters, self._key_cache)
            return self._keys

    @property
    def key_id(self) -> KeyId | None:
        """Names the present keys, by `str` their content; None if there are none."""
        return self._keys.id if self._keys else None

    @property
    def evaluation_keys(self) -> EvaluationKeys:
        """What a batch is run under, generated if there are no keys."""
        return self._present_keys().evaluation

    def _functions(self, keys: KeySet, n_rows: int) -> tuple[ClientFunction, ...]:
        """Return the function of each part for ``n_rows`` rows."""
        made = self._made.here()
        with made.lock:
            if made.keys is not keys:
                made.keys, made.functions = keys, {}
            if n_rows not in made.functions:
                made.functions[n_rows] = tuple(
                    ClientFunction(part.parameters, native, function_name(n_rows))
                    for part, native in zip(self.specs.parts, keys.native, strict=True)
                )
            return made.functions[n_rows]

    def encrypt(self, *inputs: IntArray) -> Batch:
        """Encrypt one batch, whose number of rows must be one of those compiled for.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        Batch
            To be given to `CompiledCircuit.run`.

        Raises
        ------
        ValueError
            If the number of rows is not a compiled one, a shape is wrong, or a value lies outside its
            input's interval.
        ForkedProcessError
            If this process was forked from one that had generated keys, though none for this circuit.
        """
        self.specs.check_inputs(inputs)
        keys = self._present_keys()
        ciphertexts = tuple(
            function.encrypt(*given)
            for function, given in zip(
                self._functions(keys, len(inputs[0])), self.specs.scatter(inputs), strict=True
            )
        )
        return Batch(ciphertexts, len(inputs[0]), "inputs", self.specs.circuit_id, keys.id)

    def decrypt(self, batch: Batch) -> tuple[IntArray, ...]:
        """Decrypt what `CompiledCircuit.run` returned.

        A lookup that went wrong can lead out of an output's interval; such a value is brought to its nearest
        end, so that whatever is read by it exists.

        Parameters
        ----------
        batch : Batch

        Returns
        -------
        tuple of ndarray of int64
            One for each output of the program, rows first.

        Raises
        ------
        CiphertextMismatchError
            If ``batch`` is of another circuit, or of keys that this session does not have, or holds inputs.
        """
        keys = self._keys
        self.specs.check_batch(batch, "results", keys.id if keys else None)
        assert keys is not None  # None is the name of no batch's keys
        functions = self._functions(keys, batch.n_rows)
        return self.specs.gather(
            [
                function.decrypt(*ciphertexts)
                for function, ciphertexts in zip(functions, batch.ciphertexts, strict=True)
            ]
        )
