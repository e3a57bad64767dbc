"""Requests that no client of ours makes, to the byte, and what has been changed at random."""

import http.client
import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Answer", "infer_body", "mutated", "raw", "spoken"]

HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Answer:
    """What came.

    Parameters
    ----------
    status : int or None
        None if the connection was closed without an answer.
    seconds : float
    body : bytes
    """

    status: int | None
    seconds: float
    body: bytes = b""

    def __str__(self) -> str:
        try:
            code = json.loads(self.body).get("code", "")
        except (ValueError, AttributeError):
            code = ""
        return f"{self.status or 'closed'} {code} in {self.seconds:.1f} s".replace("  ", " ")


def infer_body(data: bytes, key_id: str, **changed: Any) -> tuple[bytes, dict[str, str]]:
    """Return the body of an infer request, and its headers."""
    header = {
        "id": "1",
        "parameters": {"key_id": key_id},
        "inputs": [
            {
                "name": "ciphertexts",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"binary_data_size": len(data) + 4},
            }
        ],
        **changed,
    }
    text = json.dumps(header).encode()
    return text + struct.pack("<I", len(data)) + data, {HEADER_LENGTH: str(len(text))}


def raw(
    port: int, method: str, path: str, body: bytes = b"", headers: Any = None, timeout: float = 120.0
) -> Answer:
    """Make one request over a connection of its own."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, time.monotonic() - begun, answer.read())
    except (http.client.HTTPException, ConnectionError):
        return Answer(None, time.monotonic() - begun)
    finally:
        connection.close()


def spoken(
    port: int, pieces: list[bytes], pause: float = 0.0, *, ends: bool = True, timeout: float = 120.0
) -> Answer:
    """Send pieces with a pause after each, and wait for an answer, which may come at any time.

    ``ends`` says whether the server is told that nothing more comes.
    """
    begun = time.monotonic()
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                if pause:
                    connection.settimeout(pause)
                    try:
                        received = connection.recv(65536)
                        if not received:
                            return _read(found, begun)
                        found += received
                        break
                    except TimeoutError:
                        pass
            connection.settimeout(timeout)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while not _is_whole(found) and (received := connection.recv(65536)):
                found += received
        except (ConnectionError, OSError):
            pass
    return _read(found, begun)


def _is_whole(text: bytes) -> bool:
    """Whether an answer has come to its end."""
    head, found, body = text.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
    ]
    return bool(found) and bool(lengths) and len(body) >= int(lengths[0])


def _read(text: bytes, begun: float) -> Answer:
    """Return the status of an answer in bytes."""
    head, _, body = text.partition(b"\r\n\r\n")
    parts = head.split(b" ", 2)
    status = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None
    return Answer(status, time.monotonic() - begun, body)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes in which something is changed, as transport, disks and fuzzers do it."""
    changed = bytearray(data)
    at = int(rng.integers(len(changed)))
    kind = rng.integers(7)
    if kind == 0:  # a bit
        changed[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:  # a byte
        changed[at] = int(rng.integers(256))
    elif kind == 2:  # the end is missing
        del changed[at:]
    elif kind == 3:  # something more
        changed[at:at] = rng.bytes(int(rng.integers(1, 64)))
    elif kind == 4:  # something less
        del changed[at : at + int(rng.integers(1, 64))]
    elif kind == 5:  # a stretch of ends and largest numbers, where lengths stand
        changed[at : at + 8] = [b"\xff" * 8, b"\x00" * 8, b"\xff" * 7 + b"\x7f"][int(rng.integers(3))]
    else:  # a digit of a header
        digits = [i for i in range(min(len(changed), 4096)) if 48 <= changed[i] <= 57]
        if digits:
            changed[digits[int(rng.integers(len(digits)))]] = 48 + int(rng.integers(10))
    return bytes(changed)
