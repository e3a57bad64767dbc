"""Which calls rows are run in: a function of the engine takes a fixed number of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Call", "call_sizes", "plan_calls"]


def call_sizes(n_rows: int, sizes: tuple[int, ...], row_seconds: float, call_seconds: float) -> list[int]:
    """Return the sizes of the calls that rows are run in.

    As many calls of the largest size as rows fill; what is left in those that cost least together, of which
    the last may be larger than its rows. Of choices that cost the same it is the one with fewer calls. The
    same rows are always cut in the same way.

    Parameters
    ----------
    n_rows : int
        1 or more.
    sizes : tuple of int
        Rows that a call can take, 1 among them.
    row_seconds, call_seconds : float
        What each row of a call costs, and each call.

    Returns
    -------
    list of int
        Descending. They sum up to ``n_rows`` or more; the last is not filled if it is more.

    Examples
    --------
    >>> call_sizes(70, (1, 8, 32), row_seconds=0.3, call_seconds=0.1)
    [32, 32, 1, 1, 1, 1, 1, 1]
    >>> call_sizes(71, (1, 8, 32), row_seconds=0.3, call_seconds=0.1)
    [32, 32, 8]
    """
    largest = max(sizes)
    full, left = divmod(n_rows, largest)
    _, _, rest = _cheapest(left, sizes, row_seconds, call_seconds)
    return [largest] * full + list(rest)


@lru_cache(maxsize=4096)
def _cheapest(
    n_rows: int, sizes: tuple[int, ...], row_seconds: float, call_seconds: float
) -> tuple[float, int, tuple[int, ...]]:
    """Return what the cheapest calls for so many rows cost, their number, and their sizes, descending."""
    if n_rows == 0:
        return 0.0, 0, ()
    found = []
    for size in sizes:
        seconds, n_calls, rest = _cheapest(max(0, n_rows - size), sizes, row_seconds, call_seconds)
        if size >= max(rest, default=0):
            found.append((seconds + call_seconds + size * row_seconds, n_calls + 1, (size, *rest)))
    return min(found)


@dataclass(frozen=True)
class Call:
    """Rows that a function of the engine is called with.

    Parameters
    ----------
    size : int
        Rows that it takes.
    start, stop : int
        Which of the rows of all batches, one batch after the other, are in it.
    rows : tuple of tuple of int
        Which batches they are of, and of each of these the first row and the one behind the last.
    """

    size: int
    start: int
    stop: int
    rows: tuple[tuple[int, int, int], ...]

    @property
    def n_rows(self) -> int:
        """Rows that are in it."""
        return self.stop - self.start


def plan_calls(n_rows: Sequence[int], sizes: Sequence[int]) -> list[Call]:
    """Return the calls in which the rows of several batches are run, one batch after the other.

    Parameters
    ----------
    n_rows : sequence of int
        Of each batch.
    sizes : sequence of int
        As `call_sizes` returns them for all rows.

    Returns
    -------
    list of Call

    Examples
    --------
    >>> [call.rows for call in plan_calls([3, 6], [8, 1])]
    [((0, 0, 3), (1, 0, 5)), ((1, 5, 6),)]
    """
    calls, start, batch, first = [], 0, 0, 0
    for size in sizes:
        rows: list[tuple[int, int, int]] = []
        stop = min(start + size, sum(n_rows))
        left = stop - start
        while left:
            last = min(n_rows[batch], first + left)
            rows.append((batch, first, last))
            left -= last - first
            batch, first = (batch + 1, 0) if last == n_rows[batch] else (batch, last)
        calls.append(Call(size, start, stop, tuple(rows)))
        start = stop
    return calls
