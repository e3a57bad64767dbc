"""Signals stay their user's.

The engine's libraries take signals for themselves: LLVM when it is loaded, HPX when it starts, and the
bindings around each key generation, run and compilation, where they let SIGINT kill the process. So Ctrl-C
would kill where Python raises `KeyboardInterrupt`, a closed pipe crash where it raises `BrokenPipeError`, and
two threads that run at one time would leave the killing handler behind for good.

Putting handlers back afterwards leaves the time in between. So the libraries are kept from setting any: their
calls of the C library's ``signal`` and ``sigaction`` go through a table of addresses that each library has of
its own (the global offset table; System V Application Binary Interface, AMD64 supplement, section 5.2), and
there another function takes their place, which does nothing.
"""

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["keep_from_signals", "keep_interrupts", "keep_signal_handlers"]

_SIGACTION_BYTES = 256
"""More than a ``struct sigaction`` has anywhere on Linux; its first member is the handler's address."""
_FOLDERS = ("concrete_python.libs", "_mlir_libs")
"""Where the engine's wheel keeps its libraries."""
_SETTING_LATER = ("_concretelang.", "libhpx-", "libhpx_core-")
_LIBRARIES = (*_SETTING_LATER, "libConcretelangBindingsPythonCAPI.")
"""Beginnings of the names of those that set handlers; the last does so when it is loaded, too."""
_CALLS = (b"signal", b"sigaction")


@cache
def _c_library() -> Any:
    return ctypes.CDLL(None, use_errno=True)


# Handlers that were set while the libraries were loaded.


def _read_action(number: int) -> Any:
    """Return what the C library does on a signal: Python's own module knows only what was set through it."""
    action = ctypes.create_string_buffer(_SIGACTION_BYTES)
    _c_library().sigaction(number, None, action)
    return action


class _Symbol(ctypes.Structure):
    """``Dl_info``."""

    _fields_ = [
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def _is_the_engine_s(action: Any) -> bool:
    """Whether the handler of an action lies in a library of the engine."""
    address = _handler(action)
    found = _Symbol()
    if not address or not _c_library().dladdr(ctypes.c_void_p(address), ctypes.byref(found)):
        return False
    return Path(os.fsdecode(found.file or b"")).parent.name in _FOLDERS


@contextmanager
def keep_signal_handlers() -> Iterator[None]:
    """Undo what the engine's libraries do to the handlers of signals while they are loaded inside.

    Handlers that anyone else sets inside are left alone: only those in the engine's own libraries are
    replaced, by what was there before. If that was the engine's, too, for somebody has loaded it already, by
    what Python knows; it can set that in the main thread alone.
    """
    before = _actions()
    try:
        yield
    finally:
        for number, now in _actions().items():
            if not _is_the_engine_s(now):
                continue
            if not _is_the_engine_s(before[number]):
                _c_library().sigaction(number, before[number], None)
            elif threading.current_thread() is threading.main_thread():
                signal.signal(number, signal.getsignal(number))


@contextmanager
def keep_interrupts() -> Iterator[None]:
    """Let Ctrl-C interrupt system calls after what is done inside, as it did before.

    Z3, which the engine asks for bit widths, sets a handler of its own for SIGINT while it solves, then
    Python's again, by ``signal``: with the flag SA_RESTART, under which a wait for a lock, such as that of
    `concurrent.futures.Future.result`, goes on as if nothing had happened. A handler that someone else has
    set inside stays.
    """
    before = _read_action(signal.SIGINT)
    try:
        yield
    finally:
        if _handler(_read_action(signal.SIGINT)) == _handler(before):
            _c_library().sigaction(signal.SIGINT, before, None)


def _handler(action: Any) -> int | None:
    return ctypes.c_void_p.from_buffer_copy(action.raw).value


def _actions() -> dict[int, Any]:
    return {int(number): _read_action(number) for number in signal.valid_signals()}


# Calls that set handlers later. The structures are those of <link.h> and <elf.h>, for 64 bits.


class _Segment(ctypes.Structure):
    """``Elf64_Phdr``."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("file_bytes", ctypes.c_uint64),
        ("memory_bytes", ctypes.c_uint64),
        ("alignment", ctypes.c_uint64),
    ]


class _Library(ctypes.Structure):
    """``dl_phdr_info``, the part that all versions have."""

    _fields_ = [
        ("base", ctypes.c_uint64),
        ("file", ctypes.c_char_p),
        ("segments", ctypes.POINTER(_Segment)),
        ("n_segments", ctypes.c_uint16),
    ]


class _Entry(ctypes.Structure):
    """``Elf64_Dyn``."""

    _fields_ = [("tag", ctypes.c_int64), ("value", ctypes.c_uint64)]


class _Relocation(ctypes.Structure):
    """``Elf64_Rela``."""

    _fields_ = [("offset", ctypes.c_uint64), ("info", ctypes.c_uint64), ("addend", ctypes.c_int64)]


_SYMBOL_BYTES = 24
_DYNAMIC_SEGMENT = 2
_CALL_BYTES, _STRINGS, _SYMBOLS, _CALL_TABLE = 2, 5, 6, 23  # DT_PLTRELSZ, DT_STRTAB, DT_SYMTAB, DT_JMPREL


def keep_from_signals() -> list[tuple[str, str]]:
    """Let the engine's libraries, which must be loaded, set no handler of a signal from now on.

    Returns
    -------
    list of (str, str)
        Library and function of each call that does nothing now.
    """
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return []
    # It must return 0 for every number of a signal, and touch nothing: none is that of an upper-case letter.
    nothing = ctypes.cast(_c_library().isupper, ctypes.c_void_p).value
    replaced: list[tuple[str, str]] = []
    # A handler of LLVM's that is set has to call the real function, or it would call itself for ever.
    libraries = _SETTING_LATER if any(map(_is_the_engine_s, _actions().values())) else _LIBRARIES

    def visit(library: Any, size: int, data: Any) -> int:
        name = os.path.basename(os.fsdecode(library.contents.file or b""))
        if name.startswith(libraries):
            for function, address in _calls(library.contents):
                if function in _CALLS:
                    ctypes.c_void_p.from_address(address).value = nothing
                    replaced.append((name, function.decode()))
        return 0

    visitor: Callable[..., Any] = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(_Library), ctypes.c_size_t, ctypes.c_void_p
    )
    _c_library().dl_iterate_phdr(visitor(visit), None)
    return replaced


def _calls(library: Any) -> Iterator[tuple[bytes, int]]:
    """Yield the functions that a library calls in others, and where it keeps the address of each."""
    for segment in library.segments[: library.n_segments]:
        if segment.type != _DYNAMIC_SEGMENT:
            continue
        found: dict[int, int] = {}
        at = library.base + segment.address
        while (entry := _Entry.from_address(at)).tag:
            found[entry.tag] = entry.value
            at += ctypes.sizeof(_Entry)
        if _CALL_TABLE not in found:
            continue
        # The loader has made these addresses absolute; where it did not, they count from the base.
        table, symbols, strings = (
            found[tag] + (library.base if found[tag] < library.base else 0)
            for tag in (_CALL_TABLE, _SYMBOLS, _STRINGS)
        )
        for at in range(table, table + found[_CALL_BYTES], ctypes.sizeof(_Relocation)):
            relocation = _Relocation.from_address(at)
            symbol = symbols + (relocation.info >> 32) * _SYMBOL_BYTES
            name = strings + ctypes.c_uint32.from_address(symbol).value
            yield ctypes.string_at(name), library.base + relocation.offset
