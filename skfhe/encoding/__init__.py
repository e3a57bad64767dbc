"""The client's arithmetic: rows to integers, integers to scores, scores to predictions."""

from skfhe.encoding._affine import AffineQuantizer
from skfhe.encoding._decoders import AffineDecoder, TableDecoder
from skfhe.encoding._grid import FeatureGrid, FeatureSpread, spread_of
from skfhe.encoding._heads import ClassFractions, Decoding, Margins, Scoring, Values, take_classes
from skfhe.encoding._levels import BlockEncoder, LevelQuantizer, calibrate_levels
from skfhe.encoding._splits import Categories, Rule, Split, Splits
from skfhe.encoding._thresholds import ThresholdEncoder, calibrate_thresholds

__all__ = [
    "AffineDecoder",
    "AffineQuantizer",
    "BlockEncoder",
    "Categories",
    "ClassFractions",
    "Decoding",
    "FeatureGrid",
    "FeatureSpread",
    "LevelQuantizer",
    "Margins",
    "Rule",
    "Scoring",
    "Split",
    "Splits",
    "TableDecoder",
    "ThresholdEncoder",
    "Values",
    "calibrate_levels",
    "calibrate_thresholds",
    "spread_of",
    "take_classes",
]
