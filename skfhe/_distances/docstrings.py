"""What the docstrings of estimators by distances say alike."""

from skfhe._linear.docstrings import TRANSFORM

__all__ = ["DISTANCES"]

DISTANCES = TRANSFORM | {
    "program_": """\
program_ : Program
    The distances, but for the row's own part, on integers: what runs encrypted. It and what is around it
    follow the original's arrays when these are changed after ``fit``.""",
    "n_bits": """\
n_bits : int or dict, default=14
    Bits of the inputs and of the weights, or ``{"op_inputs": i, "op_weights": w}``. The bulk of a
    feature's values is cut into ``2**i`` steps; values far from it add bits.""",
    "decoder_": """\
decoder_ : AffineDecoder
    Turns the integers that the program returns into squared distances, but for the row's own part.""",
}
"""Of the classes: whole sections, and the entries that they are made of."""
