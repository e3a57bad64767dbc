"""Squared distances of encrypted rows from points: centres, prototypes or references.

Distances need no lookup, for

    |x - c|² = |x - m|² - 2 (c - m)·(x - m) + |c - m|².

The server computes the second term, which is linear in the row; the third is added after decryption; the
first is the row's own, and the client adds it in the clear, where it matters. It is that of the integers that
were sent, so distances are those of the row as the server saw it, and do not depend on how they are computed.
Weights are relative to ``m``, the middle of all points, for what the points have in common would take bits
from what tells them apart. A point's distances are exact at the point itself.

Which point is nearest is decided after decryption, in the clear. So the client learns all distances of a row;
from those of one row more than there are features, it can compute where all points lie.
"""

from skfhe._distances.predictor import DistanceMixin
from skfhe._distances.scores import distances_from, middle_of

__all__ = ["DistanceMixin", "distances_from", "middle_of"]
