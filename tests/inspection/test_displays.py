"""What all displays have in common, which is what scikit-learn's have."""

import inspect
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier as Original

import skfhe.inspection as inspection
from skfhe.cost import estimate_cost
from skfhe.inspection import AccumulatorDisplay, CostDisplay, ProgramDisplay
from skfhe.program import ProgramBuilder, ops
from skfhe.tree import DecisionTreeClassifier
from tests.inspection.conftest import X, Y

DISPLAYS = [getattr(inspection, name) for name in inspection.__all__]
OF_THE_MODEL = [CostDisplay, AccumulatorDisplay, ProgramDisplay]


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda cls: cls.__name__)
def test_parameters_are_documented_and_stored(display):
    documented = [name for p in ClassDoc(display)["Parameters"] for name in p.name.split(", ")]
    parameters = inspect.signature(display).parameters
    assert documented == list(parameters)
    given = {name: {"first": np.zeros(1)} if name == "response" else object() for name in parameters}
    made = display(**given)
    assert all(getattr(made, name) is value for name, value in given.items())
    for method in ("from_estimator", "plot"):
        function = getattr(display, method)
        assert "Returns" in function.__doc__
        if method == "from_estimator":
            names = [n for p in FunctionDoc(function)["Parameters"] for n in p.name.split(", ")]
            assert [n.strip("*") for n in names] == list(inspect.signature(function).parameters)
        assert "ax" in inspect.signature(function).parameters


@pytest.mark.parametrize("display", OF_THE_MODEL, ids=lambda cls: cls.__name__)
def test_axes_are_those_given_or_new(display, tree):
    _, ax = plt.subplots()
    shown = display.from_estimator(tree, ax=ax)
    assert shown.ax_ is ax
    assert shown.figure_ is ax.figure
    again = shown.plot(name="another")
    assert again is shown
    assert again.ax_ is not ax
    assert again.ax_.get_title().startswith("another")
    assert shown.estimator_name == "DecisionTreeClassifier"
    again.figure_.canvas.draw()


def test_what_is_looked_at_is_the_last_step_or_the_best_estimator(tree):
    """And whatever they are in, the numbers are the same."""
    pipe = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=3, random_state=0)).fit(X, Y)
    search = GridSearchCV(pipe, {"decisiontreeclassifier__max_depth": [3]}, cv=2).fit(X, Y)
    for inside, whole in ((pipe[-1], pipe), (search.best_estimator_[-1], search)):
        display = AccumulatorDisplay.from_estimator(whole, X)
        np.testing.assert_array_equal(
            display.used_bits,
            AccumulatorDisplay.from_estimator(inside, StandardScaler().fit_transform(X)).used_bits,
        )
        assert display.estimator_name == "DecisionTreeClassifier"


def test_what_has_no_program_is_refused():
    with pytest.raises(NotFittedError):
        CostDisplay.from_estimator(DecisionTreeClassifier())
    with pytest.raises(NotFittedError):
        CostDisplay.from_estimator(GridSearchCV(DecisionTreeClassifier(), {}))
    with pytest.raises(TypeError, match=r"skfhe\.convert makes"):
        CostDisplay.from_estimator(Original().fit(X, Y))
    with pytest.raises(TypeError, match="got Pipeline with DecisionTreeClassifier inside"):
        CostDisplay.from_estimator(make_pipeline(StandardScaler(), Original()).fit(X, Y))
    search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [2]}, refit=False, cv=2).fit(X, Y)
    with pytest.raises(TypeError, match="refit=True"):
        CostDisplay.from_estimator(search)


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda cls: cls.__name__)
def test_without_matplotlib_it_is_said_what_to_install(display, monkeypatch):
    """Before anything is computed: what is given here is no estimator."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    rows = [None] * ("X" in inspect.signature(display.from_estimator).parameters)
    with pytest.raises(ImportError, match=r'from_estimator needs matplotlib.*pip install "skfhe\[plot\]"'):
        display.from_estimator(None, *rows)


def test_keywords_for_matplotlib_go_by_any_alias(tree):
    display = CostDisplay.from_estimator(tree, lw=3)
    assert display.bars_[0].get_linewidth() == 3


@pytest.mark.parametrize("display", OF_THE_MODEL, ids=lambda cls: cls.__name__)
def test_long_titles_are_not_cut_off(display, tree):
    shown = display.from_estimator(tree, name="a model of somebody who likes long names " * 3)
    shown.figure_.canvas.draw()
    title = shown.ax_.title.get_window_extent()
    assert title.x0 >= 0
    assert title.x1 <= shown.figure_.bbox.width
    assert title.y1 <= shown.figure_.bbox.height


class Named:
    """A program whose layer somebody has named."""

    def __init__(self, label):
        builder = ProgramBuilder()
        x = builder.input(np.zeros(1), np.full(1, 7), label="x")
        self.given = builder.finish(
            builder.add(ops.Lookup(np.arange(8)[None], np.array([0])), x, label=label)
        )

    @property
    def program_(self):
        return self.given

    @property
    def cost_(self):
        return estimate_cost(self.given)


@pytest.mark.parametrize("display", OF_THE_MODEL, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("label", ["$a$ and \\frac{$", "line\nbreak\x00", "encoder.layer" * 20 + ".query"])
@pytest.mark.filterwarnings("error")
def test_layers_are_shown_whatever_their_names_are(display, label):
    """Without formulas, in one line, and leaving room for the bars."""
    shown = display.from_estimator(Named(label))
    shown.figure_.canvas.draw()
    names = [text.get_text() for text in (*shown.ax_.get_yticklabels(), *shown.ax_.texts)]
    (found,) = [name for name in names if name.startswith(label[:4])]
    assert len(found) <= 40
    assert found.isprintable()
