"""Fitted models and imported networks compute what they computed before, integer by integer.

Other tests say that a program is right: near its original, exact where that is promised, the same when
encrypted. Within that, a program may come out in many ways, and whoever reorganizes the code wants it to
come out in the same one: rows encoded as the same integers, the same outputs for any integers, the same
predictions decoded from them, at the same price. So ``digests.json`` keeps, for models of each family and
networks of each kind,

- ``intervals`` of the program's inputs and outputs, ``integers`` that come out for random and for encoded
  ones, ``results`` in floats and labels (with the integers that a network's rows are encoded as): digests;
- ``accumulator_bits``, ``output_bits``, ``lookups`` and ``complexity``, as they are.

They are the same on every processor; `tests.digested_models` and `tests.digested_networks` say how.

A change that is not meant to alter programs must not alter that file. It is right to rewrite it, with
``python -m tests.digests --write``, where programs, encodings or decodings are to become better; the commit
then says which models changed, in what, and why. Where prices are estimated in another way, ``complexity``
may change, and nothing else. Libraries of other versions may train other trees than those stored.
"""

import json

import pytest

from tests.digests import STORED, record, sources

SOURCES = sources()


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text("utf-8"))


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.filterwarnings("ignore::skfhe.exceptions.InputClippingWarning")
def test_integers_and_predictions_are_those_stored(name, stored):
    assert record(SOURCES[name]()) == stored[name]


def test_what_is_stored_is_compared(stored):
    assert stored.keys() == SOURCES.keys()
