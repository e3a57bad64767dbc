"""
How many bits?
==============

Encrypted arithmetic is integer arithmetic, so every model has a number of bits
somewhere. More bits are closer to the float model; fewer are cheaper. This page looks
for the number in three kinds of models.
"""

# %%
# Trees: levels of a feature
# --------------------------
# By default, ``n_bits=None``, trees quantize nothing: the client answers their
# questions, and every row takes the float original's path. With ``n_bits=k`` features
# are cut into 2ᵏ levels before training, and thresholds stay on the server. The search
# ranks the very integers that would run encrypted, and has the cost as a second
# metric.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from torch import nn

from skfhe.importers import quantize_torch_model
from skfhe.linear_model import LogisticRegression
from skfhe.model_selection import cost_scorer, refit_within
from skfhe.tree import DecisionTreeClassifier

X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
scoring = {"accuracy": "accuracy", "neg_seconds": cost_scorer}


def searched(model, widths):
    """Return a search that takes the best score within a tenth of a second a row."""
    return GridSearchCV(
        model,
        {"n_bits": widths},
        scoring=scoring,
        cv=3,
        refit=refit_within(seconds=0.1),
    ).fit(X, y)


def shown(search):
    """Return what each width scores and costs."""
    results = search.cv_results_
    milliseconds = (-1000 * results["mean_test_neg_seconds"]).round(2)
    return pd.DataFrame(
        {
            "accuracy": results["mean_test_accuracy"].round(3),
            "ms a row": milliseconds,
        },
        index=pd.Index(
            [str(width) for width in results["param_n_bits"]], name="n_bits"
        ),
    )


tree = searched(
    DecisionTreeClassifier(max_depth=4, random_state=0), [None, 1, 2, 3, 4, 5]
)
shown(tree)

# %%
# A tree's levels cost ciphertexts, and no lookups: differences of a few milliseconds
# come of the trees that were grown. In a linear model there is no lookup at all, so
# bits are nearly free, and the default of 8 is seldom worth changing.

linear = searched(LogisticRegression(), [2, 3, 4, 6, 8])
shown(linear)

# %%
# Networks: found by itself
# -------------------------
# A network that was trained in floats has three widths (inputs, values between layers,
# weights), and its sums are rounded before they are looked up. Some tens of settings
# are priced and measured, all in the clear; the cheapest whose outputs stay within the
# tolerance is taken.

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(30, 6), nn.ReLU(), nn.Linear(6, 2))
optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
for _ in range(80):
    optimizer.zero_grad()
    nn.functional.cross_entropy(
        net(torch.tensor(X).float()), torch.tensor(y)
    ).backward()
    optimizer.step()

module = quantize_torch_model(net, X)
print(module.quantization_)

# %%
# All that was tried, and the front of it. The agreement is that of the largest output,
# on rows held out of calibration.

tried = module.quantization_.to_frame()
tried = tried[np.isfinite(tried["seconds"])]
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
ax.scatter(
    tried["seconds"], tried["agreement"], s=22, color="#9bb5bf", label="tried"
)
ordered = tried.sort_values(["seconds", "agreement"], ascending=[True, False])
front = ordered[
    ordered["agreement"] > ordered["agreement"].cummax().shift(fill_value=-1)
]
ax.step(
    front["seconds"],
    front["agreement"],
    where="post",
    color="#1f6f8b",
    label="front",
)
ax.axvline(module.cost_.seconds, color="#d9772b", lw=1, label="taken")
ax.set(
    xscale="log",
    xlabel="seconds a row, predicted for two cores",
    ylabel="agreement with the float network",
)
ax.legend(loc="lower right")
plt.show()

# %%
# What it costs
# -------------
# Each of the three as it was chosen:

print("tree   ", tree.best_params_, tree.best_estimator_.cost_)
print("linear ", linear.best_params_, linear.best_estimator_.cost_)
print("network", module.cost_)
