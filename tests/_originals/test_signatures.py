"""What an estimator of ours takes is what its original takes, by name, and what is its own."""

import inspect

import pytest

from skfhe._originals.held import storing
from skfhe._originals.inherited import parameters_of
from skfhe._originals.signatures import bound_arguments, joined_signature, takes


class Original:
    def __init__(self, a, b=1, *, c=2):
        self.a, self.b, self.c = a, b, c


class OpenEnded(Original):
    def __init__(self, b=5, **others):
        super().__init__(0, b)
        self.others = others


def shown(function):
    return str(inspect.signature(function))


def test_own_parameters_are_keyword_only_and_come_after_those_of_the_original():
    expected = "(self, a, b=1, *, c=2, n_bits=8)"
    assert shown(parameters_of(Original, n_bits=8)) == expected
    assert shown(storing(Original.__init__, n_bits=8)) == expected
    assert str(joined_signature(Original.__init__, n_bits=8)) == expected


def test_a_parameter_is_as_the_last_function_has_it_where_the_first_has_it():
    signature = joined_signature(Original.__init__, OpenEnded.__init__)
    assert str(signature) == "(self, a, b=5, *, c=2)"


def test_what_is_open_ended_is_shown_only_where_the_original_takes_it_by_itself():
    assert shown(parameters_of(OpenEnded, n_bits=8)) == "(self, b=5, *, n_bits=8, **others)"
    assert shown(storing(OpenEnded.__init__, n_bits=8)) == "(self, b=5, *, n_bits=8)"


def test_inheriting_leaves_the_original_to_store_its_own_parameters():
    class Ours(OpenEnded):
        __init__ = parameters_of(OpenEnded, n_bits=8)

    assert vars(Ours(3, other=4)) == {"a": 0, "b": 3, "c": 2, "others": {"other": 4}, "n_bits": 8}
    assert Ours(n_bits=2).n_bits == 2


def test_holding_stores_all_parameters_and_those_that_are_listed_as_open():
    class Ours:
        _open_names = frozenset({"other"})
        __init__ = storing(Original.__init__, n_bits=8)

        @classmethod
        def _get_param_names(cls):
            return ["a", "b", "c", "n_bits"]

    model = Ours(1, c=3, other=4)
    assert vars(model) == {"a": 1, "b": 1, "c": 3, "n_bits": 8, "_open_params": {"other": 4}}
    with pytest.raises(TypeError, match="no parameter 'n_bit'; did you mean 'n_bits'"):
        Ours(1, n_bit=3)
    with pytest.raises(TypeError, match="'a'"):
        Ours()


def test_arguments_are_bound_by_name_those_of_kwargs_among_them():
    def fit(self, X, y=None, **kwargs): ...

    assert bound_arguments(fit, (1, 2), {"weight": 3}) == {"X": 1, "y": 2, "weight": 3}
    with pytest.raises(TypeError, match="X"):
        bound_arguments(fit, (), {"y": 2})


def test_a_class_takes_what_it_names_lists_as_open_or_leaves_open():
    class Listing(Original):
        _open_names = frozenset({"other"})

    assert takes(Original, "a")
    assert not takes(Original, "other")
    assert takes(Listing, "other")
    assert takes(OpenEnded, "whatever")
