"""What is published says the same of itself everywhere, has the package, and nothing else."""

import re
import shutil
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

import skfhe
from tools import dist_check, licences

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "licences.md").read_text("utf-8")
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
)
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git says which files are tracked")


def licences_told():
    """Return the licence of each package in the page's tables."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row[2 if len(row) == 4 else 1] for row in rows}


def test_one_version_is_everywhere():
    version = Version(skfhe.__version__)
    assert str(version) == skfhe.__version__ == dist_check.package_version(ROOT)
    heading = re.search(
        r"^## ([\d.]+) \(([\w-]+)\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert heading[1] == version.base_version
    assert (heading[2] == "unreleased") == version.is_devrelease
    assert (ROOT / "CITATION.cff").read_text("utf-8").count(f"\nversion: {version}\n") == 1


def test_the_citation_has_what_the_format_asks_for():
    """Of Citation File Format 1.2.0: the required keys, and of others only those it knows."""
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation.keys() <= {
        *("cff-version", "message", "title", "authors", "type", "abstract", "version", "license"),
        *("keywords", "date-released", "url", "repository-code", "doi"),
    }
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["license"] == "BSD-3-Clause"
    assert citation["authors"] == [{"name": "the skfhe developers"}]  # an entity, as its only key says
    assert all(isinstance(each, str) for each in citation["keywords"])
    assert len(set(citation["keywords"])) == len(citation["keywords"])


def test_licences_of_everything_that_is_required_are_told():
    """So that nothing new comes in unseen."""
    listed = licences.requirements()
    needed = {each.name for extra, names in listed.items() if extra not in licences.TOOLS for each in names}
    assert needed == set(licences.REASONS)
    assert needed <= set(licences_told())
    tools = PAGE.partition("<!-- tools")[2].partition("<!-- end")[0]
    for name in {each.name for names in listed.values() for each in names} - needed:
        assert f"`{name}`" in tools


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_clean_leaves_nothing_that_git_ignores(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split() if line]
    made = [re.sub(r"^\*", "skfhe", name) for name in ignored if name != ".venv*"]
    environments = [".venv", ".venv-oldest", ".venv-newest", ".venv-release", ".venv-peer", ".venv-tenseal"]
    for name in (*made, *environments, "skfhe/cost/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    subprocess.run(["make", "-C", tmp_path, "clean"], check=True, capture_output=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"Makefile", "docs", "docs/reference", "skfhe", "skfhe/cost"}


def test_the_page_on_installing_names_every_extra_for_users():
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    table = page.partition("| `pip install")[2].partition("\n\n")[0]
    extras = licences.requirements().keys() - {"", *licences.TOOLS}
    assert {
        each for row in table.split("\n")[2:] for each in re.findall(r"`(\w+)`", row.split("|")[1])
    } == extras


def test_licences_are_those_of_what_is_installed():
    """A package that changes its licence with a release is noticed when that release is pinned."""
    installed = {canonicalize_name(each.metadata["Name"]): each.version for each in metadata.distributions()}
    told = licences_told()
    same = [name for name in told if PINNED.get(name) == installed.get(name, "").partition("+")[0]]
    assert same or Version(PINNED["scikit-learn"]) != Version(installed["scikit-learn"])
    assert {name: told[name] for name in same} == {name: licences.licence(name) for name in same}


def test_the_engine_grants_no_patents():
    """docs/licences.md quotes its terms: whoever raises the engine's version reads them anew."""
    (text,) = [
        file.read_text() for file in metadata.files("concrete-python") if file.name.startswith("LICENSE")
    ]
    assert "NO EXPRESS OR IMPLIED LICENSES TO ANY PARTY'S PATENT RIGHTS ARE GRANTED BY THIS LICENSE" in text
    found = metadata.metadata("concrete-python")
    # a header where the package importlib_metadata was imported before, and puts its own finder in
    readme = " ".join((found["Description"] or found.get_payload()).split()).replace("’", "'")
    for quoted in (
        "only for development, research, prototyping, and experimentation purposes",
        "companies must purchase Zama's commercial patent license",
        "Yes, all Zama's technologies are patented",
    ):
        assert quoted in readme
        assert quoted in PAGE
    notice = " ".join((ROOT / "NOTICE").read_text("utf-8").split())
    assert "NO EXPRESS OR IMPLIED LICENSES TO ANY PARTY'S PATENT RIGHTS ARE GRANTED BY THIS LICENSE" in notice


def test_tables_are_put_between_their_marks():
    page = "a\n<!-- x: python -m tools.licences --write -->\nold\n<!-- end of x -->\nb\n"
    assert licences.renewed(page, {"x": r"n\1w"}) == page.replace("old", r"n\1w")
    with pytest.raises(ValueError, match="0 times"):
        licences.renewed(page, {"y": "new"})


def test_a_wheel_with_too_much_or_too_little_is_noticed(tmp_path):
    tree = {"skfhe/a.py": b"1", "skfhe/py.typed": b"", "tests/b.py": b"2", "setup.cfg": b"3"}
    for name, content in tree.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    info = {f"skfhe-1.dist-info/{name}": b"" for name in dist_check.INFO}
    right = {"skfhe/a.py": b"1", "skfhe/py.typed": b"", **info}
    faults = {
        "": right,
        "the wheel lacks skfhe/py.typed": {k: v for k, v in right.items() if k != "skfhe/py.typed"},
        "the wheel should not have tests/b.py": right | {"tests/b.py": b"2"},
        "the wheel has another skfhe/a.py than the tree": right | {"skfhe/a.py": b"4"},
        "the wheel's metadata lacks RECORD": {k: v for k, v in right.items() if "RECORD" not in k},
    }
    for fault, contents in faults.items():
        assert "\n".join(dist_check.faults_of_wheel(contents, tmp_path, set(tree))) == fault
    sdist = tree | {"PKG-INFO": b"", "skfhe.egg-info/SOURCES.txt": b"", "setup.cfg": b"written anew"}
    assert dist_check.faults_of_sdist(sdist, tmp_path, set(tree)) == []
    assert dist_check.faults_of_sdist(sdist | {"notes": b""}, tmp_path, set(tree)) == [
        "the sdist should not have notes"
    ]


@needs_git
@pytest.mark.slow
def test_what_is_built_is_the_tree(tmp_path):
    """By setuptools as any frontend calls it; ``make dist-check`` goes further."""
    names = dist_check.tracked(ROOT)
    built = dist_check.copy(ROOT, names, tmp_path / "built")
    for what in ("sdist", "wheel"):
        call = f"from setuptools import build_meta; build_meta.build_{what}({str(tmp_path)!r})"
        subprocess.run([sys.executable, "-c", call], cwd=built, check=True, capture_output=True)
        shutil.rmtree(built / "build", ignore_errors=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    contents = dist_check.wheel_contents(wheel)
    assert dist_check.faults_of_wheel(contents, ROOT, names) == []
    assert dist_check.faults_of_metadata(contents, ROOT) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tarfile of Python 3.12, of what we made
        assert dist_check.faults_of_sdist(dist_check.sdist_contents(sdist), ROOT, names) == []
