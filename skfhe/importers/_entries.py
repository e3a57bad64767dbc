"""The entries: from a user's network and calibration rows to a quantized module."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from numbers import Integral
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor, nn

from skfhe._parameters import check_rounding
from skfhe._typing import RangeSource
from skfhe.cost import ErrorRate, advising, estimate_cost, resolve_error_rate
from skfhe.encoding import AffineEncoder, OutputDecoders, TailDecoder, as_floats
from skfhe.encrypted_model import EncryptedModel
from skfhe.importers._quantized_module import QuantizedModule
from skfhe.importers._torch.networks import is_of_brevitas, read_network
from skfhe.network import Calibration, Emitter, NetworkBuilder, PostTraining, Scheme, Trained, lower_network
from skfhe.passes import drop_unused_values, narrow_lookups, optimize, round_constant_cells
from skfhe.program import Program, ops

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

MAX_BITS = 16
FEW_BITS = 6
"""What rounding to is suggested: lookups of so many bits are quick."""


def compile_torch_model(
    net: nn.Module,
    inputset: Any,
    n_bits: int | dict[str, int] = 8,
    import_qat: bool = False,
    rounding_threshold_bits: int | dict[str, Any] | None = None,
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
    n_bits : int or dict, default=8
        Bits of inputs, values and weights, or each in ``{"model_inputs": …, "op_inputs": …, "op_weights": …,
        "model_outputs": …}``; of those left out, weights and model inputs take the bits of ``op_inputs``.
        "model_outputs" has the network's last function looked up under encryption, to so many bits; without
        it, what follows the last accumulator is computed from the decrypted integers.
    import_qat : bool, default=False
        Whether the network quantizes its own weights and values, by rounding to multiples of scales. They are
        then read off, and ``n_bits`` is of use for inputs alone that reach a layer unquantized.
    rounding_threshold_bits : int or dict, default=None
        Bits that accumulators are rounded to before they are looked up, or
        ``{"n_bits": k, "method": "exact" | "approximate"}``.
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
        Say what was compiled, and show a progress bar in encrypted evaluations.

    Returns
    -------
    QuantizedModule

    Raises
    ------
    UnsupportedOperatorError
        If the network has an operator that cannot be evaluated encrypted.
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
    """
    error_rate = resolve_error_rate(p_error, global_p_error, configuration)
    import_qat = import_qat or is_of_brevitas(net)
    scheme = _scheme(n_bits, import_qat, rounding_threshold_bits, calibration, range_source, margin)
    module = _torch_module(net, inputset, scheme, error_rate)
    module.compile(
        p_error=p_error, global_p_error=global_p_error, configuration=configuration, verbose=verbose
    )
    return module


def quantize_torch_model(
    net: nn.Module,
    inputset: Any,
    n_bits: int | dict[str, int] = 8,
    import_qat: bool = False,
    rounding_threshold_bits: int | dict[str, Any] | None = None,
    *,
    calibration: Calibration = "mse",
    range_source: RangeSource | None = None,
    margin: float = 0.25,
) -> QuantizedModule:
    """Quantize a torch network, to be evaluated in the clear until it is compiled.

    Parameters and errors are those of `compile_torch_model`.

    Returns
    -------
    QuantizedModule
    """
    import_qat = import_qat or is_of_brevitas(net)
    scheme = _scheme(n_bits, import_qat, rounding_threshold_bits, calibration, range_source, margin)
    return _torch_module(net, inputset, scheme)


def _torch_module(
    net: nn.Module, inputset: Any, scheme: Scheme, error_rate: ErrorRate | None = None
) -> QuantizedModule:
    _check_module(net)
    return _module(read_network(net, _inputs(inputset)), scheme, error_rate)


def compile_brevitas_qat_model(
    net: nn.Module,
    inputset: Any,
    n_bits: int | dict[str, int] | None = None,
    rounding_threshold_bits: int | dict[str, Any] | None = None,
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
    inputset, rounding_threshold_bits, p_error, global_p_error, configuration, margin, verbose
        See `compile_torch_model`.
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
    scheme = _scheme(n_bits, True, rounding_threshold_bits, "mse", range_source, margin)
    scheme = _mixed(scheme, n_bits)
    module = _brevitas_module(net, inputset, scheme, error_rate)
    module.compile(
        p_error=p_error, global_p_error=global_p_error, configuration=configuration, verbose=verbose
    )
    return module


def quantize_brevitas_qat_model(
    net: nn.Module,
    inputset: Any,
    n_bits: int | dict[str, int] | None = None,
    rounding_threshold_bits: int | dict[str, Any] | None = None,
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
    scheme = _scheme(n_bits, True, rounding_threshold_bits, "mse", range_source, margin)
    scheme = _mixed(scheme, n_bits)
    return _brevitas_module(net, inputset, scheme)


def _mixed(scheme: Scheme, n_bits: int | dict[str, int] | None) -> Scheme:
    """Return a trained network's scheme that quantizes what the network does not, if ``n_bits`` are given."""
    if n_bits is None:
        return scheme
    post_training = _scheme(n_bits, False, None, "mse", None, 0.0)
    assert isinstance(post_training, PostTraining)
    post_training.emitter = scheme.emitter
    return Trained(scheme.emitter, post_training.model_inputs, post_training)


def _brevitas_module(
    net: nn.Module, inputset: Any, scheme: Scheme, error_rate: ErrorRate | None = None
) -> QuantizedModule:
    _check_module(net)
    if not is_of_brevitas(net):
        raise ValueError(
            f"{type(net).__name__} has no layer or quantizer of Brevitas; compile_torch_model(net, inputset) "
            "quantizes a float network, and with import_qat=True reads quantizers of torch and torch.ao off"
        )
    return _torch_module(net, inputset, scheme, error_rate)


def compile_onnx_model(
    onnx_model: Any,
    inputset: Any,
    n_bits: int | dict[str, int] = 8,
    import_qat: bool = False,
    rounding_threshold_bits: int | dict[str, Any] | None = None,
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
    inputset, n_bits, import_qat, rounding_threshold_bits, p_error, global_p_error, configuration
        See `compile_torch_model`.
    calibration, range_source, margin, verbose
        See `compile_torch_model`.

    Returns
    -------
    QuantizedModule

    Raises
    ------
    ImportError
        If the onnx package is not installed: ``pip install skfhe[onnx]``.
    UnsupportedOperatorError, ValueError, CompilationError
        See `compile_torch_model`.
    """
    error_rate = resolve_error_rate(p_error, global_p_error, configuration)
    scheme = _scheme(n_bits, import_qat, rounding_threshold_bits, calibration, range_source, margin)
    module = _onnx_module(onnx_model, inputset, scheme, error_rate)
    module.compile(
        p_error=p_error, global_p_error=global_p_error, configuration=configuration, verbose=verbose
    )
    return module


def quantize_onnx_model(
    onnx_model: Any,
    inputset: Any,
    n_bits: int | dict[str, int] = 8,
    import_qat: bool = False,
    rounding_threshold_bits: int | dict[str, Any] | None = None,
    *,
    calibration: Calibration = "mse",
    range_source: RangeSource | None = None,
    margin: float = 0.25,
) -> QuantizedModule:
    """Quantize an ONNX network, to be evaluated in the clear until it is compiled.

    Parameters and errors are those of `compile_onnx_model`.

    Returns
    -------
    QuantizedModule
    """
    scheme = _scheme(n_bits, import_qat, rounding_threshold_bits, calibration, range_source, margin)
    return _onnx_module(onnx_model, inputset, scheme)


def _onnx_module(
    onnx_model: Any, inputset: Any, scheme: Scheme, error_rate: ErrorRate | None = None
) -> QuantizedModule:
    try:
        from skfhe.importers._onnx.reader import read_onnx
    except ImportError as error:
        raise ImportError("ONNX networks need the onnx package: pip install skfhe[onnx]") from error

    return _module(read_onnx(onnx_model, _inputs(inputset)), scheme, error_rate)


def _module(network: NetworkBuilder, scheme: Scheme, error_rate: ErrorRate | None = None) -> QuantizedModule:
    again = deepcopy(scheme)
    with advising(_readable(scheme)):
        lowered = lower_network(network, scheme)
        program, doubled = _cheapest(optimize(lowered.program), error_rate)
        if scheme.emitter.freed_cells and not _counts_modulo(program):
            again.emitter.frees_cells = False
            lowered = lower_network(network, again)
            program, doubled = _cheapest(optimize(lowered.program), error_rate)
    encoder = AffineEncoder(lowered.quantizers)
    decoders = [each.of_doubled(times) for each, times in zip(lowered.decoders, doubled, strict=True)]
    decoder = OutputDecoders(decoders) if lowered.tail is None else TailDecoder(decoders, lowered.tail)
    model = EncryptedModel(encoder, program, decoder)
    shapes = [node.shape for node in network.inputs]
    return QuantizedModule(model, shapes, _narrower(scheme), network.structure)


def _counts_modulo(program: Program) -> bool:
    return any(isinstance(value.op, ops.Modulo) for value in program.values)


def _cheapest(program: Program, error_rate: ErrorRate | None) -> tuple[Program, tuple[int, ...]]:
    """Return the program with its lookups as cheap as can be, and how often each output is doubled.

    What clears the low bits of an accumulator leaves nothing to narrow, and the other way round.
    """
    cleared = optimize(program, [round_constant_cells])
    narrow, doubled = narrow_lookups(program, error_rate)
    if narrow is not program:
        narrow = optimize(narrow, [drop_unused_values, round_constant_cells])
        if estimate_cost(narrow, error_rate).seconds < estimate_cost(cleared, error_rate).seconds:
            return narrow, doubled
    return cleared, (0,) * len(doubled)


def _narrower(scheme: Scheme) -> str:
    """Say what makes every value narrower: the widths of a trained network are in the network."""
    return "train the network with fewer bits" if isinstance(scheme, Trained) else "lower n_bits"


def _readable(scheme: Scheme) -> str:
    """Say what makes accumulators narrow enough for lookups, in terms of the entries' parameters."""
    rounding = scheme.emitter.rounding
    if rounding is None:
        rounded = f"round accumulators before they are looked up, rounding_threshold_bits={FEW_BITS}"
    elif rounding[0] > FEW_BITS:
        rounded = f"lower rounding_threshold_bits from {rounding[0]} to {FEW_BITS}"
    else:
        return _narrower(scheme)
    return f"{rounded}, or {_narrower(scheme)}"


def _check_module(net: Any) -> None:
    if isinstance(net, torch.jit.ScriptModule):
        raise TypeError(
            f"the network is a torch.jit.{type(net).__name__}, which torch.export does not capture; give the "
            "torch.nn.Module that it was scripted or traced from, or save it with "
            "torch.onnx.export(net, args, path, dynamo=False) and use compile_onnx_model"
        )
    if not isinstance(net, nn.Module):
        raise TypeError(f"the network must be a torch.nn.Module, got {type(net).__name__}")


def _inputs(inputset: Any) -> list[Tensor]:
    """Return the calibration rows of each input, checked."""
    given: Sequence[Any] = inputset if isinstance(inputset, tuple) else (inputset,)
    if not given:
        raise ValueError("inputset is an empty tuple; give one array for each input of the network")
    arrays = [as_floats(values, f"inputset[{index}]") for index, values in enumerate(given)]
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"all inputs of the inputset must have the same number of rows, got {lengths}")
    if lengths[0] == 0:
        raise ValueError("inputset has no rows; give some that represent the data, a few hundred at best")
    return [torch.from_numpy(array) for array in arrays]


def _scheme(
    n_bits: int | dict[str, int] | None,
    import_qat: bool,
    rounding_threshold_bits: int | dict[str, Any] | None,
    calibration: Calibration,
    range_source: RangeSource | None,
    margin: float,
) -> Scheme:
    if calibration not in get_args(Calibration):
        raise ValueError(
            f"calibration must be one of {', '.join(get_args(Calibration))}, got {calibration!r}"
        )
    range_source = range_source or ("proven" if import_qat else "calibrated")
    if range_source not in get_args(RangeSource):
        raise ValueError(f'range_source must be "proven" or "calibrated", got {range_source!r}')
    if not isinstance(margin, int | float) or not 0 <= margin < float("inf"):
        raise ValueError(f"margin must be a finite number of at least 0, got {margin!r}")
    widths = _bit_widths(n_bits)
    emitter = Emitter(range_source, float(margin), check_rounding(rounding_threshold_bits))
    if import_qat:
        return Trained(emitter, None if widths is None else widths["model_inputs"])
    assert widths is not None
    return PostTraining(
        emitter,
        widths["model_inputs"],
        widths["op_inputs"],
        widths["op_weights"],
        widths.get("model_outputs"),
        calibration,
    )


def _bit_widths(n_bits: Any) -> dict[str, int] | None:
    """Return the bits of each kind of value."""
    if n_bits is None:
        return None
    kinds = ("model_inputs", "op_inputs", "op_weights", "model_outputs")
    given = n_bits if isinstance(n_bits, dict) else {"op_inputs": n_bits}
    valid = all(
        isinstance(v, Integral) and not isinstance(v, bool) and 1 <= int(v) <= MAX_BITS
        for v in given.values()
    )
    if not given or set(given) - set(kinds) or not valid:
        raise ValueError(
            f"n_bits must be an int in [1, {MAX_BITS}], or a dict of such with some of the keys "
            f"{', '.join(kinds)}, got {n_bits!r}"
        )
    widths = {name: int(bits) for name, bits in given.items()}
    default = widths.get("op_inputs", max(widths.values()))
    return dict.fromkeys(kinds[:3], default) | widths
