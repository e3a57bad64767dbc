"""What onnxruntime makes of a graph, and what we read from it."""

import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator

from skfhe.importers._onnx.reader import read_onnx

__all__ = ["assert_agree", "evaluated", "exported", "floats", "runtime"]


def runtime(model, arrays):
    """Results of onnxruntime, for as many rows at a time as the graph takes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    # its optimizations replace quantized layers by others that round differently
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    declared = session.get_inputs()
    names = [value.name for value in declared]
    n_rows = len(arrays[0])
    batch = declared[0].shape[0] if isinstance(declared[0].shape[0], int) else n_rows
    each = []
    for start in range(0, n_rows, batch):
        given = [np.asarray(array[start : start + batch], dtype=np.float32) for array in arrays]
        each.append(session.run(None, dict(zip(names, given, strict=True))))
    return [np.concatenate(parts).astype(np.float64) for parts in zip(*each, strict=True)]


def evaluated(model, arrays):
    """Results of onnx's own evaluator."""
    feeds = dict(zip([value.name for value in model.graph.input], arrays, strict=True))
    return [np.asarray(v).astype(np.float64) for v in ReferenceEvaluator(model).run(None, feeds)]


def floats(model, arrays):
    """Results of the float network that is read from a model."""
    network = read_onnx(model, [torch.from_numpy(array) for array in arrays])
    return [output.reference.numpy() for output in network.outputs]


def assert_agree(results, expected, tolerance):
    results = results if isinstance(results, tuple | list) else (results,)
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert result.shape == wanted.shape
        assert np.ptp(wanted) > 0
        assert np.abs(result - wanted).max() <= tolerance * np.abs(wanted).max()


def exported(net, arrays, path, rows="n", **options):
    """Export a torch network; ``rows`` is a name for any number of them, or None for as many as given."""
    names = [f"x{index}" for index in range(len(arrays))]
    axes = {name: {0: rows} for name in names} if rows else None
    tensors = tuple(torch.as_tensor(array, dtype=torch.float32) for array in arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(
            net.eval(), tensors, str(path), dynamo=False, input_names=names, dynamic_axes=axes, **options
        )
    return onnx.load(path)
