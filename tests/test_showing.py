"""A fitted estimator says in its text and its diagram whether it is compiled and what a row costs."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe._showing import tables
from skfhe.cost import Cost
from skfhe.encrypted_model import EncryptedModel
from skfhe.importers import QuantizedModule
from skfhe.linear_model import LogisticRegression
from skfhe.program import ProgramBuilder, ops
from skfhe.tree import DecisionTreeClassifier

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def model():
    return LogisticRegression(max_iter=300, n_bits=6).fit(X, Y)


def test_texts_are_what_makes_an_estimator_and_then_how_it_is(model):
    """The latter is a comment, so that the text is Python still, and what is not fitted has none."""
    made = "LogisticRegression(max_iter=300, n_bits=6)"
    assert repr(clone(model)) == made
    assert repr(model).startswith(f"{made}  # not compiled; no lookups; about ")
    assert eval(repr(model)).get_params() == model.get_params()
    compiled = LogisticRegression(max_iter=300).fit(X, Y)
    skfhe.set_mode(compiled, "execute", clear="forbid").compile()
    assert "# compiled; no lookups; about " in repr(compiled)
    assert repr(compiled).endswith("; mode 'execute', clear evaluation forbidden")
    assert (
        repr(clone(compiled))
        == "LogisticRegression(max_iter=300)  # mode 'execute', clear evaluation forbidden"
    )
    assert repr(compiled).isascii()


def test_lookups_are_counted_by_their_width():
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, Y)
    (bits, count), *_ = sorted(tree.cost_.lookups.items())
    assert f"lookups: {count} of {bits} bits" in repr(tree)


def test_long_texts_are_wrapped_as_those_of_other_estimators():
    """By themselves and inside of others."""
    ours = LogisticRegression(max_iter=300)
    for whole in (ours, make_pipeline(StandardScaler(), ours)):
        with config_context(print_changed_only=False):
            lines = repr(whole).splitlines()
            assert len(lines) > 1
            assert max(map(len, lines)) <= 80


def test_diagrams_say_it_below_the_name(model):
    """Of an estimator by itself, and of the step of a pipeline."""
    for whole in (model, make_pipeline(StandardScaler(), model)):
        assert '<div class="caption">not compiled; no lookups; about ' in whole._repr_html_()
    assert '<div class="caption">' not in clone(model)._repr_html_()


def test_compiling_what_is_not_ours_says_how_it_becomes_ours():
    fitted = LogisticRegression._original(max_iter=300).fit(X, Y)
    with pytest.raises(TypeError, match=r"skfhe\.convert\(fitted, X\)"):
        skfhe.compile(fitted)
    skfhe.compile(skfhe.convert(fitted, X))


def test_diagrams_have_a_table_of_the_cost_and_one_of_the_accumulators():
    """With the numbers of ``cost_`` and ``accumulator_bits_``, in a pipeline too, and none before ``fit``."""
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    assert "Cost of an encrypted row" not in tree._repr_html_()
    tree.fit(X, Y)
    for whole in (tree, make_pipeline(StandardScaler(), tree)):
        html = whole._repr_html_()
        assert html.count("Cost of an encrypted row") == 1
        assert f"<td>about {tree.cost_.seconds:.2g} s</td>" in html
        ((bits, count),) = tree.cost_.lookups.items()
        assert f"<td>{count} × {bits} bits</td>" in html
        assert f"<td>{tree.accumulator_bits_[0]} bits, proven</td>" in html
        assert "<td>Parameters" not in html
        assert "<summary>Parameters</summary>" in html


def test_tables_are_escaped_and_end():
    """Labels of layers can be what the names of somebody's network are."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 3), label="x")
    for i in range(20):
        x = builder.add(ops.Lookup(np.arange(4)[None], np.array([0])), x, label=f"<script>{i}&")
    html = tables(EncryptedModel(None, builder.finish(x), None))
    assert "<script>" not in html
    assert "&lt;script&gt;0&amp;" in html
    assert "… 8 more" in html
    assert "cannot be compiled" not in html


def test_networks_have_the_tables_of_estimators():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 3), label="x")
    x = builder.add(ops.Lookup(np.arange(4)[None], np.array([0])), x, label="<b>relu</b>")
    module = QuantizedModule(EncryptedModel(None, builder.finish(x), None), [(1,)])
    html = module._repr_html_()
    assert html.startswith("<div><code>QuantizedModule(not compiled)</code>")
    assert html.count("<table") == 2
    assert "<td>1 × 2 bits</td>" in html
    assert "&lt;b&gt;relu" in html


def test_long_times_are_told_in_seconds():
    assert "about 123 s a row" in str(Cost({8: 1}, 1e12, 123.4))
    assert "about 0.012 s a row" in str(Cost({8: 1}, 1e6, 0.0123))
