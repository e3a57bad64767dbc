"""What the documentation shows of the prices: ``python -m skfhe.cost`` prints it."""

from skfhe.cost._error_rate import DEFAULT_P_ERROR
from skfhe.cost._prices import lookup_complexity, lookup_price, seconds_a_operation

__all__ = ["price_tables"]

RATES = {"2⁻⁴⁰": DEFAULT_P_ERROR, "1e-6": 1e-6, "1e-5": 1e-5, "1e-3": 1e-3, "1e-2": 1e-2, "5e-2": 5e-2}
WIDTHS = range(1, 10)
PRECISIONS = range(4, 29, 4)


def price_tables() -> dict[str, str]:
    """Return the tables of prices in Markdown.

    Returns
    -------
    dict of str to str
        By the name that the documentation marks each with: "prices" by error rate and bits read,
        "precisions" by bits read and the precision that results keep.
    """
    return {"prices": _by_error_rate(), "precisions": _by_precision()}


def _by_error_rate() -> str:
    rows = [
        [name, *(_millions(lookup_complexity(bits, bits, p_error)) for bits in WIDTHS)]
        for name, p_error in RATES.items()
    ]
    return _markdown(["`p_error`", *map(str, WIDTHS[:-1]), f"{WIDTHS[-1]} bits"], rows)


def _by_precision() -> str:
    rows = []
    for bits in WIDTHS:
        prices = (lookup_price(bits, kept, DEFAULT_P_ERROR) for kept in PRECISIONS)
        cells = ("–" if price is None else _millions(price.complexity) for price in prices)
        rows.append([str(bits), *cells, f"{1e9 * seconds_a_operation(bits):.3f}"])
    return _markdown(["bits", *(f"e = {kept}" for kept in PRECISIONS), "s for 1000 M"], rows)


def _millions(complexity: float) -> str:
    return f"{complexity / 1e6:.0f}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    line, *lines = (f"| {' | '.join(row)} |" for row in (head, *rows))
    return "\n".join([line, "|" + "---|" * len(head), *lines])
