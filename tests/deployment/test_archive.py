"""Files that are whole are read; any others are refused before anything is made of them."""

import hashlib
import io
import json
import random
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

import skfhe
from skfhe.circuit import ClientSession
from skfhe.deployment import Server
from skfhe.deployment import _archive as archive
from skfhe.deployment._archive import read_archive, write_files
from skfhe.deployment._client_model import ClientModel
from tests.deployment.saved_models import FIXTURES, MODELS, N_ROWS, compiled, saved

CLIENT, SERVER = ((FIXTURES / "v1" / "tree" / f"{half}.zip").read_bytes() for half in ("client", "server"))
HALVES = {"client": CLIENT, "server": SERVER}
KEPT = sorted(folder.name for folder in (FIXTURES / f"v{archive.SCHEMA_VERSION}").iterdir())
"""Present models, and those that were written before some class had a further field."""
ENTRIES = ("manifest.json", "model.json", "arrays.bin")


def read(half, data):
    """Make of a file's bytes what they are for."""
    return ClientModel.read(data) if half == "client" else Server(data)


def entries(data):
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(contents, **options):
    """Return a zip file of some entries, written as the archive writes them, unless options say otherwise."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", options.get("compression", zipfile.ZIP_STORED)) as file:
        for name, content in contents:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            entry.compress_type = options.get("compression", zipfile.ZIP_STORED)
            file.writestr(entry, content)
    return buffer.getvalue()


def consistent(data, manifest=None, model=None, arrays=None):
    """Return a file with other contents, whose manifest says so: what an attacker writes."""
    contents = entries(data)
    if model is not None:
        contents["model.json"] = model if isinstance(model, bytes) else json.dumps(model).encode()
    contents |= {} if arrays is None else {"arrays.bin": arrays}
    described = json.loads(contents["manifest.json"])
    described["files"] = {
        name: {"bytes": len(contents[name]), "sha256": hashlib.sha256(contents[name]).hexdigest()}
        for name in ENTRIES[1:]
    }
    described |= manifest or {}
    contents["manifest.json"] = json.dumps(described).encode()
    return packed(contents.items())


@pytest.mark.parametrize("name", KEPT)
def test_files_of_this_version_of_the_schema_are_read_and_run(name):
    """What was written once has to be read by whatever comes after."""
    folder = FIXTURES / f"v{archive.SCHEMA_VERSION}" / name
    expected = json.loads((folder / "expected.json").read_text("utf-8"))
    client, server = ClientModel.read(folder), Server(folder)
    session = ClientSession(client.specs)
    batch = session.encrypt(*client.predictor.encode(np.array(expected["rows"])))
    outputs = session.decrypt(server.run(batch, session.evaluation_keys))
    assert client.predictor.answer("predict", outputs).tolist() == expected["predict"]
    np.testing.assert_array_equal(
        client.predictor.answer("predict_proba", outputs), expected["predict_proba"]
    )
    assert len(expected["rows"]) == N_ROWS


USED_ALONE = """
import sys
import numpy as np
from skfhe.deployment._client_model import ClientModel

client = ClientModel.read(sys.argv[1])
encoded = client.predictor.encode(np.zeros((2, client.predictor.rows.n_features)))
client.specs.check_inputs(encoded)
outputs = tuple(np.zeros((2, *kind.shape), dtype=np.int64) for kind in client.specs.outputs)
for method in client.predictor.methods:
    client.predictor.answer(method, outputs)
heavy = ("torch", "sklearn", "scipy", "pandas", "concrete", "mlir", "skfhe.cost", "skfhe.base")
print([name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize("name", MODELS)
def test_a_client_needs_nothing_but_numpy(name):
    """Reading, encoding and answering load neither what trained the model nor what evaluates it."""
    command = [sys.executable, "-c", USED_ALONE, str(FIXTURES / "v1" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", MODELS)
def test_the_schema_is_that_of_the_files_that_are_kept(name, monkeypatch):
    """Whoever changes what is written has to raise the version, or show that old files mean the same.

    A release alone changes nothing but its number, which files name.
    """
    folder = FIXTURES / f"v{archive.SCHEMA_VERSION}" / name
    kept = archive.read_archive(folder / "client.zip", "client")
    monkeypatch.setattr(skfhe, "__version__", kept.skfhe_version)
    for half, data in zip(("client", "server"), saved(compiled(name)), strict=True):
        assert data == (folder / f"{half}.zip").read_bytes(), half


@pytest.mark.parametrize("half", HALVES)
def test_a_file_that_is_cut_off_anywhere_is_refused(half):
    data = HALVES[half]
    for end in [*range(0, 64), *range(64, len(data), 37), *range(len(data) - 64, len(data))]:
        with pytest.raises(ValueError, match=rf"{half}.zip cannot be read"):
            read(half, data[:end])
    with pytest.raises(ValueError, match="cannot be read"):
        read(half, data + b"\0")


def altered(data, draw):
    """Return bytes with a few of them changed, left out, or put in."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        place = draw.randrange(len(found))
        how = draw.random()
        if how < 0.6:
            found[place] ^= 1 << draw.randrange(8)
        elif how < 0.75:
            del found[place : place + draw.randrange(1, 9)]
        elif how < 0.9:
            found[place:place] = draw.randbytes(draw.randrange(1, 9))
        else:
            end = min(len(found), place + draw.randrange(1, 64))
            found[place:end] = draw.randbytes(end - place)
    return bytes(found)


@pytest.mark.parametrize("n_files", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_file_that_was_altered_anywhere_is_refused(n_files):
    """Bits that turned are found by checksums, and no byte is outside all of them."""
    draw = random.Random(n_files)
    for _ in range(n_files):
        half = draw.choice([*HALVES])
        data = altered(HALVES[half], draw)
        if data != HALVES[half]:
            with pytest.raises(ValueError, match="cannot be read"):
                read(half, data)


def test_the_halves_are_not_taken_for_each_other():
    with pytest.raises(ValueError, match="it is a 'server' file, expected the client's"):
        ClientModel.read(SERVER)
    with pytest.raises(ValueError, match="it is a 'client' file, expected the server's"):
        Server(CLIENT)


def test_a_newer_file_says_what_to_install():
    newer = {"schema_version": archive.SCHEMA_VERSION + 1, "skfhe_version": "9.1", "unknown": 1}
    with pytest.raises(ValueError, match=r"newer.*Install skfhe>=9.1") as error:
        ClientModel.read(consistent(CLIENT, newer))
    assert skfhe.__version__ in str(error.value)


def test_an_older_file_says_what_to_do():
    with pytest.raises(ValueError, match=r"older.*Save the model again, or install skfhe==0.0.1"):
        ClientModel.read(consistent(CLIENT, {"schema_version": 0, "skfhe_version": "0.0.1"}))


def test_an_older_schema_is_read_by_its_loader(monkeypatch):
    """Each loader makes the next version of its own, so that none has to know the latest."""

    def renamed(values):
        return {"class": "ClientModel", "predictor": values["was"], "specs": values["specs"]}

    model = json.loads(entries(CLIENT)["model.json"])
    model["values"]["was"] = model["values"].pop("predictor")
    older = consistent(CLIENT, model=model)
    monkeypatch.setattr(archive, "SCHEMA_VERSION", archive.SCHEMA_VERSION + 1)
    monkeypatch.setattr(archive, "_LOADERS", {1: renamed})
    assert ClientModel.read(older).predictor.methods[0] == "predict"


MANIFESTS = {
    "another format": {"format": "other"},
    "no version": {"schema_version": "1"},
    "a version that is a truth value": {"schema_version": True},
    "a version of skfhe that is no version": {"skfhe_version": "1\n; rm"},
    "a further field": {"more": 1},
    "a circuit id that is none": {"circuit_id": "x"},
    "another circuit id": {"circuit_id": "0" * 64},
    "wrong sizes": {"files": {name: {"bytes": 1, "sha256": "0" * 64} for name in ENTRIES[1:]}},
    "files that are a list": {"files": []},
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_cannot_be_is_refused(case):
    with pytest.raises(ValueError, match=r"client\.zip"):
        ClientModel.read(consistent(CLIENT, MANIFESTS[case]))


TEXTS = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "a name twice": b'{"arrays": [], "arrays": [], "values": {}}',
    "no number": b'{"arrays": [], "values": NaN}',
    "no text": b"\xff\xfe",
    "nothing": b"",
    "a list": b"[]",
    "a number of many digits": b'{"arrays": [], "values": ' + b"9" * 100_000 + b"}",
    "an array of objects": b'{"arrays": [{"dtype": "|O", "shape": [1]}], "values": {}}',
    "an array larger than the file": b'{"arrays": [{"dtype": "<f8", "shape": [4000000000]}], "values": {}}',
    "an array of many axes": b'{"arrays": [{"dtype": "|i1", "shape": [1,1,1,1,1,1,1,1,1]}], "values": {}}',
    "a negative size": b'{"arrays": [{"dtype": "|i1", "shape": [-1]}], "values": {}}',
    "arrays that do not fill the file": b'{"arrays": [], "values": {}}',
}


@pytest.mark.parametrize("case", TEXTS)
def test_json_that_is_not_as_it_is_written_is_refused(case):
    """Though its checksum is right: nesting, numbers and sizes are bounded before anything is made."""
    with pytest.raises(ValueError, match="cannot be read"):
        ClientModel.read(consistent(CLIENT, model=TEXTS[case]))


def hostile_zips():
    """Yield zip files that are not as they are written, by what is wrong with them."""
    contents = entries(CLIENT)
    items = [*contents.items()]
    yield "compressed", packed(items, compression=zipfile.ZIP_DEFLATED)
    bomb = {**contents, "arrays.bin": bytes(1 << 24)}
    yield "a bomb", packed(bomb.items(), compression=zipfile.ZIP_DEFLATED)
    yield "a path", packed([*items[:2], ("../arrays.bin", contents["arrays.bin"])])
    yield "an absolute path", packed([*items[:2], ("/tmp/arrays.bin", contents["arrays.bin"])])
    yield "another name", packed([*items[:2], ("arrays.npy", contents["arrays.bin"])])
    yield "another order", packed(items[::-1])
    yield "too few entries", packed(items[:2])
    yield "too many entries", packed([*items, ("more", b"")])
    yield "many entries", packed([*items, *((f"{i}", b"") for i in range(20_000))])
    with pytest.warns(UserWarning, match="Duplicate name"):
        yield "a name twice", packed([items[0], items[1], items[1]])
    yield "a comment", CLIENT[:-2] + b"\x04\x00ABCD"
    yield "no zip", b"\x80\x04\x95" + bytes(100)
    yield "nothing", b""
    yield "an end alone", b"PK\x05\x06" + bytes(18)
    yield "long manifest", packed([("manifest.json", b" " * (1 << 15)), *items[1:]])


def test_zip_files_that_are_not_as_they_are_written_are_refused():
    """Names are a closed list, and nothing is as large as it likes to say: an entry is as long as it is."""
    for case, data in hostile_zips():
        tracemalloc.start()
        with pytest.raises(ValueError, match="cannot be read"):
            ClientModel.read(data)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + (1 << 20), case
        tracemalloc.stop()


def test_sizes_that_are_stated_are_never_allocated():
    """The zip's directory says four gigabytes, where there are some thousand bytes."""
    with zipfile.ZipFile(io.BytesIO(CLIENT)) as file:
        size = file.getinfo("arrays.bin").file_size
    at = CLIENT.index(b"PK\x01\x02", CLIENT.rindex(b"arrays.bin") - 60)
    huge = bytearray(CLIENT)
    place = huge.index(size.to_bytes(4, "little"), at)
    huge[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(ValueError, match="cannot be read"):
        ClientModel.read(bytes(huge))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_file_is_complete_or_as_before(tmp_path, monkeypatch):
    """Whoever is interrupted while writing leaves the old file, and no rest that anybody reads."""
    write_files(tmp_path, {"client.zip": b"old", "server.zip": b"old"})

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path, {"client.zip": b"new", "server.zip": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "client.zip": b"old",
        "server.zip": b"old",
    }


def test_a_pair_of_which_one_was_replaced_is_noticed(tmp_path, monkeypatch):
    """Between two renames nobody can be kept from reading; the circuits' ids say that it happened."""
    files = {name: saved(compiled(name)) for name in MODELS}
    write_files(tmp_path, {"client.zip": files["linear"][0], "server.zip": files["linear"][1]})
    rename, calls = archive.os.replace, []

    def killed(source, target):
        if calls:
            raise SystemExit
        calls.append(target)
        rename(source, target)

    monkeypatch.setattr(archive.os, "replace", killed)
    with pytest.raises(SystemExit):
        write_files(tmp_path, {"server.zip": files["tree"][1], "client.zip": files["tree"][0]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["client.zip", "server.zip"]
    with pytest.raises(ValueError, match=r"different circuits.*Save the model again"):
        Server(tmp_path)
    assert read_archive(tmp_path, "client").circuit_id != read_archive(tmp_path, "server").circuit_id


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        ClientModel.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        Server(tmp_path / "server.zip")
