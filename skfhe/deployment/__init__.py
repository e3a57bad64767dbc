"""Two machines: a client, which has the keys and sees the rows, and a server, which has the model.

`save` writes what each of them needs. `Client` encodes, encrypts, decrypts and predicts; it loads neither
torch nor scikit-learn, nor the engine once there are keys. `Server` evaluates ciphertexts.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skfhe.circuit import Batch, EvaluationKeys
    from skfhe.deployment._async_client import AsyncClient
    from skfhe.deployment._client import Client
    from skfhe.deployment._describing import ModelFiles, describe
    from skfhe.deployment._record import Phase, RequestRecord
    from skfhe.deployment._remote import HttpTransport
    from skfhe.deployment._save import save
    from skfhe.deployment._server import Server
    from skfhe.deployment._serving._app import create_app
    from skfhe.deployment._serving._run import run_server
    from skfhe.deployment._serving._settings import ServerSettings

__all__ = [
    "AsyncClient",
    "Batch",
    "Client",
    "EvaluationKeys",
    "HttpTransport",
    "ModelFiles",
    "Phase",
    "RequestRecord",
    "Server",
    "ServerSettings",
    "create_app",
    "describe",
    "run_server",
    "save",
]

_MODULES = {
    "AsyncClient": "skfhe.deployment._async_client",
    "Batch": "skfhe.circuit",
    "Client": "skfhe.deployment._client",
    "EvaluationKeys": "skfhe.circuit",
    "HttpTransport": "skfhe.deployment._remote",
    "ModelFiles": "skfhe.deployment._describing",
    "Phase": "skfhe.deployment._record",
    "RequestRecord": "skfhe.deployment._record",
    "Server": "skfhe.deployment._server",
    "ServerSettings": "skfhe.deployment._serving._settings",
    "create_app": "skfhe.deployment._serving._app",
    "describe": "skfhe.deployment._describing",
    "run_server": "skfhe.deployment._serving._run",
    "save": "skfhe.deployment._save",
}


_SERVER_NEEDS = ("fastapi", "fsspec", "prometheus_client", "psutil", "uvicorn")


def __getattr__(name: str) -> Any:
    """Load each half on first use: a client never loads what a server needs."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("create_app", "run_server"):
        missing = [package for package in _SERVER_NEEDS if find_spec(package) is None]
        if missing:
            raise ImportError(
                f'{name} needs {", ".join(missing)}, not installed: pip install "skfhe[server]"'
            )
    return getattr(import_module(_MODULES[name]), name)
