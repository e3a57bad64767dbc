"""The private names of scikit-learn mean what they are used for."""

import inspect
import re

import sklearn.base

from skfhe._originals.compat import KEPT_BY_CLONES


def test_what_clones_keep_beside_parameters_is_known():
    """A version that keeps more fails here: an attribute that is not known would be taken for learnt."""
    kept = set(re.findall(r"new_object\.(\w+) =", inspect.getsource(sklearn.base._clone_parametrized)))
    assert "_metadata_request" in kept
    assert kept <= KEPT_BY_CLONES
