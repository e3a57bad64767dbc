"""Where the rows are in the outputs of a graph that was read for one row, and that they do not mix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from skfhe.exceptions import UnsupportedOperatorError
from skfhe.importers._rows import (
    compared_rows,
    departing,
    has_steps,
    mixes_rows,
    mixing,
    place_outputs,
    replaced,
)
from skfhe.network import Node

if TYPE_CHECKING:
    from skfhe.importers._onnx.reader import Reader

__all__ = ["place_rows"]


def place_rows(reader: Reader) -> None:
    """Find the rows in the outputs, by what the graph makes of several rows together.

    Onnx's evaluator computes that for each row and for all; where it cannot, what was read is compared with
    the same graph read for several rows.
    """
    outputs = [output.name for output in reader.model.graph.output]
    if reader.batch is None:
        picked, _ = compared_rows(reader.inputs, has_steps(reader.build))
        together, alone = _evaluated(reader, outputs, picked), _alone(reader, outputs, picked)
        evaluable = together is not None and alone is not None and _fits(reader, alone)
        if evaluable:
            assert together is not None
            assert alone is not None
            if place_outputs(reader.build, together, alone, precise=False):
                return
        try:  # the evaluator may err
            together, alone = _read(reader, outputs, picked), _as_read(reader, outputs, picked)
        except UnsupportedOperatorError:
            if evaluable:
                raise _departing(reader, picked, evaluable) from None
            raise
        if not place_outputs(reader.build, together, alone, precise=True):
            raise _departing(reader, picked, evaluable)
        return
    if reader.batch > 1:
        names = _encrypted_names(reader)
        rows = [_outputs_of(reader, names, given) for given in replaced(reader.inputs, reader.batch)]
        runs = [values for values in rows if values is not None]
        found = mixing(runs) if len(runs) == len(rows) else None
        if found is not None:
            raise _mixes(reader, names[found])
    build = reader.build
    build.outputs[:] = [build.reshape(x, x.shape[1:]) if x.shape[:1] == (1,) else x for x in build.outputs]


def _fits(reader: Reader, alone: Sequence[Tensor]) -> bool:
    """Whether onnx's evaluator, which errs in old releases, finds as many elements as were read."""
    return all(
        values[0].numel() == output.reference[0].numel()
        for values, output in zip(alone, reader.build.outputs, strict=True)
    )


def _departing(reader: Reader, picked: Tensor, evaluable: bool) -> Exception:
    """Return the error that names the first operator whose results for several rows are of their own."""
    names = _encrypted_names(reader)
    of_all, of_each = (_evaluated, _alone) if evaluable else (_read, _as_read)
    together, alone = of_all(reader, names, picked), of_each(reader, names, picked)
    if together is not None and alone is not None:
        each = [[value[row] for value in alone] for row in range(len(picked))]
        found = departing(together, each)
        if found is not None:
            return _mixes(reader, names[found])
    return ValueError(
        f"the ONNX network computes something else for {len(picked)} rows than for one; its result for a "
        "row may not depend on other rows, or on their number"
    )


def _mixes(reader: Reader, name: str) -> UnsupportedOperatorError:
    proto = next(proto for proto in reader.model.graph.node if name in proto.output)
    return mixes_rows(proto.op_type, proto.name or f"{proto.op_type}:{proto.output[0]}")


def _encrypted_names(reader: Reader) -> list[str]:
    names = [name for proto in reader.model.graph.node for name in proto.output]
    return [name for name in names if isinstance(reader.values.get(name), Node)]


def _alone(reader: Reader, names: Sequence[str], picked: Tensor) -> list[Tensor] | None:
    """Return values of the graph for each of some rows, along a first axis."""
    each = []
    for row in picked:
        values = _evaluated(reader, names, row[None])
        if values is None:
            return None
        each.append(values)
    return [torch.stack(values) for values in zip(*each, strict=True)]


def _evaluated(reader: Reader, names: Sequence[str], picked: Tensor) -> list[Tensor] | None:
    return _outputs_of(reader, names, [rows[picked] for rows in reader.inputs])


def _outputs_of(reader: Reader, names: Sequence[str], inputs: Sequence[Tensor]) -> list[Tensor] | None:
    """Return values of the graph for some rows; None if onnx's evaluator cannot compute them."""
    model = onnx.ModelProto()
    model.CopyFrom(reader.model)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    feeds = {}
    for value, rows in zip(reader.declared, inputs, strict=True):
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = rows.numpy().astype(kind)
    try:
        with np.errstate(all="ignore"):
            found: Any = ReferenceEvaluator(model).run(None, feeds)
        return [torch.from_numpy(np.asarray(value).astype(np.float64)) for value in found]
    except Exception:  # operators that the evaluator has in other opsets alone, or not at all
        return None


def _as_read(reader: Reader, names: Sequence[str], picked: Tensor) -> list[Tensor]:
    """Return values as they were read, for each of some rows."""
    return [reader.values[name].reference[picked] for name in names]


def _read(reader: Reader, names: Sequence[str], picked: Tensor) -> list[Tensor]:
    """Return values of the graph, read for some rows together."""
    several = type(reader)(
        reader.model, [rows[picked][None] for rows in reader.inputs], None, True, reader.decrypts
    )
    try:
        several.read()
    except (UnsupportedOperatorError, ValueError) as error:
        raise UnsupportedOperatorError(
            f"the graph takes any number of rows, and does not run on {len(picked)} at a time: {error}; "
            "use an export for one row instead"
        ) from error
    return [several.values[name].reference[0] for name in names]
