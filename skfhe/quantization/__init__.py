"""Quantizers: the edges where floats become integers and integers floats again."""

from skfhe.quantization.affine import AffineQuantizer
from skfhe.quantization.threshold import ThresholdEncoder, calibrate_thresholds

__all__ = ["AffineQuantizer", "ThresholdEncoder", "calibrate_thresholds"]
