"""Projections of encrypted rows on components that were learnt in the clear."""

from skfhe.decomposition._projections import PCA, TruncatedSVD

__all__ = ["PCA", "TruncatedSVD"]
