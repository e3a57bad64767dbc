"""Many requests from many clients, whose servers end and come back: ``python -m benchmarks.deployment.load``.

First: two servers with one store of keys stand behind a balancer. Clients, each a process with keys of its
own, send requests of random rows and compare every answer with the clear prediction. Meanwhile the servers
are ended, by SIGKILL and by SIGTERM, one at a time, and started again. The tables have requests that were
lost or answered wrongly, percentiles of latency (a request with all its repetitions), and memory over time.

Then: rows a second through HTTP, by one client with several threads and batches of rows, beside the same
batches in one process; and where the seconds of a request go. Both run on the same cores, so what HTTP costs
is what is missing.
"""

import argparse
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.deployment.processes import Balancer, Served, resident_bytes
from benchmarks.measure import machine, save, seconds


def client(url: str, folder: Path, number: int, n_requests: int, n_rows: int, timeout: float) -> None:
    """Send requests, and write what came of them; the process of one client."""
    from skfhe.deployment import Client, HttpTransport

    content = np.load(folder / "rows.npz")
    X, expected = content["X"], content["expected"]
    rng = np.random.default_rng(number)
    # Servers compile when they start, and a client may wait for that: repetitions end with the deadline.
    keys = folder / f"keys-{number}"
    transport = HttpTransport(url, timeout=timeout, max_retries=10_000, folder=keys)
    latencies, wrong, errors = [], 0, []
    with Client(transport, key_dir=keys) as made:
        for _ in range(n_requests):
            chosen = rng.integers(0, len(X), n_rows)
            begun = time.perf_counter()
            try:
                got = made.predict_proba(X[chosen])
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}"[:300])
            else:
                wrong += not np.array_equal(got, expected[chosen])
                latencies.append(time.perf_counter() - begun)
    np.savez(folder / f"client-{number}.npz", latencies=latencies, wrong=wrong, errors=np.array(errors, str))


class Sampler:
    """Reads the memory of servers, and of what is below them, once a second."""

    def __init__(self, servers: list[Served]) -> None:
        self._servers = servers
        self._end = threading.Event()
        self.samples: list[list[tuple[int, int]]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(1.0):
            self.samples.append([resident_bytes(server.pid) for server in self._servers])

    def table(self, n_lines: int = 8) -> list[list[float]]:
        """Return second, and MB of each server and its workers, at some times of the run."""
        chosen = np.linspace(0, len(self.samples) - 1, min(n_lines, len(self.samples))).astype(int)
        return [
            [float(i), *(round(n / 1e6) for both in self.samples[i] for n in both)] for i in chosen.tolist()
        ]


def restart(servers: list[Served], running: Callable[[], bool], n: int, pause: float) -> list[list[Any]]:
    """End servers one after the other, by SIGKILL and by SIGTERM, and start them again."""
    found = []
    for i in range(n):
        time.sleep(pause)
        if not running():
            break
        server, sig = servers[i % 2], (signal.SIGKILL, signal.SIGTERM)[(i + i // 2) % 2]
        workers = server.workers()
        ended = server.end(sig)
        _, left = psutil.wait_procs([psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], 10)
        server.start()
        found.append([i, sig.name, round(ended, 2), len(left), round(server.wait(), 1)])
    return found


def lost_and_found(folder: Path, n_clients: int) -> dict[str, Any]:
    """Add up what the clients wrote."""
    results = [np.load(folder / f"client-{number}.npz") for number in range(n_clients)]
    latencies = np.concatenate([result["latencies"] for result in results])
    errors = [str(error) for result in results for error in result["errors"]]
    percentiles = {f"p{q}": float(np.percentile(latencies, q)) for q in (50, 90, 99, 99.9, 100)}
    return {
        "answered": len(latencies),
        "wrong": int(sum(result["wrong"] for result in results)),
        "lost": len(errors),
        "errors": errors[:5],
        "latency": percentiles,
    }


def under_fire(folder: Path, model: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the first part."""
    keys = folder / "store"
    options = ["--workers", str(arguments.workers)]
    servers = [Served([model], keys, folder / f"server-{i}.log", options) for i in range(2)]
    try:
        for server in servers:
            server.wait()
        spawn = multiprocessing.get_context("spawn")
        share = -(-arguments.requests // arguments.clients)
        with Balancer([server.port for server in servers]) as balancer, Sampler(servers) as sampler:
            url = f"{balancer.url}/{model.name}"
            processes = [
                spawn.Process(
                    target=client, args=(url, folder, number, share, arguments.rows, arguments.timeout)
                )
                for number in range(arguments.clients)
            ]
            begun = time.perf_counter()
            for process in processes:
                process.start()
            restarts = restart(
                servers,
                lambda: any(process.is_alive() for process in processes),
                arguments.restarts,
                arguments.pause,
            )
            for process in processes:
                process.join()
            taken = time.perf_counter() - begun
            found = lost_and_found(folder, arguments.clients)
            found |= {"seconds": taken, "restarts": restarts, "memory": sampler.table()}
            found["asked"] = share * arguments.clients
            found["MB up, down"] = [balancer.bytes_up / 1e6, balancer.bytes_down / 1e6]
    finally:
        for server in servers:
            server.stop()
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor seconds that processes have used."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def stage_seconds(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return the server's seconds by stage between two looks at its metrics."""
    found = {}
    for name, value in after.items():
        if name.startswith("skfhe_stage_seconds_sum"):
            found[name.split('stage="')[1].split('"')[0]] = value - before.get(name, 0.0)
    return found


def throughput(folder: Path, model: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the second part."""
    from skfhe.deployment import Batch, Client, HttpTransport, Server

    X = np.load(folder / "rows.npz")["X"]
    n_rows, n_batches = arguments.batch_rows, arguments.batches
    rows = X[np.arange(n_rows) % len(X)]
    key_dir = folder / "keys-throughput"
    with Client(model / "client.zip", key_dir=key_dir) as local:
        keys = local.evaluation_keys()
        server = Server(model).load()
        batch = local.encrypt(rows)
        data = batch.to_bytes()
        result = server.run(batch, keys)
        kept = result.to_bytes()
        stages = {
            "encrypt": seconds(lambda: local.encrypt(rows).to_bytes(), 5, 1),
            "run": seconds(lambda: server.run(batch, keys), 5, 1),
            "bytes of inputs read, of results written": seconds(
                lambda: (Batch.from_bytes(data), result.to_bytes()), 5, 1
            ),
            "decrypt": seconds(lambda: local.decrypt(Batch.from_bytes(kept)), 5, 1),
        }

        def in_process(_: int) -> None:
            local.decrypt(server.run(local.encrypt(rows), keys))

        def over_bytes(_: int) -> None:
            server.run(Batch.from_bytes(data), keys).to_bytes()

        def rate(call: Callable[[int], Any], n_threads: int) -> float:
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(call, range(n_threads)))
                begun = time.perf_counter()
                list(pool.map(call, range(n_batches)))
            return n_rows * n_batches / (time.perf_counter() - begun)

        before_cpu = time.process_time()
        for i in range(5):
            over_bytes(i)
        cpu = {"in process: run": (time.process_time() - before_cpu) / 5}
        rates = {
            "in process: encrypt, run, decrypt": rate(in_process, arguments.threads),
            "in process: run": rate(over_bytes, arguments.threads),
        }
    options = ["--workers", str(arguments.workers)]
    with Served([model], folder / "store", folder / "throughput.log", options) as served:
        served.wait()
        transport = HttpTransport(f"{served.url}/{model.name}", folder=key_dir)
        with Client(transport, key_dir=key_dir) as remote:
            remote.predict(rows)
            before = served.metrics()
            rates["HTTP: encrypt, run, decrypt"] = rate(lambda _: remote.predict(rows), arguments.threads)
            served_stages = stage_seconds(before, served.metrics())
            parts = {"client": [os.getpid()], "server": [served.pid], "workers": served.workers()}
            before_cpu_of = {part: cpu_seconds(pids) for part, pids in parts.items()}
            rates["HTTP: run"] = rate(lambda _: transport.run(batch), arguments.threads)
            for part, pids in parts.items():
                used = cpu_seconds(pids) - before_cpu_of[part]
                cpu[f"HTTP: run, {part}"] = used / (n_batches + arguments.threads)
    n_requests = n_batches + arguments.threads
    return {
        "rows a second": rates,
        "ratio": {
            "all": rates["HTTP: encrypt, run, decrypt"] / rates["in process: encrypt, run, decrypt"],
            "run": rates["HTTP: run"] / rates["in process: run"],
        },
        "ms a batch, alone, in process": {name: value * 1e3 for name, value in stages.items()},
        "CPU ms a batch": {name: value * 1e3 for name, value in cpu.items()},
        "ms a request, in the server": {
            name: value / n_requests * 1e3 for name, value in served_stages.items()
        },
        "bytes up, down": [len(data), len(kept)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rows", type=int, default=1, help="of each request of the first part")
    parser.add_argument("--restarts", type=int, default=8, help="at most, while clients run")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between restarts")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds that a request may take")
    parser.add_argument("--workers", type=int, default=1, help="of each server")
    parser.add_argument("--model", default="linear")
    parser.add_argument("--batch-rows", type=int, default=256, help="of each request of the second part")
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--threads", type=int, default=4, help="of the client in the second part")
    parser.add_argument("--part", choices=["fire", "throughput", "both"], default="both")
    parser.add_argument("--save", action="store_true", help="write the results among benchmarks/results")
    arguments = parser.parse_args()

    from benchmarks.deployment.models import clear, made
    from skfhe.deployment import save as save_model

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, X = made(arguments.model)
        save_model(model, folder / arguments.model)
        np.savez(folder / "rows.npz", X=X, expected=clear(model, X)["predict_proba"])
        del model
        results: dict[str, Any] = {}
        if arguments.part != "throughput":
            results["under fire"] = under_fire(folder, folder / arguments.model, arguments)
        if arguments.part != "fire":
            results["throughput"] = throughput(folder, folder / arguments.model, arguments)
    content = {"machine": machine("concrete-python", "numpy", "httpx", "uvicorn"), "results": results}
    show(content)
    if arguments.save:
        print(save("deployment-load", content))
    fire = results.get("under fire", {"wrong": 0, "lost": 0})
    if fire["wrong"] or fire["lost"]:
        raise SystemExit("requests were lost, or answered wrongly")


def show(content: dict[str, Any]) -> None:
    """Print what was found."""
    print(content["machine"])
    fire = content["results"].get("under fire")
    if fire:
        print(
            f"\n{fire['answered']} of {fire['asked']} requests answered in {fire['seconds']:.0f} s, "
            f"{fire['wrong']} wrong, {fire['lost']} lost",
            *fire["errors"],
            sep="\n  ",
        )
        print("latency, s:", ", ".join(f"{name} {value:.3f}" for name, value in fire["latency"].items()))
        print("MB up, down:", *(f"{value:.1f}" for value in fire["MB up, down"]))
        print("restart: number, signal, seconds to its end, workers left after 10 s, seconds until ready")
        for line in fire["restarts"]:
            print("  ", *line)
        print("memory, MB: second, server 0, its workers, server 1, its workers")
        for line in fire["memory"]:
            print("  ", *line)
    speed = content["results"].get("throughput")
    if speed:
        print()
        for name in (
            "rows a second",
            "ratio",
            "CPU ms a batch",
            "ms a batch, alone, in process",
            "ms a request, in the server",
        ):
            print(name)
            for what, value in speed[name].items():
                print(f"   {what:45} {value:10.2f}")
        print("bytes up, down:", *speed["bytes up, down"])


if __name__ == "__main__":
    main()
