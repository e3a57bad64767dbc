"""Imports run one way, and importing is light."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import skfhe

ROOT = Path(skfhe.__file__).parent
TESTS = Path(__file__).parent
OWN = {
    # room: the rooms of skfhe that it imports; every room may import _typing
    "exceptions": set(),
    "_typing": set(),
    "_parameters": set(),
    "_deprecation": {"_parameters"},
    "_config": set(),
    "_telling": {"_config"},
    "_modes": {"exceptions", "_parameters"},
    "_agreement": {"exceptions", "_modes", "_originals", "_parameters"},
    "_showing": {"cost"},
    "encoding": set(),
    "encryption": {"exceptions"},
    "program": {"exceptions"},
    "cost": {"encryption", "program", "exceptions"},
    "passes": {"cost", "program"},
    "circuit": {"cost", "encryption", "program", "exceptions", "_telling"},
    "encrypted_model": {
        *("circuit", "cost", "encoding", "program", "exceptions", "_parameters", "_telling"),
    },
    "network": {"cost", "encoding", "program", "exceptions"},
    "importers": {
        *("base", "circuit", "cost", "encoding", "encrypted_model", "network", "passes", "program"),
        *("exceptions", "_parameters", "_showing", "_telling"),
    },
    "model_selection": {"_originals", "_telling"},
    "inspection": {"compose", "cost", "deployment", "exceptions", "program"},
    "base": {
        *("circuit", "cost", "encoding", "encrypted_model", "program", "model_selection"),
        *("exceptions", "_modes", "_originals", "_parameters", "_showing"),
    },
    "compose": {"_modes", "_originals", "base", "circuit"},
    "_originals": {"exceptions", "_telling"},
    "_conversion": {"base", "exceptions", "_originals"},
    "_linear": {
        *("base", "circuit", "encoding", "encrypted_model", "passes", "program"),
        *("exceptions", "_agreement", "_originals", "_parameters"),
    },
    "linear_model": {"encoding", "exceptions", "_linear", "_originals"},
    "decomposition": {"_linear", "_originals", "encoding"},
    "cross_decomposition": {"_linear", "_originals", "encoding"},
    "_distances": {"_linear", "encoding"},
    "cluster": {"_distances", "_linear", "_originals", "encoding"},
    "neighbors": {
        *("_agreement", "_distances", "_linear", "_originals", "encoding", "encrypted_model"),
        "exceptions",
    },
    "_polynomial": {
        *("base", "encoding", "encrypted_model", "passes", "program"),
        *("exceptions", "_agreement", "_linear", "_originals", "_parameters"),
    },
    "svm": {
        *("encoding", "encrypted_model", "_linear", "_polynomial", "_radial"),
        *("exceptions", "_originals"),
    },
    "naive_bayes": {"encoding", "_linear", "_originals", "_polynomial"},
    "discriminant_analysis": {
        *("encoding", "encrypted_model", "circuit", "_linear", "_originals", "_polynomial"),
    },
    "mixture": {"encoding", "_originals", "_polynomial"},
    "_trees": {
        *("base", "cost", "encoding", "encrypted_model", "passes", "program"),
        *("exceptions", "_originals"),
    },
    "tree": {"encoding", "_trees", "_originals"},
    "ensemble": {
        *("encoding", "encrypted_model", "_trees"),
        *("exceptions", "_parameters", "_originals"),
    },
    "_radial": {
        *("cost", "encoding", "encrypted_model", "passes", "program"),
        *("_agreement", "exceptions", "_parameters"),
    },
    "boosting": {"encoding", "exceptions", "_trees", "_originals"},
    "additive": {
        *("base", "cost", "encoding", "encrypted_model", "passes", "program"),
        *("_agreement", "exceptions", "_originals"),
    },
    "neural_network": {
        *("base", "encoding", "encrypted_model", "network", "passes", "program"),
        *("exceptions", "_parameters", "_originals", "_telling"),
    },
    "deployment": {
        *("base", "circuit", "cost", "encoding", "program"),
        *("exceptions", "_originals", "_telling", "__init__"),
    },
    "_bench": {"circuit", "cost", "program"},
    "_cli": {
        *("_bench", "_telling", "circuit", "compose", "cost", "deployment", "neural_network", "program"),
        "__init__",
    },
    "__main__": {"_cli"},
    "__init__": set(),  # it loads compose and importers by name, on first use
}
OUTSIDE = {
    # heavy package: the rooms that import it
    "torch": {"neural_network", "network", "importers"},
    "brevitas": {"neural_network", "importers"},
    "onnx": {"importers"},
    "skorch": {"neural_network"},
    # but for the first and the last for annotations alone
    "concrete": {"circuit", "encrypted_model", "base", "importers", "deployment"},
    "cryptography": {"encryption"},
    "distributed": {"circuit"},
    "matplotlib": {"inspection"},
    "xgboost": {"boosting"},
    "lightgbm": {"boosting"},
    "catboost": {"boosting"},
    "interpret": {"additive"},
    "scipy": {
        *("_linear", "_polynomial", "additive", "boosting", "model_selection", "neural_network", "svm"),
    },
    "sklearn": {
        *("base", "compose", "deployment", "importers", "model_selection", "neural_network", "_cli"),
        "inspection",
        *("_agreement", "_conversion", "_originals"),
        *("_linear", "linear_model", "svm", "_polynomial", "naive_bayes", "discriminant_analysis"),
        *("_trees", "tree", "ensemble", "boosting", "mixture", "additive"),
        *("decomposition", "cross_decomposition", "cluster", "neighbors"),
    },
}


def imports():
    for path in sorted(ROOT.rglob("*.py")):
        layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in names:
                yield path.relative_to(ROOT), layer, name


def test_every_import_is_allowed_by_the_table():
    for path, layer, name in imports():
        package, *rest = name.split(".")
        if package == "skfhe":
            target = rest[0] if rest else "__init__"
            assert target in (layer, "_typing") or target in OWN[layer], f"{path} imports {name}"
        elif package in OUTSIDE:
            assert layer in OUTSIDE[package], f"{path} imports {name}"


def test_the_table_allows_nothing_that_no_room_needs():
    """So that it can be read as a picture of the house."""
    own = [(room, name.split(".")[1:]) for _, room, name in imports() if name.split(".")[0] == "skfhe"]
    found = {(room, target[0] if target else "__init__") for room, target in own}
    stated = {(room, target) for room, targets in OWN.items() for target in targets}
    assert stated <= found, sorted(stated - found)
    heavy = {(name.split(".")[0], room) for _, room, name in imports()}
    stated = {(package, room) for package, rooms in OUTSIDE.items() for room in rooms}
    assert stated <= heavy, sorted(stated - heavy)


def test_rooms_import_the_faces_of_public_rooms():
    """What a public room keeps in its underscored files is its own; shared rooms have no face."""
    for path, room, name in imports():
        package, *rest = name.split(".")
        if package == "skfhe" and rest and rest[0] != room:
            private = [part for part in rest[1:] if part.startswith("_")]
            assert not private or rest[0].startswith("_"), f"{path} imports {name}"


def test_every_module_is_a_face_or_private():
    """Nothing is public by accident: what has no underscore is a room, or is named by the face of one."""
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        room = ".".join(("skfhe", *parts[:-1]))
        if len(parts) == 1 or parts[-1].startswith("_") or any(part.startswith("_") for part in parts[:-1]):
            continue
        face = importlib.import_module(room)
        assert parts[-1] in face.__all__, f"{path} is public, and {room} does not name it"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import skfhe", ["torch", "sklearn", "concrete", "numpy"]),
        ("import skfhe; dir(skfhe)", ["torch", "sklearn", "concrete", "numpy"]),
        ("import skfhe; skfhe.linear_model", ["torch", "concrete"]),
        ("import skfhe.exceptions", ["numpy", "sklearn"]),
        ("import skfhe.program", ["torch", "concrete", "sklearn"]),
        ("import skfhe.passes", ["torch", "concrete", "sklearn"]),
        ("import skfhe.cost", ["torch", "concrete", "sklearn"]),
        ("import skfhe.circuit", ["torch", "concrete", "sklearn"]),
        ("import skfhe.encrypted_model", ["torch", "concrete", "sklearn", "scipy"]),
        ("from skfhe.circuit import Batch, CircuitSpecs", ["torch", "concrete"]),
        ("from skfhe.circuit import ClientSession", ["torch", "concrete", "skfhe.cost", "skfhe.passes"]),
        (
            "from skfhe.circuit import EvaluationKeys, SecretKeys, generate_keys",
            ["torch", "concrete", "sklearn"],
        ),
        ("import skfhe.linear_model", ["torch", "concrete"]),
        ("import skfhe.ensemble", ["torch", "concrete"]),
        ("import skfhe.boosting", ["torch", "concrete", "xgboost", "lightgbm", "catboost"]),
        ("import skfhe.boosting", ["xgboost", "lightgbm", "catboost", "sklearn", "torch", "concrete"]),
        ("import skfhe.additive", ["interpret", "sklearn", "torch", "concrete"]),
        ("import skfhe.inspection", ["matplotlib", "torch", "concrete", "sklearn"]),
        ("import skfhe.encoding", ["torch", "concrete", "sklearn", "scipy"]),
        ("import skfhe.deployment", ["torch", "concrete", "sklearn", "scipy", "pandas", "httpx", "fastapi"]),
        ("from skfhe.deployment import Server, save", ["torch", "concrete", "sklearn", "scipy", "pandas"]),
        ("from skfhe.deployment import run_server", ["torch", "concrete", "sklearn"]),
        (
            "from skfhe.deployment import AsyncClient, Client, HttpTransport",
            ["torch", "concrete", "sklearn", "scipy", "pandas", "httpx", "fastapi"],
        ),
        ("import skfhe.encryption", ["torch", "concrete", "sklearn", "scipy", "skfhe.program"]),
    ],
)
def test_importing_is_light(statement, absent):
    code = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_modules_need_not_be_imported_by_themselves():
    """As `skfhe.linear_model` after ``import skfhe``; what there is not is missed as in any module."""
    assert {"linear_model", "convert", "exceptions", "__version__"} <= set(dir(skfhe))
    assert skfhe.linear_model is importlib.import_module("skfhe.linear_model")
    for name in ("linear_models", "_linears", "__wrapped__"):
        assert not hasattr(skfhe, name)


PRIVATE = Path("_originals", "compat.py")
"""The one file that names what is private in scikit-learn."""
OWN_OR_GIVEN = {
    # by scikit-learn's guide for developers, to subclasses of its BaseEstimator
    *("_get_param_names", "_parameter_constraints", "_validate_params"),
    "_default_callbacks",  # by skorch, to subclasses of its NeuralNet
    "_getframe",  # by Python, to look at the stack
    *("_replace", "_fields"),  # by named tuples
    *("_C", "_forward_pre_hooks", "_modules", "_safe_softmax", "_schema", "_tensor_name"),  # by torch
    "_exit",  # by Python, to end a process at once
}


def test_private_names_of_scikit_learn_are_imported_in_one_file():
    for path, _, name in imports():
        package, *rest = name.split(".")
        if package == "sklearn" and path != PRIVATE:
            assert not any(part.startswith("_") for part in rest), f"{path} imports {name}"


def test_private_attributes_of_scikit_learn_are_read_in_one_file():
    """Every other private attribute that files beside estimators read is one that skfhe itself has."""
    read, own = {}, set()
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            elif isinstance(node, ast.Attribute) and room in OUTSIDE["sklearn"]:
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                if private and path.relative_to(ROOT) != PRIVATE:
                    read.setdefault(node.attr, path)
    assert {name: path for name, path in read.items() if name not in own | OWN_OR_GIVEN} == {}


def test_classes_are_shallow():
    """No class of ours is more than two of ours away from one of the libraries'."""

    def depth(cls):
        own = [base for base in cls.__bases__ if base.__module__.startswith("skfhe.")]
        return 1 + max(map(depth, own), default=0)

    for name in (
        *("linear_model", "svm", "naive_bayes", "discriminant_analysis", "tree", "ensemble", "boosting"),
        *("neural_network", "model_selection", "mixture", "additive"),
        *("decomposition", "cross_decomposition", "cluster", "neighbors"),
    ):
        room = importlib.import_module(f"skfhe.{name}")
        for cls in (getattr(room, name) for name in room.__all__):
            assert not isinstance(cls, type) or depth(cls) <= 3, cls


def rooms(folder):
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def test_tests_lie_where_the_rooms_are():
    """Whoever changes a room finds its tests under its name."""
    assert rooms(TESTS) == rooms(ROOT)
    for room in rooms(TESTS):
        assert any((TESTS / room).glob("test_*.py")), f"{room} has no tests"


def test_no_helper_of_tests_bears_the_name_of_a_module():
    """A name stands for one thing, in an import and in a traceback, too."""
    modules = {name.strip("_") for name in (*(path.stem for path in ROOT.rglob("*.py")), *rooms(ROOT))}
    for path in TESTS.rglob("*.py"):
        if not path.stem.startswith("test_") and path.stem not in ("__init__", "conftest"):
            assert path.stem not in modules, f"{path} bears the name of a module of skfhe"
