"""Licences of what skfhe needs, as tables of docs/licences.md: ``python -m tools.licences --write``.

They are read from the metadata of what is installed, so run it where all extras are. Licences that the
metadata does not tell, or tells wrongly, stand in `FROM_FILES`, with where they were read.
"""

import argparse
import configparser
import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
TOOLS = ("test", "lint", "docs", "mutation", "jobs")
"""Extras for those who work on the package, or run its benchmarks."""
REASONS = {
    "brevitas": "quantizers that networks are trained with",
    "catboost": "`skfhe.boosting`: the original models",
    "concrete-python": "the engine: compiles programs, makes keys, evaluates ciphertexts",
    "cryptography": "AES, for the masks and noise of ciphertexts and for keys under a passphrase",
    "distributed": "predictions on a Dask cluster",
    "fastapi": "`skfhe serve`: routes and the page of the API",
    "fsspec": "`skfhe serve`: stores of evaluation keys",
    "httpx": "clients that reach a server over HTTP",
    "interpret-core": "`skfhe.additive`: the original models",
    "lightgbm": "`skfhe.boosting`: the original models",
    "matplotlib": "`skfhe.inspection`: displays",
    "numpy": "arithmetic of encoders, ciphertexts and programs",
    "onnx": "`compile_onnx_model`",
    "prometheus-client": "`skfhe serve`: metrics",
    "psutil": "`skfhe serve`: memory of the workers",
    "rich": "tables on the command line",
    "scikit-learn": "the original models; estimators follow its contract",
    "scipy": "solvers and sparse rows",
    "setuptools": "concrete-python imports `pkg_resources`, which is part of it",
    "skops": "steps of pipelines that clients are trusted to load, without pickle",
    "skorch": "torch networks as scikit-learn estimators",
    "torch": "training of networks, and networks of one's own",
    "tqdm": "progress of searches and training",
    "typer": "the command line",
    "uvicorn": "`skfhe serve`: the HTTP server",
    "xgboost": "`skfhe.boosting`: the original models",
}
"""What each package is needed for."""
FROM_FILES = {
    "brevitas": "BSD-3-Clause",  # LICENSE in its wheel, with those of parts that are others'
    "concrete-python": "BSD-3-Clause-Clear",  # LICENSE in its wheel; its metadata says BSD-3-Clause
    "interpret-core": "MIT",  # the head of its __init__.py
    "skops": "MIT",  # LICENSE in its wheel
}
SHORT = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
    "Python Software Foundation License": "based on the PSF's",
    "ISC License": "ISC",
    "LicenseRef-NVIDIA-Proprietary": "**proprietary, NVIDIA's**",
}
"""What metadata calls them, and what we do."""


def requirements() -> dict[str, list[Requirement]]:
    """Return what ``setup.cfg`` requires, by extra; without one under an empty name.

    Returns
    -------
    dict of str to list of Requirement
        In the order of the file.
    """
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    listed = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {
        extra: [Requirement(line) for line in lines.split("\n") if line and not line.startswith("#")]
        for extra, lines in listed.items()
    }


def licence(name: str) -> str:
    """Return the licence of an installed package.

    Parameters
    ----------
    name : str
        As ``pip`` knows it.

    Returns
    -------
    str
        An SPDX expression where the package tells one.

    Raises
    ------
    ValueError
        If its metadata does not tell, and `FROM_FILES` neither.
    """
    if name in FROM_FILES:
        return FROM_FILES[name]
    told = metadata.metadata(name)
    text = (told.get("License") or "").strip()
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier") or []
        if line.startswith("License :: ") and line.count(" :: ") == 2
    ]
    short = text if text and len(text) < 40 and "\n" not in text else ""
    found = (
        told.get("License-Expression") or short or " or ".join(SHORT.get(each, each) for each in classifiers)
    )
    if not found:
        raise ValueError(f"{name} does not tell its licence: read its files, and name it in FROM_FILES")
    return SHORT.get(found, found)


def brought_along(names: set[str]) -> dict[str, set[str]]:
    """Return what packages require, and what this requires, and so on.

    Parameters
    ----------
    names : set of str
        Normalized, installed.

    Returns
    -------
    dict of str to set of str
        Others than ``names``, each with those of all that ask for it directly.
    """
    found: dict[str, set[str]] = {}
    waiting, seen = sorted(names), set(names)
    while waiting:
        asking = waiting.pop()
        for line in metadata.requires(asking) or []:
            needed = Requirement(line)
            if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
                continue
            name = canonicalize_name(needed.name)
            if name not in names:
                found.setdefault(name, set()).add(asking)
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return found


def tables() -> dict[str, str]:
    """Return the tables of the page, made from what is installed.

    Returns
    -------
    dict of str to str
        By the name that the page's marks have.
    """
    listed = requirements()
    extras: dict[str, list[str]] = {}
    for extra, needed in listed.items():
        for each in needed:
            if extra and extra not in TOOLS:
                extras.setdefault(each.name, []).append(extra)
    required = sorted(each.name for each in listed[""])
    direct = {canonicalize_name(name) for name in (*required, *extras)}
    tools = {each.name for extra in TOOLS for each in listed[extra]} - {*required, *extras}
    return {
        "required": _table(
            ("package", "licence", "what for"),
            [(f"`{name}`", licence(name), REASONS[name]) for name in required],
        ),
        "extras": _table(
            ("package", "extra", "licence", "what for"),
            [
                (
                    f"`{name}`",
                    ", ".join(f"`{extra}`" for extra in sorted(extras[name])),
                    licence(name),
                    REASONS[name],
                )
                for name in sorted(extras)
            ],
        ),
        "brought": _table(
            ("package", "licence", "asked for by"),
            [
                (f"`{name}`", licence(name), ", ".join(f"`{each}`" for each in sorted(asking)))
                for name, asking in sorted(brought_along(direct).items())
            ],
        ),
        "tools": ", ".join(f"`{name}`" for name in sorted(tools)) + ".",
    }


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def renewed(page: str, made: dict[str, str]) -> str:
    """Return the page with the tables put between their marks.

    Parameters
    ----------
    page : str
        Its text.
    made : dict of str to str
        As `tables` returns them.

    Returns
    -------
    str
        The text, anew.
    """
    for name, table in made.items():
        head, tail = f"<!-- {name}: python -m tools.licences --write -->", f"<!-- end of {name} -->"
        pattern = re.escape(head) + r"\n.*?" + re.escape(tail)
        text = f"{head}\n{table}\n{tail}"
        page, times = re.subn(pattern, lambda _, text=text: text, page, flags=re.DOTALL)
        if times != 1:
            raise ValueError(f"{PAGE.name} has the marks of {name!r} {times} times, not once")
    return page


def main() -> None:
    """Print the page or write it."""
    parser = argparse.ArgumentParser(description="Licences of what skfhe needs.")
    parser.add_argument("--write", action="store_true", help="write the page in place of printing it")
    options = parser.parse_args()
    page = renewed(PAGE.read_text("utf-8"), tables())
    if options.write:
        PAGE.write_text(page, "utf-8")
    else:
        print(page)


if __name__ == "__main__":
    main()
