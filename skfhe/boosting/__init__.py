"""XGBoost, LightGBM and CatBoost models whose predictions run on encrypted data.

Each library is an extra of its own, loaded when one of its classes is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skfhe.boosting._catboost import CatBoostClassifier, CatBoostRegressor
    from skfhe.boosting._lightgbm import LGBMClassifier, LGBMRegressor
    from skfhe.boosting._xgboost import XGBClassifier, XGBRegressor

__all__ = [
    "CatBoostClassifier",
    "CatBoostRegressor",
    "LGBMClassifier",
    "LGBMRegressor",
    "XGBClassifier",
    "XGBRegressor",
]

_LIBRARIES = {"CatBoost": "catboost", "LGBM": "lightgbm", "XGB": "xgboost"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    library = _LIBRARIES[name.removesuffix("Classifier").removesuffix("Regressor")]
    try:
        module = importlib.import_module(f"{__name__}._{library}")
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise ImportError(
            f'{__name__}.{name} needs {library}, which is not installed; pip install "skfhe[{library}]"'
        ) from error
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
