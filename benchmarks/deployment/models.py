"""The models that are deployed here, each fitted, compiled, and with rows of its own."""

import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris

__all__ = ["MODELS", "clear", "made"]

MODELS = ("linear", "tree", "network", "pipeline", "imported")


def linear() -> tuple[Any, Any]:
    """Return a logistic regression: the cheapest there is, without a lookup."""
    from skfhe.linear_model import LogisticRegression

    X, y = load_breast_cancer(return_X_y=True)
    return LogisticRegression(max_iter=5000).fit(X, y), X


def tree() -> tuple[Any, Any]:
    """Return a small tree whose thresholds stay on the server."""
    from skfhe.tree import DecisionTreeClassifier

    X, y = load_iris(return_X_y=True)
    return DecisionTreeClassifier(max_depth=3, n_bits=3, random_state=0).fit(X, y), X


def network() -> tuple[Any, Any]:
    """Return a neural network that was trained here."""
    from skfhe.neural_network import NeuralNetClassifier

    X, y = load_iris(return_X_y=True)
    return NeuralNetClassifier(random_state=0, max_epochs=30, verbose=0).fit(X, y), X


def pipeline() -> tuple[Any, Any]:
    """Return a pipeline on a DataFrame of numbers, missing values and words."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from skfhe.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    n = 400
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n).astype(float),
            "income": rng.lognormal(10, 0.5, n),
            "city": rng.choice(["Bern", "Lyon", "Oslo"], n),
        }
    )
    y = (frame["income"] / 30_000 + (frame["city"] == "Oslo") + rng.normal(0, 0.5, n) > 1.2).astype(int)
    frame.loc[rng.random(n) < 0.1, "age"] = np.nan
    steps = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    return make_pipeline(steps, LogisticRegression()).fit(frame, y), frame


def imported() -> tuple[Any, Any]:
    """Return a torch network that somebody else could have trained."""
    import torch

    from skfhe import compile_torch_model

    torch.manual_seed(0)
    X, _ = load_iris(return_X_y=True)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).eval()
    return compile_torch_model(net, X, n_bits=3, rounding_threshold_bits=4), X


def made(name: str) -> tuple[Any, Any]:
    """Return a model, fitted and compiled, and rows."""
    import skfhe

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, X = globals()[name]()
        if name != "imported":
            skfhe.compile(model)
    return model, X


def clear(model: Any, X: Any, fhe: str = "disable") -> dict[str, np.ndarray]:
    """Return what each method of a model answers in this process."""
    if hasattr(model, "forward"):
        return {"forward": model.forward(X, fhe=fhe)}
    return {
        method: getattr(model, method)(X, fhe=fhe)
        for method in ("predict", "predict_proba")
        if hasattr(model, method)
    }
