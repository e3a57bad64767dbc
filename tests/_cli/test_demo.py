import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from typer.testing import CliRunner

from skfhe._cli import app, second_act


def lines_with(words, text):
    return [line for line in text.splitlines() if words in line]


def test_the_demo_prints_its_table_and_says_what_the_second_act_needs(monkeypatch):
    """Without the extras of servers and clients the demo ends well."""
    monkeypatch.setattr(second_act, "NEEDED", ("numpy", "no_such_package"))
    result = CliRunner().invoke(app, ["demo", "--rows", "1"])
    assert result.exit_code == 0, result.output
    (equal,) = lines_with("encrypted = clear", result.output)
    assert "100.0%" in equal
    for word in ("simulated", "seconds a row", "lookups a row", "evaluation keys", "MB"):
        assert word in result.output
    assert 'needs no_such_package: pip install "skfhe[client,server]"' in " ".join(result.output.split())


def start(*options, **variables):
    """Begin a demo in a process of its own, on a terminal that knows ASCII alone."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"} | variables
    command = [sys.executable, "-m", "skfhe", "demo", "--rows", "1", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_the_second_act_is_played_by_two_processes():
    demo = start()
    out, errors = demo.communicate(timeout=300)
    assert (demo.returncode, errors) == (0, b"")
    text = out.decode("ascii")
    (equal,) = lines_with("predictions of the client = clear", text)
    assert "100.0%" in equal
    assert "neither torch nor scikit-learn" in text
    pids = [int(line.split()[2].strip(";")) for line in text.splitlines() if ": process " in line]
    assert len({*pids, demo.pid}) == 3
    for pid in pids:  # both are gone
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
def test_a_reader_who_has_had_enough_ends_all_processes():
    """As ``skfhe demo | head`` does, after the server was started: no traceback, and no server that stays."""
    demo = start()
    for line in demo.stdout:
        if line.startswith(b"Server: process"):
            pid = int(line.split()[2].strip(b";"))
            break
    demo.stdout.close()
    assert demo.stderr.read() == b""
    assert demo.wait(timeout=300) == -signal.SIGPIPE
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_who_ends_the_demo_leaves_no_keys_behind(tmp_path):
    """A folder with a secret key goes with the process, also where that is asked to end."""
    demo = start(TMPDIR=str(tmp_path))
    for line in demo.stdout:
        if line.startswith(b"Client: process"):
            break
    assert [*tmp_path.glob("skfhe-demo-*")]
    demo.terminate()
    demo.communicate(timeout=300)
    assert demo.returncode == 128 + signal.SIGTERM
    assert not [*tmp_path.glob("skfhe-demo-*")]


def test_whoever_plays_no_part_is_quoted(tmp_path, monkeypatch):
    """What ends it is its own error, not a script of the user's that is called like the package."""
    (tmp_path / "skfhe.py").write_text("raise SystemExit('loaded another')")
    monkeypatch.chdir(tmp_path)
    with second_act._process("client", "http://127.0.0.1:1/iris", "folder") as client:
        client.stdin.write("no rows\n")
        client.stdin.flush()
        with pytest.raises(second_act.Refused, match="JSONDecodeError"):
            second_act._answer(client, "client")


def test_no_proxy_comes_between_the_two(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    for name, value in second_act._environment().items():
        monkeypatch.setenv(name, value)
    assert urllib.request.proxy_bypass_environment("127.0.0.1")
