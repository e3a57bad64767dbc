"""The half of a circuit that knows the keys, and nothing of the program but what it takes and returns."""

import threading
from collections.abc import Sequence
from typing import Any

from skfhe._telling import log, timed
from skfhe._typing import IntArray
from skfhe.circuit._batch import Batch
from skfhe.circuit._host import PerProcess
from skfhe.circuit._key_generation import generate_keys
from skfhe.circuit._keys import EvaluationKeys, KeyId
from skfhe.circuit._secret_keys import SecretKeys
from skfhe.circuit._specs import CircuitSpecs, PartSpecs
from skfhe.encryption import Words, decrypt, encrypt, new_seed, unpack_bits

__all__ = ["ClientSession"]


class ClientSession:
    """Secret keys for one circuit: what encrypts batches, and alone can decrypt them.

    It knows what ciphertexts look like, and neither weights nor tables. What is encrypted and decrypted is by
    `skfhe.encryption`, in NumPy. The engine's bindings are loaded to generate keys for circuits with lookups,
    and for nothing else.

    Any number of threads may use it. A forked process has its parent's keys, and draws random numbers of its
    own. It is not pickled: what others may have are `evaluation_keys`.

    Parameters
    ----------
    specs : CircuitSpecs
        As `CompiledCircuit.specs` has them.
    keys : SecretKeys, optional
        Generated for the same parameters. Without them, new ones are generated when they are first needed.
    key_cache : str, optional
        Folder in which the engine keeps secret keys, in files that everyone on the machine can read. For
        trials alone.

    Attributes
    ----------
    specs : CircuitSpecs

    Raises
    ------
    CiphertextMismatchError
        If ``keys`` are for other parameters than the circuit's.
    """

    def __init__(
        self, specs: CircuitSpecs, keys: SecretKeys | None = None, key_cache: str | None = None
    ) -> None:
        if keys is not None:
            keys.check(part.parameters for part in specs.parts)
        self.specs = specs
        self._key_cache = key_cache
        self._keys = keys
        self._lock = PerProcess(threading.RLock)

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

    def _present_keys(self, force: bool = False) -> SecretKeys:
        with self._lock.here():
            if force or self._keys is None:
                self._keys = generate_keys((part.parameters for part in self.specs.parts), self._key_cache)
            return self._keys

    @property
    def key_id(self) -> KeyId | str | None:
        """Names the present keys, by `str` their content; None if there are none."""
        return self._keys.id if self._keys else None

    @property
    def secret_keys(self) -> SecretKeys:
        """What encrypts and decrypts, generated if there are no keys: for nobody but their owner."""
        return self._present_keys()

    @property
    def evaluation_keys(self) -> EvaluationKeys:
        """What a batch is run under, generated if there are no keys."""
        return self._present_keys().evaluation

    def encrypt(self, *inputs: IntArray) -> Batch:
        """Encrypt rows, as many as there are.

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
            If there is no row, a shape is wrong, or a value lies outside its input's interval.
        ForkedProcessError
            If this process was forked from one that had generated keys, though none for this circuit.
        """
        self.specs.check_inputs(inputs)
        keys = self._present_keys()
        taken = timed()
        seed = new_seed()  # for this batch alone
        ciphertexts = tuple(
            _encrypted(part, keys.of(part.parameters), given, seed)
            for part, given in zip(self.specs.parts, self.specs.scatter(inputs), strict=True)
        )
        n_bytes = sum(len(array) for arrays in ciphertexts for array in arrays)
        log("encrypted %d rows, %d bytes, in %s", len(inputs[0]), n_bytes, taken)
        return Batch(ciphertexts, len(inputs[0]), "inputs", self.specs.circuit_id, keys.id, seed)

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
        taken = timed()
        by_part = [
            _decrypted(part, keys.of(part.parameters), ciphertexts, batch.n_rows)
            for part, ciphertexts in zip(self.specs.parts, batch.ciphertexts, strict=True)
        ]
        log("decrypted %d rows, in %s", batch.n_rows, taken)
        return self.specs.gather(by_part)


def _encrypted(
    part: PartSpecs, secret: Sequence[Words], inputs: Sequence[IntArray], seed: bytes
) -> tuple[bytes, ...]:
    """Encrypt the inputs of one part of a circuit."""
    # The numbers of the circuit's inputs tell the arrays of a batch apart, in all its parts.
    given = zip(inputs, part.forms("inputs"), part.inputs, strict=True)
    return tuple(encrypt(x, secret[form.key_id], form, seed, number) for x, form, number in given)


def _decrypted(
    part: PartSpecs, secret: Sequence[Words], ciphertexts: Sequence[Any], n_rows: int
) -> tuple[IntArray, ...]:
    """Decrypt the outputs of one part of a circuit, whatever their interval."""
    found = []
    for array, form, bits in zip(ciphertexts, part.forms("results"), part.result_bits, strict=True):
        words = array
        if isinstance(words, bytes):
            words = unpack_bits(words, n_rows * form.n_words, bits).reshape(-1, form.dimension + 1)
        found.append(decrypt(words, secret[form.key_id], form, bits))
    return tuple(found)
