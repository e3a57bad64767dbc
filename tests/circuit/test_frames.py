"""Bytes are taken apart as they were put together, or refused before anyone looks into them."""

import json

import pytest

from skfhe.circuit._frames import VERSION, pack, unpack

MAGIC = b"skfhe-te"


def test_a_header_and_blocks_come_back():
    header, blocks = {"name": "ä", "counts": [1, 2]}, [b"", b"abc", bytes(1000)]
    assert unpack(MAGIC, pack(MAGIC, header, blocks), "a test") == (header, blocks)


def test_every_truncation_and_every_extension_is_refused():
    data = pack(MAGIC, {"name": "x"}, [b"abc", b"de"])
    for n in range(len(data)):
        with pytest.raises(ValueError, match="a test"):
            unpack(MAGIC, data[:n], "a test")
    with pytest.raises(ValueError, match=f"has {len(data)} bytes by its header, got {len(data) + 1}"):
        unpack(MAGIC, data + b"x", "a test")


def test_what_is_not_of_this_kind_or_version_is_named():
    data = pack(MAGIC, {}, [])
    with pytest.raises(ValueError, match="expected the bytes of a test, which begin with b'skfhe-te', got"):
        unpack(MAGIC, pack(b"skfhe-ot", {}, []), "a test")
    newer = data[:8] + (VERSION + 1).to_bytes(2, "little") + data[10:]
    with pytest.raises(ValueError, match=f"expected a test of version {VERSION}, got version {VERSION + 1}"):
        unpack(MAGIC, newer, "a test")
    with pytest.raises(TypeError, match="expected the bytes of a test, got str"):
        unpack(MAGIC, "skfhe-te", "a test")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "\xff", "[]", "{}", "[" * 100_000),
        *('{"lengths": 3}', '{"lengths": [-1, 1]}', '{"lengths": [true]}', '{"lengths": ["1"]}'),
    ],
)
def test_headers_that_cannot_be_are_refused(text):
    encoded = text.encode("latin-1")
    data = MAGIC + VERSION.to_bytes(2, "little") + len(encoded).to_bytes(4, "little") + encoded
    with pytest.raises(ValueError, match="header of a test cannot be read"):
        unpack(MAGIC, data, "a test")


def test_a_header_tells_its_length_before_it_is_read():
    """Its length may not lead beyond the data, nor the sum of lengths beyond what is there."""
    data = pack(MAGIC, {}, [b"abc"])
    for n_bytes in (2**32 - 1, 2**20 + 1, len(data)):
        with pytest.raises(ValueError, match="end within its header"):
            unpack(MAGIC, data[:10] + n_bytes.to_bytes(4, "little") + data[14:], "a test")
    text = json.dumps({"lengths": [2**62, 2**62]}).encode()
    data = MAGIC + VERSION.to_bytes(2, "little") + len(text).to_bytes(4, "little") + text
    with pytest.raises(ValueError, match="bytes by its header"):
        unpack(MAGIC, data, "a test")
