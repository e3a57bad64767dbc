"""Runs on other machines: the workers of joblib's active backend, where that is not of this machine alone.

What goes there are `CompiledCircuit`, which compiles again where it is unpickled, `EvaluationKeys`, which are
bytes between processes, and batches in bytes; what comes back are results in bytes. Rows are encrypted and
decrypted here, and the secret keys stay here.

A run uses as many threads as OpenMP has in its process, which is all cores unless ``OMP_NUM_THREADS`` says
otherwise. So joblib's own backends, ``"loky"``, ``"multiprocessing"`` and ``"threading"``, have nothing to
add on one machine, and are not asked.
"""

import math
import pickle
import sys
import threading
import time
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from skfhe.circuit._batch import Batch
from skfhe.circuit._host import PerProcess
from skfhe.circuit._keys import EvaluationKeys
from skfhe.exceptions import CiphertextMismatchError

if TYPE_CHECKING:
    from skfhe.circuit._compiled import CompiledCircuit

__all__ = ["Machines", "machines", "rows_a_task"]

_TASKS_A_WORKER = 2
"""One runs, and the next is there already. No more rows than that are encrypted ahead."""
_ATTEMPTS = 3
_KEPT = 4
"""Circuits, and as many sets of keys, that a worker keeps."""
_LOCAL = ("SequentialBackend", "ThreadingBackend", "MultiprocessingBackend", "LokyBackend")


class Machines(Protocol):
    """Where batches are run.

    Attributes
    ----------
    n_workers : int
    seconds_a_task : float
        That a task should take at least, for what it costs beside its run to be small.
    """

    n_workers: int
    seconds_a_task: float

    def run(
        self, compiled: "CompiledCircuit", keys: EvaluationKeys, batches: Iterator[Batch]
    ) -> Generator[tuple[int, Batch], None, None]:
        """Yield the result of each batch as it comes, after the batch's number, counted from 0."""
        ...


def machines() -> Machines | None:
    """Return the machines of joblib's active backend, or None if batches are to be run in this process.

    That is so under joblib's own backends, which are of this machine, and within a task that a backend has
    given to this process: it is one of those among which the work is spread already.
    """
    parallel = sys.modules.get("joblib.parallel")
    if parallel is None:  # then nobody has chosen a backend
        return None
    backend, n_jobs = parallel.get_active_backend()
    # The very classes: that of ray derives from one of them.
    if type(backend) in [getattr(parallel, name) for name in _LOCAL]:
        return None
    n_jobs = backend.effective_n_jobs(getattr(backend, "default_n_jobs", 1) if n_jobs is None else n_jobs)
    distributed = sys.modules.get("distributed")
    client = getattr(backend, "client", None)
    if distributed is None or not isinstance(client, distributed.Client):
        return _JoblibWorkers(n_jobs, backend.supports_return_generator) if n_jobs > 1 else None
    try:
        distributed.get_worker()
    except ValueError:
        return _DaskWorkers(client, backend.submit_kwargs)
    return None


def rows_a_task(n_rows: int, machines: Machines, largest: int, seconds: float) -> int:
    """Return the most rows that a task should have.

    Every worker gets some, as far as there are rows; beyond that a task need not be longer than one call of
    the engine, or than it takes for the way to it not to count.

    Parameters
    ----------
    n_rows : int
        Of all tasks.
    machines : Machines
    largest : int
        Rows of the engine's largest call.
    seconds : float
        That a row is estimated to take.
    """
    enough = max(largest, math.ceil(machines.seconds_a_task / seconds))
    return max(1, min(enough, math.ceil(n_rows / machines.n_workers)))


# On a worker.


class _Kept:
    """What a worker was sent last: circuits and keys, by the names of their content.

    With them stays what the engine has made of them: a circuit is compiled and keys are expanded once.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.circuits: OrderedDict[str, CompiledCircuit] = OrderedDict()
        self.keys: OrderedDict[str, EvaluationKeys] = OrderedDict()


_kept = PerProcess(_Kept)


def _keep(kept: "OrderedDict[str, Any]", name: str, made: Any) -> None:
    kept[name] = made
    while len(kept) > _KEPT:
        kept.popitem(last=False)


def _run(names: tuple[str, str], batch: bytes, sent: tuple[bytes, bytes] | None) -> bytes | None:
    """Run a batch in this process, where no other is run meanwhile.

    Parameters
    ----------
    names : tuple of str
        Of the circuit and of the keys.
    batch : bytes
    sent : tuple of bytes or None
        The circuit, pickled, and the keys, if they are sent.

    Returns
    -------
    bytes or None
        None if the circuit or the keys would have to be sent.
    """
    kept, (circuit_id, key_id) = _kept.here(), names
    with kept.lock:
        if circuit_id not in kept.circuits or key_id not in kept.keys:
            if sent is None:
                return None
            _receive(kept, circuit_id, key_id, *sent)
        for each, name in ((kept.circuits, circuit_id), (kept.keys, key_id)):
            each.move_to_end(name)
        return kept.circuits[circuit_id].run(Batch.from_bytes(batch), kept.keys[key_id]).to_bytes()


def _receive(kept: _Kept, circuit_id: str, key_id: str, circuit: bytes, keys: bytes) -> None:
    """Keep a circuit and keys that were sent."""
    if circuit_id not in kept.circuits:
        compiled = pickle.loads(circuit)
        if compiled.specs.circuit_id != circuit_id:
            raise CiphertextMismatchError(
                "a worker made another circuit of the program than the one that the rows are encrypted for; "
                "install the same versions of skfhe and concrete-python on all machines"
            )
        _keep(kept.circuits, circuit_id, compiled)
    if key_id not in kept.keys:
        _keep(kept.keys, key_id, EvaluationKeys.from_bytes(keys))


# Dask.


class _DaskWorkers:
    """The workers of a cluster of Dask's.

    Circuit and keys are data of the cluster, to which they are sent once and from which each worker is given
    them once. They leave it when they are gone from this process.

    Parameters
    ----------
    client : distributed.Client
    how : dict
        That tasks are submitted with: what `joblib.parallel_config` was given for it.
    """

    seconds_a_task = 0.5

    def __init__(self, client: Any, how: dict[str, Any]) -> None:
        self.client = client
        self.how = how
        self.n_workers = len(client.nthreads())

    def run(
        self, compiled: "CompiledCircuit", keys: EvaluationKeys, batches: Iterator[Batch]
    ) -> Generator[tuple[int, Batch], None, None]:
        """Yield the result of each batch as it comes, after the batch's number, counted from 0.

        What a worker had that was lost is run again by the cluster, and by this process if all workers that
        had the circuit or the keys were lost.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        names = compiled.specs.circuit_id, str(keys.id)
        numbered = ((number, batch.to_bytes()) for number, batch in enumerate(batches))
        tasks: dict[Any, tuple[int, bytes, int]] = {}
        completed = as_completed(loop=self.client.loop)

        def submit(number: int, batch: bytes, attempt: int = 1, lacking: str | None = None) -> None:
            """Let any worker run a batch, or one that lacks what it needs, which is sent along."""
            sent = self._sent(names, compiled, keys) if lacking else None
            how = {**self.how, "key": f"skfhe-run-{uuid.uuid4().hex}"}
            if lacking and "workers" not in how:
                how |= {"workers": [lacking], "allow_other_workers": True}
            future = self.client.submit(_run_on_dask, names, batch, sent, **how)
            tasks[future] = number, batch, attempt
            completed.add(future)

        try:
            for number, batch in islice(numbered, _TASKS_A_WORKER * self.n_workers):
                submit(number, batch)
            for future in completed:
                number, batch, attempt = tasks[future]
                try:
                    result = future.result()
                except (CancelledError, KilledWorker) as error:
                    if self.client.status != "running":
                        raise
                    if attempt == _ATTEMPTS or isinstance(error, KilledWorker):
                        raise RuntimeError(
                            "rows were given up: the workers that had them ended, one after the other. Their "
                            "logs say why; if it was their memory, start them with a larger memory_limit"
                        ) from error
                    del tasks[future]
                    submit(number, batch, attempt + 1)
                    continue
                del tasks[future]
                if isinstance(result, str):
                    submit(number, batch, attempt, lacking=result)
                    continue
                for following in islice(numbered, 1):
                    submit(*following)
                yield number, Batch.from_bytes(result)
        finally:
            if tasks and self.client.status == "running":
                self.client.cancel(list(tasks), force=True)

    def _sent(
        self, names: tuple[str, str], compiled: "CompiledCircuit", keys: EvaluationKeys
    ) -> tuple[Any, Any]:
        """Return the cluster's futures of the circuit and of the keys, which are sent unless it has them."""
        return (
            self._data(compiled, f"skfhe-circuit-{names[0]}", pickle.dumps),
            self._data(keys, f"skfhe-keys-{names[1]}", EvaluationKeys.to_bytes),
        )

    def _data(self, of: Any, name: str, to_bytes: Callable[[Any], bytes]) -> Any:
        with _sending.here():
            future = _on_cluster.get(of)
            if future is None or future.client is not self.client or future.status != "finished":
                # A name that none had before: to forget one must not take along what came under it later.
                future = self._scatter(f"{name}-{uuid.uuid4().hex}", to_bytes(of))
                _on_cluster[of] = future
            return future

    def _scatter(self, name: str, data: bytes) -> Any:
        """Send ``data`` to one worker, from which others fetch it, and try again if that worker was lost."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self.client.scatter({name: data})[name]
            except OSError:
                time.sleep(1)
        return self.client.scatter({name: data})[name]


def _run_on_dask(names: tuple[str, str], batch: bytes, sent: tuple[bytes, bytes] | None) -> bytes | str:
    """Run a batch in this process, or return its address if circuit or keys would have to be sent."""
    from distributed import get_worker

    result = _run(names, batch, sent)
    address: str = get_worker().address
    return address if result is None else result


_sending = PerProcess(threading.Lock)
_on_cluster: "weakref.WeakKeyDictionary[Any, Any]" = weakref.WeakKeyDictionary()
"""The cluster's futures of circuits and keys: what is forgotten here, the cluster forgets."""


# Other backends.


class _JoblibWorkers:
    """The workers of any other backend that is registered with joblib.

    Such a backend gives a task to whichever worker is free, and does not say to which. So circuit and keys go
    with every task.

    Parameters
    ----------
    n_workers : int
    as_they_come : bool
        Whether the backend can return results before all are there.
    """

    seconds_a_task = 10.0

    def __init__(self, n_workers: int, as_they_come: bool) -> None:
        self.n_workers = n_workers
        self._return_as = "generator_unordered" if as_they_come else "list"

    def run(
        self, compiled: "CompiledCircuit", keys: EvaluationKeys, batches: Iterator[Batch]
    ) -> Generator[tuple[int, Batch], None, None]:
        """Yield the result of each batch as it comes, after the batch's number, counted from 0."""
        import joblib

        names, sent = (compiled.specs.circuit_id, str(keys.id)), (pickle.dumps(compiled), keys.to_bytes())
        run = joblib.delayed(_run_numbered)
        tasks = (run(number, names, batch.to_bytes(), sent) for number, batch in enumerate(batches))
        for number, result in joblib.Parallel(return_as=self._return_as)(tasks):
            yield number, Batch.from_bytes(result)


def _run_numbered(number: int, *given: Any) -> tuple[int, bytes | None]:
    return number, _run(*given)
