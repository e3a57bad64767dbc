"""Imports run one way, and importing is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skfhe

ROOT = Path(skfhe.__file__).parent
OWN = {
    # layer: what of skfhe it may import
    "exceptions": set(),
    "parameters": set(),
    "quantization": {"exceptions"},
    "program": {"exceptions"},
    "circuit": {"program", "exceptions"},
    "model_selection": set(),
    "base": {"circuit", "program", "exceptions", "model_selection", "parameters"},
    "importers": {"circuit", "program", "quantization", "exceptions", "parameters"},
    "pipelines": {"base", "circuit"},
    "twin": set(),
    "linear": {"base", "circuit", "exceptions", "program", "quantization", "twin"},
    "linear_model": {"linear", "twin"},
    "svm": {"linear", "twin"},
    "trees": {"base", "circuit", "exceptions", "program", "quantization", "twin"},
    "tree": {"trees", "twin"},
    "ensemble": {"exceptions", "trees", "twin"},
    "boosting": {"exceptions", "quantization", "trees", "twin"},
    "neural_network": {"base", "importers", "program", "quantization", "exceptions", "parameters"},
    "cli": {"neural_network"},
    "__init__": {"pipelines", "importers"},
}
OUTSIDE = {
    # heavy package: the layers that may import it
    "torch": {"neural_network", "importers"},
    "brevitas": {"neural_network", "importers"},
    "onnx": {"importers"},
    "skorch": {"neural_network"},
    "concrete": {"circuit", "base", "importers"},  # these two for annotations alone
    "xgboost": {"boosting"},
    "lightgbm": {"boosting"},
    "catboost": {"boosting"},
    "sklearn": {
        *("base", "pipelines", "model_selection", "neural_network", "exceptions", "cli"),
        *("linear", "linear_model", "svm", "trees", "tree", "ensemble", "boosting"),
    },
}


def imports():
    for path in sorted(ROOT.rglob("*.py")):
        layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            for name in names:
                yield path.relative_to(ROOT), layer, name


def test_every_import_is_allowed_by_the_table():
    for path, layer, name in imports():
        package, *rest = name.split(".")
        if package == "skfhe":
            target = rest[0] if rest else "__init__"
            assert target == layer or target in OWN[layer], f"{path} imports {name}"
        elif package in OUTSIDE:
            assert layer in OUTSIDE[package], f"{path} imports {name}"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import skfhe", ["torch", "sklearn", "concrete", "numpy"]),
        ("import skfhe.program", ["torch", "concrete"]),
        ("from skfhe.circuit import estimate_cost", ["torch", "concrete"]),
        ("import skfhe.linear_model", ["torch", "concrete"]),
        ("import skfhe.ensemble", ["torch", "concrete"]),
        ("import skfhe.boosting", ["torch", "concrete", "xgboost", "lightgbm", "catboost"]),
        ("import skfhe.boosting", ["xgboost", "lightgbm", "catboost", "sklearn", "torch", "concrete"]),
        ("import skfhe.quantization", ["torch", "concrete", "sklearn"]),
    ],
)
def test_importing_is_light(statement, absent):
    code = f"import sys; {statement}; print([m for m in {absent!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
