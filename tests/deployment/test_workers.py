"""Whatever happens in a worker costs the call that it was running, and no other."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from sklearn.datasets import load_iris

from skfhe.circuit import Batch, ClientSession, compile_program
from skfhe.deployment import save
from skfhe.deployment._serving import _workers
from skfhe.deployment._serving._exceptions import (
    RunTimeoutError,
    UnknownKeysError,
    WorkerDiedError,
    WorkersUnavailableError,
)
from skfhe.deployment._serving._key_store import KeyStore
from skfhe.deployment._serving._workers import WorkerPool
from skfhe.exceptions import CiphertextMismatchError
from skfhe.linear_model import LogisticRegression
from skfhe.program import run
from tests.circuit.two_parts import two_parts
from tests.conftest import random_inputs
from tests.deployment import worker_models
from tests.deployment.worker_models import FAULT_OF_ROWS, sums

MODEL = ("sums", "1")
ROWS = {fault: n_rows for n_rows, fault in FAULT_OF_ROWS.items()}


class Served:
    """A circuit in a folder, and what its client has."""

    def __init__(self, circuit, folder: Path) -> None:
        self.circuit, self.folder = circuit, folder
        folder.mkdir()
        (folder / "circuit.pickle").write_bytes(pickle.dumps(circuit.compiled))

    def batch(self, n_rows=1, session=None, seed=0):
        inputs = random_inputs(self.circuit.program, n_rows, np.random.default_rng(seed))
        return inputs, (session or self.circuit.session).encrypt(*inputs).to_bytes()

    def check(self, inputs, result, session=None):
        found = (session or self.circuit.session).decrypt(Batch.from_bytes(result))
        for y, wanted in zip(found, run(self.circuit.program, *inputs), strict=True):
            np.testing.assert_array_equal(y, wanted)


@pytest.fixture(scope="module")
def levelled(tmp_path_factory):
    circuit = compile_program(sums(), batch_sizes=tuple(range(1, 9)))
    return Served(circuit, tmp_path_factory.mktemp("models") / "sums")


@pytest.fixture(scope="module")
def looked_up(tmp_path_factory):
    circuit = compile_program(two_parts(), batch_sizes=(1, 2))
    return Served(circuit, tmp_path_factory.mktemp("models") / "looked_up")


async def once(data):
    yield data


async def upload(store, keys):
    data = keys.to_bytes()
    await store.put(str(keys.id), once(data), expected_bytes=len(data), owner="")
    return str(keys.id)


def pool_of(models, store, loader="Pickled", **options):
    options = {
        "n_workers": 1,
        "threads_per_worker": 1,
        "memory_limit": None,
        "run_timeout": 60.0,
        "kept_key_bytes": 1 << 30,
    } | options
    if loader:
        options["loader"] = f"{worker_models.__name__}:{loader}"
    return WorkerPool(models, store, **options)


@asynccontextmanager
async def running(served, loader="Harmful", **options):
    """A pool that serves one model, and the id of its client's keys, which are there."""
    store = KeyStore("memory://workers", quota_bytes=None, max_age_seconds=None, max_keys_per_owner=None)
    key_id = await upload(store, served.circuit.session.evaluation_keys)
    pool = pool_of({MODEL: served.folder}, store, loader, **options)
    await pool.start()
    try:
        yield pool, key_id
    finally:
        await pool.stop(0.0)
        assert not [child for child in psutil.Process().children() if "_worker_process" in child.cmdline()]


async def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.02)


async def all_ready(pool):
    await until(lambda: all(status.ready for status in pool.status()))


@pytest.mark.slow
def test_batches_are_run_as_in_process_in_their_order(looked_up):
    async def serve():
        async with running(looked_up, "Pickled") as (pool, key_id):
            batches = [looked_up.batch(1 + seed % 2, seed=seed) for seed in range(4)]
            results = await pool.run(*MODEL, key_id, [data for _, data in batches])
            for (inputs, _), result in zip(batches, results, strict=True):
                looked_up.check(inputs, result)
            (status,) = pool.status()
            assert status.runs == 1
            assert status.models == {MODEL}
            assert status.kept_keys == 1
            assert status.kept_key_bytes > looked_up.circuit.statistics["key_bytes"]
            assert status.memory_bytes > 1 << 26
            assert status.restarts == 0
            assert status.error is None

    asyncio.run(serve())


@pytest.mark.slow
def test_a_batch_that_ends_its_worker_twice_gets_an_error_and_others_their_results(levelled):
    """One worker alone is ended by it, whichever that is; what waits for that is run by its successor."""

    async def serve():
        async with running(levelled, n_workers=2) as (pool, key_id):
            await all_ready(pool)
            pids = {status.pid for status in pool.status()}
            harmful = asyncio.create_task(
                pool.run(*MODEL, key_id, [levelled.batch(ROWS["segmentation_fault"])[1]])
            )
            good = [levelled.batch(seed=seed) for seed in range(20)]
            results = await asyncio.gather(*(pool.run(*MODEL, key_id, [data]) for _, data in good))
            for (inputs, _), (result,) in zip(good, results, strict=True):
                levelled.check(inputs, result)
            with pytest.raises(WorkerDiedError):
                await harmful
            await all_ready(pool)
            assert sorted(status.restarts for status in pool.status()) == [0, 2]
            assert len(pids & {status.pid for status in pool.status()}) == 1

    asyncio.run(serve())


@pytest.mark.slow
def test_what_waits_for_the_only_worker_is_run_by_its_successors(levelled):
    async def serve():
        async with running(levelled) as (pool, key_id):
            await all_ready(pool)
            harmful = asyncio.create_task(pool.run(*MODEL, key_id, [levelled.batch(ROWS["exit"])[1]]))
            await asyncio.sleep(0)
            good = [levelled.batch(seed=seed) for seed in range(5)]
            results = await asyncio.gather(*(pool.run(*MODEL, key_id, [data]) for _, data in good))
            for (inputs, _), (result,) in zip(good, results, strict=True):
                levelled.check(inputs, result)
            with pytest.raises(WorkerDiedError, match="exit status 0"):
                await harmful

    asyncio.run(serve())


@pytest.mark.slow
def test_keys_whose_runs_end_worker_after_worker_are_refused_and_others_are_not(levelled, monkeypatch):
    monkeypatch.setattr(_workers, "_MOST_HARM", 3)

    async def serve():
        async with running(levelled) as (pool, key_id):
            data = levelled.batch(ROWS["exit"])[1]
            for _ in range(2):
                with pytest.raises(WorkerDiedError, match="the process that ran it"):
                    await pool.run(*MODEL, key_id, [data])
            with pytest.raises(WorkerDiedError, match="ended 4 processes within 600 seconds"):
                await pool.run(*MODEL, key_id, [data])
            other = ClientSession(levelled.circuit.compiled.specs)
            inputs, data = levelled.batch(session=other)
            (result,) = await pool.run(*MODEL, await upload(pool._keys, other.evaluation_keys), [data])
            levelled.check(inputs, result, other)
            assert pool.status()[0].restarts == 4

    asyncio.run(serve())


@pytest.mark.slow
def test_batches_that_were_joined_are_not_repeated_together(levelled):
    async def serve():
        async with running(levelled) as (pool, key_id):
            joined = [levelled.batch()[1], levelled.batch(ROWS["exit"])[1]]
            with pytest.raises(WorkerDiedError, match="exit status 0"):
                await pool.run(*MODEL, key_id, joined)
            await all_ready(pool)
            assert pool.status()[0].restarts == 1

    asyncio.run(serve())


@pytest.mark.slow
def test_a_worker_that_is_killed_from_outside_is_replaced_and_its_batch_run_again(levelled):
    """Whether it was running one, or idle."""

    async def serve():
        async with running(levelled) as (pool, key_id):
            await all_ready(pool)
            inputs, data = levelled.batch(ROWS["slow"])
            call = asyncio.create_task(pool.run(*MODEL, key_id, [data]))
            await asyncio.sleep(0.5)
            os.kill(pool.status()[0].pid, signal.SIGKILL)
            levelled.check(inputs, (await call)[0])
            assert pool.status()[0].restarts == 1
            await all_ready(pool)
            os.kill(pool.status()[0].pid, signal.SIGKILL)
            await until(lambda: pool.status()[0].restarts == 2)
            inputs, data = levelled.batch()
            levelled.check(inputs, (await pool.run(*MODEL, key_id, [data]))[0])

    asyncio.run(serve())


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_ended_and_its_worker_replaced(levelled):
    """Whether it works, or is stopped and would not even notice to be asked."""

    async def serve():
        async with running(levelled, run_timeout=1.5) as (pool, key_id):
            for rows, stopped in ((ROWS["stall"], False), (1, True)):
                await all_ready(pool)
                if stopped:
                    os.kill(pool.status()[0].pid, signal.SIGSTOP)
                with pytest.raises(RunTimeoutError) as caught:
                    await pool.run(*MODEL, key_id, [levelled.batch(rows)[1]])
                assert caught.value.killed
                inputs, data = levelled.batch()
                levelled.check(inputs, (await pool.run(*MODEL, key_id, [data]))[0])

    asyncio.run(serve())


@pytest.mark.slow
def test_who_does_not_wait_for_results_ends_no_worker(levelled):
    """Neither by a short deadline nor by hanging up: that would be a way to harm others."""

    async def serve():
        async with running(levelled) as (pool, key_id):
            await all_ready(pool)
            _, slow = levelled.batch(ROWS["slow"])
            with pytest.raises(RunTimeoutError) as caught:
                await pool.run(*MODEL, key_id, [slow], 0.2)
            assert not caught.value.killed
            given_up = asyncio.create_task(pool.run(*MODEL, key_id, [slow]))
            await asyncio.sleep(0.1)
            given_up.cancel()
            inputs, data = levelled.batch()
            levelled.check(inputs, (await pool.run(*MODEL, key_id, [data]))[0])
            (status,) = pool.status()
            assert (status.restarts, status.runs) == (0, 2)  # what was given up before it began is not run

    asyncio.run(serve())


@pytest.mark.slow
def test_a_worker_has_a_limit_of_memory_if_nothing_is_said(levelled):
    """So that no request whatever takes the machine's."""

    async def serve():
        async with running(levelled, "Pickled", kept_key_bytes=1 << 28) as (pool, _):
            await all_ready(pool)
            (status,) = pool.status()
            limits = Path(f"/proc/{status.pid}/limits").read_text("ascii")
            (line,) = (line for line in limits.splitlines() if line.startswith("Max data size"))
            assert 1 << 30 < int(line.split()[3]) < 8 << 30

    asyncio.run(serve())


@pytest.mark.slow
def test_a_run_beyond_the_memory_limit_fails_and_its_worker_is_replaced(levelled):
    async def serve():
        async with running(levelled, memory_limit=1 << 29, kept_key_bytes=1 << 28) as (pool, key_id):
            _, data = levelled.batch(ROWS["hog"])
            with pytest.raises(WorkerDiedError, match="MemoryError"):
                await pool.run(*MODEL, key_id, [data])
            await all_ready(pool)
            assert pool.status()[0].memory_bytes < 1 << 30
            inputs, data = levelled.batch()
            levelled.check(inputs, (await pool.run(*MODEL, key_id, [data]))[0])

    asyncio.run(serve())


@pytest.mark.slow
def test_lookups_beyond_the_memory_limit_fail_and_do_not_hang(looked_up):
    """The engine waits for ever where it gets no memory for its threads: these were started before."""

    async def serve():
        options = {"memory_limit": 120 << 20, "kept_key_bytes": 1, "run_timeout": 120.0}
        async with running(looked_up, "Pickled", **options) as (pool, key_id):
            with pytest.raises(WorkerDiedError):
                await pool.run(*MODEL, key_id, [looked_up.batch()[1]])

    asyncio.run(serve())


@pytest.mark.slow
def test_a_batch_that_is_wrong_gets_an_error_and_ends_nothing(levelled):
    async def serve():
        async with running(levelled) as (pool, key_id):
            other = ClientSession(levelled.circuit.compiled.specs)
            with pytest.raises(CiphertextMismatchError, match="keys"):
                await pool.run(*MODEL, key_id, [levelled.batch(session=other)[1]])
            with pytest.raises(ValueError, match="batch of ciphertexts"):
                await pool.run(*MODEL, key_id, [b"nonsense"])
            with pytest.raises(ValueError, match="no model"):
                await pool.run("products", "1", key_id, [levelled.batch()[1]])
            assert pool.status()[0].restarts == 0

    asyncio.run(serve())


@pytest.mark.slow
def test_keys_that_are_not_there_or_altered_in_the_store_are_unknown(levelled):
    """Altered ones are removed, so that their client uploads them again."""

    async def serve():
        async with running(levelled) as (pool, key_id):
            _, data = levelled.batch()
            with pytest.raises(UnknownKeysError):
                await pool.run(*MODEL, "0" * 64, [data])
            store = pool._keys
            path = store._path("keys", key_id)
            altered = bytearray(store.read(key_id))
            altered[-1] ^= 1
            store._fs.pipe_file(path, bytes(altered))
            with pytest.raises(UnknownKeysError, match=key_id):
                await pool.run(*MODEL, key_id, [data])
            assert not await store.has(key_id)
            assert pool.status()[0].restarts == 0

    asyncio.run(serve())


@pytest.mark.slow
def test_a_store_that_fails_costs_the_call_and_no_worker(levelled):
    """Whatever exceptions it has: those of clients of object stores are not all of the operating system's."""

    class StoreError(Exception):
        pass

    def fail(key_id):
        raise StoreError("is away")

    async def serve():
        async with running(levelled) as (pool, key_id):
            inputs, data = levelled.batch()
            store, sent = pool._keys, pool._keys.read(key_id)
            altered = lambda _: sent[:-1] + b"?"  # noqa: E731  which makes the worker be done with it
            for read, error in ((fail, StoreError), (altered, UnknownKeysError)):
                store.read, store.discard = read, fail
                with pytest.raises(error):
                    await asyncio.wait_for(pool.run(*MODEL, key_id, [data]), 30)
                del store.read
                assert pool.supervised
            (result,) = await asyncio.wait_for(pool.run(*MODEL, key_id, [data]), 30)
            levelled.check(inputs, result)
            assert pool.status()[0].restarts == 0

    asyncio.run(serve())


@pytest.mark.slow
def test_keys_used_last_stay_expanded_in_as_many_bytes_as_are_given(looked_up):
    """Each is read from the store once, as long as it is kept."""
    sessions = [ClientSession(looked_up.circuit.compiled.specs) for _ in range(3)]

    async def serve():
        n_bytes = looked_up.circuit.statistics["key_bytes"]
        async with running(looked_up, "Pickled", kept_key_bytes=int(3.5 * n_bytes)) as (pool, _):
            store, read = pool._keys, []
            read_store = store.read
            store.read = lambda key_id: read.append(key_id) or read_store(key_id)
            ids = [await upload(store, session.evaluation_keys) for session in sessions]

            async def run_under(i):
                inputs, data = looked_up.batch(session=sessions[i])
                (result,) = await pool.run(*MODEL, ids[i], [data])
                looked_up.check(inputs, result, sessions[i])

            for i in (0, 1, 0, 2, 0, 1):
                await run_under(i)
            assert read == [ids[i] for i in (0, 1, 2, 1)]
            assert pool.status()[0].kept_keys == 2

    asyncio.run(serve())


@pytest.mark.slow
def test_calls_go_to_the_worker_that_keeps_their_keys(levelled):
    async def serve():
        async with running(levelled, n_workers=2) as (pool, _):
            await all_ready(pool)
            sessions = [ClientSession(levelled.circuit.compiled.specs) for _ in range(4)]
            ids = [await upload(pool._keys, session.evaluation_keys) for session in sessions]
            for _ in range(3):
                for session, key_id in zip(sessions, ids, strict=True):
                    inputs, data = levelled.batch(session=session)
                    (result,) = await pool.run(*MODEL, key_id, [data])
                    levelled.check(inputs, result, session)
            assert sum(status.kept_keys for status in pool.status()) == len(sessions)

    asyncio.run(serve())


@pytest.mark.slow
def test_a_model_that_cannot_be_compiled_is_told_and_ends_nothing(levelled):
    async def serve():
        async with running(levelled, "Refusing") as (pool, key_id):
            with pytest.raises(WorkersUnavailableError, match="'sums' of version '1' cannot be compiled"):
                await pool.run(*MODEL, key_id, [levelled.batch()[1]])
            await all_ready(pool)
            assert pool.status()[0].error == "sums 1: ValueError: made otherwise"
            assert not pool.status()[0].models

    asyncio.run(serve())


@pytest.mark.slow
def test_workers_that_end_at_their_start_are_started_ever_less_often(levelled):
    async def serve():
        async with running(levelled, "Ending") as (pool, key_id):
            with pytest.raises(WorkersUnavailableError, match="no worker stays alive"):
                await pool.run(*MODEL, key_id, [levelled.batch()[1]])
            with pytest.raises(WorkersUnavailableError, match="no worker stays alive"):
                await pool.run(*MODEL, key_id, [levelled.batch()[1]])
            assert pool.supervised
            assert not any(status.ready for status in pool.status())
            assert pool.status()[0].restarts == 2

    asyncio.run(serve())


@pytest.mark.slow
def test_stopping_finishes_what_was_asked_for_within_its_grace(levelled):
    async def serve(grace):
        async with running(levelled) as (pool, key_id):
            await all_ready(pool)
            inputs, data = levelled.batch(ROWS["slow"])
            calls = [asyncio.create_task(pool.run(*MODEL, key_id, [data])) for _ in range(2)]
            await asyncio.sleep(0.2)
            stopping = asyncio.create_task(pool.stop(grace))
            await asyncio.sleep(0)
            with pytest.raises(WorkersUnavailableError, match="stopping"):
                await pool.run(*MODEL, key_id, [data])
            results = await asyncio.gather(*calls, return_exceptions=True)
            await stopping
            await pool.stop(grace)
            assert not pool.supervised
            return inputs, results

    inputs, results = asyncio.run(serve(30.0))
    for (result,) in results:
        levelled.check(inputs, result)
    _, results = asyncio.run(serve(0.1))
    assert [type(result) for result in results] == [WorkersUnavailableError] * 2


@pytest.mark.slow
def test_no_worker_outlives_a_server_that_is_killed(levelled):
    """Not even one that runs, and does not look at its socket."""
    script = textwrap.dedent(
        f"""
        import asyncio, os, sys
        from pathlib import Path
        from tests.deployment.test_workers import MODEL, KeyStore, pool_of

        async def serve():
            store = KeyStore({str(levelled.folder / "keys")!r}, quota_bytes=None, max_age_seconds=None,
                             max_keys_per_owner=None)
            pool = pool_of({{MODEL: Path({str(levelled.folder)!r})}}, store, "Harmful", n_workers=2)
            await pool.start()
            while not all(status.ready for status in pool.status()):
                await asyncio.sleep(0.02)
            data = Path({str(levelled.folder / "batch")!r}).read_bytes()
            call = asyncio.create_task(pool.run(*MODEL, sys.argv[1], [data]))
            await asyncio.sleep(0.5)
            print(*(status.pid for status in pool.status()), flush=True)
            await call

        asyncio.run(serve())
        """
    )

    async def prepare():
        store = KeyStore(
            str(levelled.folder / "keys"), quota_bytes=None, max_age_seconds=None, max_keys_per_owner=None
        )
        return await upload(store, levelled.circuit.session.evaluation_keys)

    (levelled.folder / "batch").write_bytes(levelled.batch(ROWS["stall"])[1])
    server = subprocess.Popen(
        [sys.executable, "-c", script, asyncio.run(prepare())], stdout=subprocess.PIPE, text=True
    )
    pids = [int(pid) for pid in server.stdout.readline().split()]
    assert len(pids) == 2
    workers = [psutil.Process(pid) for pid in pids]
    server.kill()
    server.wait()
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


def test_the_process_of_the_server_does_not_load_the_engine():
    script = (
        "import skfhe.deployment._serving._workers, sys; "
        "print([name for name in ('concrete', 'torch', 'sklearn') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
def test_workers_have_no_variable_that_may_be_secret(levelled, monkeypatch):
    monkeypatch.setenv("SKFHE_TOKEN", "secret")

    async def serve():
        async with running(levelled) as (pool, _):
            await all_ready(pool)
            environment = psutil.Process(pool.status()[0].pid).environ()
            assert "SKFHE_TOKEN" not in environment
            assert environment["OMP_NUM_THREADS"] == "1"
            assert environment["OMP_WAIT_POLICY"] == "passive"

    asyncio.run(serve())


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["Pickled", "Large"])
def test_many_bytes_do_not_hold_up_the_event_loop(levelled, loader):
    """Sixty megabytes go to a worker, or come from it, while other requests are answered."""

    async def serve():
        async with running(levelled, loader) as (pool, key_id):
            await all_ready(pool)
            longest = 0.0

            async def tick():
                nonlocal longest
                while True:
                    start = time.perf_counter()
                    await asyncio.sleep(0.001)
                    longest = max(longest, time.perf_counter() - start)

            ticking = asyncio.create_task(tick())
            if loader == "Large":
                (result,) = await pool.run(*MODEL, key_id, [levelled.batch()[1]])
                assert len(result) == 60_000_000
            else:
                with pytest.raises(ValueError, match="batch of ciphertexts"):
                    await pool.run(*MODEL, key_id, [bytes(60_000_000)])
            ticking.cancel()
            print(f"longest wait of another task: {longest:.3f} s")
            assert longest < 0.5

    asyncio.run(serve())


@pytest.mark.slow
def test_keys_that_are_asked_for_much_are_kept_by_several_workers(levelled):
    async def serve():
        async with running(levelled, n_workers=2) as (pool, key_id):
            await all_ready(pool)
            inputs, data = levelled.batch(ROWS["slow"])
            results = await asyncio.gather(*(pool.run(*MODEL, key_id, [data]) for _ in range(4)))
            for (result,) in results:
                levelled.check(inputs, result)
            assert [status.kept_keys for status in pool.status()] == [1, 1]

    asyncio.run(serve())


@pytest.mark.slow
def test_a_saved_model_is_served(tmp_path):
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=200).fit(X, y)
    model.compile()
    save(model, tmp_path / "iris")
    session = model.fhe_circuit_.session

    async def serve():
        store = KeyStore(
            str(tmp_path / "keys"), quota_bytes=None, max_age_seconds=None, max_keys_per_owner=None
        )
        name = ("iris", "1")
        pool = pool_of({name: tmp_path / "iris"}, store, loader=None)
        key_id = await upload(store, session.evaluation_keys)
        await pool.start()
        try:
            batch = session.encrypt(*model.encoder_.encode(X[:20])).to_bytes()
            (result,) = await pool.run(*name, key_id, [batch])
        finally:
            await pool.stop(0.0)
        found = model.decoder_.decode(*session.decrypt(Batch.from_bytes(result)))
        np.testing.assert_array_equal(model.head_.predict(found), model.predict(X[:20]))

    asyncio.run(serve())
