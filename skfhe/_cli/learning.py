"""Who learns what of a model and of rows: by what encodes them, and by what reads results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["SERVER", "WIRE", "of_client"]

SERVER = (
    "all of the model that is evaluated: weights, tables, structure, error rate",
    "how many rows, when, and under which evaluation keys, which decrypt nothing",
    "nothing of rows, scores and predictions",
)
WIRE = (
    "sizes and times; without TLS also client.zip, evaluation keys and ciphertexts",
    "nothing of rows, scores and predictions",
)
ROWS = "its rows, and the decrypted scores of its own rows, not their labels alone"

LEVELS = "all boundaries between the levels of features that the model uses, not which it asks about"
SPLITS = "all thresholds and categories that the model asks about, not in which tree, nor where"
LINEAR = "by as many predictions as there are inputs, and one, the weights: scores are linear in what is sent"
LINEAR_ENCODERS = ("GridEncoder", "MonomialEncoder")
"""Whose programs have no lookups; of others the program tells."""
ENCODERS = {
    "AffineEncoder": "scale and zero point of the inputs",
    "AnswersEncoder": (
        "every threshold that is kept, which categories are grouped together, and the boundaries of features "
        "that interact; by many predictions the score of every step of every curve"
    ),
    "BlockEncoder": LEVELS,
    "GridBitsEncoder": "range and step of each feature, and a value in the middle that a support vector has",
    "GridEncoder": "which features have a weight, and of these the training range, margin and step",
    "LevelBitsEncoder": LEVELS,
    "MonomialEncoder": "range and step of each feature, and which products of features have a weight at all",
    "SplitEncoder": SPLITS,
    "Splits": SPLITS,
    "ThermometerEncoder": "the thresholds of features whose bits are sent",
}
DECODERS = {
    "AffineDecoder": "scale and offset of each score",
    "DigitSumDecoder": "with each prediction the sums over the trees of digits of their leaf values",
    "LeafDecoder": "the table of the tree's different leaf values",
    "LeafMedianDecoder": "the different leaf values of all trees, and which of them each tree has chosen",
    "LeafSumDecoder": "scale, least and largest value of the sums of leaf values",
    "LeafTableDecoder": "the different leaf values of all trees, and which of them each tree has chosen",
    "LimbDecoder": "scale and offset of each score",
    "OutputDecoders": "scales and zero points of the outputs",
    "ScoresDecoder": "scales and zero points of the outputs",
    "SummedDecoders": "scales of the outputs",
    "TailDecoder": "what the network makes of its last integers, which the client computes in the clear",
}
HEADS = {
    "ClassFractions": "",
    "Discriminants": (
        "differences of distances from the centroids, and of more than two the deviations within classes"
    ),
    "Distances": "distances from all centres; those of one row more than there are features give the centres",
    "Indicators": "",
    "Inliers": "from which score on rows are outliers",
    "LogDensities": "",
    "Margins": "",
    "NearestVotes": (
        "distances from all references, and what each votes for: those of one row more than there are "
        "features give ALL TRAINING ROWS"
    ),
    "PairVotes": "",
    "PathLengths": "from which length of paths on rows are outliers, and which length is usual",
    "Projections": "projections of its rows; those of one row more than there are features give the axes",
    "SoftVotes": "what each prototype votes for, and the distances from them, but for a common term",
    "Values": "",
}
"""What is told beside scores: of many heads nothing, for what they hold is the task's and not the model's."""
CELLS = "which two features interact"


def of_client(
    encoder: Any,
    decoder: Any,
    head: Any,
    *,
    n_labels: int = 0,
    n_names: int = 0,
    lookups: bool | None = None,
) -> list[str]:
    """Return what a client learns of rows and of the model.

    Parameters
    ----------
    encoder, decoder, head : object
        Between rows and predictions.
    n_labels, n_names : int, default=0
        Classes, and features, that are named.
    lookups : bool, optional
        Whether the program has some: scores are linear otherwise. None if that is not known.

    Returns
    -------
    list of str
    """
    found = [ROWS, *_known(ENCODERS, encoder)]
    if getattr(encoder, "cells", None) is not None:
        found.append(CELLS)
    decoders = [decoder, *getattr(decoder, "decoders", ())] if decoder is not None else []
    for each in decoders:
        found += _known(DECODERS, each)
    found += _known(HEADS, head)
    if lookups is False or type(encoder).__name__ in LINEAR_ENCODERS:
        found.append(LINEAR)
    named = {"classes": n_labels, "features": n_names}
    found += [f"the {n} {what}, by name" for what, n in named.items() if n]
    return list(dict.fromkeys(found))


def _known(table: dict[str, str], part: Any) -> Iterable[str]:
    """Return what a table says of a part; of one that is not in it, that it is not known."""
    if part is None:
        return []
    name = type(part).__name__
    told = table.get(name, f"what its {name} holds")
    return [told] if told else []
