"""What each machine of ``benchmarks.deployment.two_machines`` does, run by path in an environment of its own.

Nothing of this project's tree is imported but the models' file, which lies beside this one: skfhe is the one
that is installed in the environment. ``client`` is what an application does, and measures it.
"""

import json
import pickle
import sys
import time
from pathlib import Path
from typing import Any

HEAVY = ("torch", "sklearn", "concrete", "pandas", "scipy", "brevitas", "fastapi")


def train(folder: Path, names: list[str], n_rows: int) -> dict[str, Any]:
    """Fit and save the models, with rows and what this process answers on them, encrypted."""
    import numpy as np
    from models import clear, made

    from skfhe.deployment import save

    found = {}
    for name in names:
        begun = time.perf_counter()
        model, X = made(name)
        rows = X[:n_rows]
        save(model, folder / "server" / name)
        answers = clear(model, rows, fhe="execute")
        (folder / "client").mkdir(exist_ok=True)
        np.savez(folder / "client" / f"{name}-answers.npz", **answers)
        columns = (
            {column: rows[column].to_numpy() for column in rows.columns} if hasattr(X, "columns") else rows
        )
        (folder / "client" / f"{name}-rows.pickle").write_bytes(pickle.dumps(columns))
        found[name] = {"seconds": time.perf_counter() - begun}
    return found


def keys(folder: Path, url: str, names: list[str]) -> dict[str, Any]:
    """Generate the client's keys, which models with lookups need the engine for."""
    from skfhe.deployment import Client, HttpTransport

    found = {}
    for name in names:
        begun = time.perf_counter()
        with Client(HttpTransport(f"{url}/{name}", folder=folder), key_dir=folder / "keys") as client:
            client.keygen()
        found[name] = {"seconds": time.perf_counter() - begun, "engine": "concrete" in sys.modules}
    return found


class Timed:
    """Measures the stages of one prediction."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, call: Any, *arguments: Any) -> Any:
        """Return what a call returns, and add up its seconds."""
        begun = time.perf_counter()
        found = call(*arguments)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun
        return found


def peak_bytes() -> int:
    """Return the most memory that this process had; `resource` tells of the one that started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def client(folder: Path, url: str, names: list[str]) -> dict[str, Any]:
    """Predict by the server, stage by stage, and compare."""
    begun = time.process_time()
    from skfhe.deployment import Client, HttpTransport

    imported = time.process_time() - begun
    import numpy as np

    found: dict[str, Any] = {}
    for name in names:
        timed = Timed()
        rows = pickle.loads((folder / f"{name}-rows.pickle").read_bytes())
        if isinstance(rows, dict):
            import pandas as pd

            rows = pd.DataFrame(rows)
        answers = dict(np.load(folder / f"{name}-answers.npz"))
        transport = HttpTransport(f"{url}/{name}", folder=folder)
        made = timed("client.zip", Client, transport, folder / "keys")
        evaluation = timed("keys read", made.evaluation_keys)
        timed("keys uploaded", transport.send_keys, evaluation)
        first = made.methods[0]
        batch = timed("encode, encrypt", made.encrypt, rows)
        result = timed("request", transport.run, batch)
        timed("decrypt, decode", made.decrypt, result, first)
        again = Timed()
        equal = {
            method: bool(np.array_equal(again("whole", getattr(made, method), rows), answer))
            for method, answer in answers.items()
        }
        found[name] = {
            "rows": len(rows),
            "seconds": timed.seconds | {"again, all of it": again.seconds["whole"] / len(answers)},
            "equal": equal,
            "bytes": {
                "keys": len(evaluation.to_bytes()),
                "up": len(batch.to_bytes()),
                "down": len(result.to_bytes()),
            },
        }
        made.close()
        loaded = [module for module in HEAVY if module in sys.modules]
        found[name] |= {"import CPU seconds": imported, "loaded": loaded}
        found[name]["peak MB"] = peak_bytes() / 1e6
    return found


def main() -> None:
    """Do what the command line says, and print what was found as the last line, in JSON."""
    role, folder, url, n_rows, *names = sys.argv[1:]
    if role == "train":
        found = train(Path(folder), names, int(n_rows))
    else:
        found = {"keys": keys, "client": client}[role](Path(folder), url, names)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
