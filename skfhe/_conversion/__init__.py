"""A fitted estimator of another library, or anything around such, with ours in place of those inside.

``members`` says which estimators inside a fitted one predict in its place, and ``rows`` which rows each of
them sees: what it is given while the whole predicts. ``convert`` makes a copy with ours in their
place.
"""

from skfhe._conversion.convert import convert

__all__ = ["convert"]
