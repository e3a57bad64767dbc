import dataclasses
import json
import warnings

import pytest
from typer.testing import CliRunner

from skfhe import _bench
from skfhe._cli import app
from skfhe.cost import Machine, estimate_cost, machine, machine_path
from tests.cost.machines import made_up


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Let the command find what nobody measures, in a home of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(_bench, "measure_machine", lambda step: made_up())


def bench(*arguments):
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_what_was_measured_is_used_from_then_on(measured, monkeypatch, small_program):
    monkeypatch.delenv("SKFHE_MACHINE")
    before = estimate_cost(small_program).seconds
    output = bench()
    assert "of lookups, polynomials of 1024, 2 levels" in output
    assert str(machine_path()) in output.replace("\n", "")
    assert machine() == made_up()
    assert estimate_cost(small_program).seconds != before
    assert "| " not in bench("--json")


def test_a_trial_keeps_nothing_and_another_file_is_another_s(measured, tmp_path):
    assert "100%" not in bench("--dry-run")
    assert not machine_path().exists()
    bench("--output", tmp_path / "server.json")
    assert not machine_path().exists()
    assert Machine.from_json((tmp_path / "server.json").read_text()) == made_up()
    assert json.loads(bench("--dry-run", "--json"))["name"] == "made up"


def test_what_another_file_hides_is_said(measured, monkeypatch):
    """As long as the variable names another file, that is the one which is read."""
    monkeypatch.setenv("SKFHE_MACHINE", "off")
    assert "without SKFHE_MACHINE=off" in " ".join(bench().split())


def test_a_busy_machine_is_told(measured, monkeypatch):
    def measure(step):
        warnings.warn("this machine was busy: so it was", UserWarning, stacklevel=1)
        return made_up()

    monkeypatch.setattr(_bench, "measure_machine", measure)
    result = CliRunner().invoke(app, ["bench", "--dry-run", "--json"])
    assert result.stderr == "skfhe: this machine was busy: so it was\n"
    assert json.loads(result.stdout)["name"] == "made up"


def test_a_file_that_cannot_be_written_is_named(measured, tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["bench", "--output", str(tmp_path / "file" / "machine.json")])
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


def test_more_threads_than_processors_are_no_busy_machine(monkeypatch):
    """They cannot have more than there are."""
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert _bench._threads() == 64
    assert (_bench._processors(64), _bench._processors(1)) == (2, 1)


def test_a_machine_s_name_can_be_written_to_its_file():
    assert Machine.from_json(dataclasses.replace(made_up(), name=_bench._shown("a\x1b" * 999)).to_json())


def test_who_has_no_home_is_told_before_anything_is_measured(measured, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(_bench, "measure_machine", lambda step: pytest.fail("was measured"))
    monkeypatch.setattr("pathlib.Path.home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME")
    result = CliRunner().invoke(app, ["bench"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "set HOME or XDG_CACHE_HOME, or give --output" in result.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:this machine was busy")
def test_a_machine_is_measured(monkeypatch):
    """Every kind of work takes some time, and predictions by it are of the order of what rows take."""
    monkeypatch.setattr(_bench, "LOOKUPS", ((1, 2), (1, 6)))
    monkeypatch.setattr(_bench, "_repetitions", lambda: range(3))
    steps = []
    found = _bench.measure_machine(steps.append)
    assert len(steps) == 3
    assert [*found.operations] == [256]
    assert all(1e-12 < rate < 1e-7 for rate in found.operations[256])
    assert all(0 < seconds < 1 for seconds in found.seconds.values())
    assert Machine.from_json(found.to_json()) == found
