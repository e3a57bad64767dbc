"""Isolation forests, AdaBoost and radial kernels: agreement, lookups and predicted seconds.

Run as ``python -m benchmarks.tabular.outliers_and_votes``; the rows of the tables are printed.
"""

import warnings

import numpy as np
from sklearn import ensemble as float_ensemble
from sklearn.base import clone, is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skfhe.ensemble import AdaBoostClassifier, AdaBoostRegressor, IsolationForest
from skfhe.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

CLASSES = {"cancer": load_breast_cancer, "digits": load_digits, "iris": load_iris, "wine": load_wine}


def shown(*cells):
    print("| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |")


def isolation_forests():
    for name, load in {**CLASSES, "diabetes": load_diabetes}.items():
        X = load(return_X_y=True)[0]
        small = {"n_estimators": 20, "max_samples": 32, "random_state": 0}
        original = float_ensemble.IsolationForest(**small).fit(X)
        for params in ({}, {"leaves": "index"}):
            model = IsolationForest(**small, **params).fit(X)
            agreed = float((model.predict(X) == original.predict(X)).mean())
            off = float(np.abs(model.score_samples(X) - original.score_samples(X)).max())
            cost = model.cost_
            shown(name, params, agreed, model.score_error_, off, cost.n_lookups, cost.seconds)


def boosting_by_votes():
    for name, load in CLASSES.items():
        X, y = load(return_X_y=True)
        for depth in (1, 2):
            member = DecisionTreeClassifier(max_depth=depth)
            model = AdaBoostClassifier(member, random_state=0).fit(X, y)
            original = float_ensemble.AdaBoostClassifier(member, random_state=0).fit(X, y)
            agreed = float((model.predict(X) == original.predict(X)).mean())
            shown(name, depth, agreed, model.score_error_, model.cost_.n_lookups, model.cost_.seconds)
    X, y = load_diabetes(return_X_y=True)
    model = AdaBoostRegressor(random_state=0).fit(X, y)
    original = float_ensemble.AdaBoostRegressor(random_state=0).fit(X, y)
    equal = float((model.predict(X) == original.predict(X)).mean())
    shown("diabetes", 3, equal, model.score_error_, model.cost_.n_lookups, model.cost_.seconds)


MACHINES = [
    *(("iris", SVC()), ("iris", NuSVC(nu=0.2)), ("iris", OneClassSVM(nu=0.1))),
    *(("wine", SVC()), ("wine", NuSVC(nu=0.1)), ("cancer", SVC(C=10)), ("cancer", OneClassSVM(nu=0.05))),
    *(("diabetes", SVR(C=10, epsilon=60)), ("diabetes", NuSVR(C=10, nu=0.1)), ("digits", SVC())),
    *(("awkward", SVC()), ("heavy tails", SVC())),
]


def made(name):
    """Draw rows of awkward scales or with heavy tails, and two classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    X = rng.normal(size=(300, 4)) + 2 * y[:, None]
    if name == "heavy tails":
        return np.exp(1.2 * X), y
    return X * 10.0 ** np.array([-6, 0, 3, 8]) + [1, 50, -4e3, 1e9], y


def radial_kernels():
    for name, machine in MACHINES:
        load = {**CLASSES, "diabetes": load_diabetes}.get(name)
        X, y = load(return_X_y=True) if load else made(name)
        X = X if name == "iris" else StandardScaler().fit_transform(X)
        params = machine.get_params()
        for kernel_bits in (5, 6, 7):
            model = clone(machine).set_params(kernel_bits=kernel_bits)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.fit(X[::2], y[::2])
            own = type(machine)._own_params
            original = machine._original(**{k: v for k, v in params.items() if k not in own})
            expected, found = original.fit(X[::2], y[::2]).predict(X[1::2]), model.predict(X[1::2])
            scored = [
                each.score(X[1::2], y[1::2]) if hasattr(each, "score") else "" for each in (original, model)
            ]
            if is_regressor(machine):
                agreed = f"off by {np.sqrt(np.square(found - expected).mean()) / expected.std():.3f} std"
            else:
                agreed = float((found == expected).mean())
            warned = " ".join(sorted({each.category.__name__ for each in caught}))
            cost = model.cost_
            shown(
                name,
                machine,
                kernel_bits,
                len(model.support_),
                *scored,
                agreed,
                cost.n_lookups,
                cost.seconds,
                warned,
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    isolation_forests()
    boosting_by_votes()
    radial_kernels()
