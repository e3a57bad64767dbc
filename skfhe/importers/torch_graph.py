"""torch networks, captured by torch.export, as float networks."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.prune import BasePruningMethod

from skfhe.importers import layers
from skfhe.importers.layers import Window
from skfhe.importers.network import EXAMPLE_ROWS, NetworkBuilder, Node, Quantize, unsupported
from skfhe.importers.operators import ELEMENTWISE, MOVEMENT, advice

__all__ = ["in_double_precision", "read_torch"]

Handler = Callable[..., Any]

_HANDLERS: dict[str, Handler] = {}
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
    "where": "where",
    **dict.fromkeys(
        [
            "eq",
            "ne",
            "lt",
            "le",
            "gt",
            "ge",
            "equal",
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
    ["zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"]
)
_WITHOUT_RESULT = frozenset({"_assert_tensor_metadata", "_assert_async", "sym_constrain_range_for_size"})
_LINEAR_MAPS = frozenset(
    [
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "upsample_linear1d",
        "upsample_bilinear2d",
        "cumsum",
        "conv_transpose1d",
        "conv_transpose2d",
    ]
)


def in_double_precision(net: nn.Module) -> nn.Module:
    """Return a copy of ``net`` in double precision and evaluation mode, on the CPU, its pruning made permanent."""
    import copy

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
    examples = tuple(x.double()[torch.arange(EXAMPLE_ROWS) % len(x)] for x in inputs)
    try:
        with torch.no_grad():
            exported = torch.export.export(net, examples, strict=False)
    except Exception as error:
        raise ValueError(
            f"torch.export could not capture {type(net).__name__}: {error}; the network must be a torch.nn.Module "
            "whose control flow does not depend on the data, called with one tensor for each input"
        ) from error
    return _Reader(exported, inputs, quantizers).read()


class _Reader:
    """Walks over an exported graph."""

    def __init__(self, exported: Any, inputs: Sequence[Tensor], quantizers: Sequence[Quantize]) -> None:
        self.exported, self.quantizers = exported, quantizers
        signature = exported.graph_signature
        self.build = NetworkBuilder(inputs, list(signature.user_inputs)[: len(inputs)])
        self.values: dict[Any, Any] = {}
        tensors = {**exported.state_dict, **exported.constants}
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
                with torch.no_grad():
                    self.values[node] = self._call(node)
            elif node.op == "output":
                self._outputs(node)
        return self.build

    def _constant(self, name: str) -> Any:
        value = self.constants.get(name)
        if isinstance(value, Tensor):
            value = value.detach()
            return value.double() if value.is_floating_point() else value
        return value

    def _outputs(self, node: Any) -> None:
        names = set(self.exported.graph_signature.user_outputs)
        for argument in node.args[0]:
            if getattr(argument, "name", None) not in names:
                continue
            value = self.values[argument]
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
        label = _label(node)
        self.build.at(name.strip("_") if name.startswith("_") else name.rstrip("_"), label)
        nodes = [x for x in _flatten((args, kwargs)) if isinstance(x, Node)]
        if name in _WITHOUT_RESULT:
            return None
        if not nodes:
            return node.target(*args, **kwargs)
        in_place = name.endswith("_") and not name.startswith("_")
        if in_place:
            name = name.rstrip("_")
        result = self._of_encrypted(name, node.target, args, kwargs, nodes)
        if in_place:  # later readers of the argument see what was written into it
            self.values[node.args[0]] = result
        return result

    def _of_encrypted(self, name: str, target: Any, args: Any, kwargs: Any, nodes: list[Node]) -> Any:
        build = self.build
        if name == "quantize" and _namespace(target) == "skfhe":
            return build.add(self.quantizers[args[1]], args[0])
        handler = _HANDLERS.get(name)
        if handler is not None:
            result = handler(build, *args, **kwargs)
            if result is not None:
                return result
        call = _functional(target, name)
        if name in _LINEAR_MAPS and len(nodes) == 1:
            return layers.linear_map(build, nodes[0], lambda rows: call(*_put(args, rows), **kwargs))
        if name in MOVEMENT["torch"] and len(nodes) == 1:
            return build.move(nodes[0], lambda rows: call(*_put(args, rows), **kwargs))
        if name in _SHAPE_ONLY:
            example = torch.zeros(EXAMPLE_ROWS, *nodes[0].shape, dtype=torch.float64)
            return call(*_put(args, example), **kwargs)
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
    return target._schema.name.split("::")[0]


def _functional(target: Any, name: str) -> Handler:
    """Return the operator itself, and for one that writes in place its functional twin."""
    if target._schema.is_mutable:
        return getattr(getattr(torch.ops, _namespace(target)), name)
    return target


def _label(node: Any) -> str:
    """Name the module that a node of the graph belongs to, and the node where that is not a layer of torch."""
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
        return type(value)(_map(item, function) for item in value)
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
        is_transposed, _, groups = groups, transposed[0], transposed[1]
        if is_transposed:
            raise build.unsupported("it is transposed", "conv_transpose2d")
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
    if mean is None or variance is None:
        raise build.unsupported("it has no running statistics", "batch_norm with track_running_stats=True")
    epsilon = rest[-2] if len(rest) > 2 else rest[-1]
    result = layers.batch_norm(build, x, weight, bias, mean, variance, float(epsilon))
    return result if len(rest) > 2 else (result, None, None)


@_handles("dropout", "feature_dropout", "alpha_dropout")
def _dropout(build: NetworkBuilder, x: Node, p: float, train: bool) -> Node:
    return x


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
    window = _adaptive(build, x, output_size)
    if window is None:
        raise build.unsupported(f"{x.shape} does not divide into {tuple(output_size)}", "max_pool2d")
    return (layers.max_pool(build, x, window), None)


def _adaptive(build: NetworkBuilder, x: Node, output_size: Any) -> Window | None:
    n_axes = 1 if build.name.endswith("1d") else 2
    sizes = x.shape[-n_axes:]
    wanted = [n or size for n, size in zip(_per_axis(output_size, n_axes), sizes, strict=True)]
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
    return (result, None) if build.name.endswith("indices") else result


def _row_axes(build: NetworkBuilder, x: Node, dims: Any) -> list[int]:
    """Return axes of a row for axes of a tensor."""
    rank = len(x.shape) + 1
    given = [dims] if isinstance(dims, int) else list(dims or range(rank))
    axes = [dim % rank - 1 for dim in given]
    if -1 in axes:
        raise build.unsupported("it mixes rows, which are encrypted apart", "axes of a row, not the first")
    return axes


@_handles("sum")
def _sum(build: NetworkBuilder, x: Node, dims: Any = None, keepdim: bool = False, **kwargs: Any) -> Node:
    return build.total(x, _row_axes(build, x, dims), keepdim)


@_handles("mean")
def _mean(build: NetworkBuilder, x: Node, dims: Any = None, keepdim: bool = False, **kwargs: Any) -> Node:
    axes = _row_axes(build, x, dims)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return build.affine(build.total(x, axes, keepdim), 1.0 / count)


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
    return (build.extremum_over(x, _row_axes(build, x, dim), keepdim, largest), None)


@_handles("cat", "concat", "concatenate")
def _cat(build: NetworkBuilder, tensors: Any, dim: int = 0) -> Node:
    first = next(x for x in tensors if isinstance(x, Node))
    (axis,) = _row_axes(build, first, dim)
    return build.concatenate([x if isinstance(x, Node) else build.constant(first, x) for x in tensors], axis)


@_handles("stack")
def _stack(build: NetworkBuilder, tensors: Any, dim: int = 0) -> Node:
    first = next(x for x in tensors if isinstance(x, Node))
    at = dim % (len(first.shape) + 2)
    nodes = [x if isinstance(x, Node) else build.constant(first, x) for x in tensors]
    raised = [build.move(x, lambda rows: rows.unsqueeze(at)) for x in nodes]
    return _cat(build, raised, at)


@_handles("pad", "constant_pad_nd")
def _pad(build: NetworkBuilder, x: Node, pad: Any, mode: Any = "constant", value: Any = None) -> Node:
    if not isinstance(mode, str):
        mode, value = "constant", mode
    if mode == "constant":
        return build.move(x, lambda rows: functional.pad(rows, pad), fill=float(value or 0.0))
    return build.move(x, lambda rows: functional.pad(rows, pad, mode=mode))


@_handles("masked_fill")
def _masked_fill(build: NetworkBuilder, x: Any, mask: Any, value: Any) -> Node:
    if isinstance(value, Tensor):
        value = value.item()

    def fill(*floats: Tensor) -> Tensor:
        masked = floats[1] if isinstance(mask, Node) else build.row_constant(mask, x)
        return torch.where(masked.bool(), float(value), floats[0])

    if isinstance(mask, Node) and isinstance(x, Node):
        return build.elementwise(fill, x, mask)
    if isinstance(mask, Node):
        constant = x
        return build.univariate(
            mask, lambda m: torch.where(m.bool(), float(value), build.row_constant(constant, mask))
        )
    return build.univariate(x, fill)


@_handles("where")
def _where(build: NetworkBuilder, condition: Any, a: Any = None, b: Any = None) -> Node | None:
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
    if isinstance(a, Node) and not isinstance(b, Node) and rounding_mode is None:
        return build.affine(a, 1.0 / torch.as_tensor(b).double())
    return None


@_handles("neg", "negative")
def _negative(build: NetworkBuilder, x: Node) -> Node:
    return build.affine(x, -1.0)


@_handles("to", "_to_copy", "type_as")
def _cast(build: NetworkBuilder, x: Node, *args: Any, **kwargs: Any) -> Node:
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
def _rrelu(build: NetworkBuilder, x: Node, lower: float = 1 / 8, upper: float = 1 / 3, *rest: Any) -> Node:
    return build.univariate(x, lambda rows: functional.leaky_relu(rows, (lower + upper) / 2))


@_handles("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine")
def _fake_quantize(build: NetworkBuilder, x: Node, scale: Any, zero_point: Any, *rest: Any) -> Node:
    *axis, low, high = rest
    scale, zero_point = (torch.as_tensor(v, dtype=torch.float64) for v in (scale, zero_point))
    if axis:
        across = [1] * (len(x.shape) + 1)
        across[axis[0]] = -1
        scale, zero_point = scale.reshape(across)[0], zero_point.reshape(across)[0]
    return build.add(
        Quantize(
            lambda rows: (rows / scale + zero_point).round().clamp(low, high), scale, zero_point, low, high
        ),
        x,
    )
