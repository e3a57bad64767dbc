"""What the docstrings of trees and their ensembles say alike."""

from skfhe._originals.docstrings import COMMON

__all__ = ["TREES"]

TREES = COMMON | {
    "parameters": """\
Parameters
----------
{n_bits}
{parameters_of_original}""",
    "attributes": """\
Attributes
----------
{attributes_of_trees}""",
    "notes": """\
Notes
-----
All attributes of the fitted original are there, too. Who learns what in either mode is in docs/trees.md.""",
    # Parameters.
    "n_bits": """\
n_bits : int, default=None
    None lets the client encode each row by the thresholds of the trees: every row takes the
    original's path through every tree. k quantizes the features to k bits before training and lets the
    client send all boundaries of those that are used, as bits, so that thresholds stay on the server.""",
    # Attributes.
    "attributes_of_trees": """\
program_ : Program
    The trees on integers: what runs encrypted.
encoder_ : Splits or LevelBitsEncoder
    Turns rows into the integers that the program takes.
decoder_ : LeafSumDecoder or LeafDecoder
    Turns the integers that the program returns into scores.
{head_}
score_error_ : float
    {score_error}
accumulator_bits_ : list of int
    Proven bits of every integer that a lookup reads, in layer order.
output_bits_ : list of int
    Proven bits of the sums.
{cost_}
{fhe_circuit_}""",
    "attributes_of_held_trees": """\
{n_features_in_}
{feature_names_in_}
{attributes_of_trees}""",
    "score_error": "No score differs from that of the float trees by more, the scores being {scores}.",
}
"""Of the classes: whole sections, and the entries that they are made of; ``scores`` is the class's own."""
