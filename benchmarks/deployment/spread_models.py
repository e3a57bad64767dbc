"""Models whose serving is measured: one without lookups, a tree, a forest and a network."""

from typing import Any

from sklearn.datasets import load_breast_cancer, load_iris

from skfhe.ensemble import RandomForestClassifier
from skfhe.linear_model import LogisticRegression
from skfhe.neural_network import NeuralNetClassifier
from skfhe.tree import DecisionTreeClassifier

__all__ = ["compiled_models"]


def compiled_models(names: list[str]) -> dict[str, tuple[Any, Any]]:
    """Return fitted and compiled models, none of which has keys, and rows for them.

    Parameters
    ----------
    names : list of str
        Of those wanted; all if it is empty.
    """
    cancer, iris = load_breast_cancer(return_X_y=True), load_iris(return_X_y=True)
    made = {
        "linear": lambda: (LogisticRegression(max_iter=5000), cancer),
        "tree": lambda: (DecisionTreeClassifier(max_depth=4, random_state=0), cancer),
        "forest": lambda: (RandomForestClassifier(n_estimators=4, max_depth=3, random_state=0), cancer),
        "network": lambda: (NeuralNetClassifier(random_state=0), iris),
    }
    found = {}
    for name in names or made:
        model, (X, y) = made[name]()
        model.fit(X, y).compile()
        found[name] = model, X
    return found
