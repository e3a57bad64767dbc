"""The client's half of meta-estimators whose members can be evaluated in one round.

Each member answers by itself; what is made of their answers is what the original makes of them, in the same
operations and order, so that it is equal to the bit. Probabilities that go through an exponential function of
the original's (`Calibrated`, `AdaBoosted`) agree to rounding errors of that function.
"""

from skfhe.deployment._combined.averages import (
    AdaBoosted,
    Averaged,
    Bagged,
    MedianBoosted,
    MultiOutput,
    Voting,
)
from skfhe.deployment._combined.binary import OneVsOne, OneVsRest, OutputCode
from skfhe.deployment._combined.calibrated import (
    Calibrated,
    Calibrator,
    Isotonic,
    Sigmoid,
    Temperature,
    Thresholded,
)
from skfhe.deployment._combined.members import OfArray, OfColumns
from skfhe.deployment._combined.targets import FUNCTIONS, Retargeted

__all__ = [
    "FUNCTIONS",
    "AdaBoosted",
    "Averaged",
    "Bagged",
    "Calibrated",
    "Calibrator",
    "Isotonic",
    "MedianBoosted",
    "MultiOutput",
    "OfArray",
    "OfColumns",
    "OneVsOne",
    "OneVsRest",
    "OutputCode",
    "Retargeted",
    "Sigmoid",
    "Temperature",
    "Thresholded",
    "Voting",
]
