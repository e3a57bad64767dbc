"""Data sets whose features have few values: bits, digits, ranks, and mixtures with continuous ones.

Each is made by a function that needs interactions, with a tenth of the labels wrong or noise in the targets.
"""

from collections.abc import Callable

import numpy as np

__all__ = ["DISCRETE", "DISCRETE_REGRESSION"]

Data = tuple[np.ndarray, np.ndarray]


def _flipped(rng: np.random.Generator, labels: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Return labels 0 and 1 of which ``share`` are wrong."""
    return labels.astype(np.int64) ^ (rng.random(len(labels)) < share)


def exclusive_or() -> Data:
    """975 rows of five bits; the label is ``x0 ^ x1 ^ (x2 & x3)``."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(975, 5))
    return X.astype(float), _flipped(rng, X[:, 0] ^ X[:, 1] ^ (X[:, 2] & X[:, 3]))


def truth_table() -> Data:
    """975 rows of five bits; the label is drawn for each of the 32 combinations."""
    rng = np.random.default_rng(1)
    X = rng.integers(0, 2, size=(975, 5))
    return X.astype(float), _flipped(rng, rng.permutation(np.arange(32) % 2)[X @ (1 << np.arange(5))])


def conjunctions() -> Data:
    """1500 rows of twelve bits; the label is 1 if one of four conjunctions of three holds."""
    rng = np.random.default_rng(2)
    X = rng.integers(0, 2, size=(1500, 12))
    terms = [rng.permutation(12)[:3] for _ in range(4)]
    signs = [rng.integers(0, 2, size=3) for _ in range(4)]
    holds = [np.all(X[:, term] == sign, axis=1) for term, sign in zip(terms, signs, strict=True)]
    return X.astype(float), _flipped(rng, np.any(holds, axis=0))


def digits_0_to_9() -> Data:
    """1000 rows of six integers in 0 … 9; the label says whether a product exceeds another."""
    rng = np.random.default_rng(3)
    X = rng.integers(0, 10, size=(1000, 6))
    return X.astype(float), _flipped(rng, X[:, 0] * X[:, 1] > X[:, 2] * X[:, 3] + X[:, 4])


def ordinal() -> Data:
    """1200 rows of six ranks in 0 … 3, three classes; middle ranks of one feature turn another around."""
    rng = np.random.default_rng(4)
    X = rng.integers(0, 4, size=(1200, 6))
    turned = np.where((X[:, 0] == 1) | (X[:, 0] == 2), 3 - X[:, 1], X[:, 1])
    labels = np.digitize(turned + X[:, 2], [2, 4])
    wrong = rng.random(len(X)) < 0.1
    return X.astype(float), np.where(wrong, rng.integers(0, 3, size=len(X)), labels)


def mixture() -> Data:
    """1500 rows of three continuous features, three bits and two ranks in 0 … 4."""
    rng = np.random.default_rng(5)
    continuous = rng.normal(size=(1500, 3))
    bits, ranks = rng.integers(0, 2, size=(1500, 3)), rng.integers(0, 5, size=(1500, 2))
    score = np.where(bits[:, 0] == 1, continuous[:, 0], -continuous[:, 0]) + 0.7 * (ranks[:, 0] - 2)
    score = score + np.where(ranks[:, 1] > 2, continuous[:, 1] * (2 * bits[:, 1] - 1), 0)
    return np.column_stack([continuous, bits, ranks]).astype(float), _flipped(rng, score > 0, 0.05)


def ratings() -> Data:
    """1000 rows of five integers in 1 … 7, and a smooth target with an interaction."""
    rng = np.random.default_rng(6)
    X = rng.integers(1, 8, size=(1000, 5))
    target = (X[:, 0] - 4) * (X[:, 1] - 4) + 2 * np.abs(X[:, 2] - 4) + X[:, 3]
    return X.astype(float), target + rng.normal(size=len(X))


def switches() -> Data:
    """800 rows of eight bits, and a target with pairs."""
    rng = np.random.default_rng(7)
    X = rng.integers(0, 2, size=(800, 8))
    target = 2 * (X[:, 0] ^ X[:, 1]) + X[:, 2] * X[:, 3] - 1.5 * X[:, 4] + 0.5 * X[:, 5]
    return X.astype(float), target + 0.5 * rng.normal(size=len(X))


DISCRETE: dict[str, Callable[[], Data]] = {
    "exclusive or of bits": exclusive_or,
    "truth table of bits": truth_table,
    "conjunctions of bits": conjunctions,
    "integers 0 … 9": digits_0_to_9,
    "ranks 0 … 3": ordinal,
    "mixture": mixture,
}
DISCRETE_REGRESSION: dict[str, Callable[[], Data]] = {"ratings 1 … 7": ratings, "switches": switches}
