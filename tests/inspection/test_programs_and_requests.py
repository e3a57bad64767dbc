"""Displays of what runs: the program, and one request."""

import pytest

from skfhe.deployment import AsyncClient, Phase, RequestRecord
from skfhe.exceptions import NotCompiledError
from skfhe.inspection import ProgramDisplay, RequestDisplay
from tests.inspection.conftest import X


def test_a_program_is_drawn_as_notebooks_draw_it(tree):
    display = ProgramDisplay.from_estimator(tree)
    assert display.program is tree.program_
    boxes = display.drawing.boxes
    assert len(display.boxes_) == len(boxes) == len(tree.program_.values)
    assert [t.get_text() for t in display.ax_.texts] == [line for box in boxes for line in box.lines]


def test_one_process_does_the_part_of_both_machines(linear):
    """Its phases follow each other, and the bytes are those that would be sent."""
    display = RequestDisplay.from_estimator(linear, X[:3, :2])
    record = display.record
    names = ["encode", "encrypt", "upload", "run", "download", "decrypt", "decode"]
    assert [phase.name for phase in record.phases] == names
    assert [phase.machine for phase in record.phases] == [
        *("client", "client", "network", "server", "network", "client", "client")
    ]
    ends = [phase.end for phase in record.phases]
    assert all(a <= b.start + 1e-9 for a, b in zip(ends, record.phases[1:], strict=False))
    assert ends[-1] <= record.seconds
    batch = linear.fhe_circuit_.encrypt(linear.quantize_input(X[:3, :2]))
    assert record.bytes_of("upload") == len(batch.to_bytes())
    assert record.n_rows == 3
    assert list(display.bars_) == names


def test_what_is_not_compiled_makes_no_request(tree):
    with pytest.raises(NotCompiledError, match="compile"):
        RequestDisplay.from_estimator(tree, X)


def test_what_is_no_record_is_not_drawn():
    with pytest.raises(TypeError, match="got NoneType; last_request of a client is None"):
        RequestDisplay.from_record(None)
    client = AsyncClient("http://localhost:1/model")
    with pytest.raises(TypeError, match="await one"):
        RequestDisplay.from_estimator(client, X)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.9996, "1 s"), (12.345, "12.3 s"), (1234.5, "1234 s"), (0.0123, "12 ms")]
)
def test_times_are_told_in_units_that_are_read(seconds, said):
    record = RequestRecord((Phase("run", "server", 0.0, seconds),), 1, seconds)
    assert RequestDisplay.from_record(record).ax_.get_title() == f"1 row in {said}"


def test_phases_of_other_names_are_drawn_below():
    phases = (Phase("cache", "server", 0.0, 0.1), Phase("run", "server", 0.1, 0.2))
    assert list(RequestDisplay.from_record(RequestRecord(phases, 1, 0.3)).bars_) == ["run", "cache"]


def test_a_record_is_drawn_to_scale():
    """A line a phase, in the order of a request; of several batches with a bar each."""
    phases = (
        Phase("encode", "client", 0.0, 0.001),
        Phase("upload", "network", 0.001, 0.002, 500),
        Phase("run", "server", 0.003, 0.02),
        Phase("upload", "network", 0.03, 0.002, 400),
        Phase("run", "server", 0.032, 0.02),
    )
    display = RequestDisplay.from_record(RequestRecord(phases, 2, 0.06), name="two batches")
    assert list(display.bars_) == ["encode", "upload", "run"]
    assert [(bar.get_x(), bar.get_width()) for bar in display.bars_["run"]] == [
        (pytest.approx(3.0), pytest.approx(20.0)),
        (pytest.approx(32.0), pytest.approx(20.0)),
    ]
    assert display.ax_.get_xlabel() == "milliseconds"
    assert display.ax_.get_title() == "two batches: 2 rows in 60 ms"
    assert "4 ms, 900 B" in [text.get_text() for text in display.ax_.texts]
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["client", "network", "server"]
