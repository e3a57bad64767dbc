"""An imported network: float in, float out, integers and ciphertexts between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skfhe._showing import tables
from skfhe.cost import Cost, Report, resolve_error_rate
from skfhe.encoding import AffineEncoder, OutputDecoders, Structure, TailDecoder, network_inputs, structured
from skfhe.encrypted_model import EncryptedModel
from skfhe.program import Program

if TYPE_CHECKING:
    from concrete import fhe as concrete_fhe

    from skfhe.circuit import Circuit
    from skfhe.importers._search import Quantization

__all__ = ["QuantizedModule"]

APPROXIMATE = (
    'accumulators are rounded approximately: encrypted results vary near ties as fhe="simulate" does, and '
    'fhe="disable" rounds to the nearest'
)


class QuantizedModule:
    """A quantized network that can be evaluated on encrypted rows.

    Made by `compile_torch_model`, `compile_brevitas_qat_model` and `compile_onnx_model`.

    Parameters
    ----------
    model : EncryptedModel
        From an `AffineEncoder` to `OutputDecoders`, or to a `TailDecoder`.
    input_shapes : sequence of tuple of int
        Shape of a row of each of the network's inputs.
    advice : str, default=""
        What to change in the call that made it, should it not compile.
    structure : Structure, optional
        What the network returns, unless that is an array, or a tuple of arrays.
    quantization : Quantization, default=None
        What was tried to find out how many bits it needs.
    approximate : bool, default=False
        Whether accumulators are rounded approximately.

    Attributes
    ----------
    program_ : Program
        The quantized integer program.
    fhe_circuit_ : Circuit
        After `compile`.
    encoder_ : AffineEncoder
        Turns floats into the integers that the program takes.
    decoder_ : OutputDecoders or TailDecoder
        Turns the integers that the program returns into floats, and into what the network makes of all of
        them in the end.
    output_structure_ : Structure or None
        The dictionary, list or named tuple that the network returns.
    quantization_ : Quantization or None
        If bits were searched for: what was tried, what each setting costs, how near it stays to the network,
        and which was taken. Prints the Pareto front as a table; ``to_frame()`` gives all as a DataFrame.
    """

    def __init__(
        self,
        model: EncryptedModel,
        input_shapes: Sequence[tuple[int, ...]],
        advice: str = "",
        structure: Structure | None = None,
        quantization: Quantization | None = None,
        approximate: bool = False,
    ) -> None:
        self._encrypted_model = model
        self.input_shapes_ = [tuple(shape) for shape in input_shapes]
        self._advice = advice
        self.output_structure_ = structure
        self.quantization_ = quantization
        self._approximate = approximate

    def _of(self, model: EncryptedModel) -> QuantizedModule:
        """Return the module of another model of the same network."""
        return QuantizedModule(
            model,
            self.input_shapes_,
            self._advice,
            self.output_structure_,
            self.quantization_,
            self._approximate,
        )

    def __repr__(self) -> str:
        return f"QuantizedModule({self._state()}; {self.cost_})"

    def _state(self) -> str:
        state = "not compiled" if self._encrypted_model.circuit is None else "compiled"
        return f"{state}; approximate rounding" if self._approximate else state

    def _repr_html_(self) -> str:
        """Return for notebooks what the text says, and the tables of cost and accumulators of estimators."""
        return f"<div><code>QuantizedModule({self._state()})</code>{tables(self._encrypted_model)}</div>"

    def compile(
        self,
        *,
        p_error: float | None = None,
        global_p_error: float | None = None,
        configuration: concrete_fhe.Configuration | None = None,
        verbose: bool = False,
    ) -> Circuit:
        """Compile the program for encrypted evaluation.

        Parameters
        ----------
        p_error : float, default=None
            Probability in (0, 1) that one lookup reads a wrong cell; 2**-40 by default.
        global_p_error : float, default=None
            Probability in (0, 1) that any lookup of one row does, instead of ``p_error``.
        configuration : concrete.fhe.Configuration, default=None
            Options of the engine; it is not modified.
        verbose : bool, default=False
            Say what was compiled, and show progress bars: now, and in encrypted evaluations.

        Returns
        -------
        Circuit
            Also stored as ``fhe_circuit_``.

        Raises
        ------
        ValueError
            If both error rates are given, or one lies outside (0, 1).
        CompilationError
            If the engine finds no parameters; the message names the layer and what to turn.
        """
        error_rate = resolve_error_rate(p_error, global_p_error, configuration)
        self._encrypted_model = self._encrypted_model.compiled(
            error_rate, configuration, advice=self._advice, verbose=verbose
        )
        return self.fhe_circuit_

    @property
    def program_(self) -> Program:
        """The quantized integer program."""
        return self._encrypted_model.program

    @property
    def encoder_(self) -> AffineEncoder:
        """Turns floats into the integers that the program takes."""
        encoder = self._encrypted_model.encoder
        assert isinstance(encoder, AffineEncoder)
        return encoder

    @property
    def decoder_(self) -> OutputDecoders | TailDecoder:
        """Turns the integers that the program returns into what the network returns."""
        decoder = self._encrypted_model.decoder
        assert isinstance(decoder, OutputDecoders | TailDecoder)
        return decoder

    @property
    def fhe_circuit_(self) -> Circuit:
        """The compiled program; after `compile`."""
        circuit = self._encrypted_model.circuit
        if circuit is None:
            raise AttributeError("this QuantizedModule is not compiled")
        return circuit

    @property
    def accumulator_bits_(self) -> list[int]:
        """Bits of every accumulator that a lookup reads, in layer order, before rounding."""
        return self.program_.accumulator_bits

    @property
    def output_bits_(self) -> list[int]:
        """Bits of every output of the program."""
        return self.program_.output_bits

    @property
    def cost_(self) -> Cost:
        """Predicted lookups by bit-width, complexity and seconds a row.

        At the error rate that was compiled for, or at 2**-40 before.
        """
        return self._encrypted_model.cost

    def report(self) -> Report:
        """Return what each layer costs, and how its accumulators are bounded.

        Returns
        -------
        Report
            Prints as a table; ``to_frame()`` gives it as a pandas DataFrame.
        """
        circuit = self._encrypted_model.circuit
        return Report.of(
            self.program_, circuit.error_rate if circuit else None, APPROXIMATE if self._approximate else ""
        )

    def forward(self, *x: ArrayLike, fhe: str = "disable") -> Any:
        """Evaluate the network on rows of floats.

        Parameters
        ----------
        *x : array-like, each of shape (n_rows, *row)
            One for each input of the network.
        fhe : {"disable", "simulate", "execute"}, default="disable"
            "disable" computes the program in the clear, "simulate" adds the lookup errors of an encrypted
            run, "execute" encrypts, runs and decrypts. All three agree where accumulators are rounded exactly
            or not at all. Rounded approximately, an accumulator near a tie may take the neighbouring cell
            under encryption: "simulate" has that error, drawn anew each time, and "disable" rounds to the
            nearest.

        Returns
        -------
        ndarray, or tuple, list, named tuple or dict of them
            As the network returns them, rows first; positions, such as those of an argmax, as int64, all else
            as float64.

        Raises
        ------
        ValueError
            If the inputs are too many, too few, or of another shape or kind than the network's.
        NotCompiledError
            If ``fhe`` needs a circuit and there is none.
        AccumulatorOverflowError
            If an accumulator leaves its calibrated interval. An encrypted run could not notice, so that rows
            are checked in the clear first.
        """
        return self.dequantize_output(self.quantized_forward(self.quantize_input(*x), fhe=fhe))

    def quantize_input(self, *x: ArrayLike) -> Any:
        """Return the integers that are encrypted.

        Parameters
        ----------
        *x : array-like, each of shape (n_rows, *row)

        Returns
        -------
        ndarray of int64, or tuple of them
            One for each input of the program.
        """
        return _alone(self.encoder_.encode(*network_inputs(x, self.input_shapes_)))

    def quantized_forward(self, *q: Any, fhe: str = "disable") -> Any:
        """Evaluate the program on integers.

        Parameters
        ----------
        *q : ndarray of int64, or one tuple of them
            As returned by `quantize_input`.
        fhe : {"disable", "simulate", "execute"}, default="disable"

        Returns
        -------
        ndarray of int64, or tuple of them
            One for each output of the program: the network's own, or what its last functions combine.
        """
        self._encrypted_model.check_mode(fhe)
        inputs = q[0] if len(q) == 1 and isinstance(q[0], tuple | list) else q
        inputs = tuple(np.asarray(x) for x in inputs)
        if len(inputs) != len(self.program_.inputs):
            raise ValueError(f"the program takes {len(self.program_.inputs)} array(s), got {len(inputs)}")
        if any(x.dtype.kind not in "iu" for x in inputs):
            raise ValueError(
                f"quantized_forward takes integers, got {[str(x.dtype) for x in inputs]}; use quantize_input "
                "first, or forward, which takes floats"
            )
        return _alone(self._encrypted_model.evaluate(*(x.astype(np.int64) for x in inputs), fhe=fhe))

    def dequantize_output(self, q: Any) -> Any:
        """Return what the network returns for decrypted integers.

        Parameters
        ----------
        q : ndarray of int64, or tuple of them
            As returned by `quantized_forward`.

        Returns
        -------
        ndarray, or tuple, list, named tuple or dict of them
            See `forward`.
        """
        values = self.decoder_.decode(*(q if isinstance(q, tuple | list) else (q,)))
        return structured(values, self.output_structure_)


def _alone(arrays: tuple[Any, ...]) -> Any:
    """Return the only one of several arrays without a tuple around it."""
    return arrays[0] if len(arrays) == 1 else arrays
