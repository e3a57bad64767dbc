"""A client and a server, each in an environment of its own: ``python -m benchmarks.deployment.two_machines``.

Two virtual environments are made from this project's files. The server's has all that the project needs, and
trains the models, too. The client's has numpy, cryptography and httpx, and skfhe without what it depends on:
no engine, no torch, no scikit-learn. Keys of models with lookups are made by the engine, once: for that a
process with the server's environment stands in, in the client's folder, as a third installation would.

For each model: bytes each way, seconds by stage, and whether the client's answers equal those of the process
that trained the model, encrypted there, too, to the last bit.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from benchmarks.deployment.models import MODELS
from benchmarks.deployment.processes import Balancer, Served
from benchmarks.deployment.secrets_search import found_in, patterns
from benchmarks.measure import machine, save

ROOT = Path(__file__).parents[2]
CLIENT = ("numpy", "cryptography", "httpx")
WITH_PANDAS = ("pipeline",)
"""Models whose rows are data frames, which only whoever has pandas can make."""


def project(folder: Path) -> Path:
    """Return a copy of what this project is installed from: pip leaves files beside it."""
    shutil.copytree(ROOT / "skfhe", folder / "skfhe", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def environment(source: Path, folder: Path, packages: tuple[str, ...], *, light: bool) -> Path:
    """Return the Python of a virtual environment with this project, made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt")]
    wanted = [*packages, *([] if light else [f"{source}[server,client]"])]
    subprocess.run([*pip, *wanted], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([*pip, "--no-deps", "--force-reinstall", str(source)], check=True)
    return python


def role(python: Path, name: str, folder: Path, url: str, n_rows: int, models: list[str]) -> dict[str, Any]:
    """Return what a role found."""
    script = Path(__file__).with_name("roles.py")
    command = [str(python), str(script), name, str(folder), url, str(n_rows), *models]
    # Not from this project's tree: what is imported has to be what is installed, but in a trial.
    environment = dict(os.environ) if python == Path(sys.executable) else {"PATH": "/usr/bin:/bin"}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    if ended.returncode:
        raise SystemExit(f"{name} failed:\n{ended.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def server_stages(log: Path) -> dict[str, dict[str, float]]:
    """Return the seconds by stage of each model's first request, from the server's log."""
    found: dict[str, dict[str, float]] = {}
    for line in log.read_text(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said.get("route") == "infer" and said.get("status") == 200:
            stages = {name: value for name, value in said.items() if name.endswith("_seconds")}
            found.setdefault(said["model"], stages)
    return found


def show(results: dict[str, Any]) -> None:
    """Print what was found."""
    for name, result in results.items():
        print(f"\n{name}, {result['rows']} rows: equal {result['equal']}")
        print("  bytes:", ", ".join(f"{what} {n:,}" for what, n in result["bytes"].items()))
        print("  client, s:", ", ".join(f"{what} {n:.3f}" for what, n in result["seconds"].items()))
        print("  server, s:", ", ".join(f"{what} {n:.3f}" for what, n in result["server"].items()))
        print(
            f"  keys made in {result['keygen']['seconds']:.2f} s, by the engine: {result['keygen']['engine']}"
        )
        print(
            f"  the client's process: import {result['import CPU seconds']:.2f} CPU s, at most "
            f"{result['peak MB']:.0f} MB, loaded {result['loaded'] or 'nothing of the training side'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--environments", type=Path, help="where to keep them, for another time")
    parser.add_argument(
        "--here", action="store_true", help="use the present environment for both, for a trial"
    )
    parser.add_argument("--save", action="store_true", help="write the results among benchmarks/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        kept = arguments.environments or work
        if arguments.here:
            server_python = client_python = frame_python = Path(sys.executable)
        else:
            source = project(work / "project")
            server_python = environment(source, kept / "server-environment", ("pandas",), light=False)
            client_python = environment(source, kept / "client-environment", CLIENT, light=True)
            frames = set(arguments.models) & {*WITH_PANDAS}
            frame_python = client_python
            if frames:
                frame_python = environment(
                    source, kept / "frames-environment", (*CLIENT, "pandas"), light=True
                )
        (work / "training").mkdir()
        role(server_python, "train", work / "training", "", arguments.rows, arguments.models)
        client_folder, log = work / "training" / "client", work / "server.log"
        folders = [work / "training" / "server" / model for model in arguments.models]
        with (
            Served(folders, work / "store", log, python=str(server_python)) as served,
            Balancer([served.port], work / "tap") as network,
        ):
            served.wait()
            made, results = {}, {}
            for model in arguments.models:
                made |= role(server_python, "keys", client_folder, network.url, 0, [model])
                python = frame_python if model in WITH_PANDAS else client_python
                before = network.bytes_up, network.bytes_down
                results |= role(python, "client", client_folder, network.url, 0, [model])
                results[model]["bytes"] |= {
                    "of HTTP up": network.bytes_up - before[0],
                    "of HTTP down": network.bytes_down - before[1],
                }
        for model, stages in server_stages(log).items():
            results[model] |= {"server": stages, "keygen": made[model]}
        secret = search(client_folder / "keys", [log, work / "tap", *(work / "store").rglob("*")])
    content = {"machine": machine("numpy", "httpx"), "results": results, "secret keys": secret}
    print(content["machine"])
    show(results)
    print(f"\nbytes of secret keys outside the client: {secret}")
    if arguments.save:
        print(save("deployment-two-machines", content))
    if not all(all(result["equal"].values()) for result in results.values()):
        raise SystemExit("an answer differs from that in one process")


def search(key_dir: Path, outside: list[Path]) -> str:
    """Say where bytes of secret keys are outside the client's folder."""
    from skfhe.circuit import SecretKeys

    own = sorted(key_dir.glob("*.secret"))
    secret = [SecretKeys.from_bytes(path.read_bytes())._secret.values() for path in own]
    looked_for = [pattern for each in secret for words in each for pattern in patterns(words)]
    found, n_bytes = found_in([path for path in outside if path.is_file()], looked_for)
    control, _ = found_in(own, looked_for)
    assert control == own  # what is looked for can be found
    return f"in {found}" if found else f"none in {n_bytes / 1e6:.1f} MB of log, traffic and store"


if __name__ == "__main__":
    main()
