"""
Which model to take
===================

Under encryption models do not differ by how fast a processor multiplies, but by how
many *lookups* they need: sums are nearly free, and each lookup takes some
milliseconds. So it pays to try the families that need none first. Here eight models
see the same rows, and a chart says what a better score would cost.
"""

# %%
# Some rows
# ---------
# Accounts of a made telephone company. Whether one leaves depends on *pairs* of
# features: those who call the service often and pay little leave, and so do those who
# talk much by day and have no voice mail. A linear model cannot see that.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfhe.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from skfhe.linear_model import LogisticRegression
from skfhe.naive_bayes import GaussianNB
from skfhe.neural_network import NeuralNetClassifier
from skfhe.tree import DecisionTreeClassifier

rng = np.random.default_rng(0)
n = 1500
day, evening = rng.normal(180, 54, n), rng.normal(200, 50, n)
calls, months = rng.poisson(1.6, n), rng.exponential(30, n)
mail, contract = rng.random(n) < 0.3, rng.choice(3, n)
X = np.column_stack([day, evening, calls, months, mail, contract])
angry, dear = (calls >= 3) & (day < 180), (day > 220) & ~mail
score = -2.2 + 3.5 * angry + 3.5 * dear - 0.6 * contract - 0.01 * months
y = rng.random(n) < 1 / (1 + np.exp(-score))

# %%
# Eight models
# ------------
# ``cost_`` is known as soon as a model is fitted, without compiling, so a chart like
# this takes no longer than the training. ``max_depth=1`` is boosting without
# interactions: its trees ask one question each, and their sum needs no lookup.

models = {
    "logistic regression": make_pipeline(
        StandardScaler(), LogisticRegression()
    ),
    "Gaussian naive Bayes": GaussianNB(),
    "boosting, depth 1": HistGradientBoostingClassifier(
        max_depth=1, max_iter=60
    ),
    "decision tree, depth 4": DecisionTreeClassifier(
        max_depth=4, random_state=0
    ),
    "boosting, depth 2": HistGradientBoostingClassifier(
        max_depth=2, max_iter=20
    ),
    "boosting, depth 3": HistGradientBoostingClassifier(
        max_depth=3, max_iter=30
    ),
    "forest, 10 trees": RandomForestClassifier(
        n_estimators=10, max_depth=5, random_state=0
    ),
    "neural network": make_pipeline(
        StandardScaler(), NeuralNetClassifier(max_epochs=15, random_state=0)
    ),
}
rows = []
for name, model in models.items():
    auc = cross_val_score(model, X, y, cv=3, scoring="roc_auc").mean()
    model.fit(X, y)
    cost = (model[-1] if hasattr(model, "steps") else model).cost_
    rows.append(
        {
            "model": name,
            "AUC": auc,
            "lookups": cost.n_lookups,
            "seconds a row": cost.seconds,
        }
    )
table = pd.DataFrame(rows).set_index("model")
table.round(4)

# %%
# The chart
# ---------
# Left of the gap are models without a lookup, at about a millisecond a row; right of
# it are those with lookups, which pay some ten milliseconds for their keys in each
# call and then for each lookup. The line is the front: whatever lies below it costs
# more than something that is better.

ordered = table.sort_values("seconds a row")
front = ordered[ordered["AUC"] >= ordered["AUC"].cummax()]
fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
ax.step(
    front["seconds a row"],
    front["AUC"],
    where="post",
    color="#9bb5bf",
    zorder=1,
)
without = table["lookups"] == 0
ax.scatter(
    table["seconds a row"],
    table["AUC"],
    c=np.where(without, "#1f6f8b", "#d9772b"),
    zorder=2,
)
above, below = (
    {"ha": "right", "xytext": (4, 7)},
    {"ha": "right", "xytext": (4, -14)},
)
labels = {
    "boosting, depth 2": above,
    "boosting, depth 3": above,
    "forest, 10 trees": below,
}
labels |= {"boosting, depth 1": {"ha": "left", "xytext": (4, 7)}}
for name, row in table.iterrows():
    options = labels.get(name, {"ha": "left", "xytext": (7, -3)})
    point = (row["seconds a row"], row["AUC"])
    ax.annotate(
        name, point, textcoords="offset points", fontsize="small", **options
    )
ax.set(
    xscale="log",
    xlabel="seconds a row, predicted for two cores",
    ylabel="AUC, three folds",
)
ax.set_xlim(3e-4, 2)
ax.margins(y=0.1)
plt.show()

# %%
# So on these rows an interaction is worth its lookups, and a few of them are enough.
# Where features act each by itself, the cheap end of the chart wins: change the score
# above to a sum of the features and look again.
#
# Four questions that decide most cases:
#
# - *Is a sum enough?* Logistic regression, naive Bayes, boosting of depth 1: a
#   millisecond.
# - *Does it take pairs of features?* Boosting of depth 2, or an explainable boosting
#   machine: some ten milliseconds.
# - *Is the boundary smooth and all features matter?* A small network: 20 to 80
#   milliseconds.
# - *May the client learn the thresholds?* If not, trees take ``n_bits=4``, and a
#   little longer.
#
# `skfhe.model_selection.ParetoSearchCV` makes this chart for grids of parameters,
# stops candidates early that cannot win, and keeps to a budget of seconds.
#
# Measured
# --------
# Predictions of seconds are no measurements. These are: breast cancer, a quarter of the
# rows held out, two cores of an AMD EPYC, one encrypted row; beside each model that
# Concrete ML 1.9.0 has, too, what that took in the same run. The programs are
# ``benchmarks.tabular.compare`` and ``benchmarks.peers.neural_network``.

measured = pd.DataFrame(
    [
        ("logistic regression", 0.0008, 0.958, 0.0062, 0.958),
        ("neural network, 2 lookups", 0.0246, 0.944, 4.29, 0.937),
        ("decision tree, depth 5", 0.035, 0.902, 0.715, 0.895),
        ("XGBoost, 20 × depth 3", 0.230, 0.958, 2.78, 0.916),
        ("gradient boosting, 20 × depth 3", 0.256, 0.951, np.nan, np.nan),
        ("forest, 10 × depth 4", 0.259, 0.944, 2.59, 0.937),
        ("CatBoost, 20 × depth 4", 0.265, 0.937, np.nan, np.nan),
    ],
    columns=[
        "model",
        "seconds",
        "accuracy",
        "peer's seconds",
        "peer's accuracy",
    ],
)
places = np.arange(len(measured))[::-1]
fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.hlines(
    places, measured["seconds"], measured["peer's seconds"], color="#d5dee2"
)
ax.plot(measured["seconds"], places, "o", color="#1f6f8b", label="skfhe")
ax.plot(
    measured["peer's seconds"],
    places,
    "o",
    color="#9aa7ad",
    label="Concrete ML",
)
for place, accuracy, seconds in zip(
    places, measured["accuracy"], measured["seconds"], strict=True
):
    ax.annotate(
        f"{accuracy:.3f}",
        (seconds, place),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize="x-small",
    )
ax.set_yticks(places, measured["model"])
ax.set(
    xscale="log", xlabel="seconds a row, measured; accuracy above each point"
)
ax.margins(y=0.12)
ax.legend(loc="upper right", fontsize="small")
plt.show()

# %%
# What it costs
# -------------
# The cheapest model within a hundredth of the best:

best = table[table["AUC"] > table["AUC"].max() - 0.01]["seconds a row"].idxmin()
model = models[best]
print(best, "-", (model[-1] if hasattr(model, "steps") else model).cost_)
