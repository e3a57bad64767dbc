"""What is called without the extra that it needs names that extra, and blames nothing else on it."""

import configparser
import sys
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skfhe
from skfhe import deployment
from skfhe.deployment import Client
from skfhe.inspection import CostDisplay
from skfhe.linear_model import LinearRegression

FUNCTION = "sklearn.preprocessing._function_transformer.FunctionTransformer"
ROOT = Path(__file__).parents[1]


def save_what_only_skops_keeps(folder):
    """Save a pipeline with a step that no client computes by itself."""
    X = np.arange(12.0).reshape(6, 2)
    pipe = make_pipeline(FunctionTransformer(np.sqrt), LinearRegression()).fit(X, X[:, 0])
    skfhe.compile(pipe)
    deployment.save(pipe, folder, trusted=[FUNCTION, "numpy.sqrt"])


CALLS = {
    "fastapi": ("server", lambda _: deployment.create_app),
    "fsspec": ("server", lambda _: deployment.create_app),
    "prometheus_client": ("server", lambda _: deployment.create_app),
    "psutil": ("server", lambda _: deployment.create_app),
    "uvicorn": ("server", lambda _: deployment.run_server),
    "httpx": ("client", lambda _: Client("http://127.0.0.1:1/model")),
    "matplotlib": ("plot", lambda _: CostDisplay.from_estimator(None)),
    "onnx": ("onnx", lambda _: skfhe.compile_onnx_model("model.onnx", [[0.0]])),
    "skops": ("skops", save_what_only_skops_keeps),
}
"""For each package: its extra, and a call that needs it."""
READER = "skfhe.importers._onnx"
"""Imports onnx when it is loaded itself."""


@pytest.fixture(params=CALLS)
def missing(request, monkeypatch):
    """Return the name of a package, which cannot be imported."""
    for name in list(sys.modules):
        if name.startswith((READER, f"{request.param}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, request.param, None)
    return request.param


def test_what_needs_an_extra_names_it(missing, tmp_path):
    extra, call = CALLS[missing]
    with pytest.raises(ImportError, match=missing) as caught:
        call(tmp_path)
    assert f'pip install "skfhe[{extra}]"' in str(caught.value)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    brought = {Requirement(each).name for each in setup["options.extras_require"][extra].split("\n") if each}
    assert missing.replace("_", "-") in brought


@pytest.mark.parametrize("package", ["httpx", "matplotlib", "onnx", "skops"])
def test_a_package_that_is_there_and_broken_is_not_said_to_be_missing(package, monkeypatch, tmp_path):
    """Whoever installed the extra already would look for the fault in the wrong place."""
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("import no_such_part\n", "utf-8")
    for name in list(sys.modules):
        if name.startswith((READER, f"{package}.")) or name == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_part"):
        CALLS[package][1](tmp_path)


@pytest.mark.parametrize("package", ["concrete", "pkg_resources"])
def test_a_client_without_the_engine_says_what_generates_keys(package, monkeypatch):
    """Its page tells how to leave the engine out; encryption and decryption do without it."""
    for name in list(sys.modules):
        if name.startswith(("skfhe.circuit._bindings", "concrete")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'concrete-python, .* pip install "concrete-python<2.12".*key_dir'):
        Client(ROOT / "tests" / "deployment" / "fixtures" / "v1" / "tree" / "client.zip").encrypt(
            [[5.0, 3.0, 1.0, 0.2]]
        )
