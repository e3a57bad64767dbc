"""The entries: from a user's network and calibration rows to a quantized module."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from skfhe._telling import log, showing, timed
from skfhe._typing import RangeSource
from skfhe.cost import ErrorRate, advising, estimate_cost, resolve_error_rate
from skfhe.exceptions import CompilationError, ToleranceError, ToleranceWarning
from skfhe.importers._arguments import Request, check_module, check_request, rows_of_inputs
from skfhe.importers._lowered import LoweredModel, lowered_model
from skfhe.importers._quantized_module import QuantizedModule
from skfhe.importers._search import Quantization, search
from skfhe.importers._torch.networks import is_of_brevitas, read_network
from skfhe.network import Calibration, NetworkBuilder
from skfhe.program import ops

if TYPE_CHECKING:
    from concrete import fhe as concrete_fhe

__all__ = [
    "compile_brevitas_qat_model",
    "compile_onnx_model",
    "compile_torch_model",
    "quantize_brevitas_qat_model",
    "quantize_onnx_model",
    "quantize_torch_model",
]

WIDEST_IN_THE_CLEAR = 22
"""Bits that a lookup reads in a network that is only evaluated in the clear."""
FEW_BITS = 6
"""What rounding to is suggested: lookups of so many bits are quick."""


def compile_torch_model(
    net: nn.Module,
    inputset: Any,
    n_bits: int | dict[str, int] | str = "auto",
    import_qat: bool = False,
    rounding_threshold_bits: int | dict[str, Any] | str | None = "auto",
    tolerance: float | None = None,
    validation: Any = None,
    p_error: float | None = None,
    global_p_error: float | None = None,
    configuration: concrete_fhe.Configuration | None = None,
    *,
    calibration: Calibration = "mse",
    range_source: RangeSource | None = None,
    margin: float = 0.25,
    verbose: bool = False,
) -> QuantizedModule:
    """Quantize a torch network and compile it for encrypted evaluation.

    Parameters
    ----------
    net : torch.nn.Module
        Takes one tensor for each input, rows first; its control flow must not depend on the data. It is not
        modified.
    inputset : array-like of shape (n_rows, *row), or tuple of them
        Representative rows for each input, of any real dtype; a few hundred are enough.
    n_bits : "auto", int or dict, default="auto"
        Bits of inputs, values and weights, or each in ``{"model_inputs": …, "op_inputs": …, "op_weights": …,
        "model_outputs": …}``; of those left out, weights and model inputs take the bits of ``op_inputs``.
        "model_outputs" has the network's last function looked up under encryption, to so many bits; without
        it, what follows the last accumulator is computed from the decrypted integers. "auto" searches for the
        cheapest that stay within ``tolerance``; ``quantization_`` of the module shows what was tried.
    import_qat : bool, default=False
        Whether the network quantizes its own weights and values, by rounding to multiples of scales. They are
        then read off, and ``n_bits`` is of use for inputs alone that reach a layer unquantized; "auto" takes
        8 for these.
    rounding_threshold_bits : "auto", int, dict or None, default="auto"
        Bits that accumulators are rounded to before they are looked up, or
        ``{"n_bits": k, "method": "exact" | "approximate"}``; None reads all bits. "auto" searches for it
        together with ``n_bits``, layer by layer where that pays, and rounds approximately. Where widths are
        given or read off, it rounds only if the program could not be compiled otherwise, by the fewest bits
        that lose no more than ``tolerance`` besides.
    tolerance : float, default=None
        How far outputs may be from the float network's, for what is searched for. Of outputs with several
        columns, the share of rows whose largest one may be another; of all others, the mean square error in
        units of the variance, 1 - R². None is 0.01, and where nothing that compiles fits that, the cheapest
        setting that loses little more than the nearest is taken, with a `ToleranceWarning` that shows all.
    validation : array-like of shape (n_rows, *row), or tuple of them, default=None
        Rows that settings are measured on, best such that the network was not trained on. Without, a third
        of the inputset is held out of calibration for it, and errors count a quarter more there, as networks
        are surer of rows that they were trained on.
    p_error, global_p_error : float, default=None
        Probability in (0, 1) that one lookup, or any lookup of a row, reads a wrong cell; 2**-40 a lookup by
        default.
    configuration : concrete.fhe.Configuration, default=None
        Options of the engine; it is not modified.
    calibration : {"mse", "minmax", "percentile"}, default="mse"
        How ranges are chosen on the calibration rows: to err little in the mean square, by the extremes, or
        by the 0.1 % and 99.9 % percentiles.
    range_source : {"proven", "calibrated"}, default=None
        Whether an accumulator's interval is one that no input can leave, or the one seen on the calibration
        rows with a margin. Calibrated intervals are narrower, and lookups cheaper; rows that leave them raise
        an error wherever they are held in the clear, encrypted evaluation in this process included, and go
        unnoticed by a server that has ciphertexts alone. By default calibrated after post-training
        quantization, proven with ``import_qat``.
    margin : float, default=0.25
        What is added to each end of a calibrated interval, in units of its length; more, where the bits that
        it takes hold more.
    verbose : bool, default=False
        Say what was compiled, and show progress bars: now, and in encrypted evaluations.

    Returns
    -------
    QuantizedModule

    Raises
    ------
    UnsupportedOperatorError
        If the network has an operator that cannot be evaluated encrypted.
    ToleranceError
        If no setting that was tried stays within the tolerance; it shows them, and what is in the way.
    ValueError
        If a parameter, the calibration rows or the network do not fit.
    CompilationError
        If an accumulator is too wide for a lookup, or the engine finds no parameters; it names the layer, its
        bits and what to turn.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skfhe import compile_torch_model
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    >>> X = np.random.default_rng(0).normal(size=(200, 4))
    >>> module = compile_torch_model(net, X, n_bits=3)
    >>> module.forward(X[:5], fhe="simulate").shape
    (5, 2)
    >>> module = compile_torch_model(net, X, tolerance=0.05)
    >>> module.quantization_.taken.fits
    True
    """
    error_rate = resolve_error_rate(p_error, global_p_error, configuration)
    with showing(verbose):
        module = _torch_module(
            net,
            inputset,
            *(n_bits, import_qat or is_of_brevitas(net), rounding_threshold_bits, tolerance, validation),
            *(calibration, range_source, margin),
            error_rate=error_rate,
        )
    module.compile(
        p_error=p_error, global_p_error=global_p_error, configuration=configuration, verbose=verbose
    )
    return module


def quantize_torch_model(
    net: nn.Module,
    inputset: Any,
    n_bits: int | dict[str, int] | str = "auto",
    import_qat: bool = False,
    rounding_threshold_bits: int | dict[str, Any] | str | None = "auto",
    tolerance: float | None = None,
    validation: Any = None,
    *,
    calibration: Calibration = "mse",
    range_source: RangeSource | None = None,
    margin: float = 0.25,
) -> QuantizedModule:
    """Quantize a torch network, to be evaluated in the clear until it is compiled.

    Parameters and errors are those of `compile_torch_model`, but that the nearest setting is taken with a
    warning if none stays within the tolerance.

    Returns
    -------
    QuantizedModule
    """
    return _torch_module(
        net,
        inputset,
        *(n_bits, import_qat or is_of_brevitas(net), rounding_threshold_bits, tolerance, validation),
        *(calibration, range_source, margin),
    )


def _torch_module(
    net: nn.Module, inputset: Any, *asked: Any, error_rate: ErrorRate | None = None
) -> QuantizedModule:
    check_module(net)
    inputs, request = _asked(inputset, *asked)
    return _module(read_network(net, inputs), request, error_rate)


def compile_brevitas_qat_model(
    net: nn.Module,
    inputset: Any,
    n_bits: int | dict[str, int] | None = None,
    rounding_threshold_bits: int | dict[str, Any] | str | None = None,
    tolerance: float | None = None,
    validation: Any = None,
    p_error: float | None = None,
    global_p_error: float | None = None,
    configuration: concrete_fhe.Configuration | None = None,
    *,
    range_source: RangeSource = "proven",
    margin: float = 0.25,
    verbose: bool = False,
) -> QuantizedModule:
    """Compile a network of Brevitas layers, whose bit-widths, scales and zero points are read off.

    Every quantizer's integers equal those of the network in double precision and evaluation mode.

    Parameters
    ----------
    net : torch.nn.Module
        Layers of ``brevitas.nn`` and of torch; what reaches a linear layer must have been quantized. It is
        not modified.
    n_bits : int or dict, default=None
        Bits of what reaches a layer without having been quantized, and of weights that are not; see
        `compile_torch_model`. None refuses it. What the network quantizes is exact anyway.
    inputset, p_error, global_p_error, configuration, margin, verbose
        See `compile_torch_model`.
    rounding_threshold_bits : "auto", int, dict or None, default=None
        See `compile_torch_model`. Rounded, the integers are no longer those of the network.
    tolerance, validation
        See `compile_torch_model`; of use for "auto" alone.
    range_source : {"proven", "calibrated"}, default="proven"
        See `compile_torch_model`.

    Returns
    -------
    QuantizedModule

    Raises
    ------
    UnsupportedOperatorError, ValueError, CompilationError
        See `compile_torch_model`.

    Examples
    --------
    >>> import brevitas.nn as qnn, numpy as np, torch
    >>> from skfhe import compile_brevitas_qat_model
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(
    ...     qnn.QuantIdentity(bit_width=3),
    ...     qnn.QuantLinear(2, 4, bias=True, weight_bit_width=2),
    ...     qnn.QuantReLU(bit_width=2),
    ...     qnn.QuantLinear(4, 1, bias=True, weight_bit_width=2),
    ... )
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> module = compile_brevitas_qat_model(net, X)
    >>> exact = net.double().eval()(torch.from_numpy(X)).detach().numpy()
    >>> bool(np.allclose(module.forward(X), exact, atol=1e-5))
    True
    """
    error_rate = resolve_error_rate(p_error, global_p_error, configuration)
    with showing(verbose):
        module = _brevitas_module(
            net,
            inputset,
            *(n_bits, True, rounding_threshold_bits, tolerance, validation),
            *("mse", range_source, margin, n_bits is not None),
            error_rate=error_rate,
        )
    module.compile(
        p_error=p_error, global_p_error=global_p_error, configuration=configuration, verbose=verbose
    )
    return module


def quantize_brevitas_qat_model(
    net: nn.Module,
    inputset: Any,
    n_bits: int | dict[str, int] | None = None,
    rounding_threshold_bits: int | dict[str, Any] | str | None = None,
    tolerance: float | None = None,
    validation: Any = None,
    *,
    range_source: RangeSource = "proven",
    margin: float = 0.25,
) -> QuantizedModule:
    """Import a network of Brevitas layers, to be evaluated in the clear until it is compiled.

    Parameters and errors are those of `compile_brevitas_qat_model`.

    Returns
    -------
    QuantizedModule
    """
    return _brevitas_module(
        net,
        inputset,
        *(n_bits, True, rounding_threshold_bits, tolerance, validation),
        *("mse", range_source, margin, n_bits is not None),
    )


def _brevitas_module(
    net: nn.Module, inputset: Any, *asked: Any, error_rate: ErrorRate | None = None
) -> QuantizedModule:
    check_module(net)
    if not is_of_brevitas(net):
        raise ValueError(
            f"{type(net).__name__} has no layer or quantizer of Brevitas; compile_torch_model(net, inputset) "
            "quantizes a float network, and with import_qat=True reads quantizers of torch and torch.ao off"
        )
    return _torch_module(net, inputset, *asked, error_rate=error_rate)


def compile_onnx_model(
    onnx_model: Any,
    inputset: Any,
    n_bits: int | dict[str, int] | str = "auto",
    import_qat: bool = False,
    rounding_threshold_bits: int | dict[str, Any] | str | None = "auto",
    tolerance: float | None = None,
    validation: Any = None,
    p_error: float | None = None,
    global_p_error: float | None = None,
    configuration: concrete_fhe.Configuration | None = None,
    *,
    calibration: Calibration = "mse",
    range_source: RangeSource | None = None,
    margin: float = 0.25,
    verbose: bool = False,
) -> QuantizedModule:
    """Quantize an ONNX network and compile it for encrypted evaluation.

    Parameters
    ----------
    onnx_model : onnx.ModelProto, str or path-like
        The model, or the file that holds it. With ``import_qat`` it quantizes its own weights and values, by
        ``QuantizeLinear``, ``Clip`` and ``DequantizeLinear`` nodes or by plain arithmetic.
    inputset, n_bits, import_qat, rounding_threshold_bits, tolerance, validation
        See `compile_torch_model`.
    p_error, global_p_error, configuration
        See `compile_torch_model`.
    calibration, range_source, margin, verbose
        See `compile_torch_model`.

    Returns
    -------
    QuantizedModule

    Raises
    ------
    ImportError
        If the onnx package is not installed: ``pip install "skfhe[onnx]"``.
    UnsupportedOperatorError, ValueError, CompilationError
        See `compile_torch_model`.
    """
    error_rate = resolve_error_rate(p_error, global_p_error, configuration)
    with showing(verbose):
        module = _onnx_module(
            onnx_model,
            inputset,
            *(n_bits, import_qat, rounding_threshold_bits, tolerance, validation),
            *(calibration, range_source, margin),
            error_rate=error_rate,
        )
    module.compile(
        p_error=p_error, global_p_error=global_p_error, configuration=configuration, verbose=verbose
    )
    return module


def quantize_onnx_model(
    onnx_model: Any,
    inputset: Any,
    n_bits: int | dict[str, int] | str = "auto",
    import_qat: bool = False,
    rounding_threshold_bits: int | dict[str, Any] | str | None = "auto",
    tolerance: float | None = None,
    validation: Any = None,
    *,
    calibration: Calibration = "mse",
    range_source: RangeSource | None = None,
    margin: float = 0.25,
) -> QuantizedModule:
    """Quantize an ONNX network, to be evaluated in the clear until it is compiled.

    Parameters and errors are those of `compile_onnx_model`, but that the nearest setting is taken with a
    warning if none stays within the tolerance.

    Returns
    -------
    QuantizedModule
    """
    return _onnx_module(
        onnx_model,
        inputset,
        *(n_bits, import_qat, rounding_threshold_bits, tolerance, validation),
        *(calibration, range_source, margin),
    )


def _onnx_module(
    onnx_model: Any, inputset: Any, *asked: Any, error_rate: ErrorRate | None = None
) -> QuantizedModule:
    try:
        from skfhe.importers._onnx.reader import read_onnx
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "onnx":
            raise
        raise ImportError(
            'ONNX networks need onnx, which is not installed: pip install "skfhe[onnx]"'
        ) from error

    inputs, request = _asked(inputset, *asked)
    looks_up_outputs = request.space.given.model_outputs is not None
    return _module(read_onnx(onnx_model, inputs, looks_up_outputs), request, error_rate)


def _asked(
    inputset: Any,
    n_bits: Any,
    import_qat: bool,
    rounding_threshold_bits: Any,
    tolerance: Any,
    validation: Any,
    *options: Any,
) -> tuple[list[Tensor], Request]:
    """Return the calibration rows, and what the parameters of an entry ask for."""
    inputs = rows_of_inputs(inputset)
    return inputs, check_request(
        n_bits, import_qat, rounding_threshold_bits, tolerance, validation, inputs, *options
    )


def _module(network: NetworkBuilder, request: Request, error_rate: ErrorRate | None) -> QuantizedModule:
    """Return the quantized network; with an error rate it is to be compiled, and has to be near enough."""
    taken = timed()
    model, quantization = _quantized(network, request, error_rate)
    cost = estimate_cost(model.program, error_rate)
    log("network quantized and lowered in %s; %s", taken, cost)
    if quantization is not None and quantization.compromised:
        warnings.warn(quantization.beyond_tolerance(), ToleranceWarning, stacklevel=4)
    elif quantization is not None and quantization.too_far:
        message = quantization.beyond_tolerance()
        if error_rate is not None:
            raise ToleranceError(message)
        warnings.warn(message, UserWarning, stacklevel=4)
    approximate = any(
        isinstance(value.op, ops.Round) and value.op.method == "approximate" for value in model.plain.values
    )
    refused = cost.refusal is not None
    return QuantizedModule(
        model.encrypted_model(),
        [node.shape for node in network.inputs],
        _readable(request) if refused else _narrower(request),
        network.structure,
        quantization,
        approximate,
    )


def _quantized(
    network: NetworkBuilder, request: Request, error_rate: ErrorRate | None
) -> tuple[LoweredModel, Quantization | None]:
    """Lower a network by the setting that was given, or by the cheapest of those that were not."""
    space, options = request.space, request.options
    if error_rate is None:
        options = replace(options, widest=WIDEST_IN_THE_CLEAR)
    if not space.widths:
        try:
            with advising(_readable(request)):
                model = lowered_model(network, options.scheme(space.given), error_rate)
            evaluated_alone = error_rate is None and request.options.import_qat
            if (
                not space.rounding
                or evaluated_alone
                or estimate_cost(model.program, error_rate).refusal is None
            ):
                return model, None
        except CompilationError:
            if not space.rounding:
                raise
    with advising(_narrower(request)):
        return search(
            network, space, options, request.tolerance, request.lenient, request.validation, error_rate
        )


def _narrower(request: Request) -> str:
    """Say what makes every value narrower: the widths of a trained network are in the network."""
    if request.options.import_qat:
        return "train the network with fewer bits"
    return "raise tolerance, or give n_bits" if request.space.widths else "lower n_bits"


def _readable(request: Request) -> str:
    """Say what makes accumulators narrow enough for lookups, in terms of the entries' parameters."""
    rounding = request.space.given.rounding
    if rounding is None:
        rounded = f"round accumulators before they are looked up, rounding_threshold_bits={FEW_BITS}"
    elif rounding[0] > FEW_BITS:
        rounded = f"lower rounding_threshold_bits from {rounding[0]} to {FEW_BITS}"
    else:
        return _narrower(request)
    return f"{rounded}, or {_narrower(request)}"
