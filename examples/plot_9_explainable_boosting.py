"""
Explainable boosting
====================

An explainable boosting machine is an intercept, a curve for each feature, and a small
table for each pair of features that interact. People who have to justify a score like
it for its curves; under encryption it is among the cheapest accurate models there are,
for a curve made of steps is a sum.
"""

# %%
# Train
# -----
# The original is that of the package interpret: ``pip install "skfhe[interpret]"``.
# ``n_bits=4`` merges each curve to about 15 steps, ``n_pairs`` keeps that many
# interactions.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skfhe.additive import ExplainableBoostingClassifier

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X = X.iloc[:, :10]
X_train, X_test, y_train, y_test = train_test_split(
    X, y, stratify=y, random_state=0
)

model = ExplainableBoostingClassifier(
    n_bits=4,
    n_pairs=2,
    interactions=4,
    max_rounds=300,
    outer_bags=2,
    random_state=0,
)
model.fit(X_train, y_train)
print("accuracy:", round(model.score(X_test, y_test), 3), "- the original's:", round(
    model.model_.score(X_test, y_test), 3
))  # fmt: skip

# %%
# Which pairs are worth it
# ------------------------
# Each interaction is a lookup, and each says what it takes off the loss.

for pair in model.interactions_:
    names = " × ".join(pair.names)
    print(
        f"{names:42} adds {pair.adds:.4f}  lookups {pair.lookups}  kept {pair.kept}"
    )

# %%
# A curve, in the clear and encrypted
# -----------------------------------
# Rows that differ in one feature alone trace its curve. Here they are encrypted,
# scored and decrypted.

feature = "mean concave points"
place = list(X.columns).index(feature)
grid = np.linspace(X[feature].min(), X[feature].max(), 60)
rows = X_train.median().to_frame().T.loc[[0] * 60].reset_index(drop=True)
rows[feature] = grid

model.compile()
encrypted = model.decision_function(rows, fhe="execute")
print(
    "encrypted equals clear:",
    np.array_equal(encrypted, model.decision_function(rows)),
)

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.step(
    grid,
    model.model_.decision_function(rows),
    where="mid",
    color="#9bb5bf",
    label="the original",
)
ax.step(grid, encrypted, where="mid", color="#d9772b", label="decrypted")
ax.axhline(0, color="#1f2a30", lw=0.6)
ax.set(xlabel=feature, ylabel="score (log odds of benign)")
ax.legend()
plt.show()

# %%
# What it costs
# -------------
# With ``n_pairs=0``, or with ``pairs="cells"``, there would be no lookup at all, and a
# row would take milliseconds.

print(model.cost_)
