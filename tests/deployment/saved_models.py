"""Two small models, and the files that a version of the schema has of them.

Files of every version of the schema stay in ``fixtures``, for what was written must be read, and so do those
from before a class had a further field, in folders that say which. Those of the
present version are made by ``python -m tests.deployment.saved_models --write``, which is needed when the
schema changes, or the engine's parameters do; the commit says which.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from skfhe.deployment import save
from skfhe.deployment._archive import SCHEMA_VERSION
from skfhe.linear_model import LogisticRegression
from skfhe.tree import DecisionTreeClassifier
from tests.digested_models import assigned, labels, rows

__all__ = ["FIXTURES", "MODELS", "N_ROWS", "compiled", "saved"]

FIXTURES = Path(__file__).parent / "fixtures"
N_ROWS = 8


def linear():
    X = rows()
    return assigned(LogisticRegression(range_margin=1).fit(X, labels(X)), seed=10)


def tree():
    X = rows()
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, labels(X))


MODELS = {"linear": linear, "tree": tree}


def compiled(name):
    """Return a model, compiled for one row a call."""
    model = MODELS[name]()
    model.compile()
    return model


def saved(model):
    """Return the bytes of a model's files, the client's first."""
    with tempfile.TemporaryDirectory() as folder:
        save(model, folder)
        return tuple(Path(folder, f"{half}.zip").read_bytes() for half in ("client", "server"))


def write():
    """Write the files of the present version of the schema, and what their models predict."""
    for name in MODELS:
        folder = FIXTURES / f"v{SCHEMA_VERSION}" / name
        model = compiled(name)
        save(model, folder, overwrite=True)
        X = rows(1)[:N_ROWS]
        expected = {method: getattr(model, method)(X).tolist() for method in ("predict", "predict_proba")}
        text = json.dumps({"rows": np.asarray(X).tolist(), **expected}, indent=1)
        (folder / "expected.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    write()
