"""What a client costs to start, and what its keys cost to make, in processes of their own.

    python -m benchmarks.deployment.client

The first table compares a client that has keys, from the start of the interpreter to the last prediction,
with the import of the training side. The second has keys: bytes, seconds of the processor and the highest
memory while they are generated, and what parts of equal parameters save by sharing them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_iris

from skfhe.circuit import compile_program, generate_keys
from skfhe.deployment import Batch, Client, Server, save
from skfhe.linear_model import LogisticRegression
from skfhe.program import Program, ProgramBuilder, ops
from skfhe.tree import DecisionTreeClassifier

PEAK = """
import json, resource, sys, time
def report(**more):
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    used = resource.getrusage(resource.RUSAGE_SELF)
    more |= {"peak_mb": peak / 1024, "cpu": used.ru_utime + used.ru_stime, "modules": len(sys.modules)}
    print(json.dumps(more))
"""
CLIENT = """
from pathlib import Path
from skfhe.deployment import Client
folder, passphrase = Path(sys.argv[1]), sys.argv[2] or None
client = Client(folder / "client.zip", folder / ("locked" if passphrase else "keys"), passphrase)
rows = [[5.1, 3.5, 1.4, 0.2]] * 8
batch = client.encrypt(rows)
client.decrypt((folder / ("locked.result" if passphrase else "keys.result")).read_bytes(), "predict")
report()
"""
GENERATE = """
from skfhe.deployment import Client
client = Client(sys.argv[1] + "/client.zip")
client.keygen()
report(key_bytes=client.sizes["key_bytes"])
"""
IMPORTS = {
    "the interpreter": "",
    "NumPy": "import numpy",
    "a client": "from skfhe.deployment import Client",
    "scikit-learn": "import sklearn.linear_model",
    "the training side, linear": "import skfhe.linear_model",
    "the training side, with the engine": "import skfhe.linear_model, skfhe.circuit._circuit",
    "the training side, networks": "import skfhe.neural_network",
}


def ran(code: str, *arguments: str) -> dict[str, Any]:
    """Run code in a process of its own, and return what it reports, the best of three."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", PEAK + code, *arguments], capture_output=True, text=True, check=True
        )
        found.append({**json.loads(done.stdout.splitlines()[-1]), "seconds": time.perf_counter() - start})
    return min(found, key=lambda each: float(each["seconds"]))


def line(name: str, found: dict[str, Any], more: str = "") -> None:
    """Print a line of a table."""
    print(
        f"{name:36} {found['cpu']:6.2f} {found['seconds']:6.2f} {found['peak_mb']:7.0f} {found['modules']:7}"
        f"{more}",
        flush=True,
    )


def equal_parts(n_parts: int, bits: int) -> Program:
    """Return a program of lookups that share no value, and all need keys of the same parameters."""
    builder = ProgramBuilder()
    table = ops.Lookup(np.arange(2**bits)[None, ::-1].copy(), np.zeros(1, dtype=np.int64))
    outputs = []
    for i in range(n_parts):
        x = builder.input(np.zeros(1), np.full(1, 2**bits - 1), label=f"x{i}")
        outputs.append(builder.add(table, x, label=f"lookup {i}"))
    return builder.finish(*outputs)


def shared(n_parts: int, bits: int) -> str:
    """Return what is sent of the keys of a circuit of equal parts, and would be if each had its own."""
    circuit = compile_program(equal_parts(n_parts, bits), batch_sizes=(1,))
    parameters = [part.parameters for part in circuit.compiled.specs.parts]
    one = len(generate_keys(parameters, to_send=True).evaluation.to_bytes())
    each = sum(len(generate_keys([part], to_send=True).evaluation.to_bytes()) for part in parameters)
    return f"{n_parts} parts of {bits} bits: {one / 1e6:.1f} MB in place of {each / 1e6:.1f} MB"


def main() -> None:
    """Print both tables."""
    X, y = load_iris(return_X_y=True)
    models = {
        "linear": LogisticRegression(max_iter=200),
        "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    }
    print(f"{'in a fresh process':36} {'CPU s':>6} {'s':>6} {'peak MB':>7} {'modules':>7}")
    for name, statement in IMPORTS.items():
        line(f"import {name}" if statement else name, ran(f"{statement}\nreport()"))
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            model.fit(X, y).compile()
            path = Path(folder, name)
            save(model, path)
            server = Server(path / "server.zip")
            for keys, passphrase in (("keys", None), ("locked", "correct horse")):
                client = Client(path / "client.zip", path / keys, passphrase)
                batch = Batch.from_bytes(client.encrypt(X[:8]).to_bytes())
                (path / f"{keys}.result").write_bytes(server.run(batch, client.evaluation_keys()).to_bytes())
                title = f"{name}: keys, encrypt, decrypt" + (", passphrase" if passphrase else "")
                line(title, ran(CLIENT, str(path), passphrase or ""))
        print()
        for name in models:
            found = ran(GENERATE, str(Path(folder, name)))
            extra = found["peak_mb"] - ran("from skfhe.deployment import Client\nreport()")["peak_mb"]
            size = found["key_bytes"] / 1e6
            ratio = f", {extra / size:.1f} times" if size > 1 else ""
            line(f"{name}: key generation", found, f"  {size:.3f} MB of keys{ratio}")
    print()
    for n_parts, bits in ((4, 2), (8, 3)):
        print(shared(n_parts, bits))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
