"""What the docstrings of additive models say alike."""

from skfhe._originals.docstrings import COMMON

__all__ = ["ADDITIVE"]

ADDITIVE = COMMON | {
    "parameters": """\
Parameters
----------
{n_bits}
{n_pairs}
{pairs}
{parameters_of_original}""",
    "n_bits": """\
n_bits : int, default=5
    Levels of a feature's main effect on average, as bits: 5 let each feature have 31 thresholds on average,
    and more where they bring more. The original's bins are merged to these at the least squared error,
    weighted by the rows of training in each. None merges equal bins alone, which loses nothing of main
    effects, and sends a ciphertext for each of the original's thresholds.""",
    "n_pairs": """\
n_pairs : int, default=8
    Interactions of two features that are kept, at most: those that add most, one after another. None keeps
    all that add anything, and 0 none.""",
    "pairs": """\
pairs : {"lookups", "cells"}, default="lookups"
    How an interaction is evaluated, the integers being the same but for rounding. "lookups" takes one lookup
    of 4 bits a score: the client sends a digit of each feature, and does not see which features interact.
    "cells" takes none: the client sends a bit for each of the table's cells but one, and sees it.""",
    "attributes": """\
interactions_ : tuple of Interaction
    The interactions that were trained, in the order in which they are chosen: ``features`` and ``names``,
    whether each was ``kept``, what it ``adds``, and what it costs as ``lookups`` and ``seconds`` a row.
score_deviation_ : float
    Root mean squared distance of scores from the original's, on the rows of training; NaN after a conversion
    without rows.
{n_features_in_}
{feature_names_in_}
program_ : Program
    Sums of steps, and lookups, on integers: what runs encrypted.
encoder_ : AnswersEncoder
    Turns rows into the integers that the program takes.
decoder_ : AffineDecoder or SummedDecoders
    Turns the integers that the program returns into scores.
{head_}
accumulator_bits_ : list of int
    Proven bits of every integer that a lookup reads, in layer order.
output_bits_ : list of int
    Proven bits of the results.
{cost_}
{fhe_circuit_}""",
    "notes": """\
Notes
-----
The original is an intercept and a table for each feature and for each interaction. A main effect is a sum of
steps at thresholds, or over groups of categories, which the client answers and the server weighs and adds; an
interaction is a table of up to 16 cells, to which its bins are merged. Missing values are read as the
original reads them: where training had some, they have a step of their own, and otherwise the level nearest
to their score; categories that training did not have likewise. Texts in a feature of numbers are an error.

Levels and cells that are kept take over what can be of interactions that are left out and of merged bins:
they are moved towards the original's scores on the rows of training. A conversion without rows leaves them at
the means of the original's.

What is changed in ``model_`` afterwards, such as by its ``monotonize``, is not followed: change the original
before it is converted.""",
}
"""Whole sections of the classes' docstrings, and the entries that they are made of."""
