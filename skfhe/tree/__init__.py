"""Decision trees whose predictions run on encrypted data."""

from skfhe.tree._decision_tree import DecisionTreeClassifier, DecisionTreeRegressor

__all__ = ["DecisionTreeClassifier", "DecisionTreeRegressor"]
