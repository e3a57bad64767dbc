"""Discriminant analysis whose predictions run on encrypted data."""

from skfhe.discriminant_analysis._linear import LinearDiscriminantAnalysis
from skfhe.discriminant_analysis._quadratic import QuadraticDiscriminantAnalysis

__all__ = ["LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"]
