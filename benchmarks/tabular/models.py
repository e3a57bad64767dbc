"""The linear and tree models that ``benchmarks.tabular.compare`` measures, by name."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from benchmarks.datasets import CLASSIFICATION, REGRESSION

Bits = int | None


@dataclass(frozen=True)
class Model:
    """One kind of model with its parameters, the same for skfhe, for its original and for the peer.

    Parameters
    ----------
    family : {"linear", "trees"}
    module, original : str
        Modules of the estimator and of the original.
    classifier, regressor : str, optional
        Names of the classes, the same in both modules and in the peer's.
    settings : dict
    own : dict
        Settings of skfhe's alone.
    bits : tuple of (int or None)
        ``n_bits`` to measure.
    peer_bits : tuple of int
        The same for the peer, its default first; empty where it has no such model.
    """

    family: str
    module: str
    original: str
    classifier: str | None = None
    regressor: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    bits: tuple[Bits, ...] = (None, 4)
    peer_bits: tuple[int, ...] = ()

    def class_name(self, data: str) -> str | None:
        """Return the name of the class for one data set, or None."""
        return self.regressor if data in REGRESSION else self.classifier

    def ours(self, data: str, n_bits: Bits) -> Any:
        """Return an unfitted estimator of skfhe."""
        return _class(self.module, self.class_name(data))(**self.settings, **self.own, n_bits=n_bits)

    def float_original(self, data: str) -> Any:
        """Return an unfitted original."""
        return _class(self.original, self.class_name(data))(**self.settings)


def _class(module: str, name: str | None) -> Any:
    assert name is not None
    return getattr(import_module(module), name)


def _linear(name: str, package: str = "linear_model", **settings: Any) -> Model:
    kind = "classifier" if name in ("LogisticRegression", "SGDClassifier", "LinearSVC") else "regressor"
    return Model(
        "linear", f"skfhe.{package}", f"sklearn.{package}", **{kind: name}, settings=settings, bits=(8,),
        peer_bits=(8,),
    )  # fmt: skip


def _trees(
    package: str,
    name: str,
    peer_bits: tuple[int, ...] = (),
    bits: tuple[Bits, ...] = (None, 4),
    own: dict[str, Any] | None = None,
    **settings: Any,
) -> Model:
    """Return a tree model, ``package`` being scikit-learn's module or another library."""
    ours, original = (
        (f"skfhe.{package}", f"sklearn.{package}")
        if package in ("tree", "ensemble")
        else ("skfhe.boosting", package)
    )
    return Model(
        "trees", ours, original, f"{name}Classifier", f"{name}Regressor", {"random_state": 0} | settings,
        own or {}, bits, peer_bits,
    )  # fmt: skip


MODELS: dict[str, Model] = {
    "LogisticRegression": _linear("LogisticRegression", max_iter=1000),
    "SGDClassifier": _linear("SGDClassifier", random_state=0),
    "LinearSVC": _linear("LinearSVC", "svm", random_state=0, max_iter=10_000),
    "LinearRegression": _linear("LinearRegression"),
    "Ridge": _linear("Ridge"),
    "Lasso": _linear("Lasso"),
    "ElasticNet": _linear("ElasticNet"),
    "SGDRegressor": _linear("SGDRegressor", random_state=0),
    "PoissonRegressor": _linear("PoissonRegressor"),
    "GammaRegressor": _linear("GammaRegressor"),
    "TweedieRegressor": _linear("TweedieRegressor", power=1.5),
    "LinearSVR": _linear("LinearSVR", "svm", random_state=0, max_iter=10_000),
    "tree": _trees("tree", "DecisionTree", (6, 3, 4), max_depth=5),
    "forest": _trees("ensemble", "RandomForest", (4,), n_estimators=10, max_depth=4),
    "forest_leaves": _trees(
        "ensemble", "RandomForest", n_estimators=10, max_depth=4, own={"leaves": "index"}, bits=(None,)
    ),
    "extra": _trees("ensemble", "ExtraTrees", n_estimators=10, max_depth=4),
    "gradient": _trees("ensemble", "GradientBoosting", bits=(None, 4, 6), n_estimators=20, max_depth=3),
    "histogram": _trees("ensemble", "HistGradientBoosting", max_iter=20, max_depth=3, max_leaf_nodes=8),
    "xgboost": _trees("xgboost", "XGB", (4,), n_estimators=20, max_depth=3),
    "lightgbm": _trees("lightgbm", "LGBM", n_estimators=20, num_leaves=8, max_depth=3, verbose=-1),
    "catboost": _trees(
        "catboost", "CatBoost", iterations=20, depth=4, verbose=False, allow_writing_files=False
    ),
    "catboost6": _trees(
        "catboost", "CatBoost", iterations=20, depth=6, verbose=False, allow_writing_files=False
    ),
}
DATA = (*CLASSIFICATION, *REGRESSION)


def chosen(names: list[str]) -> dict[str, Model]:
    """Return the models of ``names``, which may be the families, too; all of them if there are none."""
    return {
        name: model for name, model in MODELS.items() if not names or name in names or model.family in names
    }
