"""
Pipelines and meta-estimators
=============================

Estimators of skfhe are scikit-learn estimators, so they go where those go.
`skfhe.set_mode` is one switch for everything inside: from then on ``predict``,
``predict_proba`` and ``score`` of whatever surrounds them run encrypted, without a
keyword.
"""

# %%
# A table with gaps and categories
# --------------------------------
# Imputing, scaling and encoding happen on the client, before encryption; they may be
# any transformers. The pipeline is fitted in the clear.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression as FloatLogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skfhe
from skfhe.linear_model import LogisticRegression
from skfhe.tree import DecisionTreeClassifier

rng = np.random.default_rng(0)
n = 600
table = pd.DataFrame(
    {
        "income": rng.lognormal(10, 0.5, n),
        "debt": np.where(rng.random(n) < 0.1, np.nan, rng.exponential(5000, n)),
        "home": rng.choice(["rent", "owner", "parents"], n),
    }
)
risk = (
    -1
    + table["debt"].fillna(0) / 4000
    - (table["home"] == "owner")
    - (table["income"] - 22000) / 20000
)
y = rng.random(n) < 1 / (1 + np.exp(-risk))
X_train, X_test, y_train, y_test = train_test_split(table, y, random_state=0)

prepare = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), ["income", "debt"]),
    (OneHotEncoder(), ["home"]),
)
members = [
    ("linear", LogisticRegression()),
    ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
]
model = make_pipeline(prepare, VotingClassifier(members, voting="soft"))
search = GridSearchCV(
    model, {"votingclassifier__tree__max_depth": [2, 3]}, cv=3
).fit(X_train, y_train)
print(search.best_params_, round(search.score(X_test, y_test), 3))

# %%
# One switch
# ----------
# The search, the pipeline in it and both members of the vote: the mode reaches each of
# them. ``clear="forbid"`` makes it an error to evaluate any of them in the clear from
# now on, so nothing can be evaluated so by mistake.

clear = search.predict_proba(X_test)
skfhe.set_mode(search, "execute", clear="forbid")
encrypted = search.predict_proba(X_test)
print("all rows equal:", np.array_equal(encrypted, clear))
try:
    search.best_estimator_[-1].estimators_[0].predict(
        prepare.fit_transform(X_test), fhe="disable"
    )
except skfhe.exceptions.ClearEvaluationError as error:
    print(type(error).__name__, "-", error)

# %%
# Converting what is trained already
# ----------------------------------
# `skfhe.convert` takes anything that scikit-learn trained, and returns a copy with
# ours in place of its estimators.

trained = make_pipeline(prepare, FloatLogisticRegression()).fit(
    X_train, y_train
)
converted = skfhe.convert(trained, X_train)
skfhe.compile(converted)
agreement = (
    converted.predict(X_test, fhe="execute") == trained.predict(X_test)
).mean()
print("encrypted rows that agree with the float pipeline:", agreement)

fig, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
ax.plot([0, 1], [0, 1], color="#9bb5bf", lw=1)
ax.plot(
    trained.predict_proba(X_test)[:, 1],
    converted.predict_proba(X_test, fhe="execute")[:, 1],
    ".",
    color="#d9772b",
)
ax.set(
    xlabel="probability of the float pipeline",
    ylabel="decrypted probability",
    aspect="equal",
)
plt.show()

# %%
# What it costs
# -------------
# A vote costs what its members cost together.

for member in search.best_estimator_[-1].estimators_:
    print(type(member).__name__, "-", member.cost_)
