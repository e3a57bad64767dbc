"""Isolation forests, AdaBoost and radial kernels: agreement, lookups and predicted seconds.

Run as ``python -m benchmarks.tabular.outliers_and_votes``; the rows of the tables are printed.
"""

import warnings

import numpy as np
from sklearn import ensemble as float_ensemble
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skfhe._radial import RadialScores, lower_rbf
from skfhe.ensemble import AdaBoostClassifier, AdaBoostRegressor, IsolationForest

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


def radial_kernels():
    X, y = load_iris(return_X_y=True)
    machine = SVC().fit(X, y)
    scores = RadialScores.of(machine)
    for n_bits in (5, 6, 7):
        model = lower_rbf(machine, X, n_bits=n_bits)
        agreed = float(((model.scores(X) > 0) == (scores.scores(X) > 0)).all(axis=1).mean())
        shown("iris", n_bits, len(scores.support), agreed, model.cost.n_lookups, model.cost.seconds)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    isolation_forests()
    boosting_by_votes()
    radial_kernels()
