"""What the docstrings say about parameters is what the signatures say."""

import doctest
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc
from sklearn.base import is_classifier
from sklearn.datasets import load_diabetes
from sklearn.utils import get_tags

from skfhe import compile_brevitas_qat_model, compile_onnx_model, compile_torch_model
from skfhe.importers import QuantizedModule
from skfhe.importers._operators import operator_table
from skfhe.model_selection import ErrorRateSearch, RoundingSearch
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor
from tests.with_originals import ORIGINALS

NETWORKS = [NeuralNetClassifier, NeuralNetRegressor]


@pytest.mark.parametrize("cls", NETWORKS)
def test_documented_parameters_and_defaults_match_the_signature(cls):
    documented = {p.name: p.type for p in ClassDoc(cls)["Parameters"] if p.name != "**kwargs"}
    signature = inspect.signature(cls).parameters
    assert list(documented) == list(signature)
    for name, kind in documented.items():
        default = signature[name].default
        if isinstance(default, type):
            shown = "torch." + ("optim." if "optim" in default.__module__ else "nn.") + default.__name__
        else:
            shown = f'"{default}"' if isinstance(default, str) else repr(default)
        assert re.search(r"default=(.*)$", kind).group(1) == shown, name


@pytest.mark.parametrize("cls", ORIGINALS, ids=lambda cls: cls.__name__)
def test_originals_document_their_own_parameters_and_name_the_original(cls):
    documented = {p.name: p for p in ClassDoc(cls)["Parameters"]}
    assert list(documented) == [*cls._own_params, "**parameters"]
    for name in cls._own_params:
        default = inspect.signature(cls).parameters[name].default
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        assert documented[name].type.endswith(f"default={shown}")
    original = cls._original
    named = f"{original.__module__.split('.')[0]}.", f".{original.__name__}`"
    assert all(part in " ".join(documented["**parameters"].desc) for part in named)
    assert ">>>" in cls.__doc__


@pytest.mark.parametrize("cls", [*ORIGINALS, *NETWORKS], ids=lambda cls: cls.__name__)
def test_docstrings_are_whole(cls):
    """No part is left to be filled in, and the examples are found that ``--doctest-modules`` runs."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("skfhe.")]
    members = [cls, *(found for base in ours for found in vars(base).values() if inspect.isfunction(found))]
    assert not [member for member in members if re.search(r"\{\w+\}", member.__doc__ or "")]
    assert any(test.examples for test in doctest.DocTestFinder(recurse=False).find(cls, cls.__name__))


SMALL = {
    **{"n_estimators": 2, "max_iter": 4, "max_epochs": 2, "verbosity": 0, "random_state": 0},
    **{"logging_level": "Silent", "allow_writing_files": False, "n_components": 1, "kernel": "linear"},
    **{"max_rounds": 2, "outer_bags": 1, "interactions": 1},
}
"""Parameters of one or the other estimator that make it small and silent, or have a program at all."""


@pytest.mark.parametrize("cls", [*ORIGINALS, *NETWORKS], ids=lambda cls: cls.__name__)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::skfhe.exceptions.ToleranceWarning")
def test_documented_attributes_are_there_after_fit(cls):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    X, y = X.iloc[:100, :4], (y[:100] > 150 if is_classifier(cls()) else y[:100])
    tags = get_tags(cls())
    if tags.input_tags.positive_only:
        X = X.abs()
    if not tags.target_tags.single_output:
        y = np.column_stack([y, y])
    params = {name: value for name, value in SMALL.items() if name in inspect.signature(cls).parameters}
    model = cls(**params).fit(X, y)
    documented = {name for p in ClassDoc(cls)["Attributes"] for name in p.name.split(", ")}
    assert {name for name in documented if not hasattr(model, name)} == {"fhe_circuit_"}


@pytest.mark.parametrize("cls", [*ORIGINALS, *NETWORKS], ids=lambda cls: cls.__name__)
def test_methods_bear_the_names_that_they_are_called_by(cls):
    """A pickled method, as a worker gets it, is looked up by its own name, however the class came by it."""
    found = {
        name: member.__name__
        for base in cls.__mro__
        if base.__module__.startswith("skfhe")
        for name, member in vars(base).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    assert found
    assert found == {name: name for name in found}


@pytest.mark.parametrize("cls", ORIGINALS, ids=lambda cls: cls.__name__)
def test_originals_have_the_parameters_of_the_original_and_their_own(cls):
    original = {*inspect.signature(cls._original.__init__).parameters, *cls._original().get_params()}
    assert set(cls._own_params) == set(cls().get_params()) - original
    assert "n_bits" in cls._own_params


@pytest.mark.parametrize(
    "cls",
    [*NETWORKS, QuantizedModule, ErrorRateSearch, RoundingSearch, *ORIGINALS],
)
def test_public_methods_are_documented(cls):
    for name, member in inspect.getmembers(cls):
        if not name.startswith("_") and callable(member):
            assert inspect.getdoc(member), name


def test_the_operator_table_is_the_code_s():
    """docs/your_own_network.md shows what ``python -m skfhe.importers._operators`` prints."""
    text = (Path(__file__).parent.parent / "docs" / "your_own_network.md").read_text("utf-8")
    shown = text.split("<!-- operators -->\n")[1].split("\n<!-- /operators -->")[0]
    assert shown == operator_table()


@pytest.mark.parametrize(
    "function",
    [compile_torch_model, compile_brevitas_qat_model, compile_onnx_model],
    ids=lambda f: f.__name__,
)
def test_entries_document_their_parameters_and_defaults(function):
    documented = {name: p.type for p in FunctionDoc(function)["Parameters"] for name in p.name.split(", ")}
    signature = inspect.signature(function).parameters
    assert set(documented) == set(signature)
    for name, kind in documented.items():
        default = signature[name].default
        if "default=" in kind:
            shown = f'"{default}"' if isinstance(default, str) else repr(default)
            assert re.search(r"default=(.*)$", kind).group(1) == shown, name
