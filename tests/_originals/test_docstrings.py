"""Parts of docstrings are filled in where they are named."""

import pytest

from skfhe._originals.docstrings import documented, substituted


def test_a_part_on_a_line_of_its_own_is_indented_as_that_line_is():
    text = "Parameters\n----------\n    {n_bits}\n    other : int"
    parts = {"n_bits": "n_bits : int\n    Bits of the {what}.", "what": "inputs"}
    expected = "Parameters\n----------\n    n_bits : int\n        Bits of the inputs.\n    other : int"
    assert substituted(text, parts) == expected


def test_braces_that_hold_no_name_alone_stay():
    text = '``{"op_inputs": i}``, {array-like, sparse matrix}, {} and {"disable", "execute"}'
    assert substituted(text, {}) == text


def test_an_unknown_part_is_an_error():
    with pytest.raises(KeyError, match="n_bits"):

        @documented({})
        class Model:
            """A model of {n_bits} bits."""


def test_a_class_without_a_docstring_is_left_alone():
    @documented({})
    class Model: ...

    assert Model.__doc__ is None


def test_further_parts_replace_those_of_the_family():
    @documented({"scores": "sums", "error": "of {scores}"}, scores="margins")
    class Model:
        """Error {error}."""

    assert Model.__doc__ == "Error of margins."
