"""What the docstrings of models with polynomial scores say alike."""

from skfhe._originals.docstrings import COMMON

__all__ = ["POLYNOMIAL"]

POLYNOMIAL = COMMON | {
    "parameters": """\
Parameters
----------
{n_bits}
{range_margin}
{parameters_of_original}""",
    "attributes": """\
Attributes
----------
{program_}
{encoder_}
{decoder_}
{head_}
{output_bits_}
{cost_}
{fhe_circuit_}""",
    "notes": """\
Notes
-----
There is no lookup: the client sends exact products of the quantized features beside these, and the server
weighs and adds them. What a client learns of the model is the range and the step of each feature, which
products have a weight at all, and the scores of its rows.

All attributes of the fitted original are there, too; they are those of the float model.""",
    # Parameters.
    "n_bits": """\
n_bits : int, default=12
    Bits of the inputs: the bulk of a feature's values is cut into ``2**n_bits`` steps, or up to twice as
    many. Values far from it add bits, and so do classes or components in which it varies much less. Where
    products are too wide for the engine, steps are larger. Weights are as fine as that deserves.""",
    "range_margin": """\
range_margin : float, default=3.0
    How far beyond the training range of a feature its values are represented, in widths of that range,
    at either end; less where sums would be too wide. Values beyond are clipped, with an
    `InputClippingWarning`.""",
    # Attributes.
    "program_": """\
program_ : Program
    The polynomial on integers: what runs encrypted. It follows what was learnt when that is changed after
    ``fit``.""",
    "encoder_": """\
encoder_ : MonomialEncoder
    Turns rows into the integers that the program takes, and knows which values it clips.""",
    "decoder_": """\
decoder_ : LimbDecoder
    Joins the sums that the program returns, and turns them into scores.""",
    "output_bits_": """\
output_bits_ : list of int
    Proven bits of the sums.""",
    "cost_": """\
cost_ : Cost
    Predicted seconds a row; there are no lookups.""",
}
"""Of the classes: whole sections, and the entries that they are made of."""
