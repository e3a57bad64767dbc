"""Linear support vector machines whose predictions run on encrypted data."""

from skfhe.svm._linear import LinearSVC, LinearSVR

__all__ = ["LinearSVC", "LinearSVR"]
