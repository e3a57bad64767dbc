"""
Many machines: Dask
===================

Encrypted predictions run on the machines of joblib's active backend. With Dask that is
a cluster: rows are encrypted here, ciphertexts go to the workers, results come back,
and no worker ever has a secret key.
"""

# %%
# A cluster
# ---------
# Two workers on this machine stand for two machines; for a real cluster only the first
# line differs: ``Client("tcp://scheduler:8786")``. In a script of your own, put all of
# this under ``if __name__ == "__main__":``, for workers start by importing it.

import joblib
import numpy as np
from distributed import Client, LocalCluster
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV

from skfhe.tree import DecisionTreeClassifier

X, y = load_breast_cancer(return_X_y=True)
cluster = LocalCluster(
    n_workers=2, threads_per_worker=1, dashboard_address=":0"
)
workers = Client(cluster)

# %%
# Train and predict there
# -----------------------
# The search trains in the clear, on the workers. The last line encrypts 32 rows, and
# spreads the ciphertexts.

with joblib.parallel_config(backend="dask"):
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=0), {"max_depth": [2, 3]}, cv=3
    ).fit(X, y)
    model = search.best_estimator_
    model.compile()
    encrypted = model.predict(X[:32], fhe="execute")
workers.close()
cluster.close()
print(
    search.best_params_,
    "- encrypted equals clear:",
    np.array_equal(encrypted, model.predict(X[:32])),
)

# %%
# What it costs
# -------------
# Each worker gets the evaluation keys once, compiles the program once, and then takes
# what a row takes on one machine; two of them take half as long for many rows.

print(model.cost_)

# sphinx_gallery_thumbnail_path = '_static/workers.svg'
