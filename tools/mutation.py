"""Whether a room's tests notice single changes of its code: ``make mutate ROOM=skfhe/_trees N=40``.

Draws some of all single changes of a file or folder, makes one at a time in a copy of the tree, and runs the
tests there until the first failure. A change that all tests pass has *survived*: its diff is printed. It is
worth a test, unless the changed code does the same as before.

The changes are Cosmic Ray's, of four kinds:

``comparison``
    ``<`` to ``<=`` or ``>=``, ``==`` to ``!=``, and so on.
``number``
    A number one more or one less.
``extreme``
    A minimum for a maximum, or a maximum for a minimum, of Python or NumPy.
``other``
    ``+`` for ``-``, ``*`` for ``//``, ``and`` for ``or``, a condition negated, a loop left out, and so on.

Each place of the code is drawn at most once for a kind, and what becomes of it by the same seed.
"""

import argparse
import contextlib
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import TestOutcome, WorkItem, WorkResult
from parso.python.tree import Name

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = (".*", "__pycache__", "build", "dist", "*.egg-info")
OPPOSITES = {"min": "max", "minimum": "maximum", "argmin": "argmax"}
OPPOSITES |= {after: before for before, after in OPPOSITES.items()}
TURNED = (
    "Lt_LtE",
    "Lt_GtE",
    "LtE_Lt",
    "LtE_Gt",
    "Gt_GtE",
    "Gt_LtE",
    "GtE_Gt",
    "GtE_Lt",
    "Eq_NotEq",
    "NotEq_Eq",
)
SWAPPED = ("Add_Sub", "Sub_Add", "Mul_FloorDiv", "Div_Mul", "FloorDiv_Mul", "LShift_RShift", "RShift_LShift")
KINDS = {
    "comparison": {f"core/ReplaceComparisonOperator_{turn}" for turn in (*TURNED, "Is_IsNot", "IsNot_Is")},
    "number": {"core/NumberReplacer"},
    "extreme": {"extremes/OppositeExtreme"},
    "other": {f"core/ReplaceBinaryOperator_{swap}" for swap in (*SWAPPED, "Mod_Mul", "BitAnd_BitOr")}
    | {f"core/{name}" for name in ("ReplaceAndWithOr", "ReplaceOrWithAnd", "AddNot", "ZeroIterationForLoop")}
    | {f"core/ReplaceUnaryOperator_{turn}" for turn in ("Delete_Not", "USub_UAdd", "Invert_UAdd")},
}


class OppositeExtreme(Operator):
    """Replaces the name of a minimum by that of a maximum, and the other way round."""

    def mutation_positions(self, node):
        """Yield where ``node`` begins and ends if it is such a name."""
        if isinstance(node, Name) and node.value in OPPOSITES and not node.is_definition():
            yield node.start_pos, node.end_pos

    def mutate(self, node, index):
        """Return ``node`` with the other name."""
        node.value = OPPOSITES[node.value]
        return node

    @classmethod
    def examples(cls):
        """Return what a change looks like."""
        return (Example("x = np.minimum(y, z)", "x = np.maximum(y, z)"),)


class Extremes:
    """What Cosmic Ray asks for operators beside its own."""

    def __iter__(self) -> Iterator[str]:
        return iter(["OppositeExtreme"])

    def __getitem__(self, name: str) -> type[Operator]:
        return {"OppositeExtreme": OppositeExtreme}[name]


cosmic_ray.plugins.OPERATOR_PROVIDERS["extremes"] = Extremes()


def drawn_changes(paths: list[Path], kinds: list[str], number: int, seed: int) -> list[tuple[str, WorkItem]]:
    """Return so many changes of files, or all if there are fewer, each with its kind, in order of place."""
    with contextlib.closing(WorkDB(":memory:", WorkDB.Mode.create)) as database:
        init(paths, database, {})
        items = database.work_items
    places = defaultdict(list)
    for item in items:
        (mutation,) = item.mutations
        for kind in kinds:
            if mutation.operator_name in KINDS[kind]:
                places[str(mutation.module_path), mutation.start_pos, kind].append(item)

    def order(item: WorkItem) -> tuple[str, int]:
        return item.mutations[0].operator_name, item.mutations[0].occurrence

    rng = random.Random(seed)
    drawn = rng.sample(sorted(places), min(number, len(places)))
    return sorted(
        ((place[2], rng.choice(sorted(places[place], key=order))) for place in drawn),
        key=lambda pair: (str(pair[1].mutations[0].module_path), pair[1].mutations[0].start_pos),
    )


@contextlib.contextmanager
def copied_tree() -> Iterator[None]:
    """Work in a copy of the tree, from which Python imports skfhe."""
    with tempfile.TemporaryDirectory(prefix="skfhe-mutation-") as folder:
        copy = Path(folder).resolve() / ROOT.name
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(copy), os.environ.get("PYTHONPATH"))))
        with contextlib.chdir(copy):
            code = "import skfhe; print(skfhe.__file__)"
            found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            if copy not in Path(found.stdout.strip()).resolve().parents:
                raise SystemExit(
                    f"{sys.executable} imports skfhe from {found.stdout.strip()}, not from {copy}"
                )
            yield


def files_of(room: list[str]) -> list[Path]:
    """Return the files of a room, relative to the tree."""
    found = []
    for name in room:
        path = Path(name)
        if not (ROOT / path).exists():
            raise SystemExit(f"{name} is neither a file nor a folder of {ROOT}")
        found += sorted(p.relative_to(ROOT) for p in (ROOT / path).rglob("*.py")) or [path]
    return found


def tests_of(room: list[str]) -> str:
    """Return the folders of tests that belong to a room, its own docstrings included."""
    folders = [Path(name) if Path(name).suffix != ".py" else Path(name).parent for name in room]
    tests = [Path("tests", *folder.parts[1:2]) for folder in folders]
    return shlex.join(dict.fromkeys(str(path) for path in (*tests, *folders) if (ROOT / path).exists()))


def report(results: list[tuple[str, WorkItem, WorkResult]]) -> None:
    """Print the diffs of what survived, and counts by kind and by file."""
    survived = [(kind, item, result) for kind, item, result in results if not result.is_killed]
    for number, (kind, _, result) in enumerate(survived, start=1):
        changed = (result.diff or "").splitlines()[1:]
        print(f"\nsurvivor {number}, {kind}:\n" + "\n".join(changed))
    counts: dict[str, list[bool]] = defaultdict(list)
    for kind, item, result in results:
        for name in (str(item.mutations[0].module_path), f"kind: {kind}", "all"):
            counts[name].append(result.is_killed)
    print(f"\n{'':50}  changes  survived")
    for name in sorted(counts, key=lambda name: (name == "all", name.startswith("kind"), name)):
        print(f"{name:50}  {len(counts[name]):7}  {counts[name].count(False):8}")


def main() -> None:
    """Draw changes, make them one after the other, and print which of them survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("room", nargs="+", help="files or folders, such as skfhe/_trees")
    parser.add_argument(
        "--tests", default="", help="what pytest is to run, options included; by default the room's"
    )
    parser.add_argument("--number", type=int, default=40, help="changes that are drawn, 40 by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    paths = files_of(arguments.room)
    command = f"{shlex.quote(sys.executable)} -m pytest -x -p no:xdist --disable-warnings -m 'not slow' "
    command += arguments.tests or tests_of(arguments.room)
    with copied_tree():
        changes = drawn_changes(paths, arguments.kinds, arguments.number, arguments.seed)
        print(command, flush=True)
        begun = time.monotonic()
        outcome, output = run_tests(command, timeout=1800)
        seconds = time.monotonic() - begun
        if outcome != TestOutcome.SURVIVED:
            raise SystemExit(f"{output}\nthe tests fail without any change")
        print(f"{len(changes)} changes of {len(paths)} file(s); the tests took {seconds:.0f} s", flush=True)
        results = []
        for kind, item in changes:
            # Three times as long, and some for a machine that has turned to something else, is for ever.
            result = mutate_and_test(item.mutations, command, timeout=3 * seconds + 30)
            (mutation,) = item.mutations
            mark = "killed  " if result.is_killed else "SURVIVED"
            print(f"{mark}  {mutation.module_path}:{mutation.start_pos[0]}  {kind}", flush=True)
            results.append((kind, item, result))
    report(results)


if __name__ == "__main__":
    main()
