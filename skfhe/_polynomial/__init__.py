"""Polynomial scores on encrypted data: quantization, program, and what its estimators share.

A polynomial needs no lookup if the client multiplies. It sends integers ``q_f`` for the features,

    x_f ≈ o_f + s_f q_f,

and beside them products such as ``q_f q_g``, of these very integers and exact: the score is the polynomial at
the rounded row, whatever terms cancel. The server weighs and adds them. Weights are as fine as what the
rounding of inputs costs asks for, and a sum that one ciphertext cannot hold is split: weights have digits,
each with a sum of its own, which the client joins exactly. What depends on no feature, the score at ``o``, is
added after decryption, and the softmax, votes or the like are applied to the scores, in the clear.
"""

from skfhe._polynomial.polynomials import KernelScores, QuadraticScores
from skfhe._polynomial.predictor import PolynomialPredictorMixin

__all__ = ["KernelScores", "PolynomialPredictorMixin", "QuadraticScores"]
