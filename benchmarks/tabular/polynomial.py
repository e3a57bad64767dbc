"""Polynomial scores beside their originals: agreement, products sent, width, and predicted cost of a row.

``python -m benchmarks.tabular.polynomial`` prints a table in Markdown; names of data sets choose some.
"""

import sys
import warnings

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skfhe.discriminant_analysis import QuadraticDiscriminantAnalysis
from skfhe.mixture import GaussianMixture
from skfhe.naive_bayes import GaussianNB
from skfhe.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM


def awkward():
    """Return features whose sizes and offsets have nothing to do with each other."""
    X, y = make_classification(2000, 8, n_informative=6, n_redundant=0, random_state=0, n_classes=3)
    size = 10.0 ** np.arange(-6, 10, 2)
    return size * (X + np.array([0, 100, 3, 0, -50, 1, 7, 1000])), y


def heavy():
    """Return log-normal features."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 2000)
    return np.exp(1.2 * rng.normal(size=(2000, 6)) + 0.8 * y[:, None] * rng.normal(size=6)), y


DATA = {
    "iris": lambda: load_iris(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "cancer": lambda: load_breast_cancer(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "awkward": awkward,
    "heavy tails": heavy,
}
MODELS = [
    GaussianNB(),
    QuadraticDiscriminantAnalysis(),
    QuadraticDiscriminantAnalysis(reg_param=0.1),
    *(
        GaussianMixture(3, covariance_type=kind, random_state=0)
        for kind in ("full", "tied", "diag", "spherical")
    ),
    SVC(kernel="linear"),
    SVC(kernel="poly", degree=2, coef0=1.0),
    NuSVC(kernel="poly", degree=2, nu=0.1),
    SVR(kernel="poly", degree=2),
    NuSVR(kernel="poly", degree=3),
    OneClassSVM(kernel="poly", degree=2, nu=0.1),
]


def shown(name, estimator):
    """Return a line of the table, or None for a model that is not for such targets or has no fit."""
    X, y = DATA[name]()
    regression = name == "diabetes"
    if (is_classifier(estimator) and regression) or (is_regressor(estimator) and not regression):
        return None
    train, test, targets, expected = train_test_split(
        X, y, stratify=None if regression else y, random_state=0, test_size=0.5
    )
    if hasattr(estimator, "kernel"):
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    model = clone(estimator)
    params = {k: v for k, v in model.get_params().items() if k not in model._own_params}
    try:
        original = model._original(**params).fit(train, targets)
    except (np.linalg.LinAlgError, ValueError):
        return None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(train, targets)
        found = model.predict(test)
        scores = [
            each.score(test, expected) if hasattr(each, "score") else np.nan for each in (original, model)
        ]
    theirs = original.predict(test)
    agreement = (found == theirs).mean() if found.dtype.kind != "f" else np.nan
    off = np.nan if np.isfinite(agreement) else np.abs(found - theirs).max() / theirs.std()
    kinds = sorted({type(w.message).__name__ for w in said if "Input" in type(w.message).__name__})
    return (
        f"| {name} | {estimator!s} | {scores[0]:.3f} / {scores[1]:.3f} | {agreement:.4f} | {off:.4f} | "
        f"{len(model.encoder_.terms)} | {model.decoder_.n_limbs} x {max(model.output_bits_)} | "
        f"{1000 * model.cost_.seconds:.2f} | {', '.join(kinds)} |"
    )


def main(names):
    """Print the table."""
    print("| data | model | original / ours | agreement | off, in sd | products | sums x bits | ms a row | |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names or DATA:
        for estimator in MODELS:
            line = shown(name, estimator)
            if line:
                print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
