"""One network of the zoo, its rows, and how it is imported.

Networks are drawn, not trained: linear maps keep the deviation of what they read, normalizations have
statistics that matter. What a network means does not matter here, that it is read and evaluated right does.
"""

from __future__ import annotations

import collections
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from skfhe.importers import (
    QuantizedModule,
    compile_brevitas_qat_model,
    compile_onnx_model,
    compile_torch_model,
    quantize_brevitas_qat_model,
    quantize_onnx_model,
    quantize_torch_model,
)
from skfhe.importers._torch.reader import in_double_precision
from tests.importers.torch_examples import Function

__all__ = ["Import", "Network", "exported", "flat", "function", "network", "refused", "settled"]

Import = Literal["torch", "torch qat", "brevitas", "onnx", "onnx qat"]

N_ROWS = 100
RARE = 0.02
"""Rows that may be far off: next to a jump, or beyond what calibration rows reach."""


@dataclass(frozen=True)
class Network:
    """One network.

    Parameters
    ----------
    name : str
    make : callable
        Returns the network, a torch module or an ONNX model.
    shapes : tuple of tuple of int
        Shape of a row of each input.
    by : str
        The entry that imports it, and with "qat" that it quantizes itself.
    span : tuple of float
        Inputs are uniform in it.
    integers : int
        Inputs are integers below this; 0 for floats.
    bound : float
        Of the error at 8 bits: the root mean square over the original's deviation. Infinite where
        results are positions or jump, so that near is not said by a distance.
    options : dict
        What the call needs besides the network and its rows, where the defaults do not answer.
    export : callable
        Makes an ONNX model of a torch module, where torch's own exporter does not.
    rows_first : callable
        From what the network returns of many rows to one result a row, where rows do not come first.
    refusal : str
        What the error says if the network is refused truly; "" for networks that are imported.
    slow : bool
        Whether reading it takes long.
    """

    name: str
    make: Callable[[], Any]
    shapes: tuple[tuple[int, ...], ...] = ((4,),)
    by: Import = "torch"
    span: tuple[float, float] = (-1.5, 1.5)
    integers: int = 0
    bound: float = 0.1
    options: dict[str, Any] | None = None
    export: Callable[[nn.Module, list[np.ndarray]], Any] | None = None
    rows_first: Callable[[Tensor], Tensor] | None = None
    refusal: str = ""
    slow: bool = False

    @cached_property
    def made(self) -> Any:
        """The network, always the same."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made = self.make()
            return settled(made) if isinstance(made, nn.Module) and self.by in ("torch", "onnx") else made

    @cached_property
    def given(self) -> Any:
        """What is given to the entry: the module, or the ONNX model."""
        if self.by.startswith("onnx") and isinstance(self.made, nn.Module):
            return (self.export or exported)(self.made, [x[:2] for x in self.rows()])
        return self.made

    def rows(self, seed: int = 0, n_rows: int = N_ROWS) -> tuple[np.ndarray, ...]:
        """Draw rows for each input."""
        rng = np.random.default_rng(seed)
        if self.integers:
            return tuple(rng.integers(0, self.integers, (n_rows, *shape)) for shape in self.shapes)
        return tuple(rng.uniform(*self.span, (n_rows, *shape)) for shape in self.shapes)

    def expected(self, rows: tuple[np.ndarray, ...]) -> Any:
        """Return what the network itself makes of rows: arrays of float64, in what it returns them in."""
        if not isinstance(self.made, nn.Module):
            from tests.importers.onnx_runtime import runtime

            results = runtime(self.made, rows)
            return results[0] if len(results) == 1 else tuple(results)
        tensors = [torch.from_numpy(x.copy()) for x in rows]
        with torch.no_grad():
            try:
                found = in_double_precision(self.made)(*(x if self.integers else x.double() for x in tensors))
            except RuntimeError:  # torch's own quantizers know single precision alone
                found = self.made.eval()(*(x if self.integers else x.float() for x in tensors))
        return found if self.rows_first is None else self.rows_first(found)

    def quantize(self, **options: Any) -> QuantizedModule:
        """Import the network, to be evaluated in the clear."""
        entries = {
            "torch": quantize_torch_model,
            "brevitas": quantize_brevitas_qat_model,
            "onnx": quantize_onnx_model,
        }
        return self._call(entries, options)

    def compile(self, **options: Any) -> QuantizedModule:
        """Import the network and compile it."""
        entries = {
            "torch": compile_torch_model,
            "brevitas": compile_brevitas_qat_model,
            "onnx": compile_onnx_model,
        }
        return self._call(entries, options)

    def _call(self, entries: dict[str, Callable[..., QuantizedModule]], options: dict[str, Any]) -> Any:
        kind, _, qat = self.by.partition(" ")
        trains: dict[str, Any] = {"import_qat": True} if qat else {}
        rows = self.rows()
        return entries[kind](self.given, rows, **(trains | (self.options or {}) | options))


def network(name: str, make: Callable[..., Any], *shapes: tuple[int, ...], **options: Any) -> Network:
    """Return a network that ``make`` returns, or a function of tensors that is one itself."""
    return Network(name, make, shapes or ((4,),), **options)


def refused(name: str, make: Callable[..., Any], *shapes: tuple[int, ...], why: str, **options: Any):
    """Return a network that is refused for a reason."""
    return network(name, make, *shapes, refusal=why, **options)


def function(call: Callable[..., Any]) -> Callable[[], nn.Module]:
    """Return what makes a network of a function of tensors."""
    return lambda: Function(call)


def flat(results: Any) -> list[np.ndarray]:
    """Return the arrays of what a network returns, in order, as floats."""
    if isinstance(results, dict | collections.OrderedDict):
        return [array for value in results.values() for array in flat(value)]
    if isinstance(results, tuple | list):
        return [array for value in results for array in flat(value)]
    value = getattr(results, "value", results) if hasattr(results, "scale") else results
    return [value.detach().double().numpy() if isinstance(value, Tensor) else np.asarray(value, np.float64)]


def settled(net: nn.Module) -> nn.Module:
    """Scale weights so that values keep their deviation, and give normalizations statistics."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            with torch.no_grad():
                module.weight.mul_(3**0.5)
    return net


def exported(net: nn.Module, rows: list[np.ndarray], **options: Any) -> Any:
    """Export a torch network to ONNX, for any number of rows."""
    import onnx

    names = [f"x{index}" for index in range(len(rows))]
    tensors = tuple(torch.as_tensor(x, dtype=torch.float32) for x in rows)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(
            net.float().eval(),
            tensors,
            file,
            dynamo=False,
            input_names=names,
            dynamic_axes={name: {0: "n"} for name in names},
            **options,
        )
    return onnx.load_from_string(file.getvalue())
