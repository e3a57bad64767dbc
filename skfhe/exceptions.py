"""Errors and warnings that skfhe raises.

Every class derives from the built-in exception that a caller would already catch. Nothing is imported here;
what estimators raise as a `NotCompiledError` is scikit-learn's ``NotFittedError``, too.
"""

__all__ = [
    "AccumulatorBudgetError",
    "AccumulatorOverflowError",
    "CiphertextMismatchError",
    "ClearEvaluationError",
    "CoarseInputWarning",
    "CompilationError",
    "CostWarning",
    "ForkedProcessError",
    "InputClippingWarning",
    "InsecureKeyCacheWarning",
    "KeysExpiredError",
    "ModelChangedError",
    "NotCompiledError",
    "RequestRefusedError",
    "ServerError",
    "ServerTimeoutError",
    "ServerUnavailableError",
    "ToleranceError",
    "ToleranceWarning",
    "UnsupportedModelError",
    "UnsupportedOperatorError",
]


class NotCompiledError(ValueError, AttributeError):
    """A prediction with ``fhe="simulate"`` or ``"execute"`` was asked for before ``compile``."""


class AccumulatorBudgetError(ValueError):
    """The accumulator bit-width asked for is one that no network of this shape can meet."""


class AccumulatorOverflowError(ValueError):
    """A value left the interval that the program states for it."""


class CiphertextMismatchError(ValueError):
    """Ciphertexts are of other keys, another model or another compile than what they were given to."""


class ForkedProcessError(RuntimeError):
    """The engine cannot do in a forked process what its parent had begun; start workers by spawn instead."""


class InsecureKeyCacheWarning(UserWarning):
    """The engine was told to keep secret keys in files that are not protected."""


class KeysExpiredError(ValueError):
    """Rows were to be encrypted under keys whose time is up; what was encrypted before is still decrypted."""


class ClearEvaluationError(RuntimeError):
    """Rows were about to be evaluated in the clear, where ``set_mode(…, clear="forbid")`` forbids it."""


class CompilationError(ValueError):
    """The engine refused a program; the message names the layer, its bits and what to turn."""


class CostWarning(UserWarning):
    """A row takes long under encryption; the message says how long, and what would be faster."""


class ToleranceError(ValueError):
    """No setting that was tried keeps a network's outputs within the tolerance; the message shows them."""


class ToleranceWarning(UserWarning):
    """What was taken differs from the float model by more than is usual; the message shows it, and why."""


class UnsupportedModelError(ValueError):
    """A fitted model has a part that no program can say; the message names it and what to do instead."""


class UnsupportedOperatorError(ValueError):
    """A network has an operator that cannot be evaluated encrypted; its place and a way out are named."""


class InputClippingWarning(UserWarning):
    """Rows have values beyond the range that a model represents, and are evaluated at its ends."""


class CoarseInputWarning(ToleranceWarning):
    """Scores are so steep that rounding the inputs changes them by more than predictions bear."""


class ServerError(RuntimeError):
    """A server failed, or its answer is not one to what it was asked."""


class ServerUnavailableError(ServerError, ConnectionError):
    """A server could not be reached, or was too busy, each time that it was asked."""


class ServerTimeoutError(ServerError, TimeoutError):
    """A server gave no answer within the seconds that the caller had for it."""


class RequestRefusedError(ServerError, ValueError):
    """A server refused a request, and would again: its token, its model, its size or what it holds."""


class ModelChangedError(ServerError, ValueError):
    """A server has another model under a name than the one that a client was made for."""
