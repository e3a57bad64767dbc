"""A convolutional network on the digits, encrypted: ``python -m benchmarks.networks.digits_cnn``.

Prints accuracy in float, of the integers in the clear, and of the first rows in simulation; whether the
imported outputs equal those of the network in double precision; what each layer costs; and whether encrypted
rows equal the clear integers, with seconds a row.
"""

import argparse
import copy

import numpy as np
import torch

from benchmarks.measure import machine, save, seconds
from benchmarks.networks.digits_networks import accuracy, digits_split, train_digits_cnn
from skfhe.importers import quantize_brevitas_qat_model


def main() -> None:
    """Train, import, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--simulated-rows", type=int, default=200)
    parser.add_argument("--encrypted-rows", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="write the results among benchmarks/results")
    arguments = parser.parse_args()
    X_train, X_test, y_train, y_test = digits_split()
    net = train_digits_cnn(arguments.seed, (X_train, y_train), epochs=arguments.epochs)
    module = quantize_brevitas_qat_model(net, X_train)
    with torch.no_grad():
        exact = copy.deepcopy(net).double().eval()(torch.from_numpy(X_test).double()).numpy()
    scores = module.forward(X_test)
    results = {
        "float": accuracy(net, X_test, y_test),
        "clear": float(np.mean(scores.argmax(axis=1) == y_test)),
        "difference to Brevitas": float(np.abs(scores - exact).max()),
        "accumulator bits": module.accumulator_bits_,
        "predicted": str(module.cost_),
    }
    circuit = module.compile()
    n = arguments.simulated_rows
    simulated = module.forward(X_test[:n], fhe="simulate")
    results["simulated"] = float(np.mean(simulated.argmax(axis=1) == y_test[:n]))
    results["complexity"] = circuit.complexity
    results["keygen seconds"] = seconds(circuit.keygen)
    q = module.quantize_input(X_test[: arguments.encrypted_rows])
    clear = module.quantized_forward(q)
    encrypted = np.concatenate([module.quantized_forward(q[i : i + 1], fhe="execute") for i in range(len(q))])
    results["encrypted rows"] = len(q)
    results["rows with equal integers"] = int(np.all(encrypted == clear, axis=1).sum())
    one = seconds(lambda: module.quantized_forward(q[:1], fhe="execute"), 5)
    size = circuit.batch_sizes[-1]
    many = module.quantize_input(X_test[:size])
    batch = seconds(lambda: module.quantized_forward(many, fhe="execute"), 3) / size
    results |= {"seconds, one row": one, f"seconds a row, {size} rows": batch}
    for name, value in results.items():
        print(f"{name}: {value}")
    print(module.report())
    if arguments.save:
        packages = ("torch", "brevitas", "concrete-python", "numpy")
        print(save("digits-cnn", {"machine": machine(*packages), "results": results}))


if __name__ == "__main__":
    main()
