"""What the docstrings of trees and their ensembles say alike."""

from skfhe._originals.docstrings import COMMON

__all__ = ["TREES"]

TREES = COMMON | {
    "parameters": """\
Parameters
----------
{n_bits}
{parameters_of_original}""",
    "parameters_of_ensemble": """\
Parameters
----------
{n_bits}
{leaves}
{score_tolerance}
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
    "leaves": """\
leaves : {"sums", "index"}, default="sums"
    What leaves the server. "sums" are sums over all trees: of leaf values, or of their digits where that is
    faster. "index" is the number of the leaf that the row reaches, for each tree. It is exact, mostly faster,
    with many classes several times, and tells the client more: it holds the values of all leaves, and sees
    which of them each tree has chosen for each row.""",
    "score_tolerance": """\
score_tolerance : float, default=None
    How exact sums have to be: the largest root mean square, over the rows of training, of a score's
    distance from that of the float trees, for every score; the scores are {scores}. A larger one can be
    faster. Where no affordable precision gets there, the finest is taken. None asks for 2e-4 of what would
    matter to a typical row: its distance from another class, or the standard deviation of predictions.
    ``score_error_`` bounds the error of every row.""",
    # Attributes.
    "attributes_of_trees": """\
program_ : Program
    The trees on integers: what runs encrypted.
encoder_ : Splits or LevelBitsEncoder
    Turns rows into the integers that the program takes.
decoder_ : LeafSumDecoder, DigitSumDecoder, LeafTableDecoder or LeafDecoder
    Turns the integers that the program returns into scores.
{head_}
score_error_ : float
    {score_error}
accumulator_bits_ : list of int
    Proven bits of every integer that a lookup reads, in layer order.
output_bits_ : list of int
    Proven bits of the results.
{cost_}
{fhe_circuit_}""",
    "attributes_of_held_trees": """\
{n_features_in_}
{feature_names_in_}
{attributes_of_trees}""",
    "score_error": "No score differs from that of the float trees by more, the scores being {scores}.",
}
"""Of the classes: whole sections, and the entries that they are made of; ``scores`` is the class's own."""
