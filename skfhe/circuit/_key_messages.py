"""Evaluation keys in the engine's own form, built from its parameters and the words of the keys alone.

The engine serializes keys as a message of Cap'n Proto: a table of segments, structs that state every
parameter, and the words of each key. Its reader trusts all of that: sizes that are stated are allocated, and
keys of other parameters end the process. So nothing but the words is ever sent. Whoever runs a circuit knows
its parameters, hence the size of each key, and builds the message around the words himself: no table, pointer
or parameter in it comes from elsewhere. Any words are keys, if not of use.

What is written here has one segment: the structs, then the words of one key after another. What the engine
writes is in segments as they came; `key_words` reads those, of this process' own engine only.

A word is 8 bytes, little endian. A pointer is a word: 2 bits of kind, 30 bits of distance from the pointer's
end, 32 bits of what is there (https://capnproto.org/encoding.html).
"""

import json
import struct
from functools import lru_cache
from typing import Any

__all__ = [
    "compressed",
    "expanded_bytes",
    "key_message",
    "key_parameters",
    "key_words",
    "secret_dimensions",
    "secret_keys_of_the_engine",
    "words_bytes",
]

_KINDS = ("lweBootstrapKeys", "lweKeyswitchKeys", "packingKeyswitchKeys")
_COMPRESSIONS = {"none": 0, "seed": 1}
_WORD_BYTES = 8
_MOST_KEY_BYTES = 1 << 29
"""A list of bytes cannot be longer in such a message."""
_MOST_SEGMENTS = 512
_MOST_DIMENSION = 1 << 20
"""Of a secret key; real ones have up to 2**16 bits or so."""


@lru_cache(maxsize=256)
def compressed(parameters: bytes) -> bytes:
    """Return the engine's description of a circuit with keys in the form that is sent.

    Seeds take the place of the masks of bootstrap and key switch keys. The engine has no such form of
    packing keys.
    """
    description = json.loads(parameters)
    for kind in _KINDS[:2]:
        for key in description["keyset"][kind]:
            key["compression"] = "seed"
    return json.dumps(description).encode()


@lru_cache(maxsize=256)
def key_parameters(parameters: bytes) -> bytes:
    """Return what the engine's description says of evaluation keys in the form that is sent.

    The same for circuits of the same keys, whatever else the description says of them.
    """
    keyset = json.loads(compressed(parameters))["keyset"]
    return json.dumps(keyset, sort_keys=True, separators=(",", ":")).encode()


def secret_dimensions(parameters: bytes) -> tuple[int, ...]:
    """Return the bits of each secret key, in the order of their ids.

    Parameters
    ----------
    parameters : bytes
        As `key_parameters` returns them.

    Raises
    ------
    ValueError
        If they are none, or of keys of another kind.
    """
    try:
        keys = sorted((key["id"], key["params"]) for key in json.loads(parameters)["lweSecretKeys"])
        plain = all(
            (values["integerPrecision"], values["keyType"]) == (64, "binary")
            and type(values["lweDimension"]) is int
            and 0 < values["lweDimension"] <= _MOST_DIMENSION
            for _, values in keys
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        plain, keys = False, []
    if not keys or not plain or [id for id, _ in keys] != list(range(len(keys))):
        raise ValueError("these are not the parameters of secret keys of a kind that is known")
    return tuple(values["lweDimension"] for _, values in keys)


def _keys(parameters: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Return the kind of each evaluation key, and what is known of it, in the order of their words."""
    keyset = json.loads(parameters)
    keys = [(kind, key) for kind in _KINDS for key in keyset[kind]]
    for kind, key in keys:
        values = key["params"]
        modulus, form = values["modulus"]["modulus"], key["compression"]
        plain = (values["integerPrecision"], values["keyType"], modulus) == (64, "binary", {"native": {}})
        if not plain or form != ("none" if kind == _KINDS[2] else "seed"):
            raise ValueError(f"evaluation keys of this form are not sent: {kind} with {values}, {form!r}")
        if _key_bytes(kind, values) >= _MOST_KEY_BYTES:
            raise ValueError(
                f"one of the evaluation keys has {_key_bytes(kind, values) >> 20} MiB, and keys of "
                f"{_MOST_KEY_BYTES >> 20} MiB and more cannot be sent; lookups of fewer bits have smaller "
                "ones: see accumulator_bits_ for those that read most, and have these rounded"
            )
    return keys


def _key_bytes(kind: str, values: dict[str, Any]) -> int:
    """Return the bytes of one key: those of bootstrap and key switch keys begin with a seed of two words."""
    rows = values["levelCount"] * values["inputLweDimension"]
    if kind == "lweKeyswitchKeys":
        n_words = 2 + rows
    elif kind == "lweBootstrapKeys":
        n_words = 2 + rows * (values["glweDimension"] + 1) * values["polynomialSize"]
    else:
        rows += values["levelCount"]
        n_words = rows * (values["glweDimension"] + 1) ** 2 * values["polynomialSize"]
    return n_words * _WORD_BYTES


def words_bytes(parameters: bytes) -> int:
    """Return the bytes of all keys' words.

    Parameters
    ----------
    parameters : bytes
        As `key_parameters` returns them.
    """
    return sum(_key_bytes(kind, key["params"]) for kind, key in _keys(parameters))


def expanded_bytes(parameters: bytes) -> int:
    """Return the bytes of all keys as they are evaluated with, masks and not seeds.

    Parameters
    ----------
    parameters : bytes
        As `key_parameters` returns them.
    """
    total = 0
    for kind, key in _keys(parameters):
        values = key["params"]
        n_bytes = _key_bytes(kind, values)
        if kind == "lweKeyswitchKeys":
            n_bytes = (n_bytes - 2 * _WORD_BYTES) * (values["outputLweDimension"] + 1)
        elif kind == "lweBootstrapKeys":
            n_bytes = (n_bytes - 2 * _WORD_BYTES) * (values["glweDimension"] + 1)
        total += n_bytes
    return total


def _pair(low: int, high: int = 0) -> int:
    return low | high << 32


def _float(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


def _stated(kind: str, values: dict[str, Any]) -> list[int]:
    """Return the words that state a key's parameters."""
    levels = _pair(values["levelCount"], values["baseLog"])
    variance, precision = _float(values["variance"]), _pair(values["integerPrecision"])
    if kind == "lweKeyswitchKeys":
        dimensions = _pair(values["inputLweDimension"], values["outputLweDimension"])
        return [levels, variance, precision, dimensions]
    sizes = _pair(values["glweDimension"], values["polynomialSize"])
    if kind == "lweBootstrapKeys":
        return [levels, sizes, variance, precision, values["inputLweDimension"]]
    dimensions = _pair(values["inputLweDimension"], values["innerLweDimension"])
    return [levels, sizes, dimensions, variance, precision]


class _Message:
    """Words of one segment, and pointers among them."""

    def __init__(self) -> None:
        self.words: list[int] = []

    def add(self, *words: int) -> int:
        """Append words, and return where they begin."""
        self.words.extend(words)
        return len(self.words) - len(words)

    def point(self, at: int, kind: int, target: int, what: int) -> None:
        """Write the pointer at ``at``: of ``kind`` 0 to a struct, of 1 to a list."""
        self.words[at] = kind | (target - at - 1 & (1 << 30) - 1) << 2 | what << 32

    def add_struct(self, at: int, data: list[int], n_pointers: int) -> int:
        """Append a struct that ``at`` points to, and return where its pointers begin."""
        target = self.add(*data, *[0] * n_pointers)
        self.point(at, 0, target, len(data) | n_pointers << 16)
        return target + len(data)


def key_message(parameters: bytes) -> bytes:
    """Return the engine's message of evaluation keys, up to the keys' words, which end it.

    Parameters
    ----------
    parameters : bytes
        As `key_parameters` returns them.

    Raises
    ------
    ValueError
        If they have keys of a kind that is not sent.
    """
    keys = _keys(parameters)
    message = _Message()
    root = message.add_struct(message.add(0), [], 3)
    data = []
    for i, kind in enumerate(_KINDS):
        present = [key for name, key in keys if name == kind]
        # A list of structs of two pointers, `info` and `payload`; its first word says so.
        tag = message.add(len(present) << 2 | 2 << 48, *[0] * (2 * len(present)))
        message.point(root + i, 1, tag, 7 | 2 * len(present) << 3)
        for position, key in enumerate(present):
            info = tag + 1 + 2 * position
            identity = [
                _pair(key["id"], key["inputId"]),
                _pair(key["outputId"], _COMPRESSIONS[key["compression"]]),
            ]
            values = message.add_struct(info, identity, 1)
            modulus = message.add_struct(values, _stated(kind, key["params"]), 1)
            native = message.add_struct(modulus, [0], 1)
            # A struct of no words: a distance of -1, for 0 would be no pointer.
            message.point(native, 0, native, 0)
            blocks = message.add_struct(info + 1, [], 1)
            block = message.add(0)
            message.point(blocks, 1, block, 6 | 1 << 3)
            data.append((block, _key_bytes(kind, key["params"])))
    end = len(message.words)
    for at, n_bytes in data:
        message.point(at, 1, end, 2 | n_bytes << 3)
        end += n_bytes // _WORD_BYTES
    return struct.pack(f"<II{len(message.words)}Q", 0, end, *message.words)


def _segments(serialized: bytes) -> list[tuple[int, int]]:
    """Return where each segment of a message begins, and its words; none if there is no table of them."""
    if len(serialized) < _WORD_BYTES:
        return []
    n_segments = int.from_bytes(serialized[:4], "little") + 1
    begin = 4 * (n_segments + 1 + (n_segments + 1) % 2)
    if n_segments > _MOST_SEGMENTS or begin > len(serialized):
        return []
    segments = []
    for n_words in struct.unpack_from(f"<{n_segments}I", serialized, 4):
        segments.append((begin, n_words))
        begin += n_words * _WORD_BYTES
    return segments if begin == len(serialized) else []


def secret_keys_of_the_engine(data: bytes) -> bool:
    """Whether ``data`` looks like secret keys as the engine writes them: a whole key set, or one key."""
    if b"SecretKey" in data[:128]:  # one key alone has its type's name before it
        return True
    segments = _segments(data)
    if not segments or not segments[0][1]:
        return False
    # The root of evaluation keys, and of a ciphertext, has three pointers, that of a key set two, that of its
    # secret half one.
    (root,) = struct.unpack_from("<Q", data, segments[0][0])
    return root & 3 == 0 and root >> 32 & 0xFFFF == 0 and root >> 48 in (1, 2)


def key_words(parameters: bytes, serialized: bytes) -> bytes:
    """Return the words of all keys in a message that the engine of this process has written.

    Parameters
    ----------
    parameters : bytes
        As `key_parameters` returns them.
    serialized : bytes
        Of evaluation keys that were made for them.
    """
    segments = _segments(serialized)

    def follow(segment: int, at: int) -> tuple[int, int, int]:
        """Return the segment and position that the pointer at ``at`` leads to, and what is there."""
        (word,) = struct.unpack_from("<Q", serialized, segments[segment][0] + at * _WORD_BYTES)
        if word & 3 == 2:  # into another segment, where the pointer is
            assert not word & 4  # what is two steps away is not written where there is room for the first
            return follow(word >> 32, (word & 0xFFFFFFFF) >> 3)
        distance = (word & 0xFFFFFFFF) >> 2
        return segment, at + 1 + distance - (distance >> 29 << 30), word >> 32

    words = []
    place, root, _ = follow(0, 0)
    for i, kind in enumerate(_KINDS):
        wanted = [_key_bytes(kind, key["params"]) for name, key in _keys(parameters) if name == kind]
        of_list, tag, what = follow(place, root + i)
        assert what == 7 | 2 * len(wanted) << 3, (kind, what, len(wanted))
        for position, n_bytes in enumerate(wanted):
            found, blocks, _ = follow(of_list, tag + 1 + 2 * position + 1)
            found, block, what = follow(found, blocks)
            assert what == 6 | 1 << 3, (kind, what)
            found, at, what = follow(found, block)
            assert what == 2 | n_bytes << 3, (kind, what, n_bytes)
            begin = segments[found][0] + at * _WORD_BYTES
            words.append(serialized[begin : begin + n_bytes])
    return b"".join(words)
