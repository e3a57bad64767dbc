"""torch networks of all origins: plain ones, Brevitas', and those of torch.ao."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from skfhe.importers._torch.reader import in_double_precision, read_torch
from skfhe.importers._torch.torch_ao import has_ao_quantizers, observing_no_more, with_quantizers
from skfhe.network import NetworkBuilder

__all__ = ["is_of_brevitas", "read_network"]


def is_of_brevitas(net: Any) -> bool:
    """Whether what should be a network has layers or quantizers of Brevitas."""
    if "brevitas" not in sys.modules or not isinstance(net, nn.Module):
        return False
    from skfhe.importers._torch.brevitas import has_brevitas_layers

    return has_brevitas_layers(net)


def read_network(net: nn.Module, inputs: Sequence[Tensor]) -> NetworkBuilder:
    """Read a torch network, whatever quantizes it.

    Parameters
    ----------
    net : nn.Module
        It is not modified.
    inputs : sequence of Tensor, each of shape (n_rows, …)
        Calibration rows.

    Returns
    -------
    NetworkBuilder

    Raises
    ------
    UnsupportedOperatorError, ValueError
        See `skfhe.importers._torch.reader.read_torch`.
    """
    double = in_double_precision(net)
    if is_of_brevitas(net):
        from skfhe.importers._torch.brevitas import capturable

        captured, quantizers = capturable(double, inputs)
        return read_torch(captured, inputs, quantizers, double)
    if has_ao_quantizers(net):
        captured, quantizers = with_quantizers(observing_no_more(double))
        return read_torch(captured, inputs, quantizers, double)
    return read_torch(double, inputs)
