"""Programs on ciphertexts: compilation, keys and batches."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skfhe.circuit._batch import Batch
    from skfhe.circuit._circuit import Circuit, compile_program

__all__ = ["Batch", "Circuit", "compile_program"]

_ROOMS = {"Batch": "_batch", "Circuit": "_circuit", "compile_program": "_circuit"}


def __getattr__(name: str) -> Any:
    """Load what needs the engine on first use."""
    if name in _ROOMS:
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
