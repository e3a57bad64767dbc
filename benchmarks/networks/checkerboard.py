"""The checkerboard study: ``python -m benchmarks.networks.checkerboard``.

For each kind of network and each seed: accuracy in float, of the integers in the clear, in simulation and on
encrypted rows of the first seed; accumulator bits; whether encrypted integers equal the clear ones; and for
Brevitas networks, whether the imported outputs equal those of the network in double precision on every row.

Post-training quantization is to 3 bits. Its accumulators have 8 or 9 bits, whose lookups take long under
encryption: what is simulated and encrypted rounds them exactly to 6 first.
"""

import argparse
import copy
import json
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.measure import machine, save
from benchmarks.networks import checkerboard_networks as networks
from skfhe.importers import QuantizedModule, quantize_brevitas_qat_model, quantize_torch_model

KINDS: dict[str, tuple[int, int | None]] = {
    "PTQ, 10 neurons": (10, None),
    "PTQ, 30 neurons": (30, None),
    "PTQ, 100 neurons": (100, None),
    "PTQ, 10 of 100 non-zero": (100, 10),
    "PTQ, 30 of 100 non-zero": (100, 30),
}
QAT = "QAT, 30 of 100 non-zero"
ROUNDING = {"n_bits": 6, "method": "exact"}
CALIBRATION_ROWS = 2000


def post_training(kind: str, seed: int, encrypted_rows: int) -> dict[str, object]:
    """Train in float, quantize to 3 bits, and evaluate."""
    rows = networks.rows_of(seed)
    net = networks.train_float(KINDS[kind][0], seed, KINDS[kind][1])
    with torch.no_grad():
        scores = net(torch.from_numpy(rows.X_test)).numpy()
    inputset = rows.X[:CALIBRATION_ROWS]
    module = quantize_torch_model(net, inputset, n_bits=3)
    proven = quantize_torch_model(net, inputset, n_bits=3, range_source="proven")
    found = {
        "float": networks.accuracy(scores, rows.y_test),
        "clear": networks.accuracy(module.forward(rows.X_test), rows.y_test),
        "proven": max(proven.accumulator_bits_),
    }
    rounded = quantize_torch_model(net, inputset, n_bits=3, rounding_threshold_bits=ROUNDING)
    return found | encrypted(rounded, rows, encrypted_rows) | {"bits": max(module.accumulator_bits_)}


def quantization_aware(seed: int, encrypted_rows: int) -> dict[str, object]:
    """Train with Brevitas, import, and evaluate."""
    rows = networks.rows_of(seed)
    net = networks.train_quantized(seed)
    module = quantize_brevitas_qat_model(net, rows.X[:CALIBRATION_ROWS])
    every = np.concatenate([rows.X, rows.X_test]).astype(np.float64)
    with torch.no_grad():
        exact = copy.deepcopy(net).double().eval()(torch.from_numpy(every)).numpy()
        scores = net(torch.from_numpy(rows.X_test)).numpy()
    imported = module.forward(every)
    found = {
        "float": networks.accuracy(scores, rows.y_test),
        "clear": networks.accuracy(imported[-len(rows.X_test) :], rows.y_test),
        "squares": float(np.mean(imported.argmax(axis=1) == networks.squares(every))),
        "proven": max(module.accumulator_bits_),
        "bits": max(module.accumulator_bits_),
        "difference to Brevitas": float(np.abs(imported - exact).max()),
    }
    return found | encrypted(module, rows, encrypted_rows)


def encrypted(module: QuantizedModule, rows: networks.Rows, n_rows: int) -> dict[str, object]:
    """Evaluate the test rows in simulation, and some of them encrypted."""
    module.compile()
    q = module.quantize_input(rows.X_test)
    simulated = module.dequantize_output(module.quantized_forward(q, fhe="simulate"))
    found: dict[str, object] = {
        "simulated": networks.accuracy(simulated, rows.y_test),
        "cost": str(module.cost_),
    }
    if n_rows:
        module.fhe_circuit_.keygen()
        start = time.perf_counter()
        result = module.quantized_forward(q[:n_rows], fhe="execute")
        found["seconds a row"] = (time.perf_counter() - start) / n_rows
        found["encrypted"] = networks.accuracy(module.dequantize_output(result), rows.y_test[:n_rows])
        found["encrypted rows"] = n_rows
        found["equal"] = bool(np.array_equal(result, module.quantized_forward(q[:n_rows])))
    return found


def table_of(results: dict[str, list[dict[str, object]]], ceilings: list[float]) -> Table:
    """Return means and standard deviations over the seeds."""
    table = Table(
        "network", "float", "clear", "simulated", "encrypted", "rows", "equal", "accumulator bits", "proven",
        "s a row", "largest difference to Brevitas",
    )  # fmt: skip

    def spread(runs: list[dict[str, object]], key: str, digits: int = 3) -> str:
        values = [float(run[key]) for run in runs if key in run]  # type: ignore[arg-type]
        return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}" if values else ""

    for kind, runs in results.items():
        n_rows = sum(int(run.get("encrypted rows", 0)) for run in runs)  # type: ignore[call-overload]
        differences = [run["difference to Brevitas"] for run in runs if "difference to Brevitas" in run]
        table.add_row(
            kind,
            *(spread(runs, key) for key in ("float", "clear", "simulated", "encrypted")),
            str(n_rows),
            ", ".join(str(run["equal"]) for run in runs if "equal" in run),
            spread(runs, "bits", 1),
            spread(runs, "proven", 1),
            spread(runs, "seconds a row", 2),
            f"{max(differences):.1e}" if differences else "",  # type: ignore[type-var]
        )
    table.caption = f"whoever knows the squares: {np.mean(ceilings):.3f} ± {np.std(ceilings):.3f}"
    squares = [run["squares"] for runs in results.values() for run in runs if "squares" in run]
    if squares:
        table.caption += f"; QAT gives every point its square's colour: {np.mean(squares):.4f}"  # type: ignore[arg-type]
    return table


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--kinds", nargs="*", default=[*KINDS, QAT])
    parser.add_argument("--encrypted-rows", type=int, default=20, help="of the first seed")
    parser.add_argument("--save", action="store_true", help="write the results among benchmarks/results")
    arguments = parser.parse_args()
    ceilings = [networks.ceiling(networks.rows_of(seed)) for seed in range(arguments.seeds)]
    results: dict[str, list[dict[str, object]]] = {}
    console = Console(width=200)
    for kind in arguments.kinds:
        for seed in range(arguments.seeds):
            n_rows = arguments.encrypted_rows if seed == 0 else 0
            run = quantization_aware(seed, n_rows) if kind == QAT else post_training(kind, seed, n_rows)
            results.setdefault(kind, []).append(run)
            console.print(kind, seed, json.dumps(run), markup=False, highlight=False)
    console.print(table_of(results, ceilings))
    if arguments.save:
        packages = ("torch", "brevitas", "concrete-python", "numpy")
        print(save("checkerboard", {"machine": machine(*packages), "ceilings": ceilings, "results": results}))


if __name__ == "__main__":
    main()
