"""Whatever has estimators of skfhe inside: compiling them, and saying how they evaluate rows."""

from skfhe.compose._compile import compile
from skfhe.compose._members import fitted_members
from skfhe.compose._set_mode import set_mode

__all__ = ["compile", "fitted_members", "set_mode"]
