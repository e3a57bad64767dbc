"""Old names work for as long as they were promised to, and say at the user's line what to use."""

import ast
import pickle
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from packaging.version import Version
from sklearn.base import BaseEstimator, clone

import skfhe
from skfhe import _deprecation
from skfhe._deprecation import NOT_GIVEN, deprecated, renamed_names, renamed_parameters, value_of_renamed

WHEN = {"since": "0.3", "until": "0.5"}


@deprecated(instead="new_sum", **WHEN)
def old_sum(a, b=1):
    """Add."""
    return a + b


@renamed_parameters(**WHEN, bits="n_bits", rows="X")
def shape(X, *, n_bits=8):
    """Return both."""
    return X, n_bits


class Estimator(BaseEstimator):
    """As constructors have it: both names, and nothing is done with them."""

    def __init__(self, n_bits=8, bits=NOT_GIVEN):
        self.n_bits = n_bits
        self.bits = bits

    def fit(self, X, y=None):
        """Say what was taken."""
        self.taken_ = value_of_renamed(self, "bits", "n_bits", **WHEN)
        return self


@pytest.fixture
def room(monkeypatch):
    """Return a module, which can be imported, whose ``Old`` is ``New`` now."""
    made = ModuleType("room_with_an_old_name")
    made.New = Estimator
    made.__path__ = []  # as rooms are packages
    made.__getattr__ = renamed_names(made.__name__, **WHEN, Old="New")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def only(caught):
    """Return the one warning, after a look at where it points."""
    (warning,) = caught
    assert warning.category is FutureWarning  # shown by default, where DeprecationWarning is not
    assert warning.filename == __file__
    assert "since skfhe 0.3 and will be removed in 0.5" in str(warning.message)
    return str(warning.message)


@deprecated(instead="Estimator", **WHEN)
class Gone(BaseEstimator):
    """Without a successor of the same parameters."""

    def __init__(self, n_bits=8):
        self.n_bits = n_bits

    @property
    @deprecated(instead="n_bits", **WHEN)
    def bits_(self):
        """An attribute that goes."""
        return self.n_bits


def test_a_deprecated_function_does_what_it_did_and_names_the_other_one():
    with pytest.warns(FutureWarning) as caught:
        assert old_sum(2, b=3) == 5
    assert "old_sum is deprecated" in only(caught)
    assert "use new_sum" in only(caught)
    assert old_sum.__doc__ == "Add."


def test_a_deprecated_class_stays_one_and_warns_where_it_is_constructed():
    with pytest.warns(FutureWarning) as caught:
        made = Gone(n_bits=3)
    assert only(caught).startswith("Gone is deprecated")
    assert isinstance(made, Gone)
    assert made.get_params() == {"n_bits": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pickle.loads(pickle.dumps(made)).n_bits == 3
    with pytest.warns(FutureWarning, match="Gone is deprecated"):
        assert type(clone(made)) is Gone


def test_a_deprecated_attribute_is_a_property_that_warns():
    with pytest.warns(FutureWarning, match="Gone is deprecated"):
        made = Gone()
    with pytest.warns(FutureWarning) as caught:
        assert made.bits_ == 8
    assert only(caught).startswith("bits_ is deprecated")


def test_an_old_parameter_is_the_new_one():
    with pytest.warns(FutureWarning) as caught:
        assert shape(1, bits=3) == (1, 3)
    assert only(caught).startswith("bits, a parameter of shape, is deprecated")
    assert only(caught).endswith("use n_bits")
    with pytest.warns(FutureWarning, match="rows, a parameter of shape"):
        assert shape(rows=1) == (1, 8)


def test_new_parameters_are_silent_and_both_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert shape(1, n_bits=3) == (1, 3)
        with pytest.raises(TypeError, match="both n_bits and bits"):
            shape(1, n_bits=3, bits=3)
        with pytest.raises(TypeError, match="both X and rows"):
            shape(1, rows=1)


def test_an_old_parameter_of_a_constructor_is_warned_of_by_fit_alone():
    """``clone`` and ``set_params`` construct; a warning there would come again and again, and too early."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = clone(Estimator(bits=3)).set_params(bits=4)
        assert Estimator(n_bits=5).fit([[0]]).taken_ == 5
    with pytest.warns(FutureWarning) as caught:
        assert estimator.fit([[0]]).taken_ == 4
    assert only(caught).startswith("bits, a parameter of Estimator,")
    with pytest.raises(ValueError, match=r"n_bits=5 and bits=4, its old name"):
        Estimator(n_bits=5, bits=4).fit([[0]])


def test_an_old_name_of_a_room_is_the_new_object(room):
    with pytest.warns(FutureWarning) as caught:
        from room_with_an_old_name import Old
    assert Old is room.New
    assert "room_with_an_old_name.Old is deprecated" in only(caught)
    with pytest.raises(AttributeError, match="'room_with_an_old_name' has no attribute 'Older'"):
        room.Older  # noqa: B018


def test_pickles_that_name_the_old_class_are_read(room):
    written = pickle.dumps(Estimator(n_bits=3), protocol=0)
    old = written.replace(f"{__name__}\nEstimator".encode(), b"room_with_an_old_name\nOld")
    assert old != written
    with pytest.warns(FutureWarning, match="Old is deprecated"):
        assert pickle.loads(old).n_bits == 3


def uses(tree):
    """Return the keywords of every call of a helper, with the line."""
    names = set(_deprecation.__all__)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
            yield node.lineno, {each.arg: ast.literal_eval(each.value) for each in node.keywords if each.arg}


def overdue(source, version):
    """Return lines with an old name that should be gone, or was promised for fewer than two releases."""
    found = []
    for line, keywords in uses(ast.parse(source)):
        since, until = Version(keywords["since"]), Version(keywords["until"])
        long_enough = (until.major, until.minor) >= (
            since.major,
            since.minor + 2,
        ) or until.major > since.major
        if not long_enough or Version(version.base_version) >= until:
            found.append(line)
    return found


def test_what_was_to_be_removed_is_removed():
    """An old name that stays is never missed until somebody needs it gone."""
    version = Version(skfhe.__version__)
    late = {
        path.name: lines
        for path in Path(skfhe.__file__).parent.rglob("*.py")
        if path.name != "_deprecation.py" and "until=" in (source := path.read_text("utf-8"))
        if (lines := overdue(source, version))
    }
    assert not late


@pytest.mark.parametrize(
    ("version", "late"), [("0.4.9", []), ("0.5.0.dev0", [2]), ("0.5", [2]), ("1.0", [2])], ids=str
)
def test_the_search_for_what_is_overdue_finds_it(version, late):
    source = '\n@deprecated(instead="x", since="0.3", until="0.5")\ndef old(): pass\n'
    assert overdue(source, Version(version)) == late


def test_one_release_of_warning_is_too_few():
    source = '@renamed_parameters(since="0.3", until="0.4", a="b")\ndef old(b): pass\n'
    assert overdue(source, Version("0.3")) == [1]
