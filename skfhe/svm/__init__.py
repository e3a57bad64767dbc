"""Support vector machines whose predictions run on encrypted data."""

from skfhe.svm._kernel import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from skfhe.svm._linear import LinearSVC, LinearSVR

__all__ = ["SVC", "SVR", "LinearSVC", "LinearSVR", "NuSVC", "NuSVR", "OneClassSVM"]
