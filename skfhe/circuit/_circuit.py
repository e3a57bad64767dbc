"""A program compiled for encrypted evaluation, with the keys for it."""

import hashlib
import pickle
import uuid
import warnings
from contextlib import closing
from typing import Any

from skfhe._telling import progress, showing
from skfhe._typing import IntArray
from skfhe.circuit._batch import Batch
from skfhe.circuit._common_keys import CommonKeys, in_worker, kept_by_worker
from skfhe.circuit._compiled import CompiledCircuit
from skfhe.circuit._engine import fhe
from skfhe.circuit._session import ClientSession
from skfhe.circuit._spreading import machines, rows_a_task
from skfhe.cost import Cost, ErrorRate
from skfhe.exceptions import InsecureKeyCacheWarning
from skfhe.program import Program

__all__ = ["Circuit", "compile_program"]


def compile_program(
    program: Program,
    error_rate: ErrorRate | None = None,
    configuration: "fhe.Configuration | None" = None,
    batch_sizes: tuple[int, ...] | None = None,
) -> "Circuit":
    """Compile ``program``.

    Parameters
    ----------
    program : Program
    error_rate : ErrorRate, optional
        2**-40 a lookup by default.
    configuration : concrete.fhe.Configuration, optional
        Options of the engine; never modified. Its error rates are overridden by ``error_rate``, and its
        compression of inputs and of evaluation keys is not used: both are sent compressed as they are.
    batch_sizes : tuple of int, optional
        Numbers of rows that one call can take, 1 among them. By default 1, 8 and, with lookups, 32 as
        far as a call is estimated to stay within ten seconds and 256 MB of ciphertexts.

    Returns
    -------
    Circuit

    Raises
    ------
    CompilationError
        Naming the layer, its bits, and the parameters to turn.
    """
    if configuration is not None and configuration.use_insecure_key_cache:
        warnings.warn(
            f"the configuration keeps secret keys in {configuration.insecure_key_cache_location!r}, in "
            "files that everyone on this machine can read: whoever has them can decrypt all rows and "
            "scores. Leave out use_insecure_key_cache for anything but trials",
            InsecureKeyCacheWarning,
            stacklevel=3,
        )

    def make() -> Circuit:
        compiled = CompiledCircuit(program, error_rate or ErrorRate(), configuration, batch_sizes)
        compiled.specs  # noqa: B018  compiles now, so that errors surface here
        return Circuit(compiled)

    if configuration is not None or not in_worker():
        return make()
    content = pickle.dumps((program, error_rate, batch_sizes))
    return kept_by_worker(hashlib.sha256(content).hexdigest(), make)


class Circuit:
    """Both halves of a circuit in one process: the compiled program, and a session with keys.

    A pickle holds the program and the options, never a key: compiling is repeated after unpickling, on first
    use, and keys are generated anew. A worker process does both once, however often it is sent the circuit.

    Any number of threads may use a circuit. A forked process can go on with its parent's as long as the
    parent had not begun what it wants to do (`ForkedProcessError`); it compiles again, and draws random
    numbers of its own.

    Parameters
    ----------
    compiled : CompiledCircuit
        As `compile_program` makes it.

    Attributes
    ----------
    compiled : CompiledCircuit
        The half that a server has.
    verbose : bool
        Whether `keygen` and `execute` show a progress bar, whatever `skfhe.set_config` says.
    """

    def __init__(self, compiled: CompiledCircuit) -> None:
        self.compiled = compiled
        self.verbose = False
        self._common: CommonKeys | None = None
        self._token = uuid.uuid4().hex

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_session"}

    def __reduce__(self) -> Any:
        return _restored, (self._token, self.__getstate__())

    def share(self, common: CommonKeys) -> None:
        """Take keys from those of several circuits from now on, and rows that another has encrypted.

        A configuration that keeps keys in files goes on doing so.
        """
        options = self.compiled.configuration
        if self._common is not common and (options is None or not options.use_insecure_key_cache):
            self._common = common
            vars(self).pop("_session", None)

    def __repr__(self) -> str:
        return f"Circuit({self.cost}, batch_sizes={self.batch_sizes})"

    @property
    def session(self) -> ClientSession:
        """The half that a client has, with the keys of this process."""
        if "_session" not in vars(self):
            options, cache = self.compiled.configuration, None
            if options is not None and options.use_insecure_key_cache:
                cache = options.insecure_key_cache_location
            specs, common = self.compiled.specs, self._common
            made = common.session(specs) if common else ClientSession(specs, key_cache=cache)
            vars(self).setdefault("_session", made)  # one step, so that two threads get the same
        session: ClientSession = vars(self)["_session"]
        return session

    @property
    def program(self) -> Program:
        """The program that was compiled."""
        return self.compiled.program

    @property
    def error_rate(self) -> ErrorRate:
        """Error rate that it was compiled for."""
        return self.compiled.error_rate

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Rows that one call can take, ascending."""
        return self.compiled.batch_sizes

    @property
    def cost(self) -> Cost:
        """What one row was predicted to cost before compiling."""
        return self.compiled.cost

    @property
    def complexity(self) -> float:
        """Complexity of one row as the engine counts it, in elementary operations."""
        return self.compiled.complexity

    @property
    def statistics(self) -> dict[str, Any]:
        """What the engine reports; see `CompiledCircuit.statistics`."""
        return self.compiled.statistics

    @property
    def mlir(self) -> str:
        """The compiled modules as MLIR text."""
        return self.compiled.mlir

    def keygen(self, force: bool = False) -> None:
        """Generate the secret and evaluation keys of this process.

        Parameters
        ----------
        force : bool, default=False
            Replace keys that exist.
        """
        with showing(self.verbose):
            self.session.keygen(force)

    def encrypt(self, *inputs: IntArray) -> Batch:
        """Encrypt rows; see `ClientSession.encrypt`."""
        return self.session.encrypt(*inputs)

    def run(self, batch: Batch) -> Batch:
        """Evaluate the program on encrypted rows, under the present keys; see `CompiledCircuit.run`."""
        # What does not fit is refused before keys are generated for it.
        self.compiled.specs.check_batch(batch, "inputs", self.session.key_id)
        return self.compiled.run(batch, self.session.evaluation_keys)

    def decrypt(self, batch: Batch) -> tuple[IntArray, ...]:
        """Decrypt what `run` returned; see `ClientSession.decrypt`."""
        return self.session.decrypt(batch)

    def simulate(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Compute in the clear, with an encrypted run's lookup errors; see `CompiledCircuit.simulate`."""
        return self.compiled.simulate(*inputs)

    def execute(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """Encrypt, run and decrypt any number of rows, in batches of the largest size of a call.

        If joblib's active backend has workers on other machines, batches are run there, as they are free.

        Parameters
        ----------
        *inputs : ndarray of int64, shape (n_rows, …)

        Returns
        -------
        tuple of ndarray of int64
            One for each output of the program, rows first.

        Raises
        ------
        AccumulatorOverflowError
            If the program's intervals are calibrated and a value leaves its own; the message names the layer.
            An encrypted run cannot notice that, so the rows are checked in the clear first.
        ForkedProcessError
            If this process was forked from one that had done such work.
        """
        with showing(self.verbose):
            return self._execute(inputs)

    def _execute(self, inputs: tuple[IntArray, ...]) -> tuple[IntArray, ...]:
        self.compiled.check_calibrated(inputs)
        n_rows = len(inputs[0])
        elsewhere = machines() if n_rows else None
        size = self.batch_sizes[-1]
        if elsewhere:
            size = rows_a_task(n_rows, elsewhere, size, self.cost.seconds)
        parts = ([x[start : start + size] for x in inputs] for start in range(0, n_rows, size))
        common = self._common
        encrypted = (common.encrypt(self.session, part) if common else self.encrypt(*part) for part in parts)
        if elsewhere:
            results = elsewhere.run(self.compiled, self.session.evaluation_keys, encrypted)
        else:
            results = ((number, self.run(batch)) for number, batch in enumerate(encrypted))
        outputs: dict[int, tuple[IntArray, ...]] = {}
        with (
            progress("encrypted rows", n_rows, "row") as done,
            closing(results),
        ):
            for number, result in results:
                outputs[number] = self.decrypt(result)
                done(len(result))
        return self.compiled.specs.join([outputs[number] for number in sorted(outputs)])


def _restored(token: str, state: dict[str, Any]) -> Circuit:
    def make() -> Circuit:
        circuit = Circuit(state["compiled"])
        vars(circuit).update(state)
        return circuit

    return kept_by_worker(token, make)
