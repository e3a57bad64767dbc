"""Requests that wait are run together, each group in its turn, and none is lost."""

import asyncio
import gc
import random

import pytest

from skfhe.deployment._serving._batching import Batcher, Group
from skfhe.deployment._serving._bodies import BodyMemory
from skfhe.deployment._serving._errors import RequestError
from skfhe.deployment._serving._exceptions import RunTimeoutError, UnknownKeysError, WorkerDiedError
from skfhe.deployment._serving._metrics import Metrics

A, B, C = (Group("model", "1", name) for name in "abc")


class Runs:
    """Stands for the workers: keeps each call until it is let go, and returns the batches in capitals."""

    def __init__(self):
        self.calls = []
        self.errors = {}
        """By a batch that is among those of a call."""
        self.gate = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, model, version, key_id, batches):
        self.calls.append((key_id, list(batches)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            for batch in batches:
                if batch in self.errors:
                    raise self.errors[batch]
            return [batch.upper() + key_id.encode() for batch in batches]
        finally:
            self.at_once -= 1


def batcher(runs, n_slots=1, max_rows=4, window=0.0, max_waiting=100):
    return Batcher(
        runs, Metrics(), n_slots=n_slots, max_rows=max_rows, window=window, max_waiting=max_waiting
    )


def run(test):
    """Run a coroutine as a test; nothing may be left in the event loop."""

    async def body():
        failures = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        await asyncio.wait_for(test(Runs()), 20)
        gc.collect()  # a future's exception that nobody took is told when it goes
        await asyncio.sleep(0)
        assert failures == []

    asyncio.run(body())


def submit(batcher, group, batch, n_rows=1, seconds=10.0):
    deadline = asyncio.get_running_loop().time() + seconds
    return asyncio.create_task(batcher.submit(group, batch, n_rows, deadline))


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


def test_requests_gather_while_workers_are_busy():
    async def test(runs):
        b = batcher(runs)
        tasks = [submit(b, A, name) for name in (b"p", b"q", b"r", b"s", b"t", b"u")]
        await settled()
        assert runs.calls == [("a", [b"p"])]
        assert b.n_waiting == 5
        runs.gate.set()
        finished = await asyncio.gather(*tasks)
        assert runs.calls == [("a", [b"p"]), ("a", [b"q", b"r", b"s", b"t"]), ("a", [b"u"])]
        assert [each.results for each in finished] == [b"Pa", b"Qa", b"Ra", b"Sa", b"Ta", b"Ua"]
        assert [each.n_together for each in finished] == [1, 4, 4, 4, 4, 1]
        assert (b.n_waiting, b.n_running) == (0, 0)

    run(test)


def test_rows_are_what_is_counted():
    """A request of more rows than are run together runs alone; order within a group is kept."""

    async def test(runs):
        b = batcher(runs)
        sizes = [1, 9, 2, 2, 1]
        tasks = [submit(b, A, bytes([97 + i]), n) for i, n in enumerate(sizes)]
        await settled()
        runs.gate.set()
        await asyncio.gather(*tasks)
        assert [batches for _, batches in runs.calls] == [[b"a"], [b"b"], [b"c", b"d"], [b"e"]]

    run(test)


def test_each_key_set_has_its_turn():
    """One that has sent much waits for others after each batch, and they wait for one batch of it at most."""

    async def test(runs):
        b = batcher(runs, max_rows=2)
        tasks = [submit(b, A, b"p") for _ in range(7)]
        tasks += [submit(b, B, b"q") for _ in range(3)]
        tasks += [submit(b, C, b"r")]
        await settled()
        runs.gate.set()
        await asyncio.gather(*tasks)
        turns = [(name, len(batches)) for name, batches in runs.calls]
        assert turns == [("a", 1), ("a", 2), ("b", 2), ("c", 1), ("a", 2), ("b", 1), ("a", 2)]

    run(test)


def of(owner, key_id):
    return Group("model", "1", key_id, owner)


def test_each_token_has_its_turn():
    """Whoever sends under many key sets, or under those of another, takes no more turns by that."""

    async def test(runs):
        b = batcher(runs, max_rows=2)
        tasks = [submit(b, of("many", f"{i}"), b"p") for i in range(5)]
        tasks += [submit(b, of("one", "1"), b"q") for _ in range(3)]
        await settled()
        runs.gate.set()
        await asyncio.gather(*tasks)
        turns = [(name, batches) for name, batches in runs.calls]
        assert turns == [
            *(("0", [b"p"]), ("1", [b"q", b"q"]), ("1", [b"p"]), ("1", [b"q"])),
            *((name, [b"p"]) for name in "234"),
        ]

    run(test)


def test_a_token_has_half_of_the_queue_under_however_many_keys():
    async def test(runs):
        b = batcher(runs, max_waiting=4)
        tasks = [submit(b, of("many", f"{i}"), b"p") for i in range(3)]
        await settled()
        with pytest.raises(RequestError, match="2 requests with this token wait already"):
            await submit(b, of("many", "3"), b"p")
        tasks += [submit(b, of("one", "1"), b"q") for _ in range(2)]
        await settled()
        runs.gate.set()
        await asyncio.gather(*tasks)

    run(test)


def test_a_token_has_half_of_the_memory_for_bodies():
    """A body counts before it has come, so that one client's slow ones would else keep out all others."""
    bodies = BodyMemory(100)
    with bodies.hold(60, 1.0, "large"):  # alone it may be larger
        with pytest.raises(RequestError, match="60 bytes already, yours 60"), bodies.hold(1, 1.0, "large"):
            pass
        with bodies.hold(40, 1.0, "other"):
            assert bodies.held == 100
    assert bodies.held == 0
    with bodies.hold(60, 1.0, ""), bodies.hold(40, 1.0, ""):
        pass


def test_keys_models_and_versions_are_never_mixed():
    """Whatever comes when: results go to whoever asked, and a call has one group's batches alone."""

    async def test(runs):
        random.seed(0)
        runs.gate.set()
        b = batcher(runs, n_slots=3, max_rows=5, max_waiting=10_000)
        groups = [Group(m, v, k) for m in "mn" for v in "12" for k in "ab"]
        owner = {}

        async def one(i):
            await asyncio.sleep(random.random() / 50)
            batch, group = b"%d-" % i, random.choice(groups)
            owner[batch] = group
            finished = await submit(b, group, batch, random.randint(1, 3))
            assert finished.results == batch + group.key_id.encode()

        await asyncio.gather(*map(one, range(500)))
        assert all(len({owner[batch] for batch in batches}) == 1 for _, batches in runs.calls)
        assert sum(len(batches) for _, batches in runs.calls) == 500
        assert runs.most_at_once == 3

    run(test)


def test_a_free_worker_waits_for_company_if_it_is_told_to():
    async def test(runs):
        runs.gate.set()
        b = batcher(runs, window=0.05)
        await asyncio.gather(*(submit(b, A, name) for name in (b"p", b"q", b"r")))
        assert runs.calls == [("a", [b"p", b"q", b"r"])]
        full = [submit(b, B, b"s", n_rows=4)]  # there is no company that it could wait for
        await settled()
        assert runs.calls[1:] == [("b", [b"s"])]
        await asyncio.gather(*full)

    run(test)


def test_who_goes_is_taken_out():
    async def test(runs):
        b = batcher(runs)
        first, second, third = (submit(b, A, name) for name in (b"p", b"q", b"r"))
        await settled()
        second.cancel()
        first.cancel()  # runs already: to its end, for nobody
        await settled()
        assert b.n_waiting == 1
        runs.gate.set()
        assert (await third).results == b"Ra"
        assert runs.calls == [("a", [b"p"]), ("a", [b"r"])]

    run(test)


def test_who_goes_while_it_runs_takes_nothing_from_its_neighbours():
    async def test(runs):
        b = batcher(runs)
        first = submit(b, A, b"x")
        await settled()
        tasks = [submit(b, A, name) for name in (b"p", b"q", b"r")]
        await settled()
        runs.gate.set()
        await first
        runs.gate.clear()
        await settled()
        assert runs.calls[1:] == [("a", [b"p", b"q", b"r"])]
        tasks[0].cancel()
        await settled()
        runs.gate.set()
        assert [(await task).results for task in tasks[1:]] == [b"Qa", b"Ra"]
        assert len(runs.calls) == 2

    run(test)


def test_time_that_is_over_is_told_and_not_computed():
    async def test(runs):
        b = batcher(runs)
        running, waiting = submit(b, A, b"p", seconds=0.02), submit(b, A, b"q", seconds=0.02)
        for task in (running, waiting):
            with pytest.raises(RequestError, match="time was over") as raised:
                await task
            assert raised.value.status == 504
        runs.gate.set()
        await submit(b, A, b"r")
        assert runs.calls == [("a", [b"p"]), ("a", [b"r"])]

    run(test)


def test_a_timeout_of_the_run_is_not_the_request_s_own():
    async def test(runs):
        runs.gate.set()
        runs.errors[b"p"] = RunTimeoutError("too long", killed=True)
        with pytest.raises(RunTimeoutError):
            await submit(batcher(runs), A, b"p")

    run(test)


def test_a_queue_has_an_end():
    async def test(runs):
        b = batcher(runs, max_waiting=4)
        running = submit(b, A, b"p")
        await settled()
        waiting = [submit(b, A, b"q"), submit(b, A, b"r")]
        await settled()
        with pytest.raises(RequestError, match="under these keys") as raised:
            await submit(b, A, b"s")
        assert raised.value.status == 429
        assert int(raised.value.headers["Retry-After"]) >= 1
        waiting += [submit(b, B, b"t"), submit(b, C, b"u")]
        await settled()
        with pytest.raises(RequestError, match="4 requests wait"):
            await submit(b, Group("other", "1", "d"), b"v")
        runs.gate.set()
        assert len(await asyncio.gather(running, *waiting)) == 5

    run(test)


def test_the_time_to_wait_is_by_the_speed_that_was_measured():
    async def test(runs):
        async def slow(*call):
            await asyncio.sleep(0.1)
            return await runs(*call)

        runs.gate.set()
        b = batcher(slow, max_rows=1)
        assert b.seconds_to_wait() == 0
        await submit(b, A, b"p")
        tasks = [submit(b, A, b"p") for _ in range(5)]
        await settled()
        assert b.n_waiting == 4
        assert 0.4 <= b.seconds_to_wait() < 4
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.2)

    run(test)


@pytest.mark.parametrize(
    "error", [WorkerDiedError("ended"), RunTimeoutError("", killed=True), ValueError("bad")]
)
def test_a_request_that_does_harm_does_it_to_itself(error):
    """Its neighbours are run again, without it."""

    async def test(runs):
        b = batcher(runs)
        first = submit(b, A, b"x")
        await settled()
        tasks = [submit(b, A, name) for name in (b"p", b"bad", b"q")]
        await settled()
        runs.errors[b"bad"] = error
        runs.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [found[0].results, found[1], found[2].results] == [b"Pa", error, b"Qa"]
        assert runs.calls[1:] == [("a", [b"p", b"bad", b"q"]), ("a", [b"p"]), ("a", [b"bad"]), ("a", [b"q"])]
        assert (await first).results == b"Xa"

    run(test)


def test_keys_that_are_gone_are_gone_for_all():
    async def test(runs):
        b = batcher(runs)
        first = submit(b, A, b"x")
        await settled()
        tasks = [submit(b, A, name) for name in (b"p", b"q")]
        await settled()
        runs.errors[b"p"] = UnknownKeysError("a")
        runs.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in found] == [UnknownKeysError, UnknownKeysError]
        assert len(runs.calls) == 2
        await first

    run(test)


def test_stopping_refuses_what_waits_and_finishes_what_runs():
    async def test(runs):
        b = batcher(runs)
        running, waiting = submit(b, A, b"p"), submit(b, A, b"q")
        await settled()
        stopping = asyncio.create_task(b.stop(10.0))
        await settled()
        for late in (waiting, submit(b, B, b"r")):
            with pytest.raises(RequestError, match="stopping") as raised:
                await late
            assert raised.value.status == 503
            assert "Retry-After" in raised.value.headers
        assert not stopping.done()
        runs.gate.set()
        assert (await running).results == b"Pa"
        await stopping

    run(test)


def test_what_runs_beyond_the_grace_is_refused():
    async def test(runs):
        b = batcher(runs)
        running = submit(b, A, b"p")
        await settled()
        await b.stop(0.02)
        with pytest.raises(RequestError, match="stopping"):
            await running
        runs.gate.set()
        await settled()

    run(test)
