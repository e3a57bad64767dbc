"""Nearest centroids, prototypes and neighbors of encrypted rows."""

from skfhe.neighbors._k_neighbors import KNeighborsClassifier, KNeighborsRegressor
from skfhe.neighbors._nearest_centroid import NearestCentroid

__all__ = ["KNeighborsClassifier", "KNeighborsRegressor", "NearestCentroid"]
