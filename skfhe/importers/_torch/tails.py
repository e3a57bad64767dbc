"""What of a torch network runs after decryption, as far as its graph tells, and what it returns.

Operators from which no layer with weights can be reached form the tail. There, those that cannot be
evaluated encrypted, or not cheaply, are left to whoever decrypts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from skfhe.encoding import Structure
from skfhe.importers._torch.handlers import map_leaves
from skfhe.network import NetworkBuilder, Node, after_decryption

__all__ = ["COMBINING", "Tail", "computed_after_decryption", "structure_of"]

_WEIGHTED = ("linear", "addmm", "baddbmm", "addbmm", "mm", "matmul", "bmm", "mv", "conv", "embedding")
"""How operators are called that have weights, unless all their arguments depend on the network's inputs."""
_SUMS = ("sum", "mean", "cumsum", "avg_pool", "adaptive_avg", "dot", "inner", "einsum", "tensordot", "cdist")
"""How operators are called that add up elements: they leave something to be evaluated encrypted, too."""
_QUANTIZERS = ("quantize", "fake_quantize")
_RECURRENT = ("lstm", "gru", "rnn")
COMBINING = frozenset(
    (
        *("softmax", "_softmax", "log_softmax", "_log_softmax", "_safe_softmax", "logsumexp"),
        *("argmax", "argmin", "argsort", "sort", "topk", "kthvalue", "median", "one_hot"),
        *("linalg_vector_norm", "norm", "frobenius_norm", "linalg_norm", "cosine_similarity", "cdist"),
        *("var", "std", "var_mean", "std_mean", "prod", "cumprod", "cummax", "cummin"),
        *("layer_norm", "group_norm", "rms_norm", "scaled_dot_product_attention"),
    )
)
"""Operators on several elements that are left to whoever decrypts wherever they stand in a tail."""


class Tail:
    """The nodes of an exported graph that no layer with weights depends on, and that depend on some sum.

    Parameters
    ----------
    graph : torch.fx.Graph
    inputs : frozenset of str
        Names of the nodes that are the network's inputs.
    """

    def __init__(self, graph: Any, inputs: frozenset[str]) -> None:
        depends: set[Any] = set()
        self._after_weights: set[Any] = set()
        self._after_sums: set[Any] = set()
        weighted: set[Any] = set()
        for node in graph.nodes:
            before = node.all_input_nodes
            if node.name in inputs or any(a in depends for a in before):
                depends.add(node)
            if node.op == "call_function" and _has_weights(node, depends):
                weighted.add(node)
            if node in weighted or any(a in self._after_weights for a in before):
                self._after_weights.add(node)
            if any(a in self._after_sums or a in weighted or _is_sum(a) for a in before):
                self._after_sums.add(node)
        self._before_weights: set[Any] = set()
        for node in reversed(graph.nodes):
            if node in weighted or any(user in self._before_weights for user in node.users):
                self._before_weights.add(node)

    def __contains__(self, node: Any) -> bool:
        return node not in self._before_weights and node in self._after_sums

    def combines(self, node: Any, name: str) -> bool:
        """Whether an operator is left to whoever decrypts though it might be evaluated encrypted."""
        if node in self._before_weights or node not in self._after_weights:
            return False
        if name in ("max", "min"):  # their positions
            return any(user.args[1:] == (1,) for user in node.users if user.name.startswith("getitem"))
        return name in COMBINING


def _has_weights(node: Any, depends: set[Any]) -> bool:
    name = _name(node.target)
    if name.startswith(_QUANTIZERS):
        return True
    if name.startswith(_RECURRENT):
        return True
    if not name.startswith(_WEIGHTED) or node not in depends:
        return False
    return any(argument not in depends for argument in node.all_input_nodes)


def _is_sum(node: Any) -> bool:
    return node.op == "call_function" and _name(node.target).startswith((*_WEIGHTED, *_SUMS))


def _name(target: Any) -> str:
    schema = getattr(target, "_schema", None)
    return schema.name.split("::")[1] if schema is not None else str(getattr(target, "__name__", target))


def computed_after_decryption(
    build: NetworkBuilder, node: Any, args: Any, kwargs: Any, values: Mapping[Any, Any]
) -> Any:
    """Append an operator as what whoever decrypts computes.

    Parameters
    ----------
    build : NetworkBuilder
    node : torch.fx.Node
    args, kwargs
        What it is called with, nodes of the network among it.
    values : mapping
        What each node of the graph is.

    Returns
    -------
    Node, or list of Node if the operator returns several tensors

    Raises
    ------
    UnsupportedOperatorError
        If it has no counterpart there either.
    """
    dtypes = {
        values[argument]: argument.meta["val"].dtype
        for argument in node.all_input_nodes
        if isinstance(values.get(argument), Node)
    }
    call = _one_hot if _name(node.target) == "one_hot" else node.target

    def function(*floats: Tensor) -> Any:
        given = {
            value: x if dtype.is_floating_point else x.to(dtype)
            for (value, dtype), x in zip(dtypes.items(), floats, strict=True)
        }
        own, named = map_leaves((args, kwargs), lambda x: given[x] if isinstance(x, Node) else x)
        return call(*own, **named)

    return after_decryption(build, function, *dtypes)


def _one_hot(positions: Tensor, n_classes: int = -1) -> Tensor:
    if n_classes < 0:
        raise ValueError("one_hot needs num_classes")
    return (positions.unsqueeze(-1) == torch.arange(n_classes)).to(torch.int64)


def structure_of(spec: Any, leaves: Iterator[Any]) -> Structure | None:
    """Return what a network returns, by how torch describes it.

    Parameters
    ----------
    spec : torch.utils._pytree.TreeSpec
    leaves : iterator
        Of the graph's outputs.

    Returns
    -------
    Structure or None
        None for containers of another kind than dictionaries, lists and tuples: what is in them is returned
        in a tuple then.
    """
    if spec.is_leaf():
        return Structure("value" if isinstance(next(leaves), torch.fx.Node) else "nothing")
    children = spec.children() if hasattr(spec, "children") else spec.children_specs  # before torch 2.9
    parts = [structure_of(part, leaves) for part in children]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    kind, context = spec.type, spec.context
    if kind is tuple:
        return Structure("tuple", parts=known)
    if kind is list:
        return Structure("list", parts=known)
    if hasattr(context, "_fields"):
        return Structure("named tuple", context.__name__, tuple(context._fields), known)
    keys = _keys(kind, context)
    return None if keys is None else Structure("dict", keys=keys, parts=known)


def _keys(kind: Any, context: Any) -> tuple[str, ...] | None:
    """Return the keys of a dictionary, if that is what is meant and they are texts."""
    if not (isinstance(kind, type) and issubclass(kind, dict)):
        return None
    while isinstance(context, list | tuple) and context and isinstance(context[-1], list | tuple):
        context = context[-1]  # of a defaultdict, after what makes its defaults
    found = tuple(context) if isinstance(context, list | tuple) else ()
    return found if all(isinstance(key, str) for key in found) else None
