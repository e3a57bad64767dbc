"""What the docstrings say about parameters is what the signatures say."""

import inspect
import re

import pytest
from numpydoc.docscrape import ClassDoc

from skfhe.model_selection import ErrorRateSearch, RoundingSearch
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor


@pytest.mark.parametrize("cls", [NeuralNetClassifier, NeuralNetRegressor])
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


@pytest.mark.parametrize("cls", [NeuralNetClassifier, NeuralNetRegressor, ErrorRateSearch, RoundingSearch])
def test_public_methods_are_documented(cls):
    for name, member in inspect.getmembers(cls):
        if not name.startswith("_") and callable(member):
            assert inspect.getdoc(member), name
