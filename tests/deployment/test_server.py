"""A server in this process: what it runs, and what it refuses before it runs anything."""

import threading

import numpy as np
import pytest

from skfhe.circuit import ClientSession
from skfhe.deployment import Server, _server
from skfhe.deployment._archive import packed, read_archive
from skfhe.deployment._client_model import ClientModel
from skfhe.deployment._programs import SavedProgram
from skfhe.deployment._values import from_values, to_values
from skfhe.exceptions import CiphertextMismatchError
from tests.deployment.saved_models import FIXTURES
from tests.digested_models import rows

TREE, LINEAR = (FIXTURES / "v1" / name for name in ("tree", "linear"))


@pytest.fixture(scope="module")
def session():
    """Return the client's keys and what it knows of the model."""
    client = ClientModel.read(TREE)
    return client.predictor, ClientSession(client.specs)


@pytest.fixture(scope="module")
def server():
    return Server(TREE)


def encrypted(session, n_rows, seed=1):
    predictor, keys = session
    encoded = predictor.encode(rows(seed)[:n_rows])
    return encoded, keys.encrypt(*encoded)


def test_bytes_and_objects_are_run_alike(session, server):
    _, keys = session
    encoded, batch = encrypted(session, 3)
    expected = keys.decrypt(server.run(batch, keys.evaluation_keys))
    found = keys.decrypt(server.run(batch.to_bytes(), keys.evaluation_keys.to_bytes()))
    np.testing.assert_array_equal(found[0], expected[0])
    assert len(encoded[0]) == len(found[0]) == 3


def test_requests_under_one_key_are_run_together(session, server):
    """In the order in which they came, each with its own number of rows."""
    _, keys = session
    batches = [encrypted(session, n, seed)[1] for seed, n in ((1, 2), (2, 1), (3, 4))]
    together = server.run_together([batches[0], batches[1].to_bytes(), batches[2]], keys.evaluation_keys)
    for batch, result in zip(batches, together, strict=True):
        alone = keys.decrypt(server.run(batch, keys.evaluation_keys))
        np.testing.assert_array_equal(keys.decrypt(result)[0], alone[0])


def test_ciphertexts_and_keys_of_another_model_are_refused(session):
    _, keys = session
    _, batch = encrypted(session, 1)
    with pytest.raises(CiphertextMismatchError, match="another circuit"):
        Server(LINEAR).run(batch, keys.evaluation_keys)


def test_bytes_that_are_neither_are_refused(session, server):
    _, keys = session
    _, batch = encrypted(session, 1)
    with pytest.raises(ValueError, match="a batch of ciphertexts"):
        server.run(b"?" * 100, keys.evaluation_keys)
    with pytest.raises(ValueError, match="evaluation keys"):
        server.run(batch, b"?" * 100)


def altered(**changes):
    """Return a server's file with another program, whose manifest does not say so."""
    archive = read_archive(TREE, "server")
    saved = from_values(archive.values, archive.arrays, "SavedProgram")
    fields = {name: getattr(saved, name) for name in SavedProgram.__dataclass_fields__}
    return packed("server", *to_values(SavedProgram(**fields | changes)), archive.circuit_id)


def test_a_program_that_was_altered_is_refused_before_it_runs():
    """Keys and ciphertexts for one circuit are noise to another; or it computes something else."""
    server = Server(altered(p_error=2.0**-20))
    with pytest.raises(ValueError, match="another program than it was saved with"):
        server.load()
    with pytest.raises(ValueError, match="another program than it was saved with"):
        _ = server.specs


def test_another_engine_is_named(monkeypatch):
    """Its parameters for the same program may be others; whoever installs the right one has them again."""
    server = Server(altered(p_error=2.0**-20))
    monkeypatch.setattr(_server, "engine_version", lambda: "9.9")
    with pytest.raises(ValueError, match=r"9\.9 is installed.*install concrete-python==2\.11"):
        server.load()


def test_threads_compile_once():
    server, found = Server(LINEAR), []
    threads = [threading.Thread(target=lambda: found.append(server.load().compiled)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
