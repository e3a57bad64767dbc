"""Tensors that stay known while a network is captured, so that Python may look at them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["Known"]


class Known(Tensor):
    """A constant of a network: what is computed of such alone is computed at once, and not captured.

    torch.export runs a network on tensors without values, of which no Python condition can be taken. Scales,
    zero points and weights do not depend on the input; networks compare and combine them at will.
    """

    @classmethod
    def of(cls, tensor: Tensor) -> Known:
        """Return a tensor with its values."""
        with _disable_current_modes():
            return tensor.detach().clone().as_subclass(cls)

    def plain(self) -> Tensor:
        """Return it as any other tensor."""
        with _disable_current_modes(), torch._C.DisableTorchFunctionSubclass():
            return self.as_subclass(Tensor)

    def __deepcopy__(self, memo: dict[int, Any]) -> Known:
        return self

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = args, kwargs or {}
        tensors = [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]
        with torch._C.DisableTorchFunctionSubclass():
            with _disable_current_modes():
                own, named = tree_map(_plain, given)
            if not all(isinstance(leaf, Known) for leaf in tensors):
                return func(*own, **named)  # a constant of what is captured
            with _disable_current_modes():
                return tree_map(_known, func(*own, **named))


def _plain(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, Known) else value


def _known(value: Any) -> Any:
    return value.as_subclass(Known) if isinstance(value, Tensor) else value
