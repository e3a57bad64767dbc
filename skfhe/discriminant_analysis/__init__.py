"""Discriminant analysis whose predictions run on encrypted data."""

from skfhe.discriminant_analysis._linear import LinearDiscriminantAnalysis

__all__ = ["LinearDiscriminantAnalysis"]
