"""Timing, the machine's description, and result files, for all benchmarks."""

import json
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def seconds(call: Callable[[], Any], repetitions: int = 1, warm_up: int = 0) -> float:
    """Return the median seconds that ``call`` takes."""
    for _ in range(warm_up):
        call()
    taken = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def row_seconds(
    execute: Callable[..., Any], encoded: Sequence[np.ndarray], most_seconds: float = 4.0
) -> tuple[float, int]:
    """Return the median seconds of encrypted rows that are alone in their calls, and how many were timed.

    Rows are taken in turn: 5 at least, 200 at most, and no more once ``most_seconds`` have passed.
    """
    rows = [tuple(x[i : i + 1] for x in encoded) for i in range(len(encoded[0]))]
    execute(*rows[0])  # sets memory aside that later ones use again
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < 5 or (len(taken) < 200 and time.perf_counter() - began < most_seconds):
        start = time.perf_counter()
        execute(*rows[len(taken) % len(rows)])
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), len(taken)


def processor() -> str:
    """Return the processor's name and the instruction sets that the engine's speed hangs on."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"model name\s*:\s*(.+)", text)
    flags = set((re.search(r"flags\s*:\s*(.+)", text) or ["", ""])[1].split())
    sets = [
        shown for flag, shown in (("avx2", "AVX2"), ("avx512f", "AVX-512"), ("aes", "AES")) if flag in flags
    ]
    return " ".join([name[1] if name else platform.machine(), *sets])


def machine(*packages: str) -> dict[str, Any]:
    """Describe the machine and the versions of ``packages``."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def save(name: str, content: dict[str, Any]) -> Path:
    """Write ``content`` as JSON among the results, under ``name`` and the processor's name."""
    RESULTS.mkdir(exist_ok=True)
    path = place(name, content["machine"])
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def kept(name: str, where: dict[str, Any]) -> dict[str, Any] | None:
    """Return what was saved under ``name`` on a machine like this one, or None."""
    path = place(name, where)
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else None


def place(name: str, where: dict[str, Any]) -> Path:
    """Return the file of a result."""
    text = f"{name} {where['processor']} {where['cores']} cores".lower()
    return RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', text).strip('-')}.json"
