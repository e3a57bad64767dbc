"""
Two machines
============

A client has rows that nobody else may see, a server has a model. Here they are two
processes that share nothing but a port: this one is the client, and ``skfhe serve``
runs in the other.
"""

# %%
# Whoever trained the model saves it
# ----------------------------------
# `skfhe.deployment.save` writes two files. ``client.zip`` says how rows become
# integers and integers predictions, ``server.zip`` has the weights. Neither has a row
# of training in it, and neither is a pickle.

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skfhe
from skfhe.deployment import Client, save
from skfhe.tree import DecisionTreeClassifier

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, stratify=y, random_state=0
)
pipe = make_pipeline(
    StandardScaler(), DecisionTreeClassifier(max_depth=3, random_state=0)
)
pipe.fit(X_train, y_train)
skfhe.compile(pipe)

folder = Path(tempfile.mkdtemp()) / "cancer"
save(pipe, folder)
for file in sorted(folder.iterdir()):
    print(file.name, file.stat().st_size, "bytes")

# %%
# The server
# ----------
# A process of its own. On its machine it needs ``pip install "skfhe[server]"`` and the
# folder.

command = [
    sys.executable,
    "-m",
    "skfhe",
    "serve",
    str(folder),
    "--port",
    "0",
    "--workers",
    "1",
]
server = subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
)
said = ""
while "Client(" not in said:
    said = server.stdout.readline()
url = re.search(r"Client\('(.+?)'\)", said).group(1)
print(said)

# %%
# The client
# ----------
# It fetches ``client.zip``, makes a secret key that never leaves it, uploads
# evaluation keys once, and then sends ciphertexts. Columns of a data frame are found
# by their names, and the scaler runs here, before encryption.

with Client(url) as client:
    predicted = client.predict_proba(X_test[:20])
    later = client.predict(X_test[20:24])  # keys are there already
    sizes = client.sizes
server.terminate()
print("ended with", server.wait())
print(
    "what came back is what the pipeline says:",
    np.array_equal(predicted, pipe.predict_proba(X_test[:20])),
)

# %%
# What went over the wire
# -----------------------
# The keys weigh most, and are sent once, however many rows follow.

print(sizes)

# %%
# What it costs
# -------------

print(pipe[-1].cost_)

# sphinx_gallery_thumbnail_path = '_static/two_machines.svg'
