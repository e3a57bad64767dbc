"""What the docstrings of linear models say alike."""

from skfhe._originals.docstrings import COMMON

__all__ = ["FOURTEEN_BITS", "LINEAR", "TWELVE_BITS"]

LINEAR = COMMON | {
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
All attributes of the fitted original are there, too; they are those of the float model.""",
    # Parameters.
    "n_bits": """\
n_bits : int or dict, default=8
    Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
    feature's values is cut into ``2**i`` steps; values far from it add bits.""",
    "range_margin": """\
range_margin : float, default=7.5
    How far beyond the training range of a feature its values are represented, in widths of that range,
    at either end. Values beyond are clipped, with an `InputClippingWarning`.""",
    # Attributes.
    "program_": """\
program_ : Program
    The linear function on integers: what runs encrypted. It and what is around it follow ``coef_`` and
    ``intercept_`` when these are changed after ``fit``.""",
    "encoder_": """\
encoder_ : GridEncoder
    Turns rows into the integers that the program takes, and knows which values it clips.""",
    "decoder_": """\
decoder_ : AffineDecoder
    Turns the integers that the program returns into scores.""",
    "output_bits_": """\
output_bits_ : list of int
    Proven bits of the accumulators.""",
    "cost_": """\
cost_ : Cost
    Predicted seconds a row; there are no lookups.""",
}
"""Of the classes: whole sections, and the entries that they are made of."""

TWELVE_BITS = LINEAR["n_bits"].replace("default=8", "default=12")
"""Of classes whose scores lie close to a threshold or to targets, or are differences of large numbers."""
FOURTEEN_BITS = LINEAR["n_bits"].replace("default=8", "default=14")
"""Of those whose scores do so more often than not."""
TRANSFORM = LINEAR | {
    "notes": """\
Notes
-----
All attributes of the fitted original are there, too; they are those of the float model.""",
    "program_": """\
program_ : Program
    The projection on integers: what runs encrypted. It and what is around it follow the original's arrays
    when these are changed after ``fit``.""",
    "n_bits": """\
n_bits : int or dict, default=12
    Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
    feature's values is cut into ``2**i`` steps; values far from it add bits.""",
}
"""Of transformers."""
