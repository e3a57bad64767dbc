"""Whatever has estimators of skfhe inside: compiling them, and saying how they evaluate rows."""

from skfhe.compose._compile import compile
from skfhe.compose._set_mode import set_mode

__all__ = ["compile", "set_mode"]
