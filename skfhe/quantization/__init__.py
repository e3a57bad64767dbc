"""Quantizers: the edges where floats become integers and integers floats again."""

from skfhe.quantization.affine import AffineQuantizer
from skfhe.quantization.decoders import AffineDecoder, TableDecoder
from skfhe.quantization.grid import FeatureGrid, FeatureSpread, spread_of
from skfhe.quantization.levels import BlockEncoder, LevelQuantizer, calibrate_levels
from skfhe.quantization.threshold import ThresholdEncoder, calibrate_thresholds

__all__ = [
    "AffineDecoder",
    "AffineQuantizer",
    "BlockEncoder",
    "FeatureGrid",
    "FeatureSpread",
    "LevelQuantizer",
    "TableDecoder",
    "ThresholdEncoder",
    "calibrate_levels",
    "calibrate_thresholds",
    "spread_of",
]
