"""torch networks, captured by torch.export, as float networks."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import OutputKind
from torch.nn import functional
from torch.nn.utils.prune import BasePruningMethod

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers import layers
from skfhe.importers.layers import Window
from skfhe.importers.network import EXAMPLE_ROWS, NetworkBuilder, Node, Quantize, unsupported
from skfhe.importers.operators import ELEMENTWISE, MOVEMENT, advice

__all__ = ["capture", "in_double_precision", "read_torch"]

Handler = Callable[..., Any]

_HANDLERS: dict[str, Handler] = {}
_POSITIONS = object()
"""Stands for the positions of extrema, which nothing may read."""
_KINDS = {
    "add": "add",
    "sub": "subtract",
    "subtract": "subtract",
    "mul": "multiply",
    "multiply": "multiply",
    "maximum": "maximum",
    "max": "maximum",
    "fmax": "maximum",
    "minimum": "minimum",
    "min": "minimum",
    "fmin": "minimum",
    **dict.fromkeys(
        [
            "eq",
            "ne",
            "lt",
            "le",
            "gt",
            "ge",
            "not_equal",
            "less",
            "less_equal",
            "greater",
            "greater_equal",
        ],
        "compare",
    ),
}
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
    net: nn.Module, inputs: Sequence[Tensor], quantizers: Sequence[Quantize] = ()
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

    Returns
    -------
    NetworkBuilder

    Raises
    ------
    UnsupportedOperatorError
    ValueError
        If torch cannot export the network.
    """
    with torch.no_grad():
        return _Reader(net, capture(net, inputs), inputs, quantizers).read()


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
        return _in_double(self.constants.get(name))

    def _outputs(self, node: Any) -> None:
        specified = self.exported.graph_signature.output_specs
        for argument, output in zip(node.args[0], specified, strict=True):
            if output.kind != OutputKind.USER_OUTPUT or not isinstance(argument, torch.fx.Node):
                continue
            value = self.values[argument]
            if value is _POSITIONS:
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
        if any(x is _POSITIONS for x in leaves):
            raise _positions_of_extrema(node)
        nodes = [x for x in leaves if isinstance(x, Node)]
        if name in _WITHOUT_RESULT:
            return None
        if not nodes:
            if name not in _HANDLERS and torch.Tag.nondeterministic_seeded in getattr(
                node.target, "tags", ()
            ):
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
            return _in_double(call(*_put(args, example), **kwargs))
        handler = _HANDLERS.get(name)
        if handler is not None:
            result = handler(build, *args, **kwargs)
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
        raise unsupported(build.name, build.label, "there is no such operator", advice(name, "torch"))

    def _elementwise(self, name: str, call: Handler, args: Any, kwargs: Any, nodes: list[Node]) -> Node:
        distinct = list(dict.fromkeys(nodes))
        rank = max(len(node.shape) for node in distinct)
        widest = next(node for node in distinct if len(node.shape) == rank)

        def constant(value: Any) -> Any:
            if isinstance(value, Tensor):
                value = self.build.row_constant(value, widest)
                return value.double() if value.is_floating_point() else value
            return value

        args, kwargs = _map((args, kwargs), constant)

        def function(*floats: Tensor) -> Tensor:
            given = dict(zip(distinct, floats, strict=True))
            own, named = _map(
                (args, kwargs), lambda value: given.get(value, value) if isinstance(value, Node) else value
            )
            return call(*own, **named)

        if len(distinct) == 1:
            return self.build.univariate(distinct[0], function)
        kind = (
            _KINDS.get(name, "") if nodes == list(args[: len(nodes)]) and len(nodes) == len(distinct) else ""
        )
        if kind in ("add", "subtract") and kwargs.get("alpha", 1) != 1:
            kind = ""
        return self.build.elementwise(function, *distinct, kind=kind)


def _base_name(target: Any) -> str:
    schema = getattr(target, "_schema", None)
    return schema.name.split("::")[1] if schema is not None else getattr(target, "__name__", str(target))


def _namespace(target: Any) -> str:
    return target._schema.name.split("::")[0] if _is_aten(target) else ""


def _in_double(value: Any) -> Any:
    """Return constants detached, and in double precision if they are floats."""
    return _map(
        value,
        lambda x: (
            (x.detach().double() if x.is_floating_point() else x.detach()) if isinstance(x, Tensor) else x
        ),
    )


def _of_constants(name: str, target: Any, args: Any, kwargs: Any) -> Any:
    """Apply an operator to what no input has an influence on."""
    if name in _FAKE_QUANTIZERS:  # torch's own do not take scales in double precision
        own = _fake_quantizer(args[0].ndim, *args[1:], **kwargs)
        return own.evaluate(args[0])
    return _in_double(target(*args, **kwargs))


def _bitwise(call: Handler, dtype: torch.dtype, *args: Any) -> Tensor:
    """Apply a bitwise operator to integers or truth values that are held as floats."""
    return call(*(x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x for x in args))


def _positions_of_extrema(node: Any) -> UnsupportedOperatorError:
    return unsupported(_base_name(node.target), _label(node), "it reads positions of extrema", "their values")


def _label(node: Any) -> str:
    """Name the module that a node of the graph belongs to, and the node if that is not a layer of torch."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack or not stack[-1][0]:
        return node.name
    path, kind = stack[-1]
    layer = "torch.nn.modules" in str(kind) or "skfhe.importers" in str(kind)
    return path if layer else f"{path}.{node.name}"


def _flatten(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _flatten(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _flatten(item)]
    return [value]


def _map(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, list | tuple):
        mapped = [_map(item, function) for item in value]
        return mapped if isinstance(value, list) else tuple(mapped)
    if isinstance(value, dict):
        return {key: _map(item, function) for key, item in value.items()}
    return function(value)


def _put(args: Any, rows: Tensor) -> Any:
    """Return ``args`` with ``rows`` in place of the encrypted value."""
    return _map(args, lambda value: rows if isinstance(value, Node) else value)


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        for name in names:
            _HANDLERS[name] = handler
        return handler

    return register


# A handler returns None where it leaves the call to the generic rules.


@_handles("linear")
def _linear(build: NetworkBuilder, x: Any, weight: Any, bias: Any = None) -> Node:
    if not isinstance(x, Node) or isinstance(weight, Node) or isinstance(bias, Node):
        raise build.unsupported("its weights are encrypted", "matmul")
    return build.linear(x, weight, bias)


@_handles("addmm")
def _addmm(build: NetworkBuilder, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Node:
    product = build.affine(layers.matmul(build, a, b), alpha)
    if isinstance(bias, Node):
        return build.elementwise(torch.add, product, build.affine(bias, beta), kind="add")
    return build.affine(product, 1.0, beta * bias)


@_handles("matmul", "mm", "bmm", "mv")
def _matmul(build: NetworkBuilder, a: Any, b: Any) -> Node:
    return layers.matmul(build, a, b)


def _per_axis(value: Any, n_axes: int, default: int | None = None) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values and default is not None:
        values = [default]
    return [int(v) for v in (values * n_axes if len(values) == 1 else values)]


@_handles("conv1d", "conv2d", "convolution")
def _convolution(
    build: NetworkBuilder,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *transposed: Any,
) -> Node | None:
    if isinstance(weight, Node) or isinstance(bias, Node):
        raise build.unsupported("its weights are encrypted", "matmul")
    if transposed:  # aten.convolution has transposed, output_padding before groups
        is_transposed, _, groups = groups, *transposed
        if is_transposed:
            return None
    kernel = list(weight.shape[2:])
    n_axes = len(kernel)
    strides, dilations = _per_axis(stride, n_axes), _per_axis(dilation, n_axes)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, kernel, strict=True)]
        pads = [(t // 2, t - t // 2) for t in total]
    else:
        pads = [(p, p) for p in _per_axis(padding, n_axes)]
    return layers.convolution(build, x, weight, bias, Window(kernel, strides, pads, dilations), groups)


@_handles("batch_norm", "_native_batch_norm_legit_no_training")
def _batch_norm(
    build: NetworkBuilder, x: Node, weight: Any, bias: Any, mean: Any, variance: Any, *rest: Any
) -> Any:
    functional_form = len(rest) > 2  # training, momentum, epsilon, cudnn_enabled; otherwise momentum, epsilon
    if mean is None or variance is None or (functional_form and rest[0]):
        raise build.unsupported("its statistics are those of the rows", "batch_norm with running statistics")
    epsilon = rest[-2] if functional_form else rest[-1]
    result = layers.batch_norm(build, x, weight, bias, mean, variance, float(epsilon))
    return result if functional_form else (result, None, None)


@_handles("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout")
def _dropout(build: NetworkBuilder, x: Node, p: float, train: bool) -> Any:
    if train and p > 0:
        raise build.unsupported("its results are random", "torch.nn.Dropout, or training=self.training,")
    return (x, None) if build.name == "native_dropout" else x


@_handles("avg_pool1d", "avg_pool2d")
def _avg_pool(
    build: NetworkBuilder,
    x: Node,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Node:
    n_axes = 1 if build.name == "avg_pool1d" else 2
    kernel = _per_axis(kernel_size, n_axes)
    strides = _per_axis(stride, n_axes) if stride not in ((), [], None) else kernel
    pads = _per_axis(padding, n_axes)
    window = Window(kernel, strides, [(p, p) for p in pads], [1] * n_axes)
    if ceil_mode:
        window = window.with_ceil(x.shape[-n_axes:])

    def average(rows: Tensor) -> Tensor:
        if n_axes == 1:
            return functional.avg_pool1d(rows, kernel, strides, pads, ceil_mode, count_include_pad)
        return functional.avg_pool2d(
            rows, kernel, strides, pads, ceil_mode, count_include_pad, divisor_override
        )

    return layers.average_pool(build, x, window, average)


@_handles("adaptive_avg_pool1d", "adaptive_avg_pool2d")
def _adaptive_avg_pool(build: NetworkBuilder, x: Node, output_size: Any) -> Node | None:
    window = _adaptive(build, x, output_size)
    if window is None:
        return None
    pool = functional.avg_pool1d if len(window.kernel) == 1 else functional.avg_pool2d
    return layers.average_pool(build, x, window, lambda rows: pool(rows, window.kernel, window.strides))


@_handles("adaptive_max_pool1d", "adaptive_max_pool2d")
def _adaptive_max_pool(build: NetworkBuilder, x: Node, output_size: Any) -> Any:
    n_axes = 1 if build.name.endswith("1d") else 2
    return (layers.adaptive_max_pool(build, x, _per_axis(output_size, n_axes)), _POSITIONS)


def _adaptive(build: NetworkBuilder, x: Node, output_size: Any) -> Window | None:
    n_axes = 1 if build.name.endswith("1d") else 2
    sizes, wanted = x.shape[-n_axes:], _per_axis(output_size, n_axes)
    if any(size % n for size, n in zip(sizes, wanted, strict=True)):
        return None
    kernel = [size // n for size, n in zip(sizes, wanted, strict=True)]
    return Window(kernel, kernel, [(0, 0)] * n_axes, [1] * n_axes)


@_handles("max_pool1d", "max_pool2d", "max_pool1d_with_indices", "max_pool2d_with_indices")
def _max_pool(
    build: NetworkBuilder,
    x: Node,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    n_axes = 1 if "1d" in build.name else 2
    kernel = _per_axis(kernel_size, n_axes)
    strides = _per_axis(stride, n_axes) if stride not in ((), [], None) else kernel
    pads = [(p, p) for p in _per_axis(padding, n_axes)]
    window = Window(kernel, strides, pads, _per_axis(dilation, n_axes))
    if ceil_mode:
        window = window.with_ceil(x.shape[-n_axes:])
    result = layers.max_pool(build, x, window)
    return (result, _POSITIONS) if build.name.endswith("indices") else result


def _row_axes(build: NetworkBuilder, x: Node, dims: Any) -> list[int]:
    """Return axes of a row for axes of a tensor."""
    rank = len(x.shape) + 1
    given = [dims] if isinstance(dims, int) else list(dims or range(rank))
    axes = [dim % rank - 1 for dim in given]
    if -1 in axes:
        raise build.mixes_rows()
    return axes


@_handles("sum")
def _sum(build: NetworkBuilder, x: Node, dims: Any = None, keepdim: bool = False, **kwargs: Any) -> Node:
    return build.total(x, _row_axes(build, x, dims), keepdim)


@_handles("mean")
def _mean(build: NetworkBuilder, x: Node, dims: Any = None, keepdim: bool = False, **kwargs: Any) -> Node:
    axes = _row_axes(build, x, dims)
    return build.affine(build.total(x, axes, keepdim), 1.0 / math.prod(x.shape[axis] for axis in axes))


@_handles("amax")
def _amax(build: NetworkBuilder, x: Node, dims: Any = (), keepdim: bool = False) -> Node:
    return build.extremum_over(x, _row_axes(build, x, dims), keepdim, largest=True)


@_handles("amin")
def _amin(build: NetworkBuilder, x: Node, dims: Any = (), keepdim: bool = False) -> Node:
    return build.extremum_over(x, _row_axes(build, x, dims), keepdim, largest=False)


@_handles("max", "min")
def _extremum(build: NetworkBuilder, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if isinstance(dim, Node | Tensor):
        return None
    largest = build.name == "max"
    return (build.extremum_over(x, _row_axes(build, x, dim), keepdim, largest), _POSITIONS)


@_handles("cat", "concat", "concatenate")
def _cat(build: NetworkBuilder, tensors: Any, dim: int = 0) -> Node:
    first = next(x for x in tensors if isinstance(x, Node))
    (axis,) = _row_axes(build, first, dim)
    return build.concatenate([x if isinstance(x, Node) else build.constant(first, x) for x in tensors], axis)


@_handles("stack")
def _stack(build: NetworkBuilder, tensors: Any, dim: int = 0) -> Node:
    first = next(x for x in tensors if isinstance(x, Node))
    at = dim % (len(first.shape) + 2)
    if at == 0:
        raise build.mixes_rows()
    nodes = [x if isinstance(x, Node) else build.constant(first, x) for x in tensors]
    raised = [build.move(x, lambda rows: rows.unsqueeze(at)) for x in nodes]
    return _cat(build, raised, at)


@_handles("hstack", "dstack", "column_stack")
def _stacked(build: NetworkBuilder, tensors: Any) -> Node:
    function = getattr(torch, build.name)
    return build.arrange(lambda *rows: function(rows), *_as_nodes(build, *tensors))


def _as_nodes(build: NetworkBuilder, *values: Any) -> list[Node]:
    """Return values with constants among them, which have an axis of rows, as nodes."""
    first = next(x for x in values if isinstance(x, Node))
    nodes = []
    for x in values:
        if not isinstance(x, Node):
            if x.ndim == 0 or len(x) != EXAMPLE_ROWS or not torch.equal(x, x[:1].expand_as(x)):
                raise build.unsupported(f"a constant of shape {tuple(x.shape)} differs from row to row")
            x = build.constant_row(first, x[0])
        nodes.append(x)
    return nodes


@_handles("select_scatter", "slice_scatter", "diagonal_scatter")
def _scatter(build: NetworkBuilder, x: Any, part: Any, *where: Any, **kwargs: Any) -> Node:
    function = getattr(torch.ops.aten, build.name)
    return build.arrange(
        lambda rows, written: function(rows, written, *where, **kwargs), *_as_nodes(build, x, part)
    )


@_handles("index_put")
def _index_put(build: NetworkBuilder, x: Any, indices: Any, part: Any, accumulate: bool = False) -> Node:
    if accumulate:
        raise build.unsupported("it adds to what is there", "add")
    if any(isinstance(index, Node) for index in indices):
        if (
            len(indices) > 1
            or not isinstance(part, Tensor)
            or part.numel() > 1
            or not _is_mask(x, indices[0])
        ):
            raise build.unsupported("its positions are encrypted", "where")
        return _masked_fill(build, x, indices[0], part)
    rows = torch.zeros(EXAMPLE_ROWS, *(x.shape if isinstance(x, Node) else x.shape[1:]), dtype=torch.float64)
    shape = torch.ops.aten.index(rows, indices).shape
    if isinstance(part, Node):
        part = build.broadcast(part, shape[1:])
    else:
        part = part.expand(shape)
    return build.arrange(
        lambda rows, written: torch.ops.aten.index_put(rows, indices, written), *_as_nodes(build, x, part)
    )


def _is_mask(x: Any, index: Node) -> bool:
    return index.shape == (x.shape if isinstance(x, Node) else tuple(x.shape[1:]))


@_handles("copy")
def _copy(build: NetworkBuilder, x: Any, source: Any, *rest: Any) -> Any:
    shape = x.shape if isinstance(x, Node) else x.shape[1:]
    if isinstance(source, Node):
        return build.broadcast(source, shape)
    return source.expand(EXAMPLE_ROWS, *shape)


@_handles("view_as", "reshape_as", "expand_as")
def _shaped_as(build: NetworkBuilder, x: Node, other: Any) -> Node:
    shape = (EXAMPLE_ROWS, *other.shape) if isinstance(other, Node) else tuple(other.shape)
    if build.name == "expand_as":
        return build.move(x, lambda rows: rows.expand(shape))
    return build.move(x, lambda rows: rows.reshape(shape))


@_handles("pad", "constant_pad_nd")
def _pad(build: NetworkBuilder, x: Node, pad: Any, mode: Any = "constant", value: Any = None) -> Node:
    if not isinstance(mode, str):
        mode, value = "constant", mode
    if mode == "constant":
        return build.move(x, lambda rows: functional.pad(rows, pad), fill=float(value or 0.0))
    return build.move(x, lambda rows: functional.pad(rows, pad, mode=mode))


@_handles("masked_fill")
def _masked_fill(build: NetworkBuilder, x: Any, mask: Any, value: Any) -> Node:
    if isinstance(value, Node):
        raise build.unsupported("what it fills in is encrypted", "where")
    return _where(build, mask, value, x)


@_handles("where")
def _where(build: NetworkBuilder, condition: Any, a: Any, b: Any) -> Node:
    if isinstance(condition, Node) and isinstance(a, Node) and isinstance(b, Node):
        return build.elementwise(lambda c, x, y: torch.where(c != 0, x, y), condition, a, b, kind="where")
    if isinstance(condition, Node):
        return build.choose(condition, a, b)
    return build.select(condition, a, b)


@_handles("add", "sub", "subtract", "rsub")
def _add(build: NetworkBuilder, a: Any, b: Any, *scale: Any, alpha: Any = 1) -> Node | None:
    sign = -1.0 if build.name in ("sub", "subtract", "rsub") else 1.0
    factor = float(scale[0] if scale else alpha)
    if build.name == "rsub":
        a, b = b, a
    if isinstance(a, Node) and isinstance(b, Node):
        b = build.affine(b, factor) if factor != 1 else b
        function, kind = (torch.add, "add") if sign > 0 else (torch.sub, "subtract")
        return build.elementwise(function, a, b, kind=kind)
    if isinstance(a, Node):
        return build.affine(a, 1.0, sign * factor * b)
    return build.affine(b, sign * factor, a)


@_handles("mul", "multiply")
def _multiply(build: NetworkBuilder, a: Any, b: Any) -> Node:
    if isinstance(a, Node) and isinstance(b, Node):
        return build.elementwise(torch.mul, a, b, kind="multiply")
    return build.affine(a, b) if isinstance(a, Node) else build.affine(b, a)


@_handles("div", "divide", "true_divide")
def _divide(build: NetworkBuilder, a: Any, b: Any, *, rounding_mode: Any = None) -> Node | None:
    if not isinstance(b, Node):
        return None if rounding_mode else build.affine(a, 1.0 / torch.as_tensor(b).double())
    if not isinstance(a, Node):
        return None
    quotient = build.elementwise(torch.div, a, b, kind="divide")
    if rounding_mode is None:
        return quotient
    return build.univariate(quotient, torch.floor if rounding_mode == "floor" else torch.trunc)


@_handles("floor_divide")
def _floor_divide(build: NetworkBuilder, a: Any, b: Any) -> Node | None:
    return _divide(build, a, b, rounding_mode="floor")


@_handles("neg", "negative")
def _negative(build: NetworkBuilder, x: Node) -> Node:
    return build.affine(x, -1.0)


@_handles("to", "_to_copy", "type_as")
def _cast(build: NetworkBuilder, x: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(x, Node):
        return _in_double(x)
    given = [*args, *kwargs.values()]
    dtypes = [
        v if isinstance(v, torch.dtype) else v.dtype for v in given if isinstance(v, torch.dtype | Tensor)
    ]
    if not dtypes or dtypes[0].is_floating_point:
        return x
    if dtypes[0] == torch.bool:
        return build.univariate(x, lambda rows: rows != 0)
    return build.univariate(x, torch.trunc)


@_handles("glu")
def _glu(build: NetworkBuilder, x: Node, dim: int = -1) -> Node:
    a, b = build.move(x, lambda rows: rows.chunk(2, dim))
    return build.elementwise(torch.mul, a, build.univariate(b, torch.sigmoid), kind="multiply")


@_handles("rrelu")
def _rrelu(
    build: NetworkBuilder, x: Node, lower: float = 1 / 8, upper: float = 1 / 3, *training: Any
) -> Node:
    if training and training[0]:
        raise build.unsupported("its results are random", "torch.nn.RReLU, or training=self.training,")
    return build.univariate(x, lambda rows: functional.leaky_relu(rows, (lower + upper) / 2))


_FAKE_QUANTIZERS = ("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine")


@_handles(*_FAKE_QUANTIZERS)
def _fake_quantize(build: NetworkBuilder, x: Node, *parameters: Any, **kwargs: Any) -> Node:
    own = _fake_quantizer(len(x.shape) + 1, *parameters, **kwargs)
    if own.scale.ndim > len(x.shape) and len(own.scale) > 1:
        raise build.mixes_rows()
    return build.add(own, x)


def _fake_quantizer(rank: int, scale: Any, zero_point: Any, *rest: Any, **kwargs: Any) -> Quantize:
    """Return the quantizer of a tensor of so many axes, the last parameters of which are its limits."""
    *axis, low, high = *rest, *kwargs.values()
    scale, zero_point = (torch.as_tensor(v, dtype=torch.float64) for v in (scale, zero_point))
    if axis:
        across = (-1, *(1,) * (rank - 1 - axis[0]))
        scale, zero_point = scale.reshape(across), zero_point.reshape(across)

    def integers(floats: Tensor) -> Tensor:
        return (torch.round(floats / scale) + zero_point).clamp(low, high)

    return Quantize(integers, scale, zero_point, low, high)
