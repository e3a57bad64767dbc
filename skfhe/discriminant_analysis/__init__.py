"""Discriminant analysis whose predictions run on encrypted data."""

from skfhe.discriminant_analysis._quadratic import QuadraticDiscriminantAnalysis

__all__ = ["QuadraticDiscriminantAnalysis"]
