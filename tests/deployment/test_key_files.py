"""Keys in a folder are there whole or not at all, and for their owner alone."""

import copy
import os
import pickle
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from skfhe.circuit import EvaluationKeys, compile_program, generate_keys
from skfhe.deployment import _key_files
from skfhe.deployment._key_files import KeyFiles
from tests.circuit.test_host import environment
from tests.circuit.test_secret_keys import levelled, secrets_of
from tests.circuit.two_parts import two_parts

SCRIPT = """
import os, pickle, resource, signal, sys
from skfhe.deployment import _key_files
from skfhe.deployment._key_files import KeyFiles
folder, parameters = pickle.load(sys.stdin.buffer)
"""


def parameters_of(program):
    return [part.parameters for part in compile_program(program, batch_sizes=(1,)).compiled.specs.parts]


@pytest.fixture(scope="module")
def linear():
    """What is said of the keys of a model of sums, which are made at once."""
    return parameters_of(levelled())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "keys"


def start(code, tmp_path, *given):
    """Start a process that does something to a folder of keys."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
    )
    pickle.dump(given, process.stdin)
    process.stdin.close()
    process.stdin = None
    return process


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}


def same_bits(one, other):
    return all(
        (ours == theirs).all()
        for parameters in one._secret
        for ours, theirs in zip(one._secret[parameters], other._secret[parameters], strict=True)
    )


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folder_and_files_are_their_owners_alone_from_the_first(folder, linear, umask, monkeypatch):
    """They are created with their modes: between creation and a later chmod anyone could open them."""
    monkeypatch.setattr(os, "chmod", lambda *_, **__: pytest.fail("chmod"))
    monkeypatch.setattr(os, "fchmod", lambda *_, **__: pytest.fail("fchmod"))
    before = os.umask(umask)
    try:
        id = str(KeyFiles(folder).obtain(linear).id)
    finally:
        os.umask(before)
    assert modes(folder) == {
        **{"keys": 0o700, ".lock": 0o600},
        **{f"{id}.secret": 0o600, f"{id}.evaluation": 0o600},
    }


def test_keys_are_found_again_by_what_they_are_for(folder, linear):
    files = KeyFiles(folder)
    assert (files.newest(linear), files.read("0" * 64), files.information()) == (None, None, [])
    keys = files.obtain(linear)
    for again in (files.obtain(linear), KeyFiles(folder).newest(linear), files.read(str(keys.id))):
        assert again.id == keys.id
        assert same_bits(again, keys)
    assert files.newest(parameters_of(levelled(-1)) * 2).id == keys.id
    (known,) = files.information()
    assert (known.id, known.created, known.expires, known.protected) == (keys.id, keys.created, None, False)
    evaluation = (folder / f"{keys.id}.evaluation").read_bytes()
    assert EvaluationKeys.from_bytes(evaluation).id == keys.id
    assert not any(form in evaluation for form in secrets_of(keys))
    assert any(form in (folder / f"{keys.id}.secret").read_bytes() for form in secrets_of(keys))


def test_with_a_passphrase_no_file_holds_a_readable_key(folder, linear):
    keys = KeyFiles(folder, "correct horse").obtain(linear)
    for path in folder.iterdir():
        assert not any(form in path.read_bytes() for form in secrets_of(keys))
    assert same_bits(KeyFiles(folder, "correct horse").newest(linear), keys)
    (known,) = KeyFiles(folder).information()
    assert known.protected
    for passphrase, message in (("wrong", "passphrase is another"), (None, "protected by a passphrase")):
        for use in (KeyFiles(folder, passphrase).obtain, KeyFiles(folder, passphrase).newest):
            with pytest.raises(ValueError, match=rf"{keys.id}\.secret: .*{message}"):
                use(linear)
    assert len(KeyFiles(folder).information()) == 1  # nobody has generated others instead


def test_keys_that_somebody_left_unprotected_are_not_taken_for_protected_ones(folder, linear):
    """He could decrypt what is encrypted under them."""
    KeyFiles(folder).obtain(linear)
    with pytest.raises(ValueError, match="not protected by a passphrase"):
        KeyFiles(folder, "correct horse").obtain(linear)


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o707, 0o770, 0o701])
def test_a_folder_that_others_can_enter_is_refused(folder, linear, mode):
    files = KeyFiles(folder)
    id = str(files.obtain(linear).id)
    folder.chmod(mode)
    for use in (
        *(files.information, lambda: files.newest(linear), lambda: files.read(id)),
        *(lambda: files.obtain(linear), lambda: files.delete(id), files.create),
    ):
        with pytest.raises(
            PermissionError, match=f"can be read or written by others .mode {mode:o}.*chmod 700"
        ):
            use()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_can_read_is_refused(folder, linear, mode):
    files = KeyFiles(folder)
    id = str(files.obtain(linear).id)
    (folder / f"{id}.secret").chmod(mode)
    for use in (files.information, lambda: files.newest(linear), lambda: files.read(id)):
        with pytest.raises(PermissionError, match=f"{id}.secret can be read or written by others"):
            use()


def test_what_belongs_to_another_user_is_refused(folder, linear, monkeypatch):
    """Whoever owns a folder can read what is put there, whatever its mode."""
    files = KeyFiles(folder)
    files.obtain(linear)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(
        PermissionError, match=f"belongs to user {owner}, and this process runs as {owner + 1}"
    ):
        files.newest(linear)


def test_links_and_pipes_are_not_read(folder, linear, tmp_path):
    """A link can lead to what somebody else changes; a pipe would be waited for."""
    files = KeyFiles(folder)
    id = str(files.obtain(linear).id)
    (folder / f"{id}.secret").rename(tmp_path / "elsewhere")
    (folder / f"{id}.secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="is a link"):
        files.newest(linear)
    (folder / f"{id}.secret").unlink()
    os.mkfifo(folder / f"{id}.secret", 0o600)
    with pytest.raises(PermissionError, match="is not a file"):
        files.newest(linear)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is to hold keys, and is not a folder"):
        KeyFiles(tmp_path / "file").newest(linear)


def test_a_link_to_a_folder_of_ones_own_is_followed(folder, linear, tmp_path):
    """What counts is whose the folder is that keys lie in."""
    keys = KeyFiles(folder).obtain(linear)
    (tmp_path / "link").symlink_to(folder)
    assert KeyFiles(tmp_path / "link").newest(linear).id == keys.id
    folder.chmod(0o755)
    with pytest.raises(PermissionError):
        KeyFiles(tmp_path / "link").newest(linear)


def test_damaged_and_renamed_files_are_named(folder, linear):
    files = KeyFiles(folder)
    keys = files.obtain(linear)
    path = folder / f"{keys.id}.secret"
    data = path.read_bytes()
    for damaged in (data[:-1], b"", bytes([data[0] ^ 1]) + data[1:], data[:-1] + bytes([data[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{path.name}: .*secret keys"):
            files.obtain(linear)
    path.write_bytes(data)
    path.rename(folder / f"{'0' * 64}.secret")
    with pytest.raises(ValueError, match=f"{'0' * 64}.secret: these are the keys {keys.id}"):
        files.obtain(linear)
    assert files.delete("0" * 64)


def test_missing_and_damaged_evaluation_keys_are_told_when_they_are_needed(folder, tmp_path):
    """To encrypt and to decrypt does not need them."""
    parameters = parameters_of(two_parts())
    files = KeyFiles(folder)
    keys = files.obtain(parameters)
    path = folder / f"{keys.id}.evaluation"
    data = path.read_bytes()
    assert files.newest(parameters).evaluation.to_bytes() == data
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match="evaluation keys were altered"):
        files.newest(parameters).evaluation.to_bytes()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"no {keys.id}.evaluation in .*rotate_keys"):
        files.newest(parameters).evaluation.to_bytes()


def test_new_keys_are_newer_whatever_the_clock_says(folder, linear, monkeypatch):
    files = KeyFiles(folder)
    ids = [str(files.obtain(linear).id)]

    class Back(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime(2001, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(_key_files, "datetime", Back)
    ids += [str(files.obtain(linear, renew=True).id) for _ in range(2)]
    assert [each.id for each in files.information()] == ids[::-1]
    assert files.newest(linear).id == ids[-1]
    assert files.obtain(linear).id == ids[-1]
    assert files.read(ids[0]).id == ids[0]


def test_deleted_keys_are_gone(folder, linear):
    files = KeyFiles(folder)
    ids = [str(files.obtain(linear, renew=True).id) for _ in range(2)]
    assert files.delete(ids[1])
    assert (files.read(ids[1]), files.newest(linear).id) == (None, ids[0])
    assert not files.delete(ids[1])
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == [
        f"{ids[0]}.evaluation",
        f"{ids[0]}.secret",
    ]


@pytest.mark.parametrize("id", ["../x", "", "x" * 64, "A" * 64, "/etc/passwd", "0" * 63 + "\n"])
def test_names_are_no_paths(folder, linear, id):
    files = KeyFiles(folder)
    files.obtain(linear)
    (folder.parent / "x.secret").write_bytes(b"of others")
    assert (files.read(id), files.delete(id)) == (None, False)
    assert (folder.parent / "x.secret").exists()


def test_expiry_is_counted_from_generation(folder, linear):
    keys = KeyFiles(folder).obtain(linear, lifetime=timedelta(days=90))
    assert keys.expires - keys.created == timedelta(days=90)
    assert KeyFiles(folder).information()[0].expires == keys.expires


def test_two_processes_end_with_the_same_keys(folder, tmp_path):
    """One generates, the others wait for it and take what it has made. Here with keys of the engine."""
    parameters = parameters_of(two_parts())
    code = "print(KeyFiles(folder).obtain(parameters).id)"
    processes = [start(code, tmp_path, folder, parameters) for _ in range(3)]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert len({out for out, _ in answers}) == 1
    assert len(KeyFiles(folder).information()) == 1


def test_many_threads_end_with_the_same_keys(folder, linear):
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: str(KeyFiles(folder).obtain(linear).id), range(16)))
    assert len(set(found)) == 1


@pytest.mark.parametrize("moment", ["evaluation", "secret", "between"])
def test_a_process_killed_while_it_writes_leaves_nothing_half_written(folder, linear, tmp_path, moment):
    """What was there before stays, the next one generates, and removes what was left."""
    earlier = str(KeyFiles(folder).obtain(linear).id)
    code = f"""
moment, written = {moment!r}, []
write, fsync = KeyFiles._write, os.fsync
def note(self, directory, name, data):
    if moment == "between" and written:
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(name)
    write(self, directory, name, data)
def killed(file):
    if written[-1].endswith(moment):
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(file)
KeyFiles._write, os.fsync = note, killed
KeyFiles(folder).obtain(parameters, renew=True)
"""
    process = start(code, tmp_path, folder, linear)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    files = KeyFiles(folder)
    assert [each.id for each in files.information()] == [earlier]
    assert files.newest(linear).id == earlier
    left = {path.name for path in folder.iterdir()} - {f"{earlier}.secret", f"{earlier}.evaluation", ".lock"}
    assert left
    assert not any(name.endswith(".secret") for name in left)
    new = str(files.obtain(linear, renew=True).id)
    assert len(list(folder.iterdir())) == 5
    assert {each.id for each in files.information()} == {earlier, new}


def test_a_full_disk_leaves_nothing_and_says_so(folder, tmp_path):
    """Simulated by a limit to the size of files, which writing fails at as it does where there is no room."""
    parameters = parameters_of(two_parts())
    code = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    KeyFiles(folder).obtain(parameters)
except OSError as error:
    print(type(error).__name__, error.errno)
print(sorted(os.listdir(folder)))
"""
    out, err = start(code, tmp_path, folder, parameters).communicate(timeout=120)
    assert out.decode().splitlines() == ["OSError 27", "['.lock']"], err
    assert KeyFiles(folder).information() == []


def test_nothing_that_is_shown_tells_the_passphrase_or_a_key(folder, linear, capfd):
    files = KeyFiles(folder, "correct horse")
    keys = files.obtain(linear)
    files.information()
    shown = repr(files) + str(files) + repr(keys) + repr(files.information()) + "".join(capfd.readouterr())
    assert "horse" not in shown
    assert not any(form.hex() in shown for form in secrets_of(keys))


def test_keys_of_several_models_lie_in_one_folder(folder, linear):
    """Each finds its own; those that need equal ones share them."""
    files, other = KeyFiles(folder), parameters_of(levelled(-1)) * 3
    wide = compile_program(two_parts(weight=1000), batch_sizes=(1,)).compiled.specs.parts[1].parameters
    assert files.obtain(linear).id == files.obtain(other).id != files.obtain([wide]).id
    assert len(files.information()) == 2
    assert len({each.parameters for each in files.information()}) == 2


def test_generated_keys_are_those_that_were_written(folder, linear):
    """`obtain` reads what it has written: keys that could not be read again are noticed at once."""
    files = KeyFiles(folder)
    write = files._write
    files._write = lambda directory, name, data: write(
        directory, name, data[:-1] if name.endswith(".secret") else data
    )
    with pytest.raises(ValueError, match="secret keys"):
        files.obtain(linear)
    assert files.information() == []


def test_keys_in_memory_are_none_of_those_in_files(folder, linear):
    assert not same_bits(KeyFiles(folder).obtain(linear), generate_keys(linear, to_send=True))
    assert np.unique([KeyFiles(folder).newest(linear).created for _ in range(2)]).size == 1


@pytest.mark.parametrize("passphrase", ["", b"bytes", 5])
def test_a_passphrase_that_is_none_is_refused_before_keys_are_made(tmp_path, passphrase):
    with pytest.raises(ValueError, match="text of at least one character"):
        KeyFiles(tmp_path / "keys", passphrase)


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_passphrase_is_in_no_pickle(tmp_path, copied):
    with pytest.raises(TypeError, match="passphrase"):
        copied(KeyFiles(tmp_path, "of nobody else"))
