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
from skfhe.importers._rows import COMPARED_ROWS, departing, mixes_rows, place_outputs
from skfhe.network import Node

if TYPE_CHECKING:
    from skfhe.importers._onnx.reader import Reader

__all__ = ["place_rows"]


def place_rows(reader: Reader) -> None:
    """Give outputs the shape that a row of them has, by what the graph makes of several rows together.

    Onnx's evaluator computes that, or this package's own reader in place of it where onnx cannot.
    """
    build, batch = reader.build, reader.batch or COMPARED_ROWS
    picked = torch.arange(batch) % len(reader.inputs[0])
    names = [output.name for output in reader.model.graph.output]
    results, precise = _evaluated(reader, names, picked), False
    if results is None and reader.batch is None:
        results, precise = _read(reader, names, picked), True
    if results is None:
        build.outputs[:] = [
            build.reshape(x, x.shape[1:]) if x.shape[:1] == (1,) else x for x in build.outputs
        ]
        return
    if not place_outputs(build, results, picked, precise):
        raise _mixing(reader, picked, precise)


def _mixing(reader: Reader, picked: Tensor, precise: bool) -> Exception:
    """Return the error that names the first operator whose result for a row depends on others."""
    nodes = reader.model.graph.node
    names = [name for proto in nodes for name in proto.output if isinstance(reader.values.get(name), Node)]
    together = (_read if precise else _evaluated)(reader, names, picked) or []
    each = [reader.values[name].reference[picked] for name in names[: len(together)]]
    found = departing(together, [[value[row] for value in each] for row in range(len(picked))])
    if found is None:
        return ValueError(
            f"the ONNX network computes something else for {len(picked)} rows than for one; its result "
            "for a row may not depend on other rows, or on their number"
        )
    proto = next(proto for proto in nodes if names[found] in proto.output)
    return mixes_rows(proto.op_type, proto.name or f"{proto.op_type}:{proto.output[0]}")


def _evaluated(reader: Reader, names: Sequence[str], picked: Tensor) -> list[Tensor] | None:
    """Return values of the graph for some of the calibration rows; None if onnx cannot compute them."""
    model = onnx.ModelProto()
    model.CopyFrom(reader.model)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    feeds = {}
    for value, rows in zip(reader.declared, reader.inputs, strict=True):
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = rows[picked].numpy().astype(kind)
    try:
        with np.errstate(all="ignore"):
            found: Any = ReferenceEvaluator(model).run(None, feeds)
        return [torch.from_numpy(np.asarray(value).astype(np.float64)) for value in found]
    except Exception:  # operators that the evaluator has in other opsets alone, or not at all
        return None


def _read(reader: Reader, names: Sequence[str], picked: Tensor) -> list[Tensor]:
    """Return values of the graph for some of the calibration rows, read as one."""
    several = type(reader)(reader.model, [rows[picked][None] for rows in reader.inputs], None, True)
    try:
        several.read()
    except (UnsupportedOperatorError, ValueError) as error:
        raise UnsupportedOperatorError(
            f"the graph takes any number of rows, and does not run on {len(picked)} at a time: {error}; "
            "use an export for one row instead"
        ) from error
    return [several.values[name].reference[0] for name in names]
