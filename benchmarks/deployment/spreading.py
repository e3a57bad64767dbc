"""Rows a second here and on Dask's workers: ``python -m benchmarks.deployment.spreading``.

    [--workers 1 2] [--seconds 10] [--models linear tree forest network]

Every model predicts the same rows in this process, on as many threads as OpenMP has, and on clusters of
single-thread workers on this machine; the first prediction, in which workers compile and expand keys, is
shown apart. Processor seconds are of this process and of the workers together. On a machine that does other
things they, and their ratios, tell more than rows a second. Bytes are those of a row in the engine's largest
call, and of what each worker is sent once.
"""

import argparse
import math
import os
import pickle
import time
from typing import Any

import joblib
import numpy as np
from distributed import Client, LocalCluster

from benchmarks.deployment.spread_models import compiled_models
from benchmarks.measure import machine


def processor_seconds(client: Client | None) -> float:
    """Return the processor seconds of this process and of all workers so far."""
    workers = client.run(time.process_time).values() if client else ()
    return time.process_time() + sum(workers)


def measured(model: Any, X: Any, client: Client | None) -> tuple[float, float]:
    """Return the seconds and the processor seconds of one prediction, which must be right."""
    cpu, start = processor_seconds(client), time.perf_counter()
    if client is None:
        predicted = model.predict(X, fhe="execute")
    else:
        with joblib.parallel_config(backend="dask", client=client):
            predicted = model.predict(X, fhe="execute")
    taken = time.perf_counter() - start
    np.testing.assert_array_equal(predicted, model.predict(X))
    return taken, processor_seconds(client) - cpu


def show_bytes(name: str, model: Any, X: Any) -> None:
    """Print what is moved."""
    circuit = model.fhe_circuit_
    rows = X[: circuit.batch_sizes[-1]]
    batch = circuit.encrypt(*model.encoder_.encode(rows))
    up, down = len(batch.to_bytes()), len(circuit.run(batch).to_bytes())
    once = len(circuit.session.evaluation_keys.to_bytes()), len(pickle.dumps(circuit.compiled))
    print(
        f"{name:8} bytes a row, {len(rows)} together: {up / len(rows):,.0f} up, "
        f"{down / len(rows):,.0f} down; once a worker: {once[0]:,} of keys, {once[1]:,} of the circuit"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="of a prediction, about")
    parser.add_argument("--models", nargs="*", default=[])
    options = parser.parse_args()
    print(machine("distributed", "concrete-python"), f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}")
    models = {}
    for name, (model, X) in compiled_models(options.models).items():
        model.fhe_circuit_.keygen()
        show_bytes(name, model, X)
        n_rows = math.ceil(options.seconds / model.cost_.seconds)
        models[name] = model, np.random.default_rng(0).choice(X, min(n_rows, 20_000))
    titles = ("rows", 6), ("first, s", 9), ("s", 7), ("rows/s", 8), ("CPU s", 7), ("CPU ms a row", 13)
    print(f"{'model':8} {'where':>10}", *(f"{title:>{width}}" for title, width in titles))

    def show(where: str, client: Client | None) -> None:
        for name, (model, X) in models.items():
            first, _ = measured(model, X[:2], client)
            taken, cpu = measured(model, X, client)
            print(
                f"{name:8} {where:>10} {len(X):6} {first:9.2f} {taken:7.2f} {len(X) / taken:8.1f} "
                f"{cpu:7.2f} {1000 * cpu / len(X):13.2f}",
                flush=True,
            )

    show("here", None)
    for n_workers in options.workers:
        how = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "host": "127.0.0.1"}
        with LocalCluster(n_workers=n_workers, **how) as cluster, Client(cluster) as client:
            show(f"{n_workers} worker{'s' * (n_workers > 1)}", client)


if __name__ == "__main__":
    main()
