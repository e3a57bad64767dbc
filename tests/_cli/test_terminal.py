import os
import signal
import subprocess
import sys

from typer.testing import CliRunner

import skfhe
from skfhe._cli import app
from skfhe._cli.terminal import console


def test_the_version_is_printed():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == skfhe.__version__


def run(*arguments, **options):
    command = [sys.executable, "-m", "skfhe", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, check=False, **options)


def test_the_package_runs_as_the_command_does_on_terminals_that_know_ascii_alone():
    """What they cannot show is spelled out: dots that stand for more models, bars of tables."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = run("serve", "--help", stdout=subprocess.PIPE, env=environment)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"MODEL..." in result.stdout
    assert result.stdout.isascii()


def test_the_command_ends_without_a_word_when_nobody_reads_on():
    """As every program before ``| head`` does: by the signal, and without a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = run("--help", stdout=writing)
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (-signal.SIGPIPE, b"")


def test_colours_are_for_terminals(monkeypatch, capsys):
    """What is piped has none, and neither has a terminal whose owner wants none."""
    console().print("seconds", style="bold red")
    assert capsys.readouterr().out == "seconds\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    console().print("seconds", style="bold red")
    assert "\x1b[" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    console().print("seconds", style="red")
    assert capsys.readouterr().out == "seconds\n"
