"""Additive models whose predictions run on encrypted data: main effects without a lookup, pairs with one.

Those of interpret need the extra of this name, which is loaded when one of its classes is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skfhe.additive._explainable_boosting import (
        ExplainableBoostingClassifier,
        ExplainableBoostingRegressor,
    )

__all__ = ["ExplainableBoostingClassifier", "ExplainableBoostingRegressor"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}._explainable_boosting")
    except ModuleNotFoundError as error:
        if error.name != "interpret":
            raise
        raise ImportError(
            f'{__name__}.{name} needs interpret, which is not installed; pip install "skfhe[interpret]"'
        ) from error
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
