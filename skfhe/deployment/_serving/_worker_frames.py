"""What goes between the server and a worker: a JSON header and blocks of bytes. Nothing is unpickled."""

import json
import struct
from collections.abc import Sequence
from typing import Any

__all__ = ["FRAME", "frame"]

FRAME = struct.Struct("<I")
"""Bytes of the header, before it."""


def frame(header: dict[str, Any], blocks: Sequence[bytes] = ()) -> bytes:
    """Return what goes before the blocks: the header, which states their lengths."""
    text = json.dumps({**header, "lengths": [len(block) for block in blocks]}).encode()
    return FRAME.pack(len(text)) + text
