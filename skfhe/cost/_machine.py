"""How long work takes on this machine, where ``skfhe bench`` has measured it.

The cost table has the seconds of the machine that it was made on, and every choice between programs is made
by these: the same rows train the same program everywhere. What users are told, `Cost.seconds`, is of their
own machine as soon as it was measured.
"""

import json
import math
import os
import platform
import secrets
import stat
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

__all__ = ["KINDS", "VARIABLE", "Lookups", "Machine", "Work", "machine", "machine_path", "write_machine"]

VARIABLE = "SKFHE_MACHINE"
"""Environment variable: the file of a machine, or ``off`` for the cost table's own."""

FORMAT, VERSION = "skfhe-machine", 1

KINDS = {
    "call": "a call without lookups, of one number",
    "key_byte": "preparing a byte of bootstrap keys, in each call",
    "generated_byte": "generating a byte of evaluation keys, once",
    "encrypted_word": "encrypting a word of a ciphertext, and handing it over",
    "decrypted_word": "rounding and decrypting a word",
    "summed_word": "multiplying a word by a weight and adding it",
}
"""What is measured beside lookups, each in seconds."""

MOST_BYTES = 1 << 16
LEAST_SECONDS, MOST_SECONDS = 1e-40, 1e6
"""Of a piece of work: within them, sums of all that a program does are neither 0 nor infinite."""
LARGEST_POLYNOMIAL = 1 << 20


@dataclass(frozen=True)
class Lookups:
    """Lookups that are evaluated side by side.

    Parameters
    ----------
    polynomial_size, levels : int
        Of the bootstrap key.
    count : int
    operations : float
        Elementary operations of all of them, as the engine counts them.
    """

    polynomial_size: int
    levels: int
    count: int
    operations: float


@dataclass(frozen=True)
class Work:
    """What is done, in numbers that no machine changes.

    Parameters
    ----------
    amounts : mapping of str to float
        How many of each of `KINDS`.
    lookups : tuple of Lookups
    """

    amounts: Mapping[str, float] = field(default_factory=dict)
    lookups: tuple[Lookups, ...] = ()


@dataclass(frozen=True)
class Machine:
    """What was measured of a machine.

    Parameters
    ----------
    name : str
        Its name in the network.
    processor : str
    cpus : int
        Processors that a process can use there.
    threads : int
        That evaluated lookups.
    measured : str
        When, as ISO 8601 has it.
    engine : str
        Name and version of the engine.
    seconds : mapping of str to float
        Of each of `KINDS`.
    operations : mapping of int to tuple of float
        Seconds of an operation of lookups by polynomial size, with bootstrap keys of one level, and of two:
        more levels are taken to be like two. With all threads busy.

    Raises
    ------
    ValueError
        If something is missing, or no number of seconds.
    """

    name: str
    processor: str
    cpus: int
    threads: int
    measured: str
    engine: str
    seconds: Mapping[str, float]
    operations: Mapping[int, tuple[float, float]]

    def __post_init__(self) -> None:
        if {*self.seconds} != {*KINDS} or not self.operations:
            raise ValueError("it does not have the seconds of every kind of work")
        for number in (*self.seconds.values(), *(x for pair in self.operations.values() for x in pair)):
            if type(number) not in (int, float) or not LEAST_SECONDS <= number <= MOST_SECONDS:
                raise ValueError(f"{_said(number)} is no number of seconds")
        if any(len(pair) != 2 for pair in self.operations.values()):
            raise ValueError("it does not have two rates of every polynomial size")
        if not all(type(size) is int and 0 < size <= LARGEST_POLYNOMIAL for size in self.operations):
            raise ValueError(f"{_said(next(iter(self.operations)))} is no polynomial size")
        if not all(type(n) is int and 0 < n < 1 << 16 for n in (self.cpus, self.threads)):
            raise ValueError(f"it has {self.cpus!r} processors and {self.threads!r} threads")
        texts = (self.name, self.processor, self.measured, self.engine)
        if not all(isinstance(text, str) and len(text) <= 256 and text.isprintable() for text in texts):
            raise ValueError("its names are no texts that can be shown")

    def seconds_of(self, work: Work) -> float:
        """Return the seconds that work takes.

        As many lookups as there are threads are evaluated at a time; where the last of them are fewer, some
        threads wait.
        """
        total = sum(amount * self.seconds[kind] for kind, amount in work.amounts.items())
        for each in work.lookups:
            rounds = math.ceil(each.count / self.threads)
            busy = each.operations * rounds * self.threads / each.count
            total += busy * self.operation(each.polynomial_size, each.levels)
        return total

    def operation(self, polynomial_size: int, levels: int) -> float:
        """Return the seconds of an operation: of the nearest polynomial size that was measured."""
        nearest = min(self.operations, key=lambda size: (abs(math.log2(size / polynomial_size)), size))
        one, two = self.operations[nearest]
        return one if levels == 1 else two

    def to_json(self) -> str:
        """Return what a file holds of it."""
        values = asdict(self) | {"operations": {str(n): [*pair] for n, pair in self.operations.items()}}
        return json.dumps({"format": FORMAT, "version": VERSION, **values}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Machine":
        """Return what `to_json` was called on.

        Raises
        ------
        ValueError
            If it is anything else, or of another version.
        """
        values = json.loads(text)
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ValueError("skfhe bench has not written it")
        version = values.pop("version", None)
        if type(version) is not int or version != VERSION:
            raise ValueError(f"it is of version {_said(version)}, and this skfhe reads {VERSION}")
        try:
            rates = {int(n): (one, two) for n, (one, two) in values.pop("operations").items()}
            return cls(**values, operations=rates)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a field is missing or unknown: {error}") from error


def machine() -> Machine | None:
    """Return what was measured of this machine, or None if that was not done, or is switched off.

    A file is read once. What the environment variable names is taken for what it is, of this machine or of
    another one, such as the server that a model is for.

    Warns
    -----
    UserWarning
        Once, if there is a file that cannot be used.
    """
    return _read(os.environ.get(VARIABLE, ""))


def machine_path() -> Path:
    """Return the file that ``skfhe bench`` writes: one for each machine that shares a home."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    name = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in platform.node())
    return folder / "skfhe" / f"machine-{name or 'unnamed'}.json"


def write_machine(measured: Machine, path: "Path | None" = None) -> Path:
    """Write a file, which appears at once and complete, and use it in this process from now on.

    Parameters
    ----------
    measured : Machine
    path : Path, optional
        By default `machine_path`, which later processes read by themselves.

    Returns
    -------
    Path
    """
    path = machine_path() if path is None else path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open(partial, "x", encoding="utf-8") as file:
            file.write(measured.to_json())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _read.cache_clear()
    return path


@lru_cache(maxsize=8)
def _read(given: str) -> Machine | None:
    """Return the machine of the environment variable's value, which is empty for this one."""
    if given.lower() == "off":
        return None
    try:
        path = Path(given) if given else machine_path()
    except RuntimeError:  # there is no home
        return None
    if not given and not os.path.exists(path):  # of a folder that is another user's, nothing is known
        return None
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode):  # others may never end
            raise ValueError("it is no file")
        if kind.st_size > MOST_BYTES:
            raise ValueError("it is too long")
        found = Machine.from_json(path.read_text("utf-8"))
        here = os.cpu_count() or 1
        if not given and found.cpus != here:
            raise ValueError(f"it was measured with {found.cpus} processors, and there are {here}")
    except (OSError, ValueError, RecursionError) as error:
        warnings.warn(
            f"{given or 'what skfhe bench has measured of this machine'} cannot be used: {error}. Seconds "
            f"are those of the machine that the cost table is of; run skfhe bench, or set {VARIABLE}=off",
            UserWarning,
            stacklevel=2,
        )
        return None
    return found


def _said(value: object) -> str:
    """Return what a file says in a place, shortened; of whole numbers without end not even that."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of many digits"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
