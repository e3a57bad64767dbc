"""Networks of every kind, small: what people bring, in the ways that they write it.

`ZOO` are networks that are imported, `REFUSED` those that cannot be, with the reason.
"""

from tests.importers.zoo.arithmetic import arithmetic
from tests.importers.zoo.attention import attention
from tests.importers.zoo.convolutions import convolutions
from tests.importers.zoo.exported import of_onnx
from tests.importers.zoo.idioms import idioms
from tests.importers.zoo.network import Network, flat
from tests.importers.zoo.perceptrons import perceptrons
from tests.importers.zoo.recurrent import recurrent
from tests.importers.zoo.refusals import refusals
from tests.importers.zoo.tails import tails
from tests.importers.zoo.trained import trained

__all__ = ["REFUSED", "ZOO", "Network", "flat"]

ZOO = [
    *perceptrons(),
    *convolutions(),
    *attention(),
    *recurrent(),
    *idioms(),
    *arithmetic(),
    *tails(),
    *trained(),
    *of_onnx(),
]
REFUSED = refusals()
