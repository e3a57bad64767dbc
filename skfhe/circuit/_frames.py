"""What the project's own bytes look like: a magic number, a version, a header, and blocks after it.

A header is a JSON object, so that whoever reads one of another version can say what it was. Everything is
checked before a block is looked at: nothing here knows what is in one.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any

__all__ = ["VERSION", "frame_head", "pack", "unpack"]

VERSION = 1
"""Of all that is written here; raised when what is read needs to be read in another way."""
_PREFIX = struct.Struct("<8sHI")
"""Magic number, version, bytes of the header."""
_MOST_HEADER_BYTES = 1 << 20


def pack(magic: bytes, header: dict[str, Any], blocks: Sequence[bytes]) -> bytes:
    """Return bytes that `unpack` takes apart.

    Parameters
    ----------
    magic : bytes
        Eight that say what the bytes hold.
    header : dict
        Of what JSON can say.
    blocks : sequence of bytes

    Returns
    -------
    bytes
    """
    return b"".join([frame_head(magic, header, [len(block) for block in blocks]), *blocks])


def frame_head(magic: bytes, header: dict[str, Any], lengths: Sequence[int]) -> bytes:
    """Return what `pack` puts before blocks of these lengths.

    Parameters
    ----------
    magic : bytes
    header : dict
    lengths : sequence of int
        Of each block, in bytes.

    Returns
    -------
    bytes
    """
    text = json.dumps({**header, "lengths": list(lengths)}).encode()
    return _PREFIX.pack(magic, VERSION, len(text)) + text


def unpack(magic: bytes, data: bytes, what: str) -> tuple[dict[str, Any], list[bytes]]:
    """Return the header and the blocks of what `pack` returned.

    Parameters
    ----------
    magic : bytes
    data : bytes
    what : str
        Names what was expected, for messages.

    Returns
    -------
    header : dict
    blocks : list of bytes

    Raises
    ------
    ValueError
        If ``data`` is anything else, another version, or not complete.
    """
    if not isinstance(data, bytes):
        raise TypeError(f"expected the bytes of {what}, got {type(data).__name__}")
    if len(data) < _PREFIX.size or not data.startswith(magic):
        raise ValueError(f"expected the bytes of {what}, which begin with {magic!r}, got {data[:8]!r} …")
    _, version, n_bytes = _PREFIX.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"expected {what} of version {VERSION}, got version {version}")
    if n_bytes > _MOST_HEADER_BYTES or _PREFIX.size + n_bytes > len(data):
        raise ValueError(f"the bytes of {what} end within its header of {n_bytes} bytes")
    end = _PREFIX.size + n_bytes
    try:
        header = json.loads(data[_PREFIX.size : end])
        lengths = header.pop("lengths")
        complete = all(type(length) is int and length >= 0 for length in lengths)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        complete = False
    if not complete:
        raise ValueError(f"the header of {what} cannot be read")
    if end + sum(lengths) != len(data):
        raise ValueError(f"{what} has {end + sum(lengths)} bytes by its header, got {len(data)}")
    blocks = []
    for length in lengths:
        blocks.append(data[end : end + length])
        end += length
    return header, blocks
