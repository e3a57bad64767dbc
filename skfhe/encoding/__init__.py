"""The client's arithmetic: rows to integers, integers to scores, scores to predictions. NumPy, nothing else.

Encoders have ``encode``, decoders ``decode`` and heads ``predict``; `Encoder`, `Decoder` and `Head` say what
is expected of each.
"""

from skfhe.encoding._affine import AffineEncoder, AffineQuantizer
from skfhe.encoding._columns import NamedCategories
from skfhe.encoding._decoders import (
    AffineDecoder,
    OutputDecoders,
    SummedDecoders,
    TableDecoder,
)
from skfhe.encoding._dense import dense
from skfhe.encoding._digits import AnswersEncoder, DigitSums
from skfhe.encoding._grid import FeatureGrid
from skfhe.encoding._grid_bits import GridBitsEncoder
from skfhe.encoding._grid_encoder import ClippingWatch, GridEncoder
from skfhe.encoding._heads import NEVER, ClassFractions, Indicators, Margins, Values, labelled
from skfhe.encoding._inliers import Inliers
from skfhe.encoding._inputs import as_floats, network_inputs
from skfhe.encoding._isolation import PathLengths
from skfhe.encoding._leaf_decoders import (
    DigitSumDecoder,
    LeafDecoder,
    LeafMedianDecoder,
    LeafSumDecoder,
    LeafTableDecoder,
)
from skfhe.encoding._level_bits import LevelBitsEncoder
from skfhe.encoding._levels import BlockEncoder, LevelQuantizer, Levels, calibrate_levels
from skfhe.encoding._limbs import LimbDecoder
from skfhe.encoding._links import logistic, softmax
from skfhe.encoding._log_densities import LogDensities
from skfhe.encoding._monomials import MonomialEncoder
from skfhe.encoding._one_hot import one_hot
from skfhe.encoding._pair_votes import PairVotes
from skfhe.encoding._projected import Discriminants, Distances, NearestVotes, Projections, SoftVotes
from skfhe.encoding._row_squares import RowSquares
from skfhe.encoding._seam import Decoder, Encoder, Head
from skfhe.encoding._splits import Categories, Rule, Split, SplitEncoder, Splits
from skfhe.encoding._structure import Structure, structured
from skfhe.encoding._tail import ScoresDecoder, Tail, TailDecoder
from skfhe.encoding._tail_steps import (
    TailAlong,
    TailConstant,
    TailElementwise,
    TailGather,
    TailJoin,
    TailMatMul,
    TailOver,
    TailStep,
    TailTake,
)
from skfhe.encoding._thresholds import ThermometerEncoder, ThresholdEncoder, calibrate_thresholds

__all__ = [
    "NEVER",
    "AffineDecoder",
    "AffineEncoder",
    "AffineQuantizer",
    "AnswersEncoder",
    "BlockEncoder",
    "Categories",
    "ClassFractions",
    "ClippingWatch",
    "Decoder",
    "DigitSumDecoder",
    "DigitSums",
    "Discriminants",
    "Distances",
    "Encoder",
    "FeatureGrid",
    "GridBitsEncoder",
    "GridEncoder",
    "Head",
    "Indicators",
    "Inliers",
    "LeafDecoder",
    "LeafMedianDecoder",
    "LeafSumDecoder",
    "LeafTableDecoder",
    "LevelBitsEncoder",
    "LevelQuantizer",
    "Levels",
    "LimbDecoder",
    "LogDensities",
    "Margins",
    "MonomialEncoder",
    "NamedCategories",
    "NearestVotes",
    "OutputDecoders",
    "PairVotes",
    "PathLengths",
    "Projections",
    "RowSquares",
    "Rule",
    "ScoresDecoder",
    "SoftVotes",
    "Split",
    "SplitEncoder",
    "Splits",
    "Structure",
    "SummedDecoders",
    "TableDecoder",
    "Tail",
    "TailAlong",
    "TailConstant",
    "TailDecoder",
    "TailElementwise",
    "TailGather",
    "TailJoin",
    "TailMatMul",
    "TailOver",
    "TailStep",
    "TailTake",
    "ThermometerEncoder",
    "ThresholdEncoder",
    "Values",
    "as_floats",
    "calibrate_levels",
    "calibrate_thresholds",
    "dense",
    "labelled",
    "logistic",
    "network_inputs",
    "one_hot",
    "softmax",
    "structured",
]
