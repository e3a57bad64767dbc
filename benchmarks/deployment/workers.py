"""What one run does with its threads, and how worker processes share the cores of a machine.

    python -m benchmarks.deployment.workers [--seconds 10] [--cores 2]

First, one process runs batches with the engine told to use so many threads, or held to so many cores: how
many threads there are, how many of them work, seconds and CPU seconds of a row. Then the server's workers
share the cores, more of them with fewer threads each: rows a second, CPU seconds of a row, memory of all.

CPU seconds and their ratios hold on a machine that does other things, too; rows a second do not.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
from concrete import fhe
from sklearn.datasets import load_breast_cancer

from benchmarks.measure import processor
from skfhe.circuit import EvaluationKeys
from skfhe.deployment import save
from skfhe.deployment._serving._key_store import KeyStore
from skfhe.deployment._serving._workers import WorkerPool, available_cores
from skfhe.tree import DecisionTreeClassifier

ROWS = (1, 8, 32)
MODEL = ("tree", "1")
ONE_PROCESS = """
import json, os, sys, time
from pathlib import Path
folder, n_rows, seconds, n_cores = Path(sys.argv[1]), *map(int, sys.argv[2:])
if n_cores:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
from skfhe.circuit import Batch, EvaluationKeys
from skfhe.deployment import Server

def ticks():
    found = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        found[task.name] = int(fields[11]) + int(fields[12])
    return found

server = Server(folder)
keys = EvaluationKeys.from_bytes((folder / "keys").read_bytes())
batch = Batch.from_bytes((folder / f"batch-{n_rows}").read_bytes())
server.run(batch, keys)
before, wall, cpu, n_runs = ticks(), time.perf_counter(), time.process_time(), 0
while time.perf_counter() - wall < seconds:
    server.run(batch, keys)
    n_runs += 1
wall, cpu, after = time.perf_counter() - wall, time.process_time() - cpu, ticks()
worked = [after[task] - before.get(task, 0) for task in after]
n_busy = sum(n > 0.05 * max(worked) for n in worked)
print(json.dumps([len(after), n_busy, wall / n_runs / n_rows, cpu / n_runs / n_rows]))
"""


def write_model(folder: Path, configuration: fhe.Configuration | None) -> str:
    """Save a tree with keys and batches beside it, and return the id of the keys."""
    X, y = load_breast_cancer(return_X_y=True)
    model = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
    circuit = model.compile(configuration=configuration)
    save(model, folder)
    (folder / "keys").write_bytes(circuit.session.evaluation_keys.to_bytes())
    for n_rows in ROWS:
        batch = circuit.encrypt(*model.encoder_.encode(X[:n_rows]))
        (folder / f"batch-{n_rows}").write_bytes(batch.to_bytes())
    return str(circuit.session.key_id)


def show_threads(folder: Path, serial: Path, seconds: float, n_cores: int) -> None:
    """Print what one process does."""
    every = {
        f"OMP_NUM_THREADS unset, {n_cores} cores": (folder, None, n_cores),
        **{f"OMP_NUM_THREADS={n}, {n_cores} cores": (folder, n, n_cores) for n in (1, 2, 2 * n_cores)},
        "OMP_NUM_THREADS unset, 1 core": (folder, None, 1),
        f"loop_parallelize=False, {n_cores} cores": (serial, None, n_cores),
    }
    print(f"{'one process':40} {'rows':>4} {'threads':>7} {'busy':>4} {'s/row':>8} {'CPU s/row':>9}")
    for name, (where, n_threads, held_to) in every.items():
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        if n_threads:
            environment["OMP_NUM_THREADS"] = str(n_threads)
        for n_rows in ROWS:
            arguments = [str(where), str(n_rows), str(int(seconds)), str(held_to)]
            command = [sys.executable, "-c", ONE_PROCESS, *arguments]
            text = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
            threads, busy, wall, cpu = json.loads(text)
            print(f"{name:40} {n_rows:4} {threads:7} {busy:4} {wall:8.4f} {cpu:9.4f}", flush=True)


async def measure_pool(
    folder: Path, key_id: str, n_rows: int, n_workers: int, n_threads: int, seconds: float
) -> str:
    """Return the line of one split of the cores."""
    store = KeyStore("memory://keys", quota_bytes=None, max_age_seconds=None, max_keys_per_owner=None)
    data = (folder / "keys").read_bytes()
    assert EvaluationKeys.from_bytes(data).id == key_id

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    await store.put(key_id, chunks(), expected_bytes=len(data), owner="")
    pool = WorkerPool(
        {MODEL: folder},
        store,
        n_workers=n_workers,
        threads_per_worker=n_threads,
        memory_limit=None,
        run_timeout=600.0,
        kept_key_bytes=1 << 32,
    )
    await pool.start()
    try:
        while not all(status.ready for status in pool.status()):
            await asyncio.sleep(0.05)
        batch = (folder / f"batch-{n_rows}").read_bytes()
        while not all(status.kept_keys for status in pool.status()):
            await asyncio.gather(*(pool.run(*MODEL, key_id, [batch]) for _ in range(2 * n_workers)))
        processes = [psutil.Process(status.pid) for status in pool.status()]

        def cpu_seconds() -> float:
            return sum(sum(process.cpu_times()[:2]) for process in processes)

        latencies: list[float] = []
        start, cpu = time.perf_counter(), cpu_seconds()

        async def ask() -> None:
            while time.perf_counter() - start < seconds:
                asked = time.perf_counter()
                await pool.run(*MODEL, key_id, [batch])
                latencies.append(time.perf_counter() - asked)

        await asyncio.gather(*(ask() for _ in range(n_workers)))
        wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
        memory = sum(status.memory_bytes for status in pool.status())
    finally:
        await pool.stop(0.0)
    n = len(latencies) * n_rows
    latency = sorted(latencies)[len(latencies) // 2]
    split = f"{n_workers:7} {n_threads:7} {n_rows:5}"
    return f"{split} {n / wall:8.2f} {cpu / n:9.4f} {latency:8.3f} {memory / 1e6:6.0f}"


def main() -> None:
    """Run, and print a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--cores", type=int, default=available_cores())
    options = parser.parse_args()
    print(f"{processor()}, {available_cores()} cores")
    with tempfile.TemporaryDirectory() as work:
        folder, serial = Path(work, "tree"), Path(work, "serial")
        key_id = write_model(folder, None)
        write_model(serial, fhe.Configuration(loop_parallelize=False))
        show_threads(folder, serial, options.seconds, options.cores)
        print(f"{'workers':>7} threads  rows   rows/s CPU s/row median s     MB")
        for n_workers in [n for n in range(1, options.cores + 1) if options.cores % n == 0]:
            for n_rows in ROWS:
                n_threads = options.cores // n_workers
                coroutine = measure_pool(folder, key_id, n_rows, n_workers, n_threads, options.seconds)
                print(asyncio.run(coroutine), flush=True)


if __name__ == "__main__":
    main()
