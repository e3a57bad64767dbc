"""scikit-learn's own test files, run with our classes in place of theirs.

``python -m benchmarks.tabular.sklearn_tests [linear_model] [svm] [cluster] … [--json PATH]``

Or single files and tests:

``python -m benchmarks.tabular.sklearn_tests sklearn.svm.tests.test_svm --only linear``

Each file is run twice, in processes of their own: as it is, and with every class of ours under the name of
its original. The public packages (``sklearn.linear_model`` …) show ours from the start; the modules that
define the originals show ours only while a test file is imported, so that what scikit-learn uses inside stays
its own.

What is printed: for each file how many tests pass with the originals and with ours, and why the others do not
by the table in ``sklearn_failures``; then every failure that is not in that table, grouped by what was said
with numbers left out, and what is in it but passes. The exit status is 1 if there are failures of the first
kind.

Two options tell precision from faults. ``--n-bits 16`` gives models without lookups that many bits in place
of their defaults: differences that come of precision are then smaller. ``--tolerance 0.03`` lets comparisons
of floats in the test files differ by so much of the largest value, or of 1: what then fails has another
cause, and what a failed comparison hid is run.
"""

import argparse
import inspect
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from scipy.sparse import issparse
from sklearn.utils import _testing

from benchmarks.tabular.sklearn_failures import EXPECTED, KINDS
from skfhe._originals.inherited import parameters_of

FILES = {
    "linear_model": [
        f"sklearn.linear_model.tests.test_{name}"
        for name in (
            *(
                "base",
                "bayes",
                "common",
                "coordinate_descent",
                "huber",
                "least_angle",
                "linear_loss",
                "logistic",
            ),
            *("omp", "passive_aggressive", "perceptron", "quantile", "ransac", "ridge", "sag", "sgd"),
            *("sparse_coordinate_descent", "theil_sen"),
        )
    ]
    + ["sklearn.linear_model._glm.tests.test_glm"],
    "svm": ["sklearn.svm.tests.test_svm", "sklearn.svm.tests.test_sparse"],
    "naive_bayes": ["sklearn.tests.test_naive_bayes"],
    "discriminant_analysis": ["sklearn.tests.test_discriminant_analysis"],
    "cluster": ["sklearn.cluster.tests.test_k_means"],
    "mixture": [f"sklearn.mixture.tests.test_{name}" for name in ("gaussian_mixture", "mixture")],
    "neighbors": [f"sklearn.neighbors.tests.test_{name}" for name in ("neighbors", "nearest_centroid")]
    + ["sklearn.neighbors.tests.test_neighbors_pipeline"],
    "decomposition": [f"sklearn.decomposition.tests.test_{name}" for name in ("pca", "truncated_svd")],
    "cross_decomposition": ["sklearn.cross_decomposition.tests.test_pls"],
    "tree": [f"sklearn.tree.tests.test_{name}" for name in ("tree", "export", "monotonic_tree")],
    "ensemble": [
        f"sklearn.ensemble.tests.test_{name}"
        for name in ("forest", "gradient_boosting", "iforest", "weight_boosting")
    ]
    + [
        f"sklearn.ensemble._hist_gradient_boosting.tests.test_{name}"
        for name in ("gradient_boosting", "monotonic_constraints", "warm_start", "compare_lightgbm")
    ],
}
"""Test files by the package of ours whose classes they try."""

LOOSENED = (
    "assert_allclose",
    "assert_array_almost_equal",
    "assert_almost_equal",
    "assert_allclose_dense_sparse",
)
"""Comparisons of floats that test files import from NumPy or scikit-learn."""


class Substitution:
    """Plugin of pytest: our classes in place of the originals, and what came out of each test."""

    def __init__(self, substitute: bool, n_bits: int | None) -> None:
        self.outcomes: dict[str, tuple[str, str]] = {}
        """From a test to its outcome and, if it failed, what was said."""
        self.pairs = list(originals()) if substitute else []
        for original, ours in self.pairs:
            if n_bits is not None:
                raise_bits(ours, n_bits)
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


def loosen(tolerance: float) -> None:
    """Let comparisons that test files import accept what differs by a part of the largest value."""
    strictly, about = np.testing.assert_allclose, pytest.approx

    def assert_alike(actual: Any, desired: Any, *_: Any, **options: Any) -> None:
        found, wanted = (np.asarray(v.toarray() if issparse(v) else v) for v in (actual, desired))
        if wanted.dtype.kind not in "fiuc":
            np.testing.assert_array_equal(found, wanted)
            return
        size = np.abs(wanted[np.isfinite(wanted)]).max(initial=1)
        atol = max(tolerance * size, options.get("atol", 0))
        strictly(found, wanted, rtol=options.get("rtol", 0), atol=atol)

    for module, name in product((np.testing, _testing), LOOSENED):
        if hasattr(module, name):
            setattr(module, name, assert_alike)
    pytest.approx = lambda value, *_, **__: about(value, rel=tolerance, abs=tolerance)


def raise_bits(ours: Any, n_bits: int) -> None:
    """Change the default of ``n_bits`` where that is a precision, as it is without lookups."""
    parameters = inspect.signature(ours.__init__).parameters
    own = {name: parameters[name].default for name in ours._own_params}
    if own.get("n_bits") is not None:
        ours.__init__ = parameters_of(ours._original, **own | {"n_bits": n_bits})


def run_here(file: str, given: argparse.Namespace) -> None:
    """Run one file in this process and write what came out of each test."""
    if given.tolerance is not None:
        loosen(given.tolerance)
    plugin = Substitution(given.substitute, given.n_bits)
    selected = ["-k", given.only] if given.only else []
    quiet = ["-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-c", "/dev/null"]
    pytest.main([*quiet, *selected, "--pyargs", file], plugins=[plugin])
    given.here.write_text(json.dumps(plugin.outcomes), "utf-8")


def outcomes(file: str, options: list[str]) -> dict[str, tuple[str, str]]:
    """Run one file in a process of its own and return what came out of each test."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "outcomes.json"
        command = [sys.executable, "-m", "benchmarks.tabular.sklearn_tests", file, *options]
        command += ["--here", str(output)]
        done = subprocess.run(command, capture_output=True, text=True)
        if not output.exists():
            raise RuntimeError(f"{file} was not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return {test: tuple(found) for test, found in json.loads(output.read_text("utf-8")).items()}


def pattern(said: str) -> str:
    """Return the first lines of a failure without its numbers, so that equal ones fall together."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "#", " ".join(lines[:3]))[:200]


def kind_of(file: str, test: str, said: str) -> str | None:
    """Return the kind of an expected failure, or None if it is in no table."""
    name = test.split("[")[0].split("::")[-1]
    line = " ".join(said.split())
    for expected in EXPECTED:
        if name in expected.tests.get(file, ()) and any(part in line for part in expected.said):
            return expected.kind
    return None


def compared(file: str, given: argparse.Namespace) -> dict[str, Any]:
    """Run one file both ways and return what fails with our classes alone, and of which kind it is."""
    only = ["--only", given.only]
    precise = {"--n-bits": given.n_bits, "--tolerance": given.tolerance}
    options = [text for name, value in precise.items() if value is not None for text in (name, str(value))]
    theirs, ours = outcomes(file, only), outcomes(file, [*only, *options, "--substitute"])
    passing = [test for test, (outcome, _) in theirs.items() if outcome == "passed"]
    passed = [test for test, (outcome, _) in ours.items() if outcome == "passed"]
    missing = ("failed", "was not run, as it was with the originals")
    failed = {
        test: said
        for test, (outcome, said) in ((test, ours.get(test, missing)) for test in passing)
        if outcome == "failed"
    }
    kinds = {test: kind_of(file, test, said) for test, said in failed.items()}
    names = {test.split("[")[0].split("::")[-1] for test in failed}
    listed = {name for expected in EXPECTED for name in expected.tests.get(file, ())}
    return {
        "file": file,
        "originals": len(passing),
        "ours": len(passed),
        "skipped": len([test for test in passing if ours.get(test, missing)[0] == "skipped"]),
        "failed": failed,
        "kinds": kinds,
        "passing_though_expected": [] if given.only or options else sorted(listed - names),
    }


def print_unexpected(console: Console, found: dict[str, Any]) -> None:
    """Print the failures of one file that no table has, and what is in one but passes."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for test, said in found["failed"].items():
        if found["kinds"][test] is None:
            groups[test.split("[")[0], pattern(said)].append(test)
    if groups:
        table = Table("test", "tests", "said", title=found["file"], title_justify="left", box=None)
        for (test, said), members in sorted(groups.items(), key=lambda group: -len(group[1])):
            table.add_row(test, str(len(members)), said)
        console.print(table, markup=False)
    if found["passing_though_expected"]:
        console.print(f"{found['file']}: expected to fail, but passing: {found['passing_though_expected']}")


def print_summary(console: Console, results: list[dict[str, Any]]) -> None:
    """Print the table of all files."""
    table = Table("file", "originals", "ours", "skipped", *KINDS, "unexpected", box=None)
    rows = [
        [
            *(found[column] for column in ("originals", "ours", "skipped")),
            *(sum(kind == of for of in found["kinds"].values()) for kind in (*KINDS, None)),
        ]
        for found in results
    ]
    for found, row in zip(results, rows, strict=True):
        table.add_row(found["file"].removeprefix("sklearn."), *map(str, row))
    table.add_row("all", *(str(sum(column)) for column in zip(*rows, strict=True)))
    console.print(table)


def main() -> int:
    """Run the files that are named on the command line, or all, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"test modules of scikit-learn, or {', '.join(FILES)}")
    parser.add_argument("--only", default="", help="names of tests, as pytest's -k takes them")
    parser.add_argument("--n-bits", type=int, help="bits of models without lookups, in place of defaults")
    parser.add_argument("--tolerance", type=float, help="how much comparisons of floats may differ")
    parser.add_argument("--json", type=Path, help="write every failure in full")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--substitute", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        run_here(given.names[0], given)
        return 0
    console = Console(width=200)
    results = []
    for file in (file for name in given.names or FILES for file in FILES.get(name, [name])):
        results.append(compared(file, given))
        print_unexpected(console, results[-1])
        if given.json:
            given.json.write_text(json.dumps(results, indent=1), "utf-8")
    print_summary(console, results)
    return int(any(None in found["kinds"].values() for found in results))


if __name__ == "__main__":
    sys.exit(main())
