"""Float networks, whoever wrote them, and their lowering to programs by a quantization scheme."""

from skfhe.network import composed, layers, probabilities, rankings
from skfhe.network._builder import (
    EXAMPLE_ROWS,
    NO_OPERATOR,
    NetworkBuilder,
    unsupported,
)
from skfhe.network._emitter import Emitter
from skfhe.network._lowering import Lowered, lower_network
from skfhe.network._node import Node
from skfhe.network._noise import RoundingNoise, run_with_noise
from skfhe.network._operations import AfterDecryption, Operation, Quantize
from skfhe.network._rows import evaluate_network, select_rows
from skfhe.network._schemes.calibration import Calibration
from skfhe.network._schemes.post_training import PostTraining
from skfhe.network._schemes.scheme import Scheme
from skfhe.network._schemes.trained import Trained
from skfhe.network._symbolic import Grid, Symbolic
from skfhe.network._tails import after_decryption, cut_tail
from skfhe.network.layers import Window

__all__ = [
    "EXAMPLE_ROWS",
    "NO_OPERATOR",
    "AfterDecryption",
    "Calibration",
    "Emitter",
    "Grid",
    "Lowered",
    "NetworkBuilder",
    "Node",
    "Operation",
    "PostTraining",
    "Quantize",
    "RoundingNoise",
    "Scheme",
    "Symbolic",
    "Trained",
    "Window",
    "after_decryption",
    "composed",
    "cut_tail",
    "evaluate_network",
    "layers",
    "lower_network",
    "probabilities",
    "rankings",
    "run_with_noise",
    "select_rows",
    "unsupported",
]
