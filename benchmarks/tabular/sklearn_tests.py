"""scikit-learn's own test files, run with our classes in place of theirs.

``python -m benchmarks.tabular.sklearn_tests [linear_model] [svm] [tree] [ensemble] [--json PATH]``

Or single files and tests:

``python -m benchmarks.tabular.sklearn_tests sklearn.svm.tests.test_svm --only linear``

Each file is run in a process of its own, with every class of ours under the name of its original; what fails
is run once more as it is. The public packages (``sklearn.linear_model`` …) show ours from the start; the
modules that define the originals show ours only while a test file is imported, so that what scikit-learn uses
inside stays its own. A test that fails as it is, too, is not counted as ours.

What is printed: passed and failed, and the failures grouped by what was said, numbers left out.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

FILES = {
    "linear_model": [
        f"sklearn.linear_model.tests.test_{name}"
        for name in (
            *("base", "common", "coordinate_descent", "linear_loss", "logistic", "ridge", "sag", "sgd"),
            "sparse_coordinate_descent",
        )
    ]
    + ["sklearn.linear_model._glm.tests.test_glm"],
    "svm": ["sklearn.svm.tests.test_svm", "sklearn.svm.tests.test_sparse"],
    "tree": [f"sklearn.tree.tests.test_{name}" for name in ("tree", "export", "monotonic_tree")],
    "ensemble": [f"sklearn.ensemble.tests.test_{name}" for name in ("forest", "gradient_boosting")]
    + [
        f"sklearn.ensemble._hist_gradient_boosting.tests.test_{name}"
        for name in ("gradient_boosting", "monotonic_constraints", "warm_start", "compare_lightgbm")
    ],
}
"""Test files by the package of ours whose classes they try."""


class Substitution:
    """Plugin of pytest: our classes in place of the originals, and what came out of each test."""

    def __init__(self, substitute: bool) -> None:
        self.outcomes: dict[str, tuple[str, str]] = {}
        """From a test to its outcome and, if it failed, what was said."""
        self.pairs = list(originals()) if substitute else []
        for original, ours in self.pairs:
            package = import_module(".".join(original.__module__.split(".")[:2]))
            setattr(package, original.__name__, ours)

    @contextmanager
    def _everywhere(self) -> Iterator[None]:
        """Show our classes in the modules that define the originals, too."""
        for original, ours in self.pairs:
            setattr(import_module(original.__module__), original.__name__, ours)
        try:
            yield
        finally:
            for original, _ in self.pairs:
                setattr(import_module(original.__module__), original.__name__, original)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Any:
        """Import a test file with our classes."""
        with self._everywhere():
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what came out of a test."""
        if report.when != "call" and report.outcome == "passed":
            return
        said = ""
        if report.outcome == "failed":
            crash = getattr(report.longrepr, "reprcrash", None)
            said = crash.message if crash else str(report.longrepr)
        outcome = "skipped" if report.outcome == "skipped" else report.outcome
        self.outcomes[report.nodeid.split("::", 1)[1]] = (outcome, said)


def originals() -> Iterator[tuple[type, type]]:
    """Yield each class of scikit-learn that one of ours inherits from, and ours."""
    for package in FILES:
        module = import_module(f"skfhe.{package}")
        for name in module.__all__:
            ours = getattr(module, name)
            yield ours._original, ours


def run_here(file: str, substitute: bool, only: str, output: Path) -> None:
    """Run one file in this process and write what came out of each test."""
    plugin = Substitution(substitute)
    selected = ["-k", only] if only else []
    quiet = ["-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-c", "/dev/null"]
    pytest.main([*quiet, *selected, "--pyargs", file], plugins=[plugin])
    output.write_text(json.dumps(plugin.outcomes), "utf-8")


def outcomes(file: str, substitute: bool, only: str) -> dict[str, tuple[str, str]]:
    """Run one file in a process of its own and return what came out of each test."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "outcomes.json"
        command = [sys.executable, "-m", "benchmarks.tabular.sklearn_tests", file, "--only", only]
        command += ["--here", str(output), *(["--substitute"] if substitute else [])]
        done = subprocess.run(command, capture_output=True, text=True)
        if not output.exists():
            raise RuntimeError(f"{file} was not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return {test: tuple(found) for test, found in json.loads(output.read_text("utf-8")).items()}


def pattern(said: str) -> str:
    """Return the first lines of a failure without its numbers, so that equal ones fall together."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", " ".join(lines[:3]))[:160]


def report(console: Console, file: str, only: str) -> dict[str, Any]:
    """Run one file both ways, print the comparison and return it."""
    ours = outcomes(file, True, only)
    passed = [test for test, (outcome, _) in ours.items() if outcome == "passed"]
    failed = {test: said for test, (outcome, said) in ours.items() if outcome == "failed"}
    again = " or ".join(sorted({test.split("[")[0].split("::")[-1] for test in failed}))
    theirs = outcomes(file, False, again) if failed else {}
    alone = {test: said for test, said in failed.items() if theirs.get(test, ("",))[0] != "failed"}
    console.print(
        f"[bold]{file}[/bold]: {len(passed)} passed, {len(failed)} failed, {len(failed) - len(alone)} of "
        "these with the originals, too"
    )
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for test, said in alone.items():
        groups[test.split("[")[0], pattern(said)].append(test)
    table = Table("test", "tests", "said", box=None)
    for (test, said), members in sorted(groups.items(), key=lambda group: -len(group[1])):
        table.add_row(test, str(len(members)), said)
    if groups:
        console.print(table)
    return {"file": file, "passed": len(passed), "failed": alone, "failed_by_both": len(failed) - len(alone)}


def main() -> None:
    """Run the files that are named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"test modules of scikit-learn, or {', '.join(FILES)}")
    parser.add_argument("--only", default="", help="names of tests, as pytest's -k takes them")
    parser.add_argument("--json", type=Path, help="write every failure in full")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--substitute", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        run_here(given.names[0], given.substitute, given.only, given.here)
        return
    console = Console(width=200)
    files = [file for name in given.names or FILES for file in FILES.get(name, [name])]
    found = [report(console, file, given.only) for file in files]
    n_passed, n_failed = sum(f["passed"] for f in found), sum(len(f["failed"]) for f in found)
    console.print(f"[bold]{n_passed} passed, {n_failed} failed with our classes alone[/bold]")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
