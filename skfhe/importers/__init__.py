"""Networks of your own: torch, Brevitas and ONNX models on encrypted data."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skfhe.importers._entries import (
        compile_brevitas_qat_model,
        compile_onnx_model,
        compile_torch_model,
        quantize_brevitas_qat_model,
        quantize_onnx_model,
        quantize_torch_model,
    )
    from skfhe.importers._estimators import TorchClassifier, TorchRegressor
    from skfhe.importers._quantized_module import QuantizedModule

__all__ = [
    "QuantizedModule",
    "TorchClassifier",
    "TorchRegressor",
    "compile_brevitas_qat_model",
    "compile_onnx_model",
    "compile_torch_model",
    "quantize_brevitas_qat_model",
    "quantize_onnx_model",
    "quantize_torch_model",
]


def __getattr__(name: str) -> Any:
    """Load on first use: a quantized module needs no torch, importing a network does."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "_estimators" if name.startswith("Torch") else "_entries"
    room = "_quantized_module" if name == "QuantizedModule" else room
    return getattr(import_module(f"skfhe.importers.{room}"), name)
