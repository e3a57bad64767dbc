"""Programs on ciphertexts: compilation, keys and batches.

A `Circuit` is both halves in one process: `CompiledCircuit`, which runs, and `ClientSession`, which has the
keys, encrypts and decrypts. What goes between them are `CircuitSpecs`, `EvaluationKeys` and `Batch`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skfhe.circuit._batch import Batch
    from skfhe.circuit._circuit import Circuit, compile_program
    from skfhe.circuit._common_keys import CommonKeys
    from skfhe.circuit._compiled import CompiledCircuit
    from skfhe.circuit._key_generation import generate_keys
    from skfhe.circuit._key_stream import KeyStream
    from skfhe.circuit._keys import EvaluationKeys, sent_key_bytes
    from skfhe.circuit._secret_keys import SecretKeys, key_set_parameters, read_key_header
    from skfhe.circuit._security import check_security
    from skfhe.circuit._session import ClientSession
    from skfhe.circuit._specs import CircuitSpecs

__all__ = [
    "Batch",
    "Circuit",
    "CircuitSpecs",
    "ClientSession",
    "CommonKeys",
    "CompiledCircuit",
    "EvaluationKeys",
    "KeyStream",
    "SecretKeys",
    "check_security",
    "compile_program",
    "generate_keys",
    "key_set_parameters",
    "read_key_header",
    "sent_key_bytes",
]

_FILES = {
    "Batch": "_batch",
    "Circuit": "_circuit",
    "CircuitSpecs": "_specs",
    "ClientSession": "_session",
    "CommonKeys": "_common_keys",
    "CompiledCircuit": "_compiled",
    "EvaluationKeys": "_keys",
    "SecretKeys": "_secret_keys",
    "check_security": "_security",
    "KeyStream": "_key_stream",
    "compile_program": "_circuit",
    "generate_keys": "_key_generation",
    "key_set_parameters": "_secret_keys",
    "read_key_header": "_secret_keys",
    "sent_key_bytes": "_keys",
}


def __getattr__(name: str) -> Any:
    """Load what needs the engine on first use."""
    if name in _FILES:
        return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
