"""What becomes of the zoo with default arguments: ``python -m benchmarks.networks.zoo``.

The networks are those of ``tests/importers/zoo``: small ones of every kind, drawn, not trained. Prints a
Markdown table with a row for each: whether it was imported and compiled, how far the integers are from the
network (root mean square over its deviation, in the clear), what a row is predicted to cost, and whether
encrypted rows equal those in the clear. Where rounding is approximate, the clear evaluation is not the
encrypted one; an encrypted row then has to be no farther from it than the farthest of its simulations.
Networks that must be refused are listed with the reason given. A summary follows. Networks are tried in
another process, so that one which ends it is seen.
"""

import argparse
import contextlib
import io
import logging
import multiprocessing
import re
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import torch

from skfhe.importers import QuantizedModule
from skfhe.program import is_approximate
from tests.importers.zoo import REFUSED, ZOO, Network, flat

HEAD = ("network", "by", "outcome", "error", "lookups", "seconds a row", "encrypted")
REPETITIONS = 20
"""Simulations of each row that approximate rounding is compared with."""
MOST_KEY_BYTES = 4e9
ENDED = "ended the process"


def relative_error(network: Network, module: QuantizedModule) -> float:
    """Return the largest error of an output, in units of its deviation."""
    rows = network.rows()
    pairs = zip(flat(module.forward(*rows)), flat(network.expected(rows)), strict=True)
    return max(float(np.sqrt(np.mean(np.square(y - exact))) / (exact.std() or 1.0)) for y, exact in pairs)


def distances(results: object, clear: object) -> np.ndarray:
    """Return how far each row is from the clear one, at most over its outputs."""
    each = [
        np.abs(np.asarray(a, dtype=np.float64) - b).reshape(len(b), -1).max(axis=1)
        for a, b in zip(flat(results), flat(clear), strict=True)
    ]
    return np.max(each, axis=0)


def encrypted(network: Network, module: QuantizedModule, n_rows: int) -> str:
    """Compare encrypted rows with the clear ones, or with their simulations."""
    encoded = module.quantize_input(*(x[:n_rows] for x in network.rows()))
    encoded = encoded if isinstance(encoded, tuple) else (encoded,)
    clear = module.quantized_forward(*encoded)
    start = time.perf_counter()
    off = distances(module.quantized_forward(*encoded, fhe="execute"), clear)
    seconds = f"{(time.perf_counter() - start) / n_rows:.2g} s"
    if not any(is_approximate(value.op) for value in module.program_.values):
        return f"{np.sum(off == 0)} of {n_rows} equal, {seconds}"
    simulated = np.zeros(n_rows)
    for _ in range(REPETITIONS):
        simulated = np.maximum(
            simulated, distances(module.quantized_forward(*encoded, fhe="simulate"), clear)
        )
    return f"{np.sum(off <= simulated)} of {n_rows} within simulation, {seconds}"


def outcome(network: Network, n_rows: int, most_seconds: float) -> tuple[str, str, str, str, str]:
    """Return what becomes of a network, its error, lookups, seconds, and what its encrypted rows are."""
    try:
        module = network.quantize()
    except Exception as error:
        return f"refused: {_first(error)}", "–", "–", "–", "–"
    if network.refusal:
        return "imported, though it cannot be", "–", "–", "–", "–"
    cost = module.cost_
    widths = ", ".join(f"{n} × {bits}-bit" for bits, n in sorted(cost.lookups.items())) or "none"
    figures = (f"{relative_error(network, module):.1%}", widths, f"{cost.seconds:.2g}")
    try:
        module.compile()
    except Exception as error:
        return f"imported; not compiled: {_first(error)}", *figures, "–"
    if cost.seconds > most_seconds or cost.key_bytes > MOST_KEY_BYTES:
        return "compiled", *figures, "–"
    return "compiled", *figures, encrypted(network, module, n_rows)


def outcome_of(name: str, n_rows: int, most_seconds: float) -> tuple[str, ...]:
    """Return the outcome of a network by its name, with nothing printed."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)  # what torch says of networks that it cannot export is in the error
    torch.set_num_threads(1)
    (network,) = (one for one in (*ZOO, *REFUSED) if one.name == name)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return outcome(network, n_rows, most_seconds)


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".replace("|", "\\|")


def verdict(network: Network, what: str, compared: str) -> str:
    """Return what the summary counts a network as."""
    if what == ENDED:
        return ENDED
    if network.refusal:
        truly = what.startswith("refused") and re.search(network.refusal, what)
        return "refused truly" if truly else "not refused truly"
    if what.startswith("refused"):
        return "refused wrongly"
    if what != "compiled":
        return "imported, not compiled"
    if compared == "–":
        return "compiled, too dear to encrypt here"
    found, of = re.match(r"(\d+) of (\d+)", compared).groups()  # type: ignore[union-attr]
    as_expected = "equal" if "equal" in compared else "within simulation"
    return f"encrypted, {as_expected}" if found == of else "encrypted, WRONG"


def started() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", nargs="*", default=[], help="parts of the names of the networks to try")
    parser.add_argument("--encrypted-rows", type=int, default=2)
    parser.add_argument(
        "--most-seconds",
        type=float,
        default=2.0,
        help="predicted seconds a row up to which rows are encrypted",
    )
    parser.add_argument("--after", help="name of the network to begin after")
    arguments = parser.parse_args()
    chosen = [
        n for n in (*ZOO, *REFUSED) if not arguments.names or any(part in n.name for part in arguments.names)
    ]
    chosen = chosen[[n.name for n in chosen].index(arguments.after) + 1 if arguments.after else 0 :]
    found: Counter[str] = Counter()
    print(f"| {' | '.join(HEAD)} |")
    print("|---|---|---|--:|---|--:|---|")
    pool = started()
    for network in chosen:
        given = network.name, arguments.encrypted_rows, arguments.most_seconds
        try:
            what, *figures, compared = pool.submit(outcome_of, *given).result()
        except BrokenProcessPool:
            pool = started()
            what, *figures, compared = ENDED, "–", "–", "–", "–"
        found[verdict(network, what, compared)] += 1
        print(f"| {' | '.join((network.name, network.by, what, *figures, compared))} |", flush=True)
    print(f"\n{len(chosen)} networks: " + ", ".join(f"{n} {name}" for name, n in found.most_common()))


if __name__ == "__main__":
    main()
