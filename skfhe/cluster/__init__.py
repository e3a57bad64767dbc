"""Clusters of encrypted rows, by centres that were learnt in the clear."""

from skfhe.cluster._k_means import KMeans, MiniBatchKMeans

__all__ = ["KMeans", "MiniBatchKMeans"]
