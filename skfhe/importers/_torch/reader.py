"""torch networks, captured by torch.export, as float networks."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import OutputKind
from torch.nn.utils.prune import BasePruningMethod
from torch.utils._pytree import tree_leaves

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers._handlers import Handler
from skfhe.importers._operators import ELEMENTWISE, MOVEMENT
from skfhe.importers._replacements import advice
from skfhe.importers._torch.handlers import (
    FAKE_QUANTIZERS,
    HANDLERS,
    POSITIONS,
    fake_quantizer,
    in_double,
    map_leaves,
)
from skfhe.network import EXAMPLE_ROWS, NO_OPERATOR, NetworkBuilder, Node, Quantize, layers, unsupported

__all__ = ["capture", "in_double_precision", "read_torch"]

_KINDS = {
    **dict.fromkeys(("maximum", "max", "fmax"), "maximum"),
    **dict.fromkeys(("minimum", "min", "fmin"), "minimum"),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "not_equal"), "compare"),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal"), "compare"),
}
"""Functions of two values for which there are cheaper ways than for any function; see `Elementwise`."""
TOLERANCE = 1e-3
MOST_FAR = 0.2
"""How far the network that was read may be from the original, and how many elements may be further away."""
_SHAPE_ONLY = frozenset(
    (
        *("zeros_like", "ones_like", "full_like", "empty_like"),
        *("new_zeros", "new_ones", "new_full", "new_empty", "fill", "zero"),
    )
)
_SHAPED_AS = frozenset(["view_as", "reshape_as", "expand_as"])
_WITHOUT_RESULT = frozenset({"_assert_tensor_metadata", "_assert_async", "sym_constrain_range_for_size"})
_LINEAR_MAPS = frozenset(
    (
        *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "upsample_linear1d", "upsample_bilinear2d"),
        *("conv_transpose1d", "conv_transpose2d", "convolution", "cumsum"),
    )
)
_BITWISE = frozenset(
    ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "__and__", "__or__", "__xor__"]
)
_PARTS_OF_LAYERS = ("brevitas.proxy", "brevitas.core", "skfhe.importers._torch.brevitas")
_LIBRARIES = ("torch.nn.modules", "torch.ao.nn", "brevitas.nn", "skfhe.importers")
"""Whose modules are layers that users know by their place in the network."""


def in_double_precision(net: nn.Module) -> nn.Module:
    """Return a copy of ``net`` on the CPU, in double precision and evaluation mode, without pruning hooks."""
    for module in net.modules():  # what pruning computed last may hang on a graph, which does not copy
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                pruned = hook.apply_mask(module).detach()
                setattr(module, hook._tensor_name, pruned)
    copied = copy.deepcopy(net)
    for module in copied.modules():
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, BasePruningMethod):
                torch.nn.utils.prune.remove(module, hook._tensor_name)
    return copied.to("cpu").double().eval()


def read_torch(
    net: nn.Module,
    inputs: Sequence[Tensor],
    quantizers: Sequence[Quantize] = (),
    original: nn.Module | None = None,
) -> NetworkBuilder:
    """Read a torch network.

    Parameters
    ----------
    net : nn.Module
        In double precision and evaluation mode.
    inputs : sequence of Tensor, each of shape (n_rows, …)
        Calibration rows.
    quantizers : sequence of Quantize
        What the calls of ``skfhe::quantize`` in the network stand for.
    original : nn.Module, optional
        The network that ``net`` stands for, by default itself; what was read is compared with it.

    Returns
    -------
    NetworkBuilder

    Raises
    ------
    UnsupportedOperatorError
    ValueError
        If torch cannot export the network, or its result for a row depends on how many rows there are.
    """
    with torch.no_grad():
        build = _Reader(net, capture(net, inputs), inputs, quantizers).read()
        _compare(build, original or net, inputs)
    return build


def _compare(build: NetworkBuilder, net: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Compare what was read with the network itself, on another number of rows than it was captured on.

    Numbers of rows that the network computes with were captured as constants. A few elements may differ
    anyway, where a quantizer is undecided.
    """
    picked = torch.arange(EXAMPLE_ROWS + 2) % len(inputs[0])
    for dtype in (torch.float64, torch.float32):
        called = net if dtype == torch.float64 else copy.deepcopy(net).to(dtype)
        try:
            result = called(*(x.to(dtype)[picked] for x in inputs))
        except (RuntimeError, TypeError):  # tensors of its own in single precision
            continue
        break
    else:
        return
    plain = [getattr(leaf, "value", leaf) for leaf in tree_leaves(result, is_leaf=_is_quantized)]
    tensors = [leaf.double() for leaf in plain if isinstance(leaf, Tensor)]
    if len(tensors) != len(build.outputs):
        return
    for exact, output in zip(tensors, build.outputs, strict=True):
        found = output.reference[picked]
        far = torch.ones(1)
        if exact.shape == found.shape:
            far = (exact - found).abs() > TOLERANCE * exact.abs().max().clamp(min=1e-12)
        if far.double().mean() > MOST_FAR:
            raise ValueError(
                f"{type(net).__name__} computes something else for {len(picked)} rows than for "
                f"{EXAMPLE_ROWS}; its result for a row may not depend on other rows, or on their number"
            )


def _is_quantized(value: Any) -> bool:
    return hasattr(value, "value") and hasattr(value, "scale")


def capture(net: nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Return what torch.export captures of a network, without operators that write in place.

    A network may have tensors or casts of its own in single precision, which do not multiply double ones.
    """
    for dtype in (torch.float64, torch.float32):
        examples = tuple(x.to(dtype)[torch.arange(EXAMPLE_ROWS) % len(x)] for x in inputs)
        called = net if dtype == torch.float64 else copy.deepcopy(net).to(dtype)
        try:
            exported = torch.export.export(called, examples, strict=False)
            return exported.run_decompositions({}) if _writes_in_place(exported) else exported
        except Exception as error:
            failure = error
    reason = next(iter(str(failure).splitlines()), type(failure).__name__)
    raise ValueError(
        f"torch.export could not capture {type(net).__name__}: {reason.rstrip('. ')}; the network must be a "
        "torch.nn.Module whose control flow does not depend on the data, called with one tensor an input"
    ) from failure


def _writes_in_place(exported: Any) -> bool:
    calls = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    return any(
        target._schema.is_mutable and _base_name(target) != "detach_" for target in calls if _is_aten(target)
    )


def _is_aten(target: Any) -> bool:
    return hasattr(target, "_schema")


class _Reader:
    """Walks over an exported graph."""

    def __init__(
        self, net: nn.Module, exported: Any, inputs: Sequence[Tensor], quantizers: Sequence[Quantize]
    ) -> None:
        self.exported, self.quantizers = exported, quantizers
        signature = exported.graph_signature
        self.build = NetworkBuilder(inputs, list(signature.user_inputs)[: len(inputs)])
        self.values: dict[Any, Any] = {}
        tensors = {**exported.state_dict, **exported.constants}
        tensors |= dict(net.named_parameters(remove_duplicate=False))
        tensors |= dict(net.named_buffers(remove_duplicate=False))
        self.constants = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        self.constants = {name: tensors[target] for name, target in self.constants.items()}

    def read(self) -> NetworkBuilder:
        given = dict(zip(self.exported.graph_signature.user_inputs, self.build.inputs, strict=False))
        for node in self.exported.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = given[node.name] if node.name in given else self._constant(node.name)
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "output":
                self._outputs(node)
        return self.build

    def _constant(self, name: str) -> Any:
        return in_double(self.constants.get(name))

    def _outputs(self, node: Any) -> None:
        specified = self.exported.graph_signature.output_specs
        for argument, output in zip(node.args[0], specified, strict=True):
            if output.kind != OutputKind.USER_OUTPUT or not isinstance(argument, torch.fx.Node):
                continue
            value = self.values[argument]
            if value is POSITIONS:
                raise _positions_of_extrema(argument)
            if not isinstance(value, Node):
                raise ValueError(
                    f"output {argument.name!r} does not depend on the network's input; leave it out"
                )
            self.build.outputs.append(value)
        if not self.build.outputs:
            raise ValueError("the network returns no tensor that depends on its input")

    def _call(self, node: Any) -> Any:
        args = torch.fx.map_arg(node.args, lambda n: self.values[n])
        kwargs = torch.fx.map_arg(node.kwargs, lambda n: self.values[n])
        if node.target is operator.getitem:
            return args[0][args[1]]
        name = _base_name(node.target)
        self.build.at(name.strip("_"), _label(node))
        leaves = _flatten((args, kwargs))
        if any(x is POSITIONS for x in leaves):
            raise _positions_of_extrema(node)
        nodes = [x for x in leaves if isinstance(x, Node)]
        if name in _WITHOUT_RESULT:
            return None
        if not nodes:
            if name not in HANDLERS and torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
                raise self.build.unsupported("its results are random", "a constant")
            return _of_constants(name, node.target, args, kwargs)
        if name == "sym_size":
            return args[0].shape[args[1] - 1] if args[1] else EXAMPLE_ROWS
        call = node.target
        if name == "add" and node.meta["val"].dtype == torch.bool:
            name, call = "logical_or", torch.logical_or
        if name in _BITWISE:
            call = partial(_bitwise, call, node.meta["val"].dtype)
        return self._of_encrypted(name, call, args, kwargs, nodes)

    def _of_encrypted(self, name: str, call: Handler, args: Any, kwargs: Any, nodes: list[Node]) -> Any:
        build = self.build
        if name == "quantize" and _namespace(call) == "skfhe":
            return build.add(self.quantizers[args[1]], args[0])
        if name in _SHAPE_ONLY or (name in _SHAPED_AS and not isinstance(args[0], Node)):
            example = torch.zeros(EXAMPLE_ROWS, *nodes[0].shape, dtype=torch.float64)
            return in_double(call(*_put(args, example), **kwargs))
        if name in HANDLERS:
            result = HANDLERS[name](build, *args, **kwargs)
            if result is not None:
                return result
        first_alone = len(nodes) == 1 and nodes[0] is args[0]
        if name in _LINEAR_MAPS and first_alone:
            return layers.linear_map(build, nodes[0], lambda rows: call(rows, *args[1:], **kwargs))
        if name in MOVEMENT["torch"]:
            if not first_alone:
                raise build.unsupported("its positions are encrypted", "one-hot rows and matmul")
            return build.move(nodes[0], lambda rows: call(rows, *args[1:], **kwargs))
        if name in ELEMENTWISE["torch"]:
            return self._elementwise(name, call, args, kwargs, nodes)
        raise build.unsupported(NO_OPERATOR, advice(name, "torch"))

    def _elementwise(self, name: str, call: Handler, args: Any, kwargs: Any, nodes: list[Node]) -> Node:
        distinct = list(dict.fromkeys(nodes))
        rank = max(len(node.shape) for node in distinct)
        widest = next(node for node in distinct if len(node.shape) == rank)

        def constant(value: Any) -> Any:
            if isinstance(value, Tensor):
                value = self.build.row_constant(value, widest)
                return value.double() if value.is_floating_point() else value
            return value

        args, kwargs = map_leaves((args, kwargs), constant)

        def function(*floats: Tensor) -> Tensor:
            given = dict(zip(distinct, floats, strict=True))
            own, named = map_leaves(
                (args, kwargs), lambda value: given.get(value, value) if isinstance(value, Node) else value
            )
            return call(*own, **named)

        if len(distinct) == 1:
            return self.build.univariate(distinct[0], function)
        each_once = nodes == list(args[: len(nodes)]) and len(nodes) == len(distinct)
        kind = _KINDS.get(name, "") if each_once else ""
        return self.build.elementwise(function, *distinct, kind=kind)


def _base_name(target: Any) -> str:
    schema = getattr(target, "_schema", None)
    return schema.name.split("::")[1] if schema is not None else getattr(target, "__name__", str(target))


def _namespace(target: Any) -> str:
    return target._schema.name.split("::")[0] if _is_aten(target) else ""


def _of_constants(name: str, target: Any, args: Any, kwargs: Any) -> Any:
    """Apply an operator to what no input has an influence on."""
    if name in FAKE_QUANTIZERS:  # torch's own do not take scales in double precision
        own = fake_quantizer(args[0].ndim, *args[1:], **kwargs)
        return own.evaluate(args[0])
    return in_double(target(*args, **kwargs))


def _bitwise(call: Handler, dtype: torch.dtype, *args: Any) -> Tensor:
    """Apply a bitwise operator to integers or truth values that are held as floats."""
    return call(*(x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for x in args))


def _positions_of_extrema(node: Any) -> UnsupportedOperatorError:
    return unsupported(_base_name(node.target), _label(node), "it reads positions of extrema", "their values")


def _label(node: Any) -> str:
    """Name the module that a node of the graph belongs to, and the node if that is not a layer of torch."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    while stack and any(part in str(stack[-1][1]) for part in _PARTS_OF_LAYERS):
        stack.pop()
    if not stack or not stack[-1][0]:
        return node.name
    path, kind = stack[-1]
    layer = any(library in str(kind) for library in _LIBRARIES)
    return path if layer else f"{path}.{node.name}"


def _flatten(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _flatten(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _flatten(item)]
    return [value]


def _put(args: Any, rows: Tensor) -> Any:
    """Return ``args`` with ``rows`` in place of the encrypted value."""
    return map_leaves(args, lambda value: rows if isinstance(value, Node) else value)
