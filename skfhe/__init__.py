"""scikit-learn estimators whose predictions run on encrypted data."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "compile": "skfhe.compose",
    "compile_brevitas_qat_model": "skfhe.importers",
    "compile_onnx_model": "skfhe.importers",
    "compile_torch_model": "skfhe.importers",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that ``import skfhe`` stays light."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
