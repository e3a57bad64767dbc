"""Mixture models whose predictions run on encrypted data."""

from skfhe.mixture._gaussian_mixture import GaussianMixture

__all__ = ["GaussianMixture"]
