"""Whether what would be published works: ``make dist-check``.

From a copy of the files that git tracks, in temporary folders, this

1. builds the source distribution and, from that, the wheel; a wheel built from the tree is the same;
2. compares the wheel with the tree: all files of the package and no others, byte for byte;
3. compares the source distribution with the tree: all tracked files and no others;
4. checks the metadata: twine's strict check, and that version, requirements, extras, licence and commands are
   those of ``setup.cfg``, of the package, of ``CITATION.cff`` and of the changelog; in a release, links of
   ``README.md`` are absolute;
5. installs the wheel into an empty environment outside the tree, with the releases of ``constraints.txt``,
   and runs there the blocks of ``docs/quickstart.md``, ``skfhe --version`` and ``skfhe demo``.

It runs in an environment with ``build`` and ``twine``, which knows nothing of the package. ``--output`` is
where the two files are left; ``--no-install`` stops before 5, which downloads what the package requires.
"""

import argparse
import ast
import configparser
import email.message
import email.parser
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "skfhe"
INFO = {
    *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"),
    *("licenses/LICENSE", "licenses/NOTICE"),
}
"""What a wheel has beside the package."""
MADE = re.compile(r"PKG-INFO|skfhe\.egg-info/[\w-]+(\.txt)?")
"""What a source distribution has beside the tree."""


def tracked(root: Path) -> set[str]:
    """Return the files of a checkout that git tracks and that are there.

    Parameters
    ----------
    root : Path
        Of the checkout.

    Returns
    -------
    set of str
        Relative, with slashes.
    """
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name and (root / name).is_file()}


def copy(root: Path, names: set[str], to: Path) -> Path:
    """Copy files to a new folder, so that neither old builds nor new files find their way into what is built.

    Parameters
    ----------
    root : Path
        Where they are.
    names : set of str
        As `tracked` returns them.
    to : Path
        The folder, which is made.

    Returns
    -------
    Path
        ``to``.
    """
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, to / name)
    return to


def wheel_contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel.

    Parameters
    ----------
    wheel : Path
        A ``.whl`` file.

    Returns
    -------
    dict of str to bytes
        By name.
    """
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def sdist_contents(sdist: Path) -> dict[str, bytes]:
    """Return the files of a source distribution.

    Parameters
    ----------
    sdist : Path
        A ``.tar.gz`` file.

    Returns
    -------
    dict of str to bytes
        By name, without the folder that they are all in.
    """
    with tarfile.open(sdist) as archive:
        files = [(member.name, archive.extractfile(member)) for member in archive if member.isfile()]
        return {name.partition("/")[2]: file.read() for name, file in files if file is not None}


def faults_of_wheel(contents: dict[str, bytes], tree: Path, names: set[str]) -> list[str]:
    """Return what a wheel has too much or lacks, compared with the package.

    Parameters
    ----------
    contents : dict of str to bytes
        Of the wheel.
    tree : Path
        Of the checkout or a copy.
    names : set of str
        The tracked files.

    Returns
    -------
    list of str
        One line for each fault.
    """
    info = {name for name in contents if name.split("/")[0].endswith(".dist-info")}
    package = {name for name in names if name.startswith(f"{PACKAGE}/")}
    return [
        *_compared("wheel", contents.keys() - info, package),
        *_compared("wheel's metadata", {name.partition("/")[2] for name in info}, INFO),
        *_changed("wheel", contents, tree, package),
    ]


def faults_of_sdist(contents: dict[str, bytes], tree: Path, names: set[str]) -> list[str]:
    """Return what a source distribution has too much or lacks, compared with the tree.

    Parameters
    ----------
    contents : dict of str to bytes
        Of the source distribution.
    tree : Path
        Of the checkout or a copy.
    names : set of str
        The tracked files.

    Returns
    -------
    list of str
        One line for each fault.
    """
    own = {name for name in contents if not MADE.fullmatch(name)}
    # setuptools writes setup.cfg anew
    return [*_compared("sdist", own, names), *_changed("sdist", contents, tree, names - {"setup.cfg"})]


def faults_of_metadata(contents: dict[str, bytes], tree: Path) -> list[str]:
    """Return where a wheel's metadata is not what the tree says.

    Parameters
    ----------
    contents : dict of str to bytes
        Of the wheel.
    tree : Path
        Of the checkout or a copy.

    Returns
    -------
    list of str
        One line for each fault.
    """
    by_name = {name.partition(".dist-info/")[2]: content for name, content in contents.items()}
    metadata = email.parser.Parser().parsestr(by_name["METADATA"].decode("utf-8"))
    setup = configparser.ConfigParser()
    setup.read(tree / "setup.cfg", "utf-8")
    version = package_version(tree)
    citation = (tree / "CITATION.cff").read_text("utf-8")
    base = version.partition(".dev")[0]
    heading = (
        rf"^## {re.escape(base)} \({'unreleased' if '.dev' in version else r'[0-9]{4}-[0-9]{2}-[0-9]{2}'}\)$"
    )
    commands = [line for line in setup["options.entry_points"]["console_scripts"].split("\n") if line]
    found = {
        "the name": (metadata["Name"], PACKAGE),
        "the version": (metadata["Version"], version),
        "CITATION.cff's version": (re.findall(r"^version: (.+)$", citation, re.MULTILINE), [version]),
        "the supported Pythons": (
            set((metadata["Requires-Python"] or "").split(",")),
            set(setup["options"]["python_requires"].split(",")),
        ),
        "the licence": (metadata["License-Expression"], setup["metadata"]["license_expression"]),
        "the licence's file": (by_name.get("licenses/LICENSE"), (tree / "LICENSE").read_bytes()),
        "the notice": (by_name.get("licenses/NOTICE"), (tree / "NOTICE").read_bytes()),
        "the requirements": (_requirements(metadata), _requirements_of_setup(setup)),
        "the description": (
            _digest(metadata.get_payload()),
            _digest((tree / "README.md").read_text("utf-8")),
        ),
        "the commands": (by_name["entry_points.txt"].decode().split("\n")[1:-1], commands),
        "the wheel's tags": (
            re.findall(r"^Tag: (.+)$", by_name["WHEEL"].decode(), re.MULTILINE),
            ["py3-none-any"],
        ),
    }
    faults = [f"{what}: {told!r}, not {true!r}" for what, (told, true) in found.items() if told != true]
    if not re.search(heading, (tree / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE):
        faults.append(f"CHANGELOG.md has no heading that matches {heading}")
    return faults


def faults_of_release(version: str, readme: str) -> list[str]:
    """Return what may be so in the tree, and not on a package index: nothing lies there beside the readme.

    Parameters
    ----------
    version : str
        One on its way to a release has no faults.
    readme : str
        In Markdown.

    Returns
    -------
    list of str
        One line for each fault.
    """
    if ".dev" in version:
        return []
    targets = dict.fromkeys(re.findall(r"\]\(([^)\s]+)\)", readme))
    relative = [target for target in targets if not re.match(r"https://|mailto:|#", target)]
    return [f"README.md links to {target}, which leads nowhere on a package index" for target in relative]


def package_version(tree: Path) -> str:
    """Return the version that the package gives itself, read without importing it.

    Parameters
    ----------
    tree : Path
        Of the checkout or a copy.

    Returns
    -------
    str
        As written.
    """
    module = ast.parse((tree / PACKAGE / "__init__.py").read_text("utf-8"))
    values = [
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__"
    ]
    return str(values[0])


def _digest(text: str) -> str:
    """Return what stands for a text that is too long to be shown in an error."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:12]


def _requirements(metadata: email.message.Message) -> set[tuple[str, str, str]]:
    found = set()
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", str(requirement.marker or ""))
        found.add((extra[1] if extra else "", requirement.name.lower(), str(requirement.specifier)))
    return found


def _requirements_of_setup(setup: configparser.ConfigParser) -> set[tuple[str, str, str]]:
    sections = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {
        (extra, Requirement(line).name.lower(), str(Requirement(line).specifier))
        for extra, lines in sections.items()
        for line in lines.split("\n")
        if line
    }


def _compared(what: str, there: set[str], wanted: set[str]) -> list[str]:
    return [
        *(f"the {what} lacks {name}" for name in sorted(wanted - there)),
        *(f"the {what} should not have {name}" for name in sorted(there - wanted)),
    ]


def _changed(what: str, contents: dict[str, bytes], tree: Path, names: set[str]) -> list[str]:
    changed = [
        name for name in sorted(names & contents.keys()) if contents[name] != (tree / name).read_bytes()
    ]
    return [f"the {what} has another {name} than the tree" for name in changed]


def build(tree: Path, to: Path) -> tuple[Path, Path, Path]:
    """Build what would be published, and a wheel straight from the tree.

    Parameters
    ----------
    tree : Path
        A copy of the checkout, which the build may write to.
    to : Path
        A new folder.

    Returns
    -------
    sdist, wheel, direct : Path
        The wheel is made from the source distribution.
    """
    quiet = [sys.executable, "-m", "build", "--outdir"]
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": "1577836800",
        "PIP_CONSTRAINT": str(tree / "constraints.txt"),
    }
    for arguments in ([str(to / "published"), str(tree)], [str(to / "direct"), "--wheel", str(tree)]):
        result = subprocess.run(
            [*quiet, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            sys.exit(f"{result.stdout}{result.stderr}")
        print(result.stdout.strip().split("\n")[-1])
    (sdist,) = (to / "published").glob("*.tar.gz")
    (wheel,) = (to / "published").glob("*.whl")
    (direct,) = (to / "direct").glob("*.whl")
    return sdist, wheel, direct


def try_out(wheel: Path, tree: Path, folder: Path) -> None:
    """Install a wheel into an empty environment, and do there what newcomers do.

    Parameters
    ----------
    wheel : Path
        What is installed.
    tree : Path
        Has the constraints and the quickstart.
    folder : Path
        A new folder outside the checkout: nothing of it may be imported by chance.

    Raises
    ------
    subprocess.CalledProcessError
        If something fails.
    """
    unwanted = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    venv.create(folder / "environment", with_pip=True)
    binaries, work = folder / "environment" / "bin", folder / "work"
    work.mkdir()

    def run(*command: str | Path) -> None:
        print("$", *(each.name if isinstance(each, Path) else each for each in command), flush=True)
        subprocess.run([str(each) for each in command], cwd=work, env=environment, check=True)

    python = binaries / "python"
    run(python, "-m", "pip", "install", "--quiet", "-c", tree / "constraints.txt", wheel)
    run(python, "-m", "pip", "check")
    run(
        python,
        "-c",
        f"import {PACKAGE}; assert {PACKAGE}.__file__.startswith({str(folder)!r}), {PACKAGE}.__file__",
    )
    run(binaries / PACKAGE, "--version")
    run(python, "-m", PACKAGE, "--version")
    text = (tree / "docs" / "quickstart.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if not blocks:
        sys.exit("docs/quickstart.md has no block of Python")
    program = work / "quickstart.py"
    program.write_text("\n".join(blocks), "utf-8")
    run(python, program)
    run(binaries / PACKAGE, "demo")


def main() -> None:
    """Build, compare, install, and say what was found."""
    parser = argparse.ArgumentParser(description="Check what would be published.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="where the two files are left")
    parser.add_argument("--no-install", action="store_true", help="do not install the wheel")
    options = parser.parse_args()
    names = tracked(ROOT)
    with tempfile.TemporaryDirectory(prefix="dist-check-") as temporary:
        folder = Path(temporary)
        tree = copy(ROOT, names, folder / "tree")
        sdist, wheel, direct = build(copy(ROOT, names, folder / "built"), folder)
        contents = wheel_contents(wheel)
        faults = [
            *faults_of_wheel(contents, tree, names),
            *faults_of_sdist(sdist_contents(sdist), tree, names),
            *faults_of_metadata(contents, tree),
            *faults_of_release(package_version(tree), (tree / "README.md").read_text("utf-8")),
        ]
        if wheel_contents(direct) != contents:
            faults.append("the wheel from the tree is not the one from the source distribution")
        if faults:
            sys.exit("\n".join(faults))
        print(f"{wheel.name}: {len(contents)} files, {wheel.stat().st_size / 2**20:.1f} MiB, as in the tree")
        print(
            f"{sdist.name}: {sdist.stat().st_size / 2**20:.1f} MiB, the tree, and builds the same wheel",
            flush=True,
        )
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", sdist, wheel], check=True)
        if not options.no_install:
            try_out(wheel, tree, folder)
        options.output.mkdir(parents=True, exist_ok=True)
        for each in (sdist, wheel):
            shutil.copy2(each, options.output)
        print(f"Left in {options.output}: {sdist.name}, {wheel.name}")


if __name__ == "__main__":
    main()
