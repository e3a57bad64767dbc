"""Prices that the documentation quotes are those of the table that the package prices by."""

import subprocess
import sys
from pathlib import Path

import pytest

from skfhe.cost._error_rate import DEFAULT_P_ERROR
from skfhe.cost._price_table import price_tables
from skfhe.cost._prices import crt_price, lookup_complexity, lookup_seconds, seconds_a_operation

DOCS = Path(__file__).parents[2] / "docs"


def millions(bits, kept):
    return f"{lookup_complexity(bits, kept, DEFAULT_P_ERROR) / 1e6:.0f} M"


def price_and_time(bits, kept):
    return f"({millions(bits, kept)}, {1e3 * lookup_seconds(bits, kept, DEFAULT_P_ERROR):.1f} ms)"


def times_as_much(bits):
    return lookup_complexity(bits, bits, DEFAULT_P_ERROR) / lookup_complexity(4, 4, DEFAULT_P_ERROR)


def on_residues():
    prices = [crt_price(bits, norm, DEFAULT_P_ERROR).complexity for bits in range(11, 17) for norm in (0, 99)]
    return f"{min(prices) / 1e9:.0f},000 to {max(prices) / 1e9:.0f},000 M a lookup"


PHRASES = {
    "performance.md": [
        f"costs {millions(4, 9)} up to e = 9, {millions(4, 17)} up to 17, {millions(4, 20)} up to 20",
        f"for {on_residues()}",
        f"1000 M of 4-bit lookups take {1e9 * seconds_a_operation(4):.3f} s, so one takes 5 ms",
        "{:.3f} s for 1000 M of 2 bits, {:.3f} s of 3; of 5 bits {:.3f} s".format(
            *(1e9 * seconds_a_operation(bits) for bits in (2, 3, 5))
        ),
        f"{price_and_time(2, 11)} takes longer than one of 3 bits {price_and_time(3, 11)}",
    ],
    "trees.md": [
        f"one lookup of 1 bit, {millions(1, 3).removesuffix(' M')} to {millions(1, 9)};",
    ],
    "neural_network.md": [
        f"5 or 6 cost {times_as_much(5):.1f} and {times_as_much(6):.1f} times as much a lookup",
        f"up to {millions(4, 10)} in place of {millions(4, 9)}",
    ],
}


@pytest.mark.parametrize("name", price_tables())
def test_the_documentation_shows_the_tables_of_prices(name):
    """docs/performance.md shows what ``python -m skfhe.cost`` prints."""
    text = (DOCS / "performance.md").read_text("utf-8")
    shown = text.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- /{name} -->")[0]
    assert shown == price_tables()[name]


@pytest.mark.parametrize("file", PHRASES)
def test_prices_in_sentences_are_those_of_the_table(file):
    text = " ".join((DOCS / file).read_text("utf-8").split())
    assert [phrase for phrase in PHRASES[file] if phrase not in text] == []


def test_the_tables_are_printed():
    printed = subprocess.run([sys.executable, "-m", "skfhe.cost"], capture_output=True, text=True, check=True)
    assert printed.stdout == "\n\n".join(price_tables().values()) + "\n"
