"""
Pictures of a model and its cost
================================

Every picture that `skfhe.inspection` draws, of a tree and a network: what costs, how
wide sums are, what survives errors, where classes meet, what runs, and how long a
request takes.
"""

# %%
# What costs
# ----------
# The cost of each layer is known as soon as a model is trained. A network of three
# hidden layers on digits:

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_moons
from sklearn.model_selection import train_test_split

from skfhe.ensemble import HistGradientBoostingClassifier
from skfhe.inspection import (
    AccumulatorDisplay,
    AgreementDisplay,
    CostDisplay,
    DecisionBoundaryDisplay,
    ParetoDisplay,
    ProgramDisplay,
    RequestDisplay,
)
from skfhe.linear_model import LogisticRegression
from skfhe.model_selection import ParetoSearchCV
from skfhe.neural_network import NeuralNetClassifier
from skfhe.tree import DecisionTreeClassifier

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
network = NeuralNetClassifier(
    module__n_layers=4, max_epochs=5, random_state=0
).fit(X, y)
CostDisplay.from_estimator(network)
plt.show()

# %%
# How wide its sums are
# ---------------------
# A lookup of one more bit costs about twice as much. Widths are proven for every row;
# the dark bars are what the test rows use. Where these are longer, sums wrap around,
# as the network was trained to have them.

AccumulatorDisplay.from_estimator(network, X_test)
plt.show()

# %%
# What runs
# ---------
# The program is what a server evaluates on ciphertexts. In a notebook
# ``network.program_`` shows itself, and estimators have tables of cost and
# accumulators below their parameters:

network.program_

# %%
# matplotlib draws the same:

moons, sides = make_moons(300, noise=0.25, random_state=0)
tree = DecisionTreeClassifier(max_depth=3, n_bits=4, random_state=0).fit(
    moons, sides
)
ProgramDisplay.from_estimator(tree)
plt.show()

# %%
# Where classes meet
# ------------------
# Every cell is a row that was evaluated in the clear, simulated, and encrypted. Cells
# that differ would have a cross.

tree.compile()
DecisionBoundaryDisplay.from_estimator(tree, moons, grid_resolution=12)
plt.show()

# %%
# What survives errors
# --------------------
# A larger error rate makes lookups cheaper, and some wrong. Up to which rate
# predictions stay as they are differs from model to model.

AgreementDisplay.from_estimator(
    tree, moons, p_errors=[2**-40, 2**-12, 2**-8, 2**-6, 2**-4, 2**-3, 2**-2]
)
plt.show()

# %%
# What a better score costs
# -------------------------

search = ParetoSearchCV(
    {
        "linear": LogisticRegression(),
        "boosting": HistGradientBoostingClassifier(),
    },
    {
        "linear": {"n_bits": [2, 3, 4, 8]},
        "boosting": {"max_depth": [1, 2, 3], "max_iter": [5, 20]},
    },
    max_seconds=0.5,
    scoring="roc_auc",
    cv=4,
).fit(moons, sides)
ParetoDisplay.from_estimator(search)
plt.show()

# %%
# How long a request takes
# ------------------------
# Here one process does the part of both machines. Of a `skfhe.deployment.Client` it
# is the same call, and the time on the network is in it; ``client.last_request`` has
# it after any prediction.

display = RequestDisplay.from_estimator(tree, moons[:1])
plt.show()

# %%
# What it costs
# -------------
# The numbers behind the pictures are attributes of the displays:

print(display.record)
print("tree   ", tree.cost_)
print("network", network.cost_)
print(
    "search ",
    np.round(search.front_["score"], 3),
    "for",
    np.round(search.front_["seconds"], 4),
    "s a row",
)
