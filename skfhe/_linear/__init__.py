"""Linear scores on encrypted data: quantization, program, and what its estimators share.

A linear model needs no lookup. The client sends an integer ``q_f`` for each feature,

    x_f ≈ o_f + s_f q_f,

and the server weighs and adds them. The features' steps are folded into the weights before these are
quantized, with one scale ``t_c`` for each score:

    score_c ≈ t_c Σ_f round(s_f w_fc / t_c) q_f + b_c,

where ``b_c``, the score of the origin ``o``, is added after decryption: the client would learn it by sending
zeros. So a feature gets the resolution of its own bulk, whatever those of the others are, and intercepts of
any size are exact. Link functions, softmax and argmax are applied to the decrypted scores, in the clear.
"""

from skfhe._linear.predictor import LinearPredictorMixin

__all__ = ["LinearPredictorMixin"]
