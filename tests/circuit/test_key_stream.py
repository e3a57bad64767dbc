"""Keys that come in pieces are taken for what they are said to be, or refused, as soon as that is known."""

import random
import tracemalloc

import pytest

from skfhe.circuit import ClientSession, KeyStream, compile_program
from skfhe.circuit._frames import pack
from tests.circuit.two_parts import two_parts


@pytest.fixture(scope="module")
def session():
    session = ClientSession(compile_program(two_parts(), batch_sizes=(1,)).compiled.specs)
    session.keygen()
    return session


@pytest.fixture(scope="module")
def data(session):
    return session.evaluation_keys.to_bytes()


def stream(session, data, sizes):
    """Give a stream pieces of these sizes, then the rest."""
    checked = KeyStream(session.specs, str(session.key_id))
    for size in sizes:
        checked.update(data[:size])
        data = data[size:]
    checked.update(data)
    checked.finish()


def test_the_size_is_known_beforehand(session, data):
    assert KeyStream(session.specs, str(session.key_id)).n_bytes == len(data)


@pytest.mark.parametrize(
    "sizes", [[], [0, 0], 3000 * [1], [7, 13, 40, 1000], [2000, 1 << 20], [1 << 16] * 40]
)
def test_how_the_bytes_are_cut_does_not_matter(session, data, sizes):
    stream(session, data, sizes)


def test_every_altered_byte_is_noticed(session, data):
    """In the head and the parameters at once, in the random bytes and the words at the end."""
    random.seed(0)
    words = len(data) - 100
    for place in [*random.sample(range(4000), 40), words, len(data) - 1]:
        altered = bytearray(data)
        altered[place] ^= 1
        with pytest.raises(ValueError, match="keys"):
            stream(session, bytes(altered), [1000])


def test_keys_of_another_name_are_refused(session, data):
    other = ClientSession(session.specs)
    other.keygen()
    checked = KeyStream(session.specs, str(other.key_id))
    with pytest.raises(ValueError, match="another key id"):
        checked.update(data[:2000])


def test_what_is_missing_and_what_is_too_much_is_refused(session, data):
    for n in (0, 1, 500, 5000, len(data) - 1):
        with pytest.raises(ValueError, match="end before"):
            stream(session, data[:n], [])
    with pytest.raises(ValueError, match="more came"):
        stream(session, data + b"x", [])


def test_keys_of_other_parameters_are_refused_at_their_first_bytes(session):
    other = ClientSession(compile_program(two_parts(bits=3), batch_sizes=(1,)).compiled.specs)
    other.keygen()
    data = other.evaluation_keys.to_bytes()
    checked = KeyStream(session.specs, str(other.key_id))
    with pytest.raises(ValueError, match="other parameters"):
        checked.update(data[:4000])


def test_nothing_is_kept_of_the_words(session, data):
    """Memory is that of one piece, whatever the keys have."""
    checked = KeyStream(session.specs, str(session.key_id))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for start in range(0, len(data), 1 << 16):
        checked.update(data[start : start + (1 << 16)])
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    checked.finish()
    assert len(data) > 2_000_000
    assert peak < 300_000


def test_other_bytes_are_named(session):
    for data, message in (
        (b"{}", "expected evaluation keys"),
        (pack(b"skfhe-ct", {}, []), "expected evaluation keys"),
        (b"12345678LweSecretKey", "secret keys"),
    ):
        with pytest.raises(ValueError, match=message):
            stream(session, data, [])
