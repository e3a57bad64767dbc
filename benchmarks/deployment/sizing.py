"""What many clients with keys of their own need of a server: ``python -m benchmarks.deployment.sizing``.

    [--clients 1000] [--rows 1000000] [--rows-a-request 1] [--peak 4] [--busy 0.7] [--cores 8]
    [--gigabytes 64]

The first table is measured: bytes by what is sent, processor seconds and memory by what a worker does. The
second is computed from it. Each client's requests go to one worker, which keeps the expanded keys of as many
clients as its share of the memory holds; a request of any other client expands keys first, and clients send
equally often and independently, so that the share of such requests is the share of clients whose keys are not
kept. The busiest hour of a day has ``peak`` times its mean. Machines are as few as give every request of
that hour a core, no more than ``busy`` of all the time.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.deployment.spread_models import compiled_models
from benchmarks.measure import machine
from skfhe.circuit import Batch, EvaluationKeys

DAY = 86_400


@dataclass
class Measured:
    """What one model needs.

    Parameters
    ----------
    predicted : float
        Seconds of a row alone, by ``cost_``.
    row, row_of_many : float
        Processor seconds of a row alone, and of one of the largest call, bytes in and bytes out.
    up, down : float
        Bytes of a request and its result, for a row.
    sent, expanded : int
        Bytes of evaluation keys, as they are sent, and with what they are expanded to.
    expansion : float
        Processor seconds to read and expand them.
    """

    predicted: float
    row: float
    row_of_many: float
    up: float
    down: float
    sent: int
    expanded: int
    expansion: float


def cpu(call: Callable[[], Any], repetitions: int = 3) -> float:
    """Return the least processor seconds of a call."""
    taken = []
    for _ in range(repetitions):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def measure(model: Any, X: Any, rows_a_request: int) -> Measured:
    """Measure one model, as a worker of a server runs it."""
    circuit = model.fhe_circuit_
    compiled, session = circuit.compiled, circuit.session
    session.keygen()
    sent = session.evaluation_keys.to_bytes()
    most = circuit.batch_sizes[-1]
    batches = {
        n: circuit.encrypt(*model.encoder_.encode(X[:n])).to_bytes() for n in {1, most, rows_a_request}
    }
    start = time.process_time()
    keys = EvaluationKeys.from_bytes(sent)

    def run(n: int) -> bytes:
        return compiled.run(Batch.from_bytes(batches[n]), keys).to_bytes()

    run(1)  # expands the keys
    first = time.process_time() - start
    row = cpu(lambda: run(1))
    result = run(rows_a_request)
    return Measured(
        predicted=model.cost_.seconds,
        row=row,
        row_of_many=cpu(lambda: run(most)) / most,
        up=len(batches[rows_a_request]) / rows_a_request,
        down=len(result) / rows_a_request,
        sent=len(sent),
        expanded=len(sent) + compiled.statistics["key_bytes"],
        expansion=max(first - row, 0.0),
    )


@dataclass
class Sized:
    """Machines for one model, and what they do."""

    machines: int
    cores: float
    kept: float
    keys_gigabytes: float


def size(found: Measured, worker_bytes: int, options: argparse.Namespace) -> Sized:
    """Return the fewest machines that serve the busiest hour."""
    row = found.row if options.rows_a_request == 1 else found.row_of_many
    requests = options.rows / options.rows_a_request
    n_machines = 1
    while True:
        free = n_machines * (options.gigabytes * 1e9 - options.cores * worker_bytes)
        kept = min(1.0, max(free, 0.0) / (found.expanded * options.clients))
        seconds = options.rows * row + requests * (1 - kept) * found.expansion
        cores = seconds / DAY * options.peak / options.busy
        if cores <= n_machines * options.cores:
            return Sized(n_machines, cores, kept, kept * options.clients * found.expanded / 1e9)
        n_machines = max(n_machines + 1, math.ceil(0.9 * cores / options.cores) if kept == 1 else 0)


def megabits(n_bytes: float, options: argparse.Namespace) -> float:
    """Return the megabits a second of the busiest hour, of what a day has in bytes."""
    return n_bytes * 8 / 1e6 / DAY * options.peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of all clients, a day")
    parser.add_argument("--rows-a-request", type=int, default=1)
    parser.add_argument("--peak", type=float, default=4.0)
    parser.add_argument("--busy", type=float, default=0.7)
    parser.add_argument("--cores", type=int, default=8, help="of a machine")
    parser.add_argument("--gigabytes", type=float, default=64.0, help="memory of a machine")
    parser.add_argument("--models", nargs="*", default=[])
    options = parser.parse_args()
    print(machine("concrete-python"))
    titles = "lookups", "s a row by cost_", "CPU s, a row alone", "of the largest call", "bytes up", "down"
    print("| model |", " | ".join((*titles, "keys sent, MB", "expanded, MB", "CPU s to expand")), "|")
    print("|" + "---|" * 10)
    found = {}
    for name, (model, X) in compiled_models(options.models).items():
        found[name] = each = measure(model, X, options.rows_a_request)
        measured = (
            *(str(model.cost_.n_lookups), f"{each.predicted:.4f}"),
            *(f"{each.row:.4f}", f"{each.row_of_many:.4f}"),
            *(f"{each.up:.0f}", f"{each.down:.0f}", f"{each.sent / 1e6:.1f}", f"{each.expanded / 1e6:.1f}"),
            f"{each.expansion:.2f}",
        )
        print("|", " | ".join((name, *measured)), "|", flush=True)
    worker = psutil.Process().memory_info().rss
    print(f"\nThis process, counted as a worker without keys: {worker / 1e9:.2f} GB. {options}\n")
    titles = "mean cores", "cores at the peak", "machines", "keys kept, %", "GB of keys", "Mbit/s up", "down"
    print("| model |", " | ".join((*titles, "GB of keys on disk")), "|")
    print("|" + "---|" * 9)
    for name, each in found.items():
        sized = size(each, worker, options)
        mean = sized.cores * options.busy / options.peak
        up, down = (megabits(options.rows * n, options) for n in (each.up, each.down))
        needed = (
            *(f"{mean:.2f}", f"{sized.cores:.1f}", str(sized.machines), f"{100 * sized.kept:.0f}"),
            *(f"{sized.keys_gigabytes:.1f}", f"{up:.2f}", f"{down:.2f}"),
            f"{options.clients * each.sent / 1e9:.1f}",
        )
        print("|", " | ".join((name, *needed)), "|")


if __name__ == "__main__":
    main()
