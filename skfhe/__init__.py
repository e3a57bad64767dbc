"""scikit-learn estimators whose predictions run on encrypted data."""

from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any

__version__ = "0.2.0.dev0"

_LAZY = {
    "compile": "skfhe.compose",
    "compile_brevitas_qat_model": "skfhe.importers",
    "compile_onnx_model": "skfhe.importers",
    "compile_torch_model": "skfhe.importers",
    "config_context": "skfhe._config",
    "convert": "skfhe._conversion",
    "get_config": "skfhe._config",
    "set_config": "skfhe._config",
    "set_mode": "skfhe.compose",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    """Load a public name or a module on first use, so that ``import skfhe`` stays light."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    modules = (module.name for module in iter_modules(__path__))
    return sorted({*globals(), *__all__, *(name for name in modules if not name.startswith("_"))})
