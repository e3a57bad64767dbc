"""Encrypted linear and tree models against Concrete ML 1.9.0.

``python -m benchmarks.tabular.compare --peer-python PATH``

``make peer-environment`` builds the peer's environment and prints its PATH. Without one, skfhe alone is
measured.

Same split for both (a quarter of the rows held out, stratified for classification), ``StandardScaler``
fitted on the training part, same parameters, same ``p_error``. Scores are accuracy, or R² for regression.
"Float" is the original, trained in the same environment. Clear scores are those of the quantized models,
the integers that run encrypted. Agreement with the float original, on every held-out row, is the share of
equal classes, or for regression the largest difference over the standard deviation of its predictions.

Seconds a row: the median of single calls of ``predict`` with one row, everything in it, and one call with
64 rows (the peer's own loop over rows), or with as many as fit in the budget of ``--seconds``. Processor
time over wall time is that of the single rows; "others" are the cores that other processes kept busy
meanwhile, which should be none. Every integer that skfhe decrypts on the way is compared
with the clear one, of ``--rows`` rows or more whatever the budget; of the peer it is the predictions of its
batch. What stands between a row and its lookups alone is shown as `benchmarks.engine.floors` divides it.

Circuits that would take more than ``--max-seconds`` a row, by their predicted cost (the peer's by its
compiled complexity or its first row), are compared in the clear only.

``--checks`` runs scikit-learn's ``check_estimator`` on all linear and tree estimators and on their
originals instead.
"""

import argparse
import gc
import tempfile
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.engine.floors import between_table
from benchmarks.measure import machine, save
from benchmarks.tabular import estimator_checks
from benchmarks.tabular.measured import BATCH, Options, Split, measure_ours, measure_peer, prepare
from benchmarks.tabular.models import DATA, MODELS, Model, chosen
from benchmarks.tabular.tables import accuracy_table, label, speed_table, target_table

PACKAGES = ("skfhe", "concrete-python", "scikit-learn", "numpy", "xgboost", "lightgbm", "catboost")


def measured(model: Model, split: Split, python: str | None, options: Options) -> list[dict[str, Any]]:
    """Measure one model on one data set, skfhe's and the peer's; a failure is a result, too."""
    found: list[dict[str, Any]] = []
    for n_bits in model.bits:
        try:
            result = measure_ours(model, n_bits, split, options)
        except Exception as error:
            result = {"bits": n_bits, "failed": f"{type(error).__name__}: {error}"}
        found.append({"whose": "skfhe"} | result)
        gc.collect()
    if python and model.peer_bits:
        try:
            found += [{"whose": "peer"} | result for result in measure_peer(python, model, split, options)]
        except Exception as error:
            found.append({"whose": "peer", "bits": model.peer_bits[0], "failed": str(error)})
    return found


def available(models: dict[str, Model], console: Console) -> dict[str, Model]:
    """Return the models that can be made, and say which cannot: libraries of boosted trees are optional."""
    found = {}
    for name, model in models.items():
        try:
            for data in DATA:
                if model.class_name(data):
                    model.ours(data, None), model.float_original(data)
        except (ImportError, AttributeError) as error:
            console.print(f"{name} is left out: {error}")
        else:
            found[name] = model
    return found


def installed() -> list[str]:
    """Return those of the packages that are there."""
    found = []
    for name in PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="interpreter of an environment with concrete-ml 1.9.0")
    parser.add_argument("--models", nargs="*", default=[], choices=["linear", "trees", *MODELS])
    parser.add_argument("--data", nargs="*", default=DATA, choices=DATA)
    parser.add_argument("--p-error", type=float, default=2.0**-40)
    parser.add_argument("--max-seconds", type=float, default=20.0, help="of a row that is run encrypted")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="budget of a model's single rows, and of its batch"
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, help="batches timed; single rows five times as often"
    )
    parser.add_argument(
        "--peer-timeout", type=float, default=3600.0, help="seconds for one model of the peer"
    )
    parser.add_argument("--rows", type=int, default=BATCH, help="encrypted rows compared with clear ones")
    parser.add_argument(
        "--checks",
        nargs="*",
        choices=estimator_checks.MODULES,
        help="run scikit-learn's checks instead, on the estimators of all or some modules",
    )
    parser.add_argument("--no-save", action="store_true")
    return parser.parse_args()


def measure_all(arguments: argparse.Namespace, models: dict[str, Model]) -> list[dict[str, Any]]:
    """Measure models on data sets, and say what is being done."""
    options = Options(arguments.p_error, arguments.max_seconds, arguments.seconds, arguments.repetitions,
                      arguments.peer_timeout, arguments.rows)  # fmt: skip
    import_module("skfhe.circuit._engine")  # takes seconds, which are not the first model's
    results: list[dict[str, Any]] = []
    progress = Console(stderr=True)
    with tempfile.TemporaryDirectory() as directory:
        for data in arguments.data:
            split = prepare(data, Path(directory))
            for name, model in models.items():
                if model.class_name(data) is None:
                    continue
                progress.print(f"{data}: {name}")
                results += [
                    {"data": data, "model": name, "family": model.family} | result
                    for result in measured(model, split, arguments.peer_python, options)
                ]
    return results


def main() -> None:
    arguments = parse()
    console = Console(width=240)
    where = machine(*installed())
    console.print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}")
    if arguments.checks is not None:
        estimator_checks.report(console, arguments.checks)
        return
    results = measure_all(arguments, available(chosen(arguments.models), console))
    console.print("\nAccuracy, and agreement with the float original")
    console.print(accuracy_table(results))
    console.print("\nCost and speed; ratios are the peer's time over ours")
    console.print(speed_table(results))
    console.print("\nWhat stands between a row and its lookups")
    console.print(between_table([label(r) for r in results], results, "data", "model", "", "bits"))
    console.print("\nTargets")
    console.print(target_table(results))
    if not arguments.no_save:
        part = [] if len(arguments.data) == len(DATA) else list(arguments.data)
        name = " ".join(["tabular", *arguments.models, *part])
        settings = {"p_error": arguments.p_error, "seconds": arguments.seconds}
        path = save(name, {"machine": where, "settings": settings, "results": results})
        console.print(f"\nsaved: benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
