"""Networks of every kind, small: what people bring, in the ways that they write it.

`ZOO` are networks that are imported, `REFUSED` those that cannot be, with the reason.
"""

from tests.importers.zoo.of_arithmetic import arithmetic
from tests.importers.zoo.of_attention import attention
from tests.importers.zoo.of_convolutions import convolutions
from tests.importers.zoo.of_exported import of_onnx
from tests.importers.zoo.of_idioms import idioms
from tests.importers.zoo.of_perceptrons import perceptrons
from tests.importers.zoo.of_recurrent import recurrent
from tests.importers.zoo.of_refusals import refusals
from tests.importers.zoo.of_tails import tails
from tests.importers.zoo.of_trained import trained
from tests.importers.zoo.specimen import Network, flat

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
