"""Partial least squares on encrypted data."""

from skfhe.cross_decomposition._partial_least_squares import CCA, PLSSVD, PLSCanonical, PLSRegression

__all__ = ["CCA", "PLSSVD", "PLSCanonical", "PLSRegression"]
