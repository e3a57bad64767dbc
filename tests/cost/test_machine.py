"""Seconds of a machine that was measured: where they come from, and what they never change."""

import json
import os
import pickle
import warnings

import numpy as np
import pytest

from skfhe.cost import KINDS, Machine, estimate_cost, machine, machine_path, reference_seconds, write_machine
from skfhe.cost._machine import Lookups, Work
from skfhe.ensemble import RandomForestClassifier
from tests.cost.machines import made_up


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Write a machine's file, and use it."""

    def use(found):
        path = write_machine(found, tmp_path / "machine.json")
        monkeypatch.setenv("SKFHE_MACHINE", str(path))
        return path

    return use


def test_tests_are_not_changed_by_what_a_user_has_measured():
    assert os.environ["SKFHE_MACHINE"] == "off"
    assert machine() is None


def test_costs_are_told_in_the_seconds_of_the_machine(small_program, measured):
    """All else stays: operations, bytes, and the seconds by which programs are chosen."""
    before = estimate_cost(small_program)
    assert before.seconds == before.reference_seconds
    assert before.key_seconds == pytest.approx(before.key_bytes * reference_seconds()["generated_byte"])
    measured(made_up(generated_byte=1.0))
    found = estimate_cost(small_program)
    assert found.seconds > 10 * before.seconds  # a microsecond a byte of keys that are prepared
    assert found.seconds_a_call < found.seconds
    assert found.key_seconds == found.key_bytes
    for name in ("lookups", "complexity", "input_bytes", "output_bytes", "key_bytes", "reference_seconds"):
        assert getattr(found, name) == getattr(before, name)


def test_the_same_rows_train_the_same_program_whatever_was_measured(iris, measured):
    """A user's file would make others of them: lookups for nothing, ciphertexts for much, or the reverse."""

    def programs():
        forest = {"n_estimators": 3, "max_depth": 3, "random_state": 0}
        models = [RandomForestClassifier(**forest, n_bits=n_bits).fit(*iris) for n_bits in (None, 3)]
        return [pickle.dumps(model.program_) for model in models]

    by_the_table = programs()
    for found in (made_up(1e-30), made_up(1.0)):
        measured(found)
        assert programs() == by_the_table


def test_lookups_wait_for_the_last_of_them():
    """Three on two threads take as long as four, and one as two."""
    found = made_up()

    def seconds(count):
        return found.seconds_of(Work(lookups=(Lookups(1024, 1, count, count * 1e6),)))

    assert seconds(3) == pytest.approx(seconds(4))
    assert seconds(1) == pytest.approx(seconds(2)) == pytest.approx(2e-4)


def test_operations_of_other_lookups_take_those_of_the_nearest():
    found = made_up()
    assert found.operation(512, 1) == found.operation(1024, 1) == 1e-10
    assert found.operation(1024, 2) == found.operation(1024, 9) == pytest.approx(1.5e-10)
    assert found.operation(65536, 1) == 2e-10


def test_a_file_says_what_was_written(measured):
    found = made_up(summed_word=3.5e-10)
    path = measured(found)
    assert machine() == found == Machine.from_json(path.read_text("utf-8"))
    assert [each.name for each in path.parent.iterdir()] == ["machine.json"]


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", "nothing"),
        json.dumps({"format": "skfhe-machine", "version": 2}),
        made_up().to_json().replace("1e-06", "-1.0", 1),
        made_up().to_json().replace("1e-06", "NaN", 1),
        made_up().to_json().replace('"call"', '"calls"'),
        made_up().to_json().replace('"threads"', '"strands"'),
        made_up().to_json().replace('"1024"', '"0"'),
        made_up().to_json().replace('"1024"', '"1' + "0" * 400 + '"'),
        made_up().to_json().replace("1e-06", "1" + "0" * 400, 1),
        made_up().to_json().replace("1e-10", "1e308", 1),
        made_up().to_json().replace("1e-10", "5e-324", 1),
        made_up().to_json().replace("made up", "\\u001b[2J"),
    ],
    ids=range(15),
)
def test_a_file_that_cannot_be_used_is_warned_of_once(content, tmp_path, monkeypatch, small_program):
    (tmp_path / "machine.json").write_text(content)
    monkeypatch.setenv("SKFHE_MACHINE", str(tmp_path / "machine.json"))
    with pytest.warns(UserWarning, match="run skfhe bench, or set SKFHE_MACHINE=off"):
        found = estimate_cost(small_program)
    assert found.seconds == found.reference_seconds
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate_cost(small_program)


def test_a_machine_s_own_file_is_found_and_another_machine_s_is_not(tmp_path, monkeypatch):
    """Homes are shared, and machines change: what was measured with other processors is not of this one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SKFHE_MACHINE")
    monkeypatch.setattr("platform.node", lambda: "a/machine")
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert machine_path() == tmp_path / "skfhe" / "machine-a_machine.json"
    write_machine(made_up())
    assert machine() == made_up()
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    write_machine(made_up())
    with pytest.warns(UserWarning, match="measured with 2 processors, and there are 3"):
        assert machine() is None
    machine_path().unlink()
    write_machine(made_up(), tmp_path / "another")  # which is not read unless it is named
    assert machine() is None


def test_what_is_no_file_is_not_read(tmp_path, monkeypatch):
    """It may never end, as a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        monkeypatch.setenv("SKFHE_MACHINE", str(place))
        with pytest.warns(UserWarning, match="it is no file"):
            assert machine() is None


def test_a_folder_that_is_another_user_s_is_no_fault_of_this_one(monkeypatch, recwarn):
    """A service often has the home of whoever started it, and may not look into it."""

    def denied(path, *args, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setenv("XDG_CACHE_HOME", "/of/another")
    monkeypatch.delenv("SKFHE_MACHINE")
    with monkeypatch.context() as patched:
        patched.setattr("os.stat", denied)
        assert machine() is None
    assert not recwarn


def test_the_table_knows_every_kind_of_work():
    assert {*KINDS} <= {*reference_seconds()}
    assert np.all(np.array([*reference_seconds().values()]) > 0)
