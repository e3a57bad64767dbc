"""What the docstrings of support vector machines with a kernel say alike."""

from skfhe._polynomial.docstrings import POLYNOMIAL

__all__ = ["KERNEL_MACHINE"]

KERNEL_MACHINE = POLYNOMIAL | {
    "kernels": """\
The kernel is one of three; ``"rbf"`` is the default, as it is the original's.

``"linear"``
    The client sends the features alone, and there is no lookup.
``"poly"``
    It sends every product of up to ``degree`` of them, two of any number, three of up to 30, and there is no
    lookup.
``"rbf"``
    It sends the steps of a grid that each feature exceeds, and there is a lookup for each support vector and
    score that it has a coefficient for: sensible up to 50, beyond which there is a `CostWarning`.

For more vectors, and for other kernels, let the client apply a map that approximates the kernel, whose seed
is no secret, before a linear model: ``make_pipeline(RBFSampler(random_state=0), {after_a_map})``, at
milliseconds a row. The map of `sklearn.kernel_approximation.Nystroem` would tell it rows of training.""",
    "parameters": """\
Parameters
----------
{n_bits}
{kernel_bits}
{range_margin}
{parameters_of_original}""",
    "notes": """\
Notes
-----
With a linear or polynomial kernel, the client sends exact products of the quantized features beside these,
and the server weighs and adds them. What a client learns of the model is the range and the step of each
feature, which products have a weight at all, and the scores of its rows.

With ``kernel="rbf"``, squared distances from the support vectors are sums of the bits that the client sends,
rounded exactly to what lookups read. What a client learns is the range and the step of each feature, and the
scores of its rows; with several classes, those of every two. Where more than 2 in 1000 of up to 1024 training
rows, or of others made like them, are labelled otherwise than by the float model, or predictions of a
regression are off by more than 0.005 of their standard deviation, a `ToleranceWarning` says so.

All attributes of the fitted original are there, too; they are those of the float model.""",
    # Parameters.
    "n_bits": POLYNOMIAL["n_bits"] + '\n    With ``kernel="rbf"``, ``kernel_bits`` takes its place.',
    "kernel_bits": """\
kernel_bits : int, default=6
    With ``kernel="rbf"``, bits of the squared distances that lookups read, from 2 to 8. One more makes
    distances twice as fine, and each lookup about twice as dear.""",
    "range_margin": """\
range_margin : float, default=None
    How far beyond the training range of a feature its values are represented, in widths of that range,
    at either end; less where sums would be too wide. Values beyond are clipped, with an
    `InputClippingWarning`. None takes 3.0, and 0.05 with ``kernel="rbf"``, where distances have as many
    levels whatever it is, so that a wider range makes them coarser.""",
    # Attributes.
    "program_": """\
program_ : Program
    The scores on integers: what runs encrypted. It follows what was learnt when that is changed after
    ``fit``.""",
    "encoder_": """\
encoder_ : MonomialEncoder or GridBitsEncoder
    Turns rows into the integers that the program takes, and knows which values it clips.""",
    "decoder_": """\
decoder_ : LimbDecoder or AffineDecoder
    Turns what the program returns into scores.""",
    "cost_": """\
cost_ : Cost
    Predicted lookups by bit-width, complexity and seconds a row.""",
}
"""Of the classes: whole sections, and the entries that they are made of."""
