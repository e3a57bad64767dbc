"""What setup.cfg allows is what the two files of constraints were tested with."""

import configparser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
TOOLS = ("test", "lint", "mutation", "docs", "jobs")
"""Extras for those who work on the package."""


def sections():
    """Requirements of setup.cfg: of the package itself, and of every extra."""
    setup = configparser.ConfigParser()
    setup.read_string((ROOT / "setup.cfg").read_text("utf-8"))
    listed = {"install_requires": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {
        section: [Requirement(line) for line in lines.split("\n") if line]
        for section, lines in listed.items()
    }


def pins(name):
    """Versions that a file of constraints pins."""
    lines = (
        line for line in (ROOT / name).read_text("utf-8").splitlines() if line and not line.startswith("#")
    )
    pinned = [line.split("==") for line in lines]
    assert len({package for package, _ in pinned}) == len(pinned)
    return {package: Version(version) for package, version in pinned}


def minimum(requirement):
    """Return the least version that a requirement allows, or None."""
    least = [Version(s.version) for s in requirement.specifier if s.operator == ">="]
    return least[0] if least else None


REQUIREMENTS = [(section, r) for section, requirements in sections().items() for r in requirements]
NEWEST, OLDEST = pins("constraints.txt"), pins("constraints-oldest.txt")


@pytest.mark.parametrize(("section", "requirement"), REQUIREMENTS, ids=str)
def test_the_newest_releases_tested_are_allowed(section, requirement):
    assert requirement.specifier.contains(NEWEST[requirement.name])


@pytest.mark.parametrize(
    ("section", "requirement"), [(s, r) for s, r in REQUIREMENTS if s not in TOOLS and minimum(r)], ids=str
)
def test_the_oldest_releases_tested_are_the_minimums(section, requirement):
    """A minimum that nobody runs is a guess, and stays one when the code begins to need more."""
    assert OLDEST[requirement.name] == minimum(requirement)
    assert requirement.specifier.contains(OLDEST[requirement.name])


def test_the_oldest_releases_are_tested_with_the_same_tools():
    """Whatever is not held at its minimum is what constraints.txt has."""
    minimums = {r.name: minimum(r) for _, r in REQUIREMENTS}
    assert all(version in (minimums[name], NEWEST[name]) for name, version in OLDEST.items())
    assert {r.name for r in sections()["test"]} <= set(OLDEST)


def test_a_package_that_is_required_twice_is_required_alike():
    ranges = {}
    for _, requirement in REQUIREMENTS:
        assert ranges.setdefault(requirement.name, requirement.specifier) == requirement.specifier
