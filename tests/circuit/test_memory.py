"""Runs after the first find their memory where the one before left it."""

import resource

import numpy as np
import pytest

from skfhe.circuit import _memory as memory
from tests.circuit.test_host import finish


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


@pytest.mark.slow
@pytest.mark.skipif(memory._c_library() is None, reason="needs the GNU C library")
def test_memory_goes_back_with_the_last_circuit(tmp_path):
    """What is kept is a key set's Fourier form for each run at one time, and nothing once no circuit is left.

    The first round loads the engine and starts its threads. After it, two circuits come and go: what stays is
    less than a tenth of what they took.
    """
    code = """
        import gc
        def megabytes():
            gc.collect()
            return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        def use(n_circuits):
            circuits = [compile_program(program()) for _ in range(n_circuits)]
            assert all(works(circuit) for circuit in circuits)
            return megabytes()
        use(1)
        before = megabytes()
        taken = use(2) - before
        stayed = megabytes() - before
        print(taken > 100, stayed < 0.1 * taken, taken, stayed)
        """
    done = finish(code, tmp_path)
    assert done.stdout.split()[:2] == ["True", "True"], done.stdout + done.stderr
