"""What fitted models and imported networks compute, in short, to be compared with what is stored.

``python -m tests.digests`` evaluates all of them anew and says which differ from ``tests/digests.json``;
with ``--write`` it rewrites that file. `tests.test_digests` says when that is right.
"""

import argparse
import hashlib
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skfhe.exceptions import AccumulatorOverflowError, InputClippingWarning
from skfhe.program import run_batched

__all__ = ["STORED", "Evaluated", "drawn", "grid", "record", "records"]

STORED = Path(__file__).with_suffix(".json")
N_ROWS = 64
DIGITS = {np.dtype(np.float64): 9, np.dtype(np.float32): 4}
"""Significant digits that every processor's exponential agrees on."""


@dataclass
class Evaluated:
    """A model, and what it says to rows.

    Parameters
    ----------
    model : estimator or QuantizedModule
    results : dict
        Arrays by name, and tuples of them: integers that rows are encoded as, predictions.
    encoded : tuple of ndarray, optional
        Integers to evaluate the program on beside random ones, which leave calibrated intervals.
    """

    model: Any
    results: dict[str, Any]
    encoded: tuple[np.ndarray, ...] | None = None


def drawn(seed, low, high, *shape):
    """Draw integers in [low, high] from the generator's bits: the same in every version of NumPy.

    ``low`` and ``high`` are numbers, or arrays that broadcast against ``shape``.
    """
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape))).reshape(shape) >> np.uint64(1)
    low = np.asarray(low, dtype=np.int64)
    return low + raw.astype(np.int64) % (np.asarray(high, dtype=np.int64) - low + 1)


def grid(seed, *shape, span=2.0, step=1 / 8):
    """Draw multiples of ``step``, a power of two, in [-span, span]: floats whose sums are exact."""
    end = round(span / step)
    return drawn(seed, -end, end, *shape) * step


def record(evaluated):
    """Return what is stored of a model: small facts as they are, and of all that is large a digest."""
    model = evaluated.model
    program, cost = model.program_, model.cost_
    types = [program.values[position].type for position in (*program.inputs, *program.outputs)]
    integers = [_outputs(program, _random_rows(program))]
    if evaluated.encoded is not None:
        integers.append([q.tolist() for q in run_batched(program, *evaluated.encoded)])
    return {
        "accumulator_bits": [int(bits) for bits in model.accumulator_bits_],
        "output_bits": [int(bits) for bits in model.output_bits_],
        "lookups": {str(bits): int(count) for bits, count in sorted(cost.lookups.items())},
        "complexity": float(f"{cost.complexity:.5g}"),
        "intervals": _digest([(list(t.shape), t.low.tolist(), t.high.tolist()) for t in types]),
        "integers": _digest(integers),
        "results": _digest({name: _readable(result) for name, result in evaluated.results.items()}),
    }


def _random_rows(program):
    """Draw integers for each input of a program, over its whole interval and with both ends of it."""
    rows = []
    for index, position in enumerate(program.inputs):
        kind = program.values[position].type
        rows.append(drawn(index, kind.low, kind.high, N_ROWS, *kind.shape))
        rows[-1][0], rows[-1][1] = kind.low, kind.high
    return rows


def _outputs(program, rows):
    """Return the outputs for each row, or that it leaves an interval: calibrated ones can be left."""
    outputs = []
    for index in range(N_ROWS):
        try:
            values = run_batched(program, *(x[index : index + 1] for x in rows))
            outputs.append([value[0].tolist() for value in values])
        except AccumulatorOverflowError:
            outputs.append("overflow")
    return outputs


def _readable(result):
    """Return an array as text that does not depend on the last bits of its floats."""
    if isinstance(result, tuple | list):
        return [_readable(part) for part in result]
    array = np.asarray(result)
    shape, flat = list(array.shape), array.ravel()
    if array.dtype.kind != "f":
        return [shape, [str(value) for value in flat.tolist()]]
    assert np.isfinite(flat).all()
    digits = DIGITS[array.dtype]
    flat = flat.astype(np.float64)
    noise = np.abs(flat).max(initial=0.0) * 10.0 ** -(digits + 3)
    flat = np.where(np.abs(flat) <= noise, 0.0, flat)
    return [shape, [f"{value:.{digits - 1}e}" for value in flat.tolist()]]


def _digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sources():
    """Return what makes each model, by name."""
    from tests.digested_models import MODELS
    from tests.digested_networks import NETWORKS

    assert not MODELS.keys() & NETWORKS.keys()
    return MODELS | NETWORKS


def records(names=None):
    """Yield the name and the record of each model, or of those that are named."""
    for name, make in sources().items():
        if names and name not in names:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputClippingWarning)
            yield name, record(make())


def main():
    """Compare with the stored file, or rewrite it."""
    parser = argparse.ArgumentParser(prog="python -m tests.digests", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="models to evaluate; all by default")
    parser.add_argument("--write", action="store_true", help="rewrite the stored file")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(sources())
    if unknown:
        parser.error(f"no such models: {', '.join(sorted(unknown))}; there are {', '.join(sources())}")
    stored = json.loads(STORED.read_text("utf-8")) if STORED.exists() else {}
    found = dict(records(arguments.names))
    differ = {}
    for name, now in found.items():
        before = stored.get(name, {})
        differ[name] = [key for key in now if now[key] != before.get(key)]
        print(f"{name}: {', '.join(differ[name]) or 'same'}")
    if arguments.write:
        kept = {name: found.get(name, stored.get(name)) for name in sources()}
        text = json.dumps({name: known for name, known in kept.items() if known}, indent=2)
        STORED.write_text(text + "\n", "utf-8")
        return 0
    return int(any(differ.values()))


if __name__ == "__main__":
    sys.exit(main())
