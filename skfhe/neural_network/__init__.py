"""Neural networks, trained quantized, whose predictions run on encrypted data."""

from skfhe.neural_network._classifier import NeuralNetClassifier
from skfhe.neural_network._regressor import NeuralNetRegressor
from skfhe.neural_network._wrapping import TentWave

__all__ = ["NeuralNetClassifier", "NeuralNetRegressor", "TentWave"]
