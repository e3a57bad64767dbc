"""The process that uses the engine stays its user's: signals, forks, exit status, temporary files.

Each test runs a script in a process of its own, for the engine changes the process once and for all.
"""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from skfhe.circuit import _host

ROOT = Path(__file__).parents[2]
SETUP = """
import glob, os, signal, sys, time
import numpy as np
from skfhe.circuit import compile_program
from skfhe.exceptions import CompilationError, ForkedProcessError
from skfhe.program import ProgramBuilder, ops, run

def program(weight=1):
    builder = ProgramBuilder()
    x = builder.input(np.zeros(4), np.full(4, 3), label="x")
    h = builder.add(ops.Lookup(np.array([[1, 3, 0, 2]]), np.array([0])), x, label="h")
    linear = ops.Linear(np.array([[1], [-2], [weight], [1]]), np.array([0]))
    return builder.finish(builder.add(linear, h, label="y"))

X = np.arange(32).reshape(8, 4) % 4
right = run(program(), X)[0]

def works(circuit):
    return bool((circuit.execute(X)[0] == right).all())
"""


def script(code):
    return SETUP + textwrap.dedent(code)


def environment(folder):
    return os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


def finish(code, folder, **options):
    """Run a script to its end; a hang is an error."""
    return subprocess.run(
        [sys.executable, "-c", script(code)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(folder),
        **options,
    )


def test_what_a_process_made_is_neither_pickled_nor_taken_over(monkeypatch):
    """The engine's objects are of no use elsewhere. A parent's are kept in a child, not freed."""
    made = _host.PerProcess(dict)
    parents = made.here()
    parents["function"] = 1
    assert made.here() is parents
    assert pickle.loads(pickle.dumps(made)).here() == {}
    monkeypatch.setattr(_host, "_current", _host.Process())
    assert made.here() == {}
    assert any(kept is parents for kept in made._made.values())


def test_exit_status_handlers_and_files_are_as_without_the_engine(tmp_path):
    """The engine ends such a process with status 0, takes its signal handlers, and leaves a folder a compile.

    The handlers are compared as the kernel knows them, and the user's own is called in the end. What may stay
    is one folder for all processes, where the engine's optimizer keeps its tables.
    """
    code = """
        import atexit, tempfile
        def kernel():
            lines = open("/proc/self/status").read().splitlines()
            return [line for line in lines if line.startswith(("SigIgn", "SigCgt"))]
        signal.signal(signal.SIGTERM, lambda *_: print("terminated", flush=True))
        signal.signal(signal.SIGUSR1, lambda *_: print("called", flush=True))
        atexit.register(lambda: print("left behind:", {*os.listdir(tempfile.gettempdir())} - {"optimizer"}))
        import threading, torch  # whose own files are none of the engine's
        threading.Thread(target=int).start()  # for the first, the C library takes a signal of its own
        for name in glob.glob(tempfile.gettempdir() + "/*"):
            os.rename(name, os.getcwd() + "/" + os.path.basename(name))
        before = kernel()
        circuit = compile_program(program())
        works(circuit), circuit.simulate(X)
        builder = ProgramBuilder()
        x = builder.input(np.zeros(2), np.full(2, 2**15 - 1), label="x")
        h = builder.add(ops.Linear(np.array([[1], [1]]), np.array([0])), x, label="sum")
        h = builder.add(ops.Lookup(np.arange(2**16)[None], np.array([0])), h, label="h")
        wide = ops.Linear(np.array([[2**20]]), np.array([0]))
        try:
            compile_program(builder.finish(builder.add(wide, h, label="y")))
        except CompilationError:
            print("refused")
        print("handlers kept:", kernel() == before)
        print("left behind:", glob.glob(tempfile.gettempdir() + "/skfhe-*"))
        for number in (signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), number)
        sys.exit(3)
        """
    (tmp_path / "temporary").mkdir()
    done = finish(code, tmp_path / "temporary", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["refused", "handlers kept: True", "left behind: []"]
    assert sorted(lines[3:5]) == ["called", "terminated"]
    assert lines[5] == "left behind: set()"


@pytest.mark.parametrize(
    "before",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("nothing", "a run")] + ["loading the engine"],
)
def test_an_interrupt_raises_and_leaves_a_usable_model(tmp_path, before):
    """During the first run, which starts the engine's runtime, as during any other.

    The same where the user has loaded the engine before us, whose handlers are set by then.
    """
    code = f"""
        circuit = compile_program(program())
        circuit.keygen()
        batch = circuit.encrypt(X)
        {"works(circuit)" if before == "a run" else ""}
        print("ready", flush=True)
        try:
            while True:
                circuit.run(batch)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        print("usable:", works(circuit))
        sys.exit(5)
        """
    # A shell may have started the tests with the signal ignored, which children inherit.
    first = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    first += "from concrete import fhe" if before == "loading the engine" else ""
    with subprocess.Popen(
        [sys.executable, "-c", first + script(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert out.splitlines() == ["interrupted", "usable: True"], err
    assert process.returncode == 5


def test_an_interrupt_ends_a_wait_after_a_compilation(tmp_path):
    """As it did before: whoever waits for a lock, or for another thread's result, can be interrupted."""
    code = """
        import ctypes, threading
        def action():
            found = ctypes.create_string_buffer(256)
            ctypes.CDLL(None).sigaction(signal.SIGINT, None, found)
            return found.raw[:8], found.raw[136:140]  # handler and flags, in the C library's structure
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
        before = action()
        print("works:", works(compile_program(program())))
        print("as before:", action() == before)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        lock = threading.Lock()
        lock.acquire()
        start = time.monotonic()
        try:
            lock.acquire(timeout=60)
        except KeyboardInterrupt:
            print("interrupted:", time.monotonic() - start < 30)
        """
    done = finish(code, tmp_path)
    assert done.stdout.splitlines() == ["works: True", "as before: True", "interrupted: True"], done.stderr


@pytest.mark.slow
def test_a_closed_pipe_raises(tmp_path):
    """What ``script | head -1`` does: the exception of Python, and its exit status, not a crash."""
    code = """
        print(works(compile_program(program())), flush=True)
        for _ in range(100_000):
            print("a line that nobody reads any more", flush=True)
        """
    with subprocess.Popen(
        [sys.executable, "-c", script(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    ) as process:
        assert process.stdout.readline() == "True\n"
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=120)
    assert process.returncode == 1
    assert "BrokenPipeError" in err


FORKS = """
def child(work):
    \"\"\"Return what a forked child writes, which has 60 seconds for it.\"\"\"
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            result = work()
        except ForkedProcessError as error:
            result = ("refused: " + str(error)).encode()
        with os.fdopen(write, "wb") as file:
            file.write(result)
        os._exit(0)
    os.close(write)
    end = time.monotonic() + 60
    with os.fdopen(read, "rb") as file:
        os.set_blocking(read, False)
        got = b""
        while True:
            part = file.read()
            if part == b"":
                break
            got += part or b""
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                got = b"hangs"
                break
            time.sleep(0.01)
    os.waitpid(pid, 0)
    return got

def says(work):
    return child(lambda: str(work()).encode()).decode()
"""


def test_forked_children_of_a_compiled_model_predict(tmp_path):
    """As workers of a server that loads its models before it forks them; each has keys of its own."""
    code = f"""
        {textwrap.indent(FORKS, " " * 8).strip()}
        circuit = compile_program(program())
        print([says(lambda: works(circuit)) for _ in range(2)])
        print(works(circuit))
        """
    done = finish(code, tmp_path)
    assert done.stdout.splitlines() == ["['True', 'True']", "True"], done.stderr


def test_forked_children_share_no_randomness_and_are_refused_what_would_hang(tmp_path):
    """A mask that two ciphertexts share gives away the difference of what they hold.

    Ciphertexts of one key set have a header and a trailer in common, as two of the parent's show. Beyond
    these no word of a child's occurs in its sibling's or in the parent's.
    """
    code = f"""
        {textwrap.indent(FORKS, " " * 8).strip()}
        circuit = compile_program(program(), batch_sizes=(1, 8))
        from skfhe.circuit._calls import plan_calls
        def words(encrypted):
            ((part,), (call,)) = circuit.compiled.parts, plan_calls([len(encrypted)], [len(encrypted)])
            (expanded,) = part._inputs(call, [(encrypted.ciphertexts[0], encrypted.seed)])
            return set(np.frombuffer(expanded, dtype=np.uint64).tolist())
        parent = [words(circuit.encrypt(X)) for _ in range(2)]
        packed = lambda: np.array(sorted(words(circuit.encrypt(X))), dtype=np.uint64).tobytes()
        children = [set(np.frombuffer(child(packed), dtype=np.uint64).tolist()) for _ in range(2)]
        common = parent[0] & parent[1]
        print(len(common) < 40 and min(map(len, parent + children)) > 10_000)
        print([sorted((a & b) - common) for a in children for b in parent + children if a is not b])
        # The parent has made keys, and run nothing: a child can go on with them, and make no others.
        other = compile_program(program(2))
        print(says(lambda: works(circuit)))
        print(says(lambda: other.encrypt(X)).partition("; ")[0].partition(" Start")[0])
        print(works(circuit))
        # Now it has run something, too.
        start = time.monotonic()
        for work in (lambda: works(circuit), lambda: circuit.simulate(X), lambda: works(other)):
            print(says(work)[:8])
        print(time.monotonic() - start < 20, works(circuit))
        """
    done = finish(code, tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "True", done.stderr
    assert lines[1] == str([[]] * 6)
    assert lines[2] == "True"
    assert lines[3].startswith("refused: key generation cannot be done in process")
    assert lines[4] == "True"
    assert lines[5:8] == ["refused:"] * 3
    assert lines[8] == "True True"
