"""What circuits of one client have in common: keys, and rows that were encrypted for another of them."""

import hashlib
import multiprocessing
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from skfhe._typing import IntArray
from skfhe.circuit._batch import Batch
from skfhe.circuit._host import PerProcess
from skfhe.circuit._key_generation import generate_keys
from skfhe.circuit._secret_keys import SecretKeys, key_set_parameters
from skfhe.circuit._session import ClientSession
from skfhe.circuit._specs import CircuitSpecs

__all__ = ["CommonKeys", "in_worker", "kept_by_worker"]

_T = TypeVar("_T")

KEPT_BYTES = 1 << 26
"""Of ciphertexts that are kept for another circuit."""
KEPT_BY_WORKER = 128
"""Circuits, and sets of keys, that a worker process keeps between its tasks."""

_kept: OrderedDict[str, Any] = OrderedDict()
_kept_lock = PerProcess(threading.RLock)


def in_worker() -> bool:
    """Whether another process has started this one, to give it tasks."""
    return multiprocessing.parent_process() is not None


def kept_by_worker(token: str, make: Callable[[], _T]) -> _T:
    """Return what ``make`` does; in a worker process, what it has returned for this token before.

    A worker of joblib or of a pool unpickles the same estimators for every task, compiled before or not. What
    these are compiled to, and the keys of the process, are made once, and not anew in every call.
    """
    if not in_worker():
        return make()
    with _kept_lock.here():
        if token not in _kept:
            _kept[token] = make()
        _kept.move_to_end(token)
        while len(_kept) > KEPT_BY_WORKER:
            _kept.popitem(last=False)
        found: _T = _kept[token]
        return found


class CommonKeys:
    """Keys for several circuits of one client, which share those that are of equal parameters.

    Rows that one circuit has encrypted are not encrypted again for another that takes the same integers in
    the same form and has the same keys. A pickle holds a name, and neither a key nor a ciphertext.

    Parameters
    ----------
    token : str, optional
        Names the keys where they are pickled.
    """

    def __init__(self, token: str | None = None) -> None:
        self.token = token or uuid.uuid4().hex
        self._keys: dict[str, SecretKeys] = {}
        self._encrypted: OrderedDict[Any, tuple[SecretKeys, Batch]] = OrderedDict()
        self._lock = PerProcess(threading.RLock)

    def __reduce__(self) -> Any:
        return _restored, (self.token,)

    def session(self, specs: CircuitSpecs) -> ClientSession:
        """Return a session for a circuit, with the keys for its parameters."""
        parameters = [part.parameters for part in specs.parts]
        name = key_set_parameters(parameters)
        with self._lock.here():
            if name not in self._keys:
                self._keys[name] = generate_keys(parameters)
            return ClientSession(specs, self._keys[name])

    def encrypt(self, session: ClientSession, inputs: Sequence[IntArray]) -> Batch:
        """Return rows encrypted for a session's circuit, perhaps before for another.

        Errors are those of `ClientSession.encrypt`.
        """
        specs, keys = session.specs, session.secret_keys
        name = (id(keys), *_forms(specs), _digest(inputs))
        with self._lock.here():
            _, batch = self._encrypted.get(name, (keys, None))
            if batch is not None:
                specs.check_inputs(inputs)
                self._encrypted.move_to_end(name)
                return replace(batch, circuit_id=specs.circuit_id)
        batch = session.encrypt(*inputs)
        with self._lock.here():
            self._encrypted[name] = keys, batch
            while sum(_bytes(kept) for _, kept in self._encrypted.values()) > KEPT_BYTES:
                self._encrypted.popitem(last=False)
        return batch

    @staticmethod
    def in_common(all_specs: Sequence[CircuitSpecs]) -> int:
        """Return how often rows are encrypted for circuits that take the same integers."""
        return len({(key_set_parameters(part.parameters for part in s.parts), *_forms(s)) for s in all_specs})


def _restored(token: str) -> CommonKeys:
    return kept_by_worker(token, lambda: CommonKeys(token))


def _forms(specs: CircuitSpecs) -> tuple[Any, ...]:
    """Return what says how rows are encrypted, beside the keys."""
    return tuple((part.inputs, part.forms("inputs")) for part in specs.parts)


def _digest(inputs: Sequence[IntArray]) -> bytes:
    digest = hashlib.sha256()
    for x in inputs:
        digest.update(repr((x.shape, x.dtype.str)).encode())
        digest.update(x.tobytes())
    return digest.digest()


def _bytes(batch: Batch) -> int:
    return sum(len(array) for arrays in batch.ciphertexts for array in arrays)
