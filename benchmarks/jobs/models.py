"""What is tried for a job: boosting in the clear, and families of skfhe with their grids."""

from typing import Any

from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier as FloatBoosting
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVC

from benchmarks.jobs.images import upright
from skfhe.ensemble import HistGradientBoostingClassifier
from skfhe.linear_model import LogisticRegression, RidgeClassifier

UPRIGHT = FunctionTransformer(upright)
SEED: dict[str, Any] = {"random_state": 0}
ENOUGH = 20
"""Rows that a category needs for a column of its own."""


def prepared(*last: Any) -> Any:
    """Return what makes numbers of a frame: categories one-hot, gaps filled, numbers scaled or as given."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), *(last or (StandardScaler(),)))
    categories = OneHotEncoder(
        min_frequency=ENOUGH, handle_unknown="infrequent_if_exist", drop="if_binary", sparse_output=False
    )
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_include="category")),
        verbose_feature_names_out=False,
    )


def boosting(cls: Any, **settings: Any) -> Any:
    """Return gradient boosting, which takes categories and gaps as they are."""
    return cls(early_stopping=False, categorical_features="from_dtype", **SEED, **settings)


def float_models(job: str) -> dict[str, tuple[Any, Any]]:
    """Return what is tuned in the clear, with its grid, by name."""
    if job == "mnist":
        return {"SVC": (make_pipeline(UPRIGHT, SVC(C=10, gamma=0.02)), {})}
    grid = [
        {"learning_rate": [0.05], "max_depth": [1, 2, 4], "max_iter": [100, 300]},
        {"learning_rate": [0.05], "max_depth": [None], "max_iter": [50, 150]},
    ]
    return {"boosting": (boosting(FloatBoosting), grid)}


def families(job: str) -> dict[str, tuple[Any, Any]]:
    """Return estimators of skfhe with their grids, by name."""
    if job == "mnist":
        features = Pipeline(
            [
                ("upright", UPRIGHT),
                ("features", RBFSampler(gamma=0.012, **SEED)),
                ("model", RidgeClassifier(alpha=0.1)),
            ]
        )
        linear = Pipeline([("upright", UPRIGHT), ("model", RidgeClassifier(alpha=100))])
        return {
            "linear": (linear, {}),
            "random features": (features, {"features__n_components": [150, 500, 1000, 2000]}),
        }
    weights = {"model__C": [0.01, 0.1]}
    linear = LogisticRegression(max_iter=1000)
    splines = SplineTransformer(n_knots=5, knots="quantile", extrapolation="linear", include_bias=False)
    return {
        "linear": (Pipeline([("prepare", prepared()), ("model", linear)]), weights),
        "splines": (Pipeline([("prepare", prepared(splines, StandardScaler())), ("model", linear)]), weights),
        "boosting": (
            boosting(HistGradientBoostingClassifier),
            [
                {"max_depth": [1], "max_iter": [60, 200], "learning_rate": [0.1, 0.2]},
                {"max_depth": [2], "max_iter": [5, 10, 20, 40, 80], "learning_rate": [0.2]},
                {"max_depth": [3], "max_iter": [5, 10, 20, 40], "learning_rate": [0.2]},
                {"max_depth": [4], "max_iter": [3, 6], "learning_rate": [0.3]},
            ],
        ),
    }


PEER_MODELS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("LogisticRegression", 8, {"max_iter": 1000}),
    ("XGBClassifier", 4, {"n_estimators": 20, "max_depth": 3}),
)
"""Class, bits and settings of the peer's models; of many classes the first alone."""
