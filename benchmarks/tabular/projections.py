"""Projections, centres and prototypes on several sets of data: how near integers come to the float original.

``python -m benchmarks.tabular.projections [--rows 4] [--families NAME …]``

Half of the rows are held out. "Original" and "clear" are scores on them, of the float model and of the
integers that run encrypted: accuracy, R² or the mean squared distance from the nearest centre, and for
projections the accuracy of a logistic regression that was trained on the original's. "Agreement" is the part
of predictions that are equal, or the squared correlation of the least similar column. "Equal" says how many
rows gave the very numbers of the clear run when they were encrypted, "seconds" what a row is predicted to
cost.
"""

import argparse
import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skfhe.cluster import KMeans, MiniBatchKMeans
from skfhe.cross_decomposition import PLSRegression
from skfhe.decomposition import PCA, TruncatedSVD
from skfhe.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid

SEED = {"random_state": 0}
FAMILIES: dict[str, Any] = {
    "PCA": PCA(0.9, svd_solver="full"),
    "PCA, whitened": PCA(4, whiten=True),
    "TruncatedSVD": TruncatedSVD(3, **SEED),
    "PLSRegression": PLSRegression(2),
    "KMeans": KMeans(n_init=3, **SEED),
    "MiniBatchKMeans": MiniBatchKMeans(n_init=3, **SEED),
    "NearestCentroid": NearestCentroid(),
    "KNeighborsClassifier": KNeighborsClassifier(),
    "KNeighborsClassifier, references": KNeighborsClassifier(reveal_references=True),
    "KNeighborsRegressor": KNeighborsRegressor(),
    "KNeighborsRegressor, references": KNeighborsRegressor(reveal_references=True),
}


def made(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows with awkward scales or heavy tails, not standardized, and three classes."""
    rng = np.random.default_rng(0)
    if kind == "awkward scales":
        hidden = rng.normal(size=(600, 6)) @ rng.normal(size=(6, 6))
        X = hidden * [1, 1e3, 1e-3, 1e6, 10, 1] + [1e3, 0, 5, 1e7, 0, -1e4]
    else:
        hidden = rng.normal(size=(600, 6))
        X = np.exp(2 * hidden)
    score = hidden @ rng.normal(size=6)
    return X, np.digitize(score, np.quantile(score, [1 / 3, 2 / 3]))


def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and targets; bundled sets are standardized, but for digits."""
    if name in ("awkward scales", "heavy tails"):
        return made(name)
    load = {
        **{"iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer},
        **{"digits": load_digits, "diabetes": load_diabetes},
    }[name]
    X, y = load(return_X_y=True)
    return X if name == "digits" else StandardScaler().fit_transform(X), y


def compared(estimator: Any, name: str, n_rows: int) -> list[str]:
    """Return a line of the table."""
    X, y = data(name)
    train, test = slice(0, None, 2), slice(1, None, 2)
    params, own = estimator.get_params(deep=False), estimator._own_params
    original = estimator._original(**{key: value for key, value in params.items() if key not in own})
    original.fit(X[train], y[train])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = estimator.fit(X[train], y[train])
    if hasattr(model, "predict"):
        method = "predict"
        given = (y[test],) if is_classifier(model) or is_regressor(model) else ()
        scale = 1 if given else -len(X[test])
        scores = [each.score(X[test], *given) / scale for each in (original, model)]
    else:
        method = "transform"
        after = LogisticRegression(max_iter=5000).fit(original.transform(X[train]), y[train])
        scores = [after.score(each.transform(X[test]), y[test]) for each in (original, model)]
    expected, found = (getattr(each, method)(X[test]) for each in (original, model))
    if method == "predict" and not is_regressor(model):
        agreement = float(np.mean(expected == found))
    else:
        pairs = zip(np.atleast_2d(expected.T), np.atleast_2d(found.T), strict=True)
        agreement = min(float(np.corrcoef(one, other)[0, 1] ** 2) for one, other in pairs)
    model.compile()
    some = X[test][:n_rows]
    encrypted = getattr(model, method)(some, fhe="execute")
    equal = int((encrypted == getattr(model, method)(some)).reshape(len(some), -1).all(axis=1).sum())
    return [
        *(f"{score:.4g}" for score in scores),
        f"{agreement:.4f}",
        f"{equal}/{len(some)}",
        str(len(model.program_.lookups)),
        f"{model.cost_.seconds * 1000:.2f} ms",
    ]


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4, help="how many are encrypted")
    parser.add_argument("--families", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    given = parser.parse_args()
    print("| family | data | original | clear | agreement | equal | lookups | a row |")
    print("|---|---|---|---|---|---|---|---|")
    classes = ("iris", "wine", "cancer", "digits", "awkward scales", "heavy tails")
    for family in given.families:
        regression = is_regressor(FAMILIES[family])
        for name in ("diabetes",) if regression else classes:
            print(
                f"| {family} | {name} |",
                " | ".join(compared(FAMILIES[family], name, given.rows)),
                "|",
                flush=True,
            )


if __name__ == "__main__":
    main()
