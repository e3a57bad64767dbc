"""torch networks, captured by torch.export, as float networks."""

from __future__ import annotations

import copy
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import OutputKind
from torch.nn.utils.prune import BasePruningMethod
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers._handlers import Handler
from skfhe.importers._operators import ELEMENTWISE, MOVEMENT
from skfhe.importers._replacements import advice
from skfhe.importers._rows import (
    compared_rows,
    departing,
    has_steps,
    is_step,
    mixes_rows,
    mixing,
    place_outputs,
    replaced,
)
from skfhe.importers._torch import reductions  # noqa: F401 - its handlers
from skfhe.importers._torch.decompositions import by_parts
from skfhe.importers._torch.handlers import (
    FAKE_QUANTIZERS,
    HANDLERS,
    POSITIONS,
    fake_quantizer,
    in_double,
    map_leaves,
)
from skfhe.importers._torch.integers import as_taken
from skfhe.importers._torch.tails import COMBINING, Tail, computed_after_decryption, structure_of
from skfhe.network import EXAMPLE_ROWS, NO_OPERATOR, NetworkBuilder, Node, Quantize, layers, unsupported

__all__ = ["capture", "in_double_precision", "read_torch"]

_KINDS = {
    **dict.fromkeys(("maximum", "max", "fmax"), "maximum"),
    **dict.fromkeys(("minimum", "min", "fmin"), "minimum"),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "not_equal"), "compare"),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal"), "compare"),
}
"""Functions of two values for which there are cheaper ways than for any function; see `Elementwise`."""
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
        *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "cumsum", "trapezoid"),
        *("upsample_linear1d", "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_trilinear3d"),
        *("upsample_bicubic2d", "_upsample_bicubic2d_aa", "col2im", "convolution"),
        *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    )
)
_KNOWN = frozenset(
    (
        *(HANDLERS.names | MOVEMENT["torch"] | ELEMENTWISE["torch"]),
        *(_SHAPE_ONLY | _SHAPED_AS | _WITHOUT_RESULT | _LINEAR_MAPS | COMBINING),
    )
)
"""Operators that are read as they are."""
_BITWISE = frozenset(
    ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "__and__", "__or__", "__xor__"]
)
_PARTS_OF_LAYERS = (
    "brevitas.proxy",
    "brevitas.core",
    "skfhe.importers._torch.brevitas",
    "importers._torch.torch_ao",
)
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
    inputs = as_taken(net, inputs)
    with torch.no_grad():
        exported = capture(net, inputs)
        try:
            build = _Reader(net, exported, inputs, quantizers).read()
            _compare(build, original or net, inputs)
            return build
        except (UnsupportedOperatorError, ValueError) as error:
            if not _squeezes_rows(exported):
                raise
            failure = error
        try:  # axes beside that of the rows may have been meant
            build = _Reader(net, capture(net, inputs, squeezed=(True,)), inputs, quantizers).read()
            _compare(build, original or net, inputs)
        except (UnsupportedOperatorError, ValueError):
            raise failure from None
    return build


def _squeezes_rows(exported: Any) -> bool:
    """Whether all axes of length 1 were dropped from something, that of the only row among them."""
    return any(
        node.op == "call_function"
        and str(node.target) == "aten.squeeze.default"
        and node.args[0].meta["val"].shape[:1] == (1,)
        for node in exported.graph.nodes
    )


def _compare(build: NetworkBuilder, net: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Compare what was read with the network itself, on several rows, and find these in its outputs.

    What it computes with the number of rows was captured as a constant. A network that takes one row at a
    time alone is compared row by row.
    """
    steps = has_steps(build)
    picked, differ = compared_rows(inputs, steps)
    for dtype in (torch.float64, torch.float32):
        called = net if dtype == torch.float64 else copy.deepcopy(net).to(dtype)
        rows = tuple(_cast(x, dtype)[picked] for x in inputs)
        try:
            results = _tensors(called(*rows))
            together = True
        except Exception:  # of tensors of its own in single precision, or of a network that takes one row
            try:
                each = [_tensors(called(*(x[i : i + 1] for x in rows))) for i in range(len(picked))]
            except Exception:
                continue
            results = [torch.stack(tensors) for tensors in zip(*each, strict=True)]
            together = False
        break
    else:
        return
    if len(results) != len(build.outputs):
        return
    alone = [output.reference[picked] for output in build.outputs]
    precise = dtype == torch.float64
    mixed = None
    if together and not differ and any(x.is_floating_point() for x in inputs):
        mixed = _mixing_operator(net, inputs)
    elif steps and together and not place_outputs(build, results, alone, precise, undecided=False):
        mixed = _mixing_operator(net, inputs) or _departing_operator(net, inputs, picked)
        if mixed is not None and is_step(_base_name(mixed.target).strip("_")):
            mixed = None  # undecided between two values
    if mixed is not None:
        raise mixes_rows(_base_name(mixed.target).strip("_"), _label(mixed))
    if not place_outputs(build, results, alone, precise):
        operator = _departing_operator(net, inputs, picked) if together else None
        if operator is not None:
            raise mixes_rows(_base_name(operator.target).strip("_"), _label(operator))
        raise ValueError(
            f"{type(net).__name__} computes something else for {len(picked)} rows than for one; its result "
            "for a row may not depend on other rows, or on their number"
        )
    if not together:
        for index, output in enumerate(build.outputs):
            if output.shape[:1] == (1,):
                build.outputs[index] = build.reshape(output, output.shape[1:])


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.is_floating_point() else x


def _tensors(result: Any) -> list[Tensor]:
    """Return the tensors that a network returned, the floats of quantized ones."""
    plain = [getattr(leaf, "value", leaf) for leaf in tree_leaves(result, is_leaf=_is_quantized)]
    return [leaf.double() for leaf in plain if isinstance(leaf, Tensor)]


def _departing_operator(net: nn.Module, inputs: Sequence[Tensor], picked: Tensor) -> Any:
    """Return the first operator whose results for several rows are not those for each of them."""
    some = picked[torch.linspace(0, len(picked) - 1, EXAMPLE_ROWS).round().long()]
    rows = tuple(x[some] for x in inputs)
    try:
        several, one = capture(net, inputs, EXAMPLE_ROWS).module(), capture(net, inputs).module()
        together = _values_in(several, rows)
        alone = [_values_in(one, tuple(x[row : row + 1] for x in rows)) for row in range(EXAMPLE_ROWS)]
    except Exception:  # a network of which several rows cannot be captured
        return None
    found = departing(list(together.values()), [list(values.values()) for values in alone])
    return None if found is None else list(together)[found]


def _mixing_operator(net: nn.Module, inputs: Sequence[Tensor]) -> Any:
    """Return the first operator whose results take elements of several rows together."""
    try:
        module = capture(net, inputs, EXAMPLE_ROWS).module()
        runs = [_values_in(module, rows) for rows in replaced(inputs, EXAMPLE_ROWS)]
    except Exception:  # a network of which several rows cannot be captured
        return None
    found = mixing([list(values.values()) for values in runs])
    return None if found is None else list(runs[0])[found]


def _values_in(module: Any, rows: Sequence[Tensor]) -> dict[Any, Tensor | None]:
    """Return the tensors that depend on the rows, by the nodes of a captured network, in order."""
    values: dict[Any, Tensor | None] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            result = super().run_node(n)
            if n.op == "placeholder" or any(a in values for a in n.all_input_nodes):
                values[n] = result.clone() if isinstance(result, Tensor) else None
            return result

    Recorder(module).run(*rows)
    return values


def _is_quantized(value: Any) -> bool:
    return hasattr(value, "value") and hasattr(value, "scale")


def capture(
    net: nn.Module,
    inputs: Sequence[Tensor],
    n_rows: int = 1,
    decompose: Callable[[Any], Any] | None = None,
    squeezed: Sequence[bool] = (False, True),
) -> Any:
    """Return what torch.export captures of a network: by parts, without operators that write in place.

    A network may have tensors or casts of its own in single precision, which do not multiply double ones. It
    may drop all axes of length 1, and mean those beside that of the rows.
    """
    failure: Exception | None = None
    for squeezes, dtype in product(squeezed, (torch.float64, torch.float32)):
        examples = tuple(_cast(x, dtype)[torch.arange(n_rows) % len(x)] for x in inputs)
        called = net if dtype == torch.float64 else copy.deepcopy(net).to(dtype)
        try:
            with _silent(), _slow_attention(), _SqueezesRows() if squeezes else nullcontext():
                exported = torch.export.export(called, examples, strict=False)
                if _needs_decomposition(exported):
                    with suppress(IndexError):  # torch 2.6, of what has a decomposition of its own below
                        exported = exported.run_decompositions({})
                return _in_known_operators(by_parts(exported)) if decompose is None else decompose(exported)
        except UnsupportedOperatorError:
            raise
        except Exception as error:
            failure = failure or error
    operator = _mixing_operator(net, inputs) if n_rows == 1 else None
    if operator is not None:
        raise mixes_rows(_base_name(operator.target).strip("_"), _label(operator)) from failure
    reason = next(iter(str(failure).splitlines()), type(failure).__name__)
    raise ValueError(
        f"torch.export could not capture {type(net).__name__}: {reason.rstrip('. ')}; the network must be a "
        "torch.nn.Module whose control flow does not depend on the data, called with one row of each input"
    ) from failure


@contextmanager
def _slow_attention() -> Iterator[None]:
    """Have torch's layers of attention call operators in place of one for all of it.

    What torch warns about is its own: weights that recurrent layers keep twice, and a class of its own.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The tensor attributes .*_flat_weights")
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _SqueezesRows(TorchFunctionMode):
    """Has ``squeeze()`` keep the first axis, as it does when there are several rows."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.squeeze, Tensor.squeeze) and len(args) == 1 and not kwargs:
            axes = tuple(axis for axis, size in enumerate(args[0].shape) if size == 1 and axis > 0)
            return func(args[0], axes) if axes else args[0].clone()
        return func(*args, **(kwargs or {}))


@contextmanager
def _silent() -> Iterator[None]:
    """Keep torch from logging what is raised as an error anyway."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _needs_decomposition(exported: Any) -> bool:
    """Whether operators write in place, or are calls of torch's own transformations (vmap)."""
    calls = [node.target for node in exported.graph.nodes if node.op == "call_function"]
    return any(
        (target._schema.is_mutable and _base_name(target) != "detach_")
        if _is_aten(target)
        else "functorch" in getattr(target, "__module__", "")
        for target in calls
    )


def _in_known_operators(exported: Any) -> Any:
    """Return an exported program in which torch has decomposed what nothing here knows, where it can."""
    unknown = {
        node.target
        for node in exported.graph.nodes
        if _is_aten(node.target)
        and _base_name(node.target) not in _KNOWN
        and not advice(_base_name(node.target), "torch")
        and torch.Tag.nondeterministic_seeded not in node.target.tags
    }
    if not unknown:
        return exported
    whole = torch.export.default_decompositions()
    table = {target: whole[target] for target in unknown if target in whole}
    return exported.run_decompositions(table) if table else exported


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
        self.tail = Tail(exported.graph, frozenset(signature.user_inputs))
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
        one_row = [self.build.reshape(x, (1, *x.shape)) for x in self.build.inputs]
        given = dict(zip(self.exported.graph_signature.user_inputs, one_row, strict=False))
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
        returned = [
            argument
            for argument, output in zip(node.args[0], specified, strict=True)
            if output.kind == OutputKind.USER_OUTPUT
        ]
        structure = structure_of(self.exported.call_spec.out_spec, iter(returned))
        if structure is not None and not structure.is_plain:
            self.build.structure = structure

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
            if name == "quantize" and _namespace(node.target) == "skfhe":
                return self.quantizers[args[1]].evaluate(args[0])
            return _of_constants(name, node.target, args, kwargs)
        if name == "sym_size":
            return args[0].shape[args[1]]
        call = node.target
        if name == "add" and node.meta["val"].dtype == torch.bool:
            name, call = "logical_or", torch.logical_or
        if name in _BITWISE:
            call = partial(_bitwise, call, node.meta["val"].dtype)
        if self.tail.combines(node, name):
            try:
                return computed_after_decryption(self.build, node, args, kwargs, self.values)
            except UnsupportedOperatorError:
                if name not in HANDLERS:
                    raise
        try:
            return self._of_encrypted(name, call, args, kwargs, nodes)
        except UnsupportedOperatorError as error:
            if node not in self.tail:
                raise
            try:
                return computed_after_decryption(self.build, node, args, kwargs, self.values)
            except UnsupportedOperatorError:
                raise error from None

    def _of_encrypted(self, name: str, call: Handler, args: Any, kwargs: Any, nodes: list[Node]) -> Any:
        build = self.build
        if name == "quantize" and _namespace(call) == "skfhe":
            return build.add(self.quantizers[args[1]], args[0])
        if name in _SHAPE_ONLY or (name in _SHAPED_AS and not isinstance(args[0], Node)):
            example = torch.zeros(nodes[0].shape, dtype=torch.float64)
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
        args, kwargs = in_double((args, kwargs))

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
    """Return what an operator is called, without the prefix of torch.special."""
    schema = getattr(target, "_schema", None)
    name = schema.name.split("::")[1] if schema is not None else getattr(target, "__name__", str(target))
    return "sigmoid" if name == "special_expit" else name.removeprefix("special_")


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
