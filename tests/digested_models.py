"""Fitted models that are compared with stored digests.

Their digests have to be the same on every processor, so nothing may depend on the last bits of floats: rows
and targets lie on grids of powers of two, where sums are exact; what solvers and training find is overwritten
by such numbers; and what is grown tree by tree is grown by one thread.
"""

import numpy as np
import pandas as pd
import torch
from sklearn import linear_model as originals

from skfhe.boosting import (
    CatBoostClassifier,
    CatBoostRegressor,
    LGBMClassifier,
    LGBMRegressor,
    XGBClassifier,
    XGBRegressor,
)
from skfhe.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from skfhe.linear_model import (
    GammaRegressor,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
    SGDRegressor,
)
from skfhe.neural_network import NeuralNetClassifier, NeuralNetRegressor
from skfhe.svm import LinearSVC, LinearSVR
from skfhe.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tests.digests import Evaluated, drawn, grid

__all__ = ["MODELS"]

N_ROWS, N_FEATURES = 80, 4
METHODS = ("predict", "predict_proba", "decision_function")
FEW = {"n_estimators": 3, "max_depth": 3, "random_state": 0}
XGB = {"n_estimators": 3, "max_depth": 3, "learning_rate": 0.5, "base_score": 0.5, "n_jobs": 1}
LGBM = {"n_estimators": 3, "num_leaves": 5, "min_child_samples": 5, "learning_rate": 0.5, "n_jobs": 1}
LGBM |= {"verbose": -1, "random_state": 0, "deterministic": True, "force_row_wise": True}
CAT = {"n_estimators": 3, "depth": 2, "learning_rate": 0.5, "thread_count": 1, "random_state": 0}
CAT |= {"verbose": 0, "allow_writing_files": False, "random_strength": 0, "bootstrap_type": "No"}


def rows(seed=0):
    """Draw rows with many different values, so that few splits are equally good."""
    return grid(seed, N_ROWS, N_FEATURES, step=1 / 64)


def with_missing(X):
    """Return a copy of rows in which some values are missing."""
    return np.where(drawn(99, 0, 9, *X.shape) == 0, np.nan, X)


def targets(X, n_targets=1):
    """Return targets that depend on the first features, exactly representable."""
    X = np.nan_to_num(X)
    first = 2 * X[:, 0] - X[:, 1] + (X[:, 2] > 0.5) + grid(7, len(X))
    return first if n_targets == 1 else np.column_stack([first, X[:, 1] * X[:, 0]])


def classes(X, n_classes=2):
    """Return classes of which every feature says something."""
    score = targets(X)
    return (score > 0).astype(int) + ((score > 2) if n_classes == 3 else 0)


def labels(X):
    """Return three classes that are not numbers."""
    return np.array(["few", "more", "most"])[classes(X, 3)]


def evaluated(model, X, methods=METHODS):
    """Let a model predict by those of the methods that it has."""
    return Evaluated(model, {name: getattr(model, name)(X) for name in methods if hasattr(model, name)})


def fitted(model, target=targets, missing=False):
    """Fit a model, and let it predict rows it knows and others."""
    X = with_missing(rows()) if missing else rows()
    other = with_missing(rows(1)) if missing else rows(1)
    return evaluated(model.fit(X, target(X)), np.concatenate([X, other]))


def assigned(model, seed):
    """Give a linear model coefficients that do not depend on its solver."""
    model.coef_ = grid(seed, *model.coef_.shape, step=1 / 16)
    model.intercept_ = grid(seed + 1, *np.shape(model.intercept_), step=1 / 16)
    return model


def linear(model, target=targets, seed=10):
    """Fit a linear model and assign its coefficients; some rows are beyond the range that it represents."""
    X = rows()
    model.fit(X, target(X))
    return evaluated(assigned(model, seed), np.concatenate([X, rows(1), 64 * rows(2)[:8]]))


def converted(cls, original, target, seed=10, **options):
    """Assign a fitted original's coefficients, and convert it."""
    X = rows()
    original = assigned(original.fit(X, target(X)), seed)
    return evaluated(cls.from_sklearn_model(original, X, **options), np.concatenate([X, rows(1)]))


def positive(X):
    return targets(X) - targets(X).min() + 1 / 8


def two(X):
    return targets(X, n_targets=2)


def frame(seed):
    """Draw rows with a categorical feature, some of them missing."""
    X = with_missing(rows(seed))
    letters = np.array(list("abcdef"))[drawn(seed + 30, 0, 5, N_ROWS)]
    return pd.DataFrame({"a": X[:, 0], "letter": pd.Categorical(letters, list("abcdef")), "b": X[:, 1]})


def with_categories(model):
    """Fit a model to rows of which one feature is of categories."""
    X = frame(0)
    y = (targets(rows()) + 2 * X["letter"].isin(list("bef")) > 1).astype(int)
    methods = METHODS[:2]  # not every LightGBM has a decision function
    return evaluated(model.fit(X, y), pd.concat([X, frame(1)]), methods)


def network(model, target=targets, seed=20):
    """Train a network for an epoch, overwrite all that it learnt, and lower that.

    Weights are fine multiples of a power of two, few of which have equal magnitudes: which of the equal ones
    a neuron may keep is not defined. The encoding keeps every threshold.
    """
    torch.manual_seed(0)
    X = rows()
    model.fit(X, target(X))
    for index, (name, values) in enumerate(model.module_.state_dict().items()):
        if not values.is_floating_point():
            continue
        if values.ndim == 0:
            new = np.array(0.75)
        elif name.endswith("running_var"):
            new = grid(seed + index, *values.shape, span=0.5) + 1
        else:
            new = grid(seed + index, *values.shape, step=2.0**-16)
        values.copy_(torch.from_numpy(new))
    return evaluated(model.lower(), np.concatenate([X, rows(1)]))


NET = {"max_epochs": 1, "random_state": 0, "module__n_input_bits": 3, "module__n_thresholds_per_neuron": 1000}
WRAPPING = NET | {"module__accumulator": "wrapping"}
NET |= {"module__accumulator": "bounded"}

MODELS = {
    "logistic regression, three classes": lambda: linear(LogisticRegression(), labels),
    "ridge, two targets": lambda: linear(Ridge(n_bits={"op_inputs": 6, "op_weights": 4}), two),
    "SGD classifier": lambda: linear(SGDClassifier(loss="modified_huber", random_state=0), classes),
    "SGD regressor": lambda: linear(SGDRegressor(n_bits=4, random_state=0)),
    "Poisson regression": lambda: converted(PoissonRegressor, originals.PoissonRegressor(), positive),
    "gamma regression": lambda: linear(GammaRegressor(n_bits=3, range_margin=0.5), positive),
    "linear SVC": lambda: linear(LinearSVC(random_state=0), labels),
    "linear SVR": lambda: linear(LinearSVR(n_bits=5, random_state=0)),
    "tree, missing values": lambda: fitted(
        DecisionTreeClassifier(max_depth=4, random_state=0), labels, missing=True
    ),
    "tree of 3 bits": lambda: fitted(DecisionTreeClassifier(n_bits=3, max_depth=3, random_state=0), labels),
    "regression tree, two targets": lambda: fitted(DecisionTreeRegressor(max_depth=3, random_state=0), two),
    "regression tree of 3 bits": lambda: fitted(DecisionTreeRegressor(n_bits=3, max_depth=3, random_state=0)),
    "random forest": lambda: fitted(RandomForestClassifier(**FEW), labels),
    "random forest by indicators": lambda: fitted(
        RandomForestClassifier(n_estimators=4, max_depth=4, random_state=0), labels
    ),
    "random forest of numbered leaves": lambda: fitted(RandomForestClassifier(leaves="index", **FEW), labels),
    "random forest of 3 bits, two targets": lambda: fitted(RandomForestRegressor(n_bits=3, **FEW), two),
    "extra trees, missing values": lambda: fitted(ExtraTreesClassifier(**FEW), classes, missing=True),
    "extra trees of 4 bits": lambda: fitted(ExtraTreesRegressor(n_bits=4, **FEW)),
    "gradient boosting, three classes": lambda: fitted(GradientBoostingClassifier(**FEW), labels),
    "gradient boosting of 3 bits": lambda: fitted(GradientBoostingRegressor(n_bits=3, **FEW)),
    "histogram boosting, categories": lambda: with_categories(
        HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=5, min_samples_leaf=5, random_state=0)
    ),
    "histogram boosting of 3 bits": lambda: fitted(
        HistGradientBoostingRegressor(n_bits=3, max_iter=3, max_leaf_nodes=5, random_state=0)
    ),
    "XGBoost, three classes": lambda: fitted(XGBClassifier(**XGB), lambda X: classes(X, 3), missing=True),
    "XGBoost of 3 bits": lambda: fitted(XGBRegressor(n_bits=3, **XGB)),
    "LightGBM, categories": lambda: with_categories(LGBMClassifier(min_data_per_group=1, **LGBM)),
    "LightGBM of 3 bits": lambda: fitted(LGBMRegressor(n_bits=3, **LGBM)),
    "CatBoost, missing values": lambda: fitted(CatBoostClassifier(**CAT), classes, missing=True),
    "CatBoost of 3 bits": lambda: fitted(CatBoostRegressor(n_bits=3, **CAT)),
    "neural network": lambda: network(NeuralNetClassifier(**NET), labels),
    "neural network of 3 layers, rounded": lambda: network(
        NeuralNetClassifier(
            module__n_layers=3,
            module__n_accum_bits=5,
            module__n_hidden_neurons_multiplier=1.5,
            module__activation_function=torch.nn.Tanh,
            rounding_threshold_bits=3,
            **NET,
        ),
        labels,
        seed=100,
    ),
    "wrapping neural network": lambda: network(NeuralNetClassifier(**WRAPPING), labels),
    "wrapping neural network of 3 layers without skip connection": lambda: network(
        NeuralNetRegressor(
            module__n_layers=3, module__n_accum_bits=4, module__skip_connection=False, **WRAPPING
        )
    ),
    "neural network, two targets": lambda: network(NeuralNetRegressor(**NET), two),
    "neural network of 3 layers without skip connection": lambda: network(
        NeuralNetRegressor(
            module__n_layers=3, module__n_w_bits=3, module__n_a_bits=3, module__skip_connection=False, **NET
        )
    ),
}
