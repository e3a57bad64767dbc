"""The face of the room."""

import inspect

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc

import skfhe.deployment as deployment


def test_every_name_of_the_face_is_there():
    for name in deployment.__all__:
        assert getattr(deployment, name) is not None


def documented(doc):
    return [name for p in doc["Parameters"] for name in p.name.replace("*", "").split(", ")]


@pytest.mark.parametrize("cls", [deployment.HttpTransport, deployment.AsyncClient])
def test_docstrings_of_what_talks_over_http_have_the_signatures_parameters(cls):
    assert documented(ClassDoc(cls)) == list(inspect.signature(cls).parameters)
    for name, member in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_"):
            assert documented(FunctionDoc(member)) == [*inspect.signature(member).parameters][1:], name
    for p in ClassDoc(cls)["Parameters"]:
        if "default=" in p.type:
            default = inspect.signature(cls).parameters[p.name].default
            assert p.type.endswith(f"default={default!r}"), p.name
