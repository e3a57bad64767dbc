"""Runs after the first find their memory where the one before left it."""

import resource

import numpy as np
import pytest

from skfhe.circuit import memory


@pytest.mark.skipif(memory._c_library() is None, reason="needs the GNU C library")
def test_later_runs_do_not_map_the_keys_again(small_circuit):
    """Mapping the Fourier form of the bootstrap keys takes a page fault for each of its pages."""
    page = resource.getpagesize()
    inputs = [
        np.zeros((1, *small_circuit.program.values[position].type.shape), dtype=np.int64)
        for position in small_circuit.program.inputs
    ]
    ciphertext = small_circuit.encrypt(*inputs)
    for _ in range(2):
        small_circuit.run(ciphertext)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    small_circuit.run(ciphertext)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < small_circuit.statistics["bootstrap_key_bytes"] / page / 4


def test_other_c_libraries_are_left_alone(monkeypatch):
    """Without GNU's malloc the context does nothing."""
    monkeypatch.setattr(memory, "_c_library", lambda: None)
    with memory.kept_memory():
        pass
