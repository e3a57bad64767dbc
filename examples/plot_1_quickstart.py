"""
A first encrypted prediction
============================

A model is trained in the clear, compiled, and asked about rows that it only ever sees
encrypted. The data are 569 biopsies, 30 measurements each; the question is whether a
tumour is benign.
"""

# %%
# Train
# -----
# Everything up to ``fit`` is scikit-learn as you know it. The network is trained with
# its own quantization in the loop, so that what it learns fits the few bits that
# encryption can afford.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe.neural_network import NeuralNetClassifier

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, stratify=y, random_state=0
)

pipe = make_pipeline(StandardScaler(), NeuralNetClassifier(random_state=0))
pipe.fit(X_train, y_train)
print("accuracy on rows held out:", round(pipe.score(X_test, y_test), 3))

# %%
# That accuracy belongs to the integers that will run encrypted, not to a float model
# that is replaced later: without a word about encryption, ``predict`` and ``score``
# evaluate the integer program in the clear.
#
# Compile and predict
# -------------------
# `skfhe.compile` finds every estimator of ours in the pipeline. Keys are made at the
# first encrypted prediction. The scaler stays where the rows are: it is the client's
# part.

skfhe.compile(pipe)
doubt = np.abs(pipe.predict_proba(X_test)[:, 1] - 0.5)
hardest = doubt.argsort()[:12]  # the rows that the model is least sure of
encrypted = pipe.predict_proba(X_test[hardest], fhe="execute")
clear = pipe.predict_proba(X_test[hardest])
print(
    "encrypted equals clear, to the last bit:", np.array_equal(encrypted, clear)
)

# %%
# The picture has one dot for each encrypted row. It lies where the clear program says,
# always: that is no coincidence of these twelve rows, but holds for every row
# whatever, but for one wrong lookup in 2⁴⁰.

fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ax.bar(range(12), clear[:, 1], color="#c9dde4", label="in the clear")
ax.plot(range(12), encrypted[:, 1], "o", color="#d9772b", label="decrypted")
ax.plot(
    range(12),
    y_test[hardest],
    "_",
    color="#1f2a30",
    markersize=14,
    label="diagnosis",
)
ax.set(
    xlabel="row, the most doubtful first",
    ylabel="probability of benign",
    xticks=range(12),
    ylim=(-0.05, 1.05),
)
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
plt.show()

# %%
# What it costs
# -------------
# Two lookups of three bits a row. The keys are sent to a server once, the bytes up and
# down with each row.

print(pipe[-1].cost_)
