"""The reference names what is public, and what pages show is what happens."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skfhe

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
ROOMS = sorted(path.parent.name for path in Path(skfhe.__file__).parent.glob("[!_]*/__init__.py"))
"""Public rooms: those without an underscore."""
COMPARED = "spreading.md"
"""Whose example runs elsewhere, and prints what the page says."""
PAGES = [
    path
    for path in (*sorted(DOCS.glob("*.md")), ROOT / "README.md")
    if "```python" in path.read_text("utf-8") and path.name != COMPARED
]


def listed(room):
    """Return the names that a room's page of the reference lists, or None if it shows all by itself."""
    text = (REFERENCE / f"{room}.rst").read_text("utf-8")
    if f".. automodule:: skfhe.{room}\n   :members:\n   :imported-members:" in text:
        return None
    lines = text.partition(".. autosummary::")[2].splitlines()
    return [line.strip() for line in lines if re.fullmatch(r"   \w+", line)]


def public(room):
    """Return what a room names as public; of the package, what is no plain text."""
    names = importlib.import_module(f"skfhe.{room}" if room != "skfhe" else room).__all__
    return [name for name in names if not name.startswith("__")]


@pytest.mark.parametrize("room", ["skfhe", "exceptions", *ROOMS])
def test_the_reference_has_every_public_name(room):
    """So that nothing is public and undescribed, and nothing is described that is gone."""
    names = listed(room)
    assert names is None or sorted(names) == sorted(public(room))


def test_the_reference_has_a_page_for_every_room_and_no_other():
    pages = {path.stem for path in REFERENCE.glob("*.rst")}
    assert pages == {"index", "skfhe", "exceptions", *ROOMS}
    index = (REFERENCE / "index.rst").read_text("utf-8")
    assert set(re.findall(r"^   (\w+)$", index, re.MULTILINE)) == pages - {"index"}


def found(name):
    """Say whether a dotted name of the package is there."""
    package, *rest = name.split(".")
    place = importlib.import_module(package)
    for part in rest:
        name = f"{place.__name__}.{part}" if hasattr(place, "__path__") else ""
        if not hasattr(place, part) and name and importlib.util.find_spec(name):
            importlib.import_module(name)
        if not hasattr(place, part):
            return False
        place = getattr(place, part)
    return True


@pytest.mark.parametrize("page", [*sorted(DOCS.glob("*.md")), ROOT / "README.md"], ids=lambda page: page.stem)
def test_pages_name_only_what_is_there(page):
    """A name that is gone, or never was, sends readers to nothing."""
    names = set(re.findall(r"\bskfhe(?:\.\w+)+", page.read_text("utf-8"))) - {"skfhe.serving"}  # a logger
    assert [name for name in sorted(names) if not found(name)] == []


def test_examples_end_with_what_they_cost():
    examples = sorted((ROOT / "examples").glob("plot_*.py"))
    assert examples
    for path in examples:
        last = path.read_text("utf-8").partition("# What it costs\n# -----")[2]
        assert "print(" in last, path.name
        assert "cost_" in last, path.name


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_pages_show_runs(page, tmp_path):
    """Each page is one program, in a process of its own, as a reader would run it block by block."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks), "utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
