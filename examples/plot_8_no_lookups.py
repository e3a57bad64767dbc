"""
Milliseconds: families without a lookup
=======================================

What is a sum needs no lookup, and a row of it takes milliseconds. More models are sums
than one thinks: projections, distances from centres, Gaussian densities, naive Bayes.
Here handwritten digits are projected, clustered and classified, all of it encrypted.
"""

# %%
# Projections
# -----------
# `skfhe.decomposition.PCA` is fitted in the clear. The projection of a row is then
# computed encrypted: the server multiplies and adds, and learns neither the digit nor
# where it ends up.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skfhe.cluster import KMeans
from skfhe.decomposition import PCA
from skfhe.discriminant_analysis import LinearDiscriminantAnalysis
from skfhe.naive_bayes import GaussianNB

X, y = load_digits(n_class=4, return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, random_state=0, stratify=y
)
rows, classes = X_test[:120], y_test[:120]

pca = PCA(n_components=2, random_state=0).fit(X_train)
pca.compile()
projected = pca.transform(rows, fhe="execute")
print("encrypted equals clear:", np.array_equal(projected, pca.transform(rows)))

# %%
# Clusters
# --------
# The square of a distance is a sum, too, once the row's own square is left to the
# client, who knows it.

clusters = KMeans(n_clusters=4, n_init=3, random_state=0).fit(X_train)
clusters.compile()
numbers = clusters.predict(rows, fhe="execute")
print(
    "encrypted equals clear:", np.array_equal(numbers, clusters.predict(rows))
)

fig, axes = plt.subplots(
    1, 2, figsize=(7.4, 3.6), layout="constrained", sharex=True, sharey=True
)
for ax, colours, title in zip(
    axes, (classes, numbers), ("by digit", "by encrypted cluster"), strict=True
):
    ax.scatter(*projected.T, c=colours, cmap="viridis", s=16)
    ax.set_title(f"decrypted projections, {title}", fontsize="medium")
    ax.set_xlabel("first component")
axes[0].set_ylabel("second component")
plt.show()

# %%
# Classes
# -------
# Gaussian naive Bayes is quadratic in a row. The client sends squares beside the
# values, exact squares of the very integers that it sends, and the server still has
# nothing but a sum to do. A linear discriminant is a sum anyway.

models = [
    GaussianNB(var_smoothing=1e-3).fit(X_train, y_train),
    LinearDiscriminantAnalysis().fit(X_train, y_train),
]
for model in models:
    model.compile()
    encrypted = model.predict(rows, fhe="execute")
    equal = np.array_equal(encrypted, model.predict(rows))
    print(
        type(model).__name__,
        "- accuracy",
        np.mean(encrypted == classes).round(3),
        "- equal:",
        equal,
    )

# %%
# What it costs
# -------------
# No lookup, so no evaluation keys either: a client has a secret key of some kilobytes,
# and nothing to upload before its first row.

for model in (pca, clusters, *models):
    print(f"{type(model).__name__:28}{model.cost_}")
