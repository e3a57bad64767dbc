"""What goes wrong, tried on a server that runs: ``python -m benchmarks.deployment.faults``.

A server with a linear model and a tree, several clients, and each fault once: what came, and in how many
seconds. At the end: the most memory that the server and its workers took, and where bytes of secret keys were
found outside the clients: in the server's files, its store of keys, its log, and in everything that went over
the network.

``--mutations`` counts changed files, bodies and keys, a third of each. Files and keys carry hashes, so every
changed one has to be refused; a changed body is refused, or is another ciphertext: then it has to be answered
under the name of its keys, as any is that a client could have sent.
"""

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.deployment.fault_site import DEADLINE, SLACK, Checked, Memory, Site, check
from benchmarks.deployment.hostile import infer_body, mutated, raw, spoken
from benchmarks.deployment.secrets_search import found_in, patterns
from benchmarks.measure import machine, save


def refused(answer: Any, *statuses: int) -> str:
    """Check that a request was refused."""
    check(answer.status in (statuses or (400,)), answer)
    return str(answer)


def wrong_keys(site: Site) -> str:
    """Try keys that the batch does not name."""
    _, data, _ = site.request("tree-a")
    _, _, other = site.request("tree-b")
    return refused(site.infer("tree", data, other))


def keys_of_equal_parameters(site: Site) -> str:
    """Try a batch that says to be under another client's keys, which fit by their form."""
    from skfhe.deployment import Batch

    batch, _, _ = site.request("tree-a")
    _, _, other = site.request("tree-b")
    answer = site.infer("tree", replace(batch, key_id=other).to_bytes(), other)
    check(answer.status == 200, answer)
    result = Batch.from_bytes(answer.body[answer.body.index(b"skfhe-ct") :])
    try:
        site.clients["tree-a"].decrypt(result)
    except ValueError as error:
        return f"{answer}, which the client refuses: {type(error).__name__}"
    raise Checked("the client decrypted what was computed under other keys")


def keys_of_other_parameters(site: Site) -> str:
    """Try a tree's keys for a linear model, and the other way."""
    found = []
    for name, model in (("tree-a", "linear"), ("linear-a", "tree")):
        keys = site.clients[name].evaluation_keys()
        fresh = site.client(name.split("-")[0], f"{name}-other").evaluation_keys()
        check(str(fresh.id) != str(keys.id), "two clients have the same keys")
        found.append(refused(site.upload(model, fresh.to_bytes(), str(fresh.id)), 400, 413))
    return "; ".join(found)


def other_model(site: Site) -> str:
    """Try ciphertexts of the tree for the linear model."""
    _, data, key_id = site.request("tree-a")
    return refused(site.infer("linear", data, key_id))


def random_bytes(site: Site) -> str:
    """Try bytes without meaning, as bodies and as keys."""
    rng, statuses = np.random.default_rng(0), Counter()
    _, _, key_id = site.request("linear-a")
    for _ in range(30):
        data = rng.bytes(int(rng.integers(1, 20_000)))
        statuses[raw(site.port, "POST", "/v2/models/linear/infer", data).status] += 1
        statuses[site.infer("linear", data, key_id).status] += 1
        statuses[site.infer("linear", b"skfhe-ct" + data, key_id).status] += 1
        statuses[site.upload("linear", data, rng.bytes(32).hex()).status] += 1
        statuses[spoken(site.port, [data]).status] += 1
    check({*statuses} <= {400, 411, 413, None}, statuses)
    return ", ".join(f"{status or 'closed'}: {n}" for status, n in statuses.items())


def head(method: str, path: str, length: int, **headers: str) -> bytes:
    """Return the head of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def truncated(site: Site) -> str:
    """Try a body whose end never comes, and one whose batch ends too early."""
    _, data, key_id = site.request("linear-a")
    body, headers = infer_body(data, key_id)
    length = headers["Inference-Header-Content-Length"]
    start = head("POST", "/v2/models/linear/infer", len(body), Inference_Header_Content_Length=length)
    gone = spoken(site.port, [start + body[: len(body) // 2]])
    check(gone.status in (None, 400, 408), gone)
    return f"{gone}; {refused(site.infer('linear', data[:-9], key_id))}"


def oversized(site: Site) -> str:
    """Try bodies beyond the limit, of which only the length is sent."""
    huge = spoken(site.port, [head("POST", "/v2/models/linear/infer", 10**12)], ends=False)
    keys = spoken(site.port, [head("PUT", f"/v2/models/linear/keys/{'0' * 64}", 10**12)], ends=False)
    check(max(huge.seconds, keys.seconds) < SLACK, "the answers took too long")
    return f"{refused(huge, 413)}; {refused(keys, 413)}"


def slow(site: Site) -> str:
    """Try a body, and a head, of which a byte comes now and then."""
    body = [head("POST", "/v2/models/linear/infer", 10_000), *[b"x"] * 1000]
    start = [bytes([byte]) for byte in head("POST", "/v2/models/linear/infer", 10)]
    slow_body, slow_head = spoken(site.port, body, 0.5), spoken(site.port, start, 0.5)
    check(max(slow_body.seconds, slow_head.seconds) < 3 + SLACK, (slow_body, slow_head))
    return f"{refused(slow_body, 408)}; {refused(slow_head, 408, None)}"


def secret_keys(site: Site) -> str:
    """Upload a client's secret keys by mistake."""
    found = []
    for path in sorted((site.folder / "clients").glob("*-a/*.secret")):
        # Not through the tap, which is searched for them: that somebody sends them is what is tried here.
        model = path.parent.name.removesuffix("-a")
        answer = raw(site.server.port, "PUT", f"/v2/models/{model}/keys/{'0' * 64}", path.read_bytes())
        found.append(refused(answer, 400, 413))
    check(bool(found), "no file of secret keys was found")
    return "; ".join(found)


def busiest(pids: list[int]) -> int:
    """Return the process that computes."""

    def used(pid: int) -> float:
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system

    before = {pid: used(pid) for pid in pids}
    time.sleep(0.5)
    return max(pids, key=lambda pid: used(pid) - before[pid])


def worker_killed(site: Site) -> str:
    """End a process that computes while it does; others have to be answered meanwhile."""
    X = np.tile(site.rows["tree"], (3, 1))
    found: dict[str, Any] = {}

    def predict() -> None:
        try:
            found["long"] = site.clients["tree-a"].predict_proba(X)
        except Exception as error:
            found["error"] = error

    thread = threading.Thread(target=predict)
    thread.start()
    time.sleep(0.3)
    os.kill(busiest(site.server.workers()), signal.SIGKILL)
    other = site.right("linear-a")
    thread.join(2 * DEADLINE)
    check("long" in found, found.get("error", "no answer"))
    check(np.array_equal(found["long"], np.tile(site.expected["tree"], (3, 1))), "a wrong answer")
    return f"the right answer; a neighbour's: {other}"


def worker_stalled(site: Site) -> str:
    """Stop the processes that compute: requests end by the run's deadline, and new ones take over."""
    stopped = site.server.workers()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        came = site.right("linear-a")
    except Exception as error:
        came = f"{type(error).__name__} in {time.monotonic() - begun:.1f} s"
    check(time.monotonic() - begun < DEADLINE + SLACK, "beyond the deadline")
    for pid in {*stopped} & {*site.server.workers()}:
        os.kill(pid, signal.SIGCONT)
    return f"{came}; then {site.right('linear-a')}"


def disk_full(site: Site) -> str:
    """Let the server write no files: keys that are new are refused, and what is there goes on."""
    before = sorted(path.name for path in site.store.rglob("*"))
    limits = resource.prlimit(site.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(site.server.pid, resource.RLIMIT_FSIZE, (1 << 14, limits[1]))
    client = site.client("tree", "tree-c")
    try:
        client.predict(site.rows["tree"])
        came = "keys were kept"
    except Exception as error:
        came = f"{type(error).__name__}: {str(error)[-60:]}"
    finally:
        old = site.right("tree-a")
        resource.prlimit(site.server.pid, resource.RLIMIT_FSIZE, limits)
    check("keys were kept" not in came, came)
    check(sorted(path.name for path in site.store.rglob("*")) == before, "half a file was left")
    return f"{came}; keys that are there: {old}; with room again: {site.right('tree-c', client)}"


def expired_keys(site: Site) -> str:
    """Start the server again when nobody has used the keys for a year."""
    for path in site.store.rglob("*"):
        os.utime(path, (time.time() - 3e7, time.time() - 3e7))
    site.server.end(signal.SIGTERM)
    site.server.start()
    site.server.wait()
    before = site.server.metrics().get("skfhe_key_uploads_total", 0)
    came = site.right("tree-a")
    uploads = site.server.metrics().get("skfhe_key_uploads_total", 0) - before
    check(uploads == 1, f"{uploads} uploads")
    return f"uploaded again, {came}"


def deleted_keys(site: Site) -> str:
    """Delete keys, and go on."""
    _, data, key_id = site.request("linear-b")
    gone = raw(site.port, "DELETE", f"/v2/models/linear/keys/{key_id}")
    check(gone.status == 204, gone)
    unknown = site.infer("linear", data, key_id)
    return f"{refused(unknown, 404)}; the client: {site.right('linear-b')}"


def clock_jumps(site: Site) -> str:
    """Move the server's clock forward and back while it runs."""
    came = []
    for offset in (86_000, -172_000, 3e7, 0):
        site.clock.write_text(str(offset))
        begun = time.monotonic()
        site.right("linear-a")
        site.right("tree-b")
        came.append(f"{time.monotonic() - begun:.1f}")
    return f"right answers in {', '.join(came)} s"


READ_FILES = """
import resource, sys, time
from collections import Counter
import numpy as np
from benchmarks.deployment.hostile import mutated
from skfhe.deployment import Client, Server
folder, n, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
rng, found, slowest = np.random.default_rng(seed), Counter(), 0.0
for i in range(n):
    name, read = (("client.zip", Client), ("server.zip", Server))[i % 2]
    data = open(f"{folder}/{name}", "rb").read()
    changed = mutated(data, rng)
    if changed == data:
        continue
    path = f"{sys.argv[4]}/{name}"
    open(path, "wb").write(changed)
    begun = time.perf_counter()
    try:
        read(path)
        found["read"] += 1
    except ValueError:
        found["refused"] += 1
    except BaseException as error:
        found[type(error).__name__] += 1
    slowest = max(slowest, time.perf_counter() - begun)
lines = open("/proc/self/status").read().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
print(dict(found), f"slowest {slowest:.2f} s, at most {peak / 1e3:.0f} MB")
raise SystemExit(set(found) != {"refused"})
"""


def mutated_files(site: Site, n: int) -> str:
    """Read files that were changed, in a process of its own."""
    found = []
    for name in ("linear", "tree"):
        model = site.folder / "models" / name
        with tempfile.TemporaryDirectory() as empty:
            command = [sys.executable, "-c", READ_FILES, str(model), str(n // 2), "0", empty]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=3600)
        check(ended.returncode == 0, ended.stdout + ended.stderr[-500:])
        found.append(f"{name} {ended.stdout.strip()}")
    return "; ".join(found)


def mutated_bodies(site: Site, n: int) -> str:
    """Send infer requests that were changed."""
    from skfhe.deployment import Batch

    rng, found, slowest = np.random.default_rng(1), Counter(), 0.0
    for i in range(n):
        model = ("linear", "tree")[i % 8 == 0]
        _, data, key_id = site.request(f"{model}-a")
        changed = mutated(data, rng)
        answer = site.infer(model, changed, key_id)
        slowest = max(slowest, answer.seconds)
        found[answer.status] += 1
        check(answer.status in (200, 400, 404, 413), answer)
        if answer.status == 200:
            result = Batch.from_bytes(answer.body[answer.body.index(b"skfhe-ct") :])
            sent = Batch.from_bytes(changed)
            check((result.key_id, len(result)) == (sent.key_id, len(sent)), "another's answer")
    check(slowest < DEADLINE + SLACK, f"one took {slowest:.1f} s")
    shown = ", ".join(f"{status}: {count}" for status, count in sorted(found.items()))
    return f"{shown}; slowest {slowest:.1f} s"


def mutated_keys(site: Site, n: int) -> str:
    """Upload evaluation keys that were changed."""
    rng, found, slowest = np.random.default_rng(2), Counter(), 0.0
    never_sent = {model: site.client(model, f"{model}-m").evaluation_keys() for model in site.rows}
    for i in range(n):
        model = ("linear", "tree")[i % 20 == 0]
        keys = never_sent[model]
        data = keys.to_bytes()
        changed = mutated(data, rng)
        if changed == data:
            continue
        answer = site.upload(model, changed, str(keys.id))
        slowest = max(slowest, answer.seconds)
        found[answer.status] += 1
        check(answer.status in (400, 413), answer)
    check(slowest < DEADLINE + SLACK, f"one took {slowest:.1f} s")
    shown = ", ".join(f"{status}: {count}" for status, count in sorted(found.items()))
    return f"{shown}; slowest {slowest:.1f} s"


FAULTS: tuple[Callable[[Site], str], ...] = (
    wrong_keys,
    keys_of_equal_parameters,
    keys_of_other_parameters,
    other_model,
    random_bytes,
    truncated,
    oversized,
    slow,
    secret_keys,
    worker_killed,
    worker_stalled,
    disk_full,
    deleted_keys,
    expired_keys,
    clock_jumps,
)


def searched(site: Site) -> str:
    """Look for secret keys in everything outside the clients."""
    from skfhe.circuit import SecretKeys

    own = sorted((site.folder / "clients").rglob("*.secret"))
    secret = [SecretKeys.from_bytes(path.read_bytes())._secret.values() for path in own]
    looked_for = [pattern for keys in secret for words in keys for pattern in patterns(words)]
    outside = [site.log, site.tap, *(path for path in site.store.rglob("*") if path.is_file())]
    outside += [path for path in (site.folder / "models").rglob("*") if path.is_file()]
    found, n_bytes = found_in(outside, looked_for)
    check(not found, f"secret keys in {found}")
    control, _ = found_in(own, looked_for)
    check(control == own != [], "the clients' own files do not have what was looked for")
    return f"in {n_bytes / 1e6:.0f} MB: none (and in all {len(own)} files of clients, where they belong)"


def tried(name: str, call: Callable[[], str]) -> dict[str, Any]:
    """Return, and print, what came of one fault."""
    begun = time.monotonic()
    try:
        came, passed = call(), True
    except Exception as error:
        came, passed = f"{type(error).__name__}: {error}", False
    print(f"{'ok  ' if passed else 'FAIL'} {time.monotonic() - begun:6.1f} s  {name}: {came}", flush=True)
    return {"name": name, "came": came, "passed": passed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=600, help="of files, bodies and keys together")
    parser.add_argument("--only", nargs="*", help="names of faults")
    parser.add_argument("--keep", type=Path, help="copy logs, traffic and files here at the end")
    parser.add_argument("--save", action="store_true", help="write the results among benchmarks/results")
    arguments = parser.parse_args()
    print(machine("concrete-python", "numpy", "httpx", "uvicorn"))
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        memory = Memory(site)
        third = arguments.mutations // 3
        faults: list[tuple[str, Callable[[], str]]] = [
            (fault.__name__, lambda fault=fault: fault(site)) for fault in FAULTS
        ]
        for mutate in (mutated_files, mutated_bodies, mutated_keys):
            faults.append((mutate.__name__, lambda mutate=mutate: mutate(site, third)))
        results = [tried(name, call) for name, call in faults if not arguments.only or name in arguments.only]
        results.append(
            tried("afterwards", lambda: "; ".join(f"{name}: {site.right(name)}" for name in site.clients))
        )
        results.append(tried("memory", memory.checked))
        results.append(tried("search for secret keys", lambda: searched(site)))
        site.close()
        if arguments.keep:
            shutil.copytree(folder, arguments.keep, dirs_exist_ok=True)
    if arguments.save:
        content = {"machine": machine("concrete-python", "numpy", "httpx", "uvicorn"), "results": results}
        print(save("deployment-faults", content))
    if not all(result["passed"] for result in results):
        raise SystemExit("not everything came out as it has to")


if __name__ == "__main__":
    main()
