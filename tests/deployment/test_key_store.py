"""Keys are in a store as a whole or not at all, for as long as they are used, and never too many."""

import asyncio
import datetime
import errno
import hashlib
import os
import stat
import subprocess
import sys
import textwrap
import uuid

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from skfhe.deployment._serving import _key_store
from skfhe.deployment._serving._exceptions import QuotaExceededError, UnknownKeysError
from skfhe.deployment._serving._key_store import KeyStore, KeyUsage

HOUR = 3600.0


def id_of(data):
    return hashlib.sha256(data).hexdigest()


def opened(url, quota_bytes=None, max_age_seconds=None, max_keys_per_owner=None):
    return KeyStore(
        url,
        quota_bytes=quota_bytes,
        max_age_seconds=max_age_seconds,
        max_keys_per_owner=max_keys_per_owner,
    )


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    return str(tmp_path / "keys") if request.param == "file" else f"memory://{uuid.uuid4().hex}"


async def chunks(data, size=1000, then=None):
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await asyncio.sleep(0)
    if then:
        raise then


async def put(store, data, owner="bank", expected=None, then=None, **quota):
    n_bytes = len(data) if expected is None else expected
    return await store.put(id_of(data), chunks(data, then=then), expected_bytes=n_bytes, owner=owner, **quota)


def files(store):
    """What there is but the clock, without the folder it is in."""
    return sorted(
        path.removeprefix(store._root + "/") for path in store._fs.find(store._root) if "clock" not in path
    )


@pytest.fixture
def clock(monkeypatch):
    """When files were written, for those in it; by the store's own times for others."""
    written = {}
    for kind in (LocalFileSystem, MemoryFileSystem):

        def modified(self, path, modified=kind.modified):
            return written.get(str(path)) or modified(self, path)

        monkeypatch.setattr(kind, "modified", modified)
    return written


def age(store, clock, key_id, seconds):
    """Let keys be used for the last time ``seconds`` ago."""
    then = datetime.datetime.now(tz=datetime.UTC) - datetime.timedelta(seconds=seconds)
    for folder in ("keys", "used"):
        clock[store._path(folder, key_id)] = then


def test_what_was_put_is_there_once(url):
    data = os.urandom(3_000_000)

    async def check():
        store = opened(url)
        assert not await store.has(id_of(data))
        with pytest.raises(UnknownKeysError, match=id_of(data)):
            store.read(id_of(data))
        assert await put(store, data)
        assert await store.has(id_of(data))
        assert store.read(id_of(data)) == data
        assert store.usage() == KeyUsage(1, len(data))
        # unread, for it is known what is in it
        assert not await store.put(id_of(data), None, expected_bytes=len(data), owner="bank")
        other_server = opened(url)
        assert other_server.read(id_of(data)) == data
        assert not await put(other_server, data)
        assert store.usage() == KeyUsage(1, len(data))

    asyncio.run(check())


@pytest.mark.parametrize(
    "key_id", ["", "../" * 20 + "etc", "A" * 64, "0" * 63, "0" * 64 + "\n", "0" * 63 + "/"]
)
def test_names_that_are_no_ids_are_refused(url, key_id):
    async def check():
        store = opened(url)
        for call in (store.has(key_id), store.delete(key_id, ""), store.use(key_id), store.discard(key_id)):
            with pytest.raises(ValueError, match="64 hexadecimal digits"):
                await call
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            store.read(key_id)
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            await store.put(key_id, chunks(b""), expected_bytes=0, owner="")
        assert files(store) == []

    asyncio.run(check())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"expected": 2_999_999}, ValueError),
        ({"expected": 3_000_001}, ValueError),
        ({"then": ValueError("of other content")}, ValueError),
        ({"then": ConnectionResetError()}, ConnectionResetError),
    ],
)
def test_an_upload_that_goes_wrong_leaves_nothing(url, change, error):
    data = os.urandom(3_000_000)

    async def check():
        store = opened(url, quota_bytes=3_000_001)
        for _ in range(2):  # what it had reserved is free again
            with pytest.raises(error):
                await put(store, data, **change)
            assert files(store) == []
        assert await put(store, data)

    asyncio.run(check())


def test_an_upload_that_is_cancelled_leaves_nothing(url):
    async def endless():
        while True:
            yield bytes(1 << 20)
            await asyncio.sleep(0.001)

    async def check():
        store = opened(url)
        upload = asyncio.create_task(store.put("0" * 64, endless(), expected_bytes=1 << 40, owner=""))
        while not store._fs.find(store._path("uploads", "")):
            await asyncio.sleep(0.005)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert files(store) == []
        assert not store._uploads

    asyncio.run(check())


def test_two_that_upload_the_same_keys_at_once_both_succeed(url):
    data = os.urandom(5_000_000)

    async def check():
        stores = [opened(url, quota_bytes=5_000_000), opened(url, quota_bytes=5_000_000)]
        uploads = [put(store, data) for store in (*stores, stores[0])]
        assert await asyncio.gather(*uploads) == [True, True, True]
        assert [store.read(id_of(data)) == data for store in stores] == [True, True]
        assert len(files(stores[0])) == 3  # keys, their claim, and that they were used
        assert stores[1].usage() == KeyUsage(1, len(data))

    asyncio.run(check())


def test_folders_and_files_are_their_owner_s_alone(tmp_path):
    os.umask(os.umask(0o022))
    store = opened(str(tmp_path / "keys"))
    asyncio.run(put(store, bytes(100)))
    asyncio.run(store.use(id_of(bytes(100))))
    asyncio.run(store.expire())
    for path in (tmp_path / "keys").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_more_than_the_quota_is_refused_and_what_is_there_stays(url):
    first, second, third = (bytes([i]) * 1000 for i in range(3))

    async def check():
        store = opened(url, quota_bytes=2500, max_age_seconds=HOUR)
        assert await put(store, first)
        assert await put(store, second)
        with pytest.raises(QuotaExceededError, match="2500 bytes") as caught:
            await put(store, third)
        assert caught.value.limit == 2500
        assert not await put(store, first)
        assert store.usage() == KeyUsage(2, 2000)
        assert await store.delete(id_of(first), "bank")
        assert await put(store, third)

    asyncio.run(check())


def test_keys_that_are_just_being_uploaded_count(url):
    first, second = (bytes([i]) * 3000 for i in range(2))

    async def check():
        store = opened(url, quota_bytes=5000)
        results = await asyncio.gather(put(store, first), put(store, second), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["QuotaExceededError", "bool"]

    asyncio.run(check())


def test_expired_keys_make_room_and_others_do_not(url, clock):
    first, second, third = (bytes([i]) * 1000 for i in range(3))

    async def check():
        store = opened(url, quota_bytes=2000, max_age_seconds=HOUR)
        await put(store, first)
        await put(store, second)
        age(store, clock, id_of(first), HOUR + 10)
        age(store, clock, id_of(second), HOUR - 60)
        assert await put(store, third)
        assert not await store.has(id_of(first))
        assert await store.has(id_of(second))

    asyncio.run(check())


def test_an_owner_may_have_so_many_keys_and_bytes(url):
    first, second = (bytes([i]) * 1000 for i in range(2))

    async def check():
        store = opened(url, max_keys_per_owner=1)
        assert await put(store, first)
        with pytest.raises(QuotaExceededError, match="1 sets") as caught:
            await put(store, second)
        assert caught.value.limit == 1
        assert not await put(store, first)
        assert await put(store, second, owner="another")
        with pytest.raises(QuotaExceededError, match="1 sets"):
            await put(store, first, owner="another")  # to claim what is there counts, too

        store = opened(url)
        with pytest.raises(QuotaExceededError, match="has 1000"):
            await put(store, second, owner_quota_bytes=1500)
        assert await store.delete(id_of(first), "bank")
        assert not await put(store, second, owner_quota_bytes=1500)

    asyncio.run(check())


def test_keys_stay_until_their_last_owner_deletes_them(url):
    data = bytes(100)

    async def check():
        store = opened(url)
        await put(store, data, owner="one")
        await put(store, data, owner="two")
        assert not await store.delete(id_of(data), "three")
        assert await store.delete(id_of(data), "one")
        assert not await store.delete(id_of(data), "one")
        assert await store.has(id_of(data))
        assert await store.delete(id_of(data), "two")
        assert not await store.has(id_of(data))
        with pytest.raises(UnknownKeysError):
            await store.use(id_of(data))
        assert files(store) == []

    asyncio.run(check())


def test_keys_that_are_not_used_expire(url, clock):
    async def check():
        store = opened(url, max_age_seconds=HOUR)
        data = [bytes([i]) * 10 for i in range(3)]
        for each in data:
            await put(store, each)
        assert await store.expire() == 0
        age(store, clock, id_of(data[0]), 2 * HOUR)
        age(store, clock, id_of(data[1]), 2 * HOUR)
        del clock[store._path("used", id_of(data[1]))]
        await opened(url).use(id_of(data[1]))
        assert await store.expire() == 1
        assert not await store.has(id_of(data[0]))
        assert await store.has(id_of(data[1]))
        assert await store.has(id_of(data[2]))
        assert len(files(store)) == 6

    asyncio.run(check())


def test_use_is_noted_once_a_minute(url, monkeypatch):
    async def check():
        store = opened(url)
        await put(opened(url), bytes(10))
        written = []
        monkeypatch.setattr(store, "_touch", written.append)
        now = 1000.0
        monkeypatch.setattr(_key_store.time, "monotonic", lambda: now)
        for _ in range(5):
            await store.use(id_of(bytes(10)))
        assert len(written) == 1
        now += 61
        await store.use(id_of(bytes(10)))
        assert len(written) == 2

    asyncio.run(check())


@pytest.mark.parametrize("jump", [-400 * 24 * HOUR, -HOUR, HOUR, 400 * 24 * HOUR])
def test_a_clock_that_jumps_removes_nothing(url, monkeypatch, jump):
    """Ages begin anew; keys that are not used from then on expire as ever."""
    seconds = {"here": 1000.0, "store": 10_000 * HOUR}
    written = {}

    def touch(self, path):
        written[path] = seconds["store"]

    def modified(self, path):
        return datetime.datetime.fromtimestamp(written[path], tz=datetime.UTC)

    async def check():
        store = opened(url, max_age_seconds=HOUR / 2)
        monkeypatch.setattr(KeyStore, "_touch", touch)
        monkeypatch.setattr(type(store._fs), "modified", modified)
        monkeypatch.setattr(_key_store.time, "monotonic", lambda: seconds["here"])
        await put(store, bytes(10))
        written[store._path("keys", id_of(bytes(10)))] = seconds["store"]
        await store.use(id_of(bytes(10)))
        assert await store.expire() == 0
        seconds["store"] += jump
        assert await store.expire() == 0
        assert await store.expire() == 0
        assert await store.has(id_of(bytes(10)))
        seconds["store"] += HOUR
        seconds["here"] += HOUR
        assert await store.expire() == 1

    asyncio.run(check())


def test_what_a_killed_server_was_writing_is_removed_after_a_day(tmp_path):
    script = textwrap.dedent(
        f"""
        import asyncio, os, signal
        from skfhe.deployment._serving._key_store import KeyStore

        async def chunks():
            yield bytes(2 << 20)
            os.kill(os.getpid(), signal.SIGKILL)

        store = KeyStore({str(tmp_path)!r}, quota_bytes=None, max_age_seconds=None, max_keys_per_owner=None)
        asyncio.run(store.put("0" * 64, chunks(), expected_bytes=3 << 20, owner=""))
        """
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    (left,) = (tmp_path / "uploads").iterdir()

    async def check():
        store = opened(str(tmp_path))
        assert not await store.has("0" * 64)
        assert store.usage() == KeyUsage(0, 0)
        await store.expire()
        assert left.exists()
        day_ago = left.stat().st_mtime - 25 * HOUR
        os.utime(left, (day_ago, day_ago))
        await store.expire()
        assert not left.exists()

    asyncio.run(check())


class FullFile:
    """Takes the first megabyte."""

    def __init__(self, file):
        self._file, self._n_bytes = file, 0

    def write(self, data):
        self._n_bytes += len(data)
        if self._n_bytes > 1 << 20:
            self._file.write(data[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_full_disk_is_told_and_leaves_nothing(url, monkeypatch):
    data = os.urandom(4 << 20)

    async def check():
        store = opened(url)
        await put(store, bytes(100))
        before = files(store)
        open_file = type(store._fs).open

        def opening(self, path, mode="rb", **options):
            file = open_file(self, path, mode, **options)
            return FullFile(file) if "w" in mode else file

        monkeypatch.setattr(type(store._fs), "open", opening)
        with pytest.raises(OSError, match="no room left to keep evaluation keys") as caught:
            await put(store, data)
        assert caught.value.errno == errno.ENOSPC
        monkeypatch.undo()
        assert files(store) == before
        assert await put(store, data)

    asyncio.run(check())


def test_a_store_that_fails_to_move_has_nothing_by_halves(url, monkeypatch):
    async def check():
        store = opened(url)

        def failing(self, *paths, **options):
            raise OSError(errno.EIO, "it broke")

        monkeypatch.setattr(type(store._fs), "mv", failing)
        with pytest.raises(OSError, match="it broke"):
            await put(store, bytes(100))
        assert files(store) == []

    asyncio.run(check())


def test_keys_can_be_used_where_nothing_can_be_written(url, monkeypatch):
    async def check():
        await put(opened(url), bytes(100))
        store = opened(url)

        def failing(self, path):
            raise OSError(errno.ENOSPC, "no room")

        monkeypatch.setattr(KeyStore, "_touch", failing)
        await store.use(id_of(bytes(100)))

    asyncio.run(check())


def test_a_claim_on_keys_that_come_while_another_server_looks_is_kept(url):
    """Without it their owner could not delete them, and they would count for nobody's quota."""
    ours, other = opened(url, max_age_seconds=HOUR), opened(url)
    listed = ours._list

    def slowly(folder):
        found = listed(folder)
        if folder in ("keys", "claims"):
            asyncio.run(put(other, b"keys that come with " + folder.encode()))
        return found

    ours._list = slowly
    assert asyncio.run(ours.expire()) == 0
    for folder in ("keys", "claims"):
        assert asyncio.run(other.delete(id_of(b"keys that come with " + folder.encode()), "bank"))


@pytest.mark.parametrize("max_age_seconds", [None, HOUR])
def test_claims_on_keys_that_are_gone_count_for_nothing(url, max_age_seconds):
    """A server that ends while it removes keys leaves some."""
    store = opened(url, max_age_seconds=max_age_seconds, max_keys_per_owner=1)
    asyncio.run(put(store, b"first"))
    store._fs.rm_file(store._path("keys", id_of(b"first")))
    assert asyncio.run(put(store, b"second"))
    asyncio.run(store.expire())
    assert [path for path in files(store) if path.startswith("claims")] == [
        path for path in files(store) if path.startswith(f"claims/{id_of(b'second')}")
    ]
