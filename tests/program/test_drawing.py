"""Programs as boxes and arrows: whatever is drawn is there, and nothing overlaps."""

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from skfhe.program import Program, ProgramBuilder, draw, ops
from skfhe.program._layout import layers_of, placed
from tests.conftest import perceptron


def wide(n_inputs=9):
    """Inputs that are looked up apart and then added up, with one looked up output beside."""
    builder = ProgramBuilder()
    found = []
    for i in range(n_inputs):
        x = builder.input(np.zeros(3), np.full(3, 7), label=f"feature {i}")
        found.append(builder.add(ops.Lookup(np.arange(8)[None], np.array([0])), x, label=f"table <{i}> & co"))
    total = found[0]
    for each in found[1:]:
        total = builder.add(ops.Add(), total, each, label="total")
    return builder.finish(total, found[2])


def deep(n_blocks=20):
    """Blocks of three values, every third with what went into it added."""
    builder = ProgramBuilder()
    x = builder.input(np.zeros(3), np.full(3, 7), label="x")
    for i in range(n_blocks):
        before = x
        for op in (
            ops.Linear(np.eye(3, dtype=int), np.zeros(3, int)),
            ops.Lookup(np.arange(8)[None], np.array([0])),
        ):
            x = builder.add(op, x, label=f"block {i}")
        if i % 3 == 0:
            x = builder.add(ops.Add(), x, before, label=f"sum {i}")
            x = builder.add(ops.Bound(0, 7), x, label=f"sum {i}")
    return builder.finish(x)


PROGRAMS = [perceptron(np.random.default_rng(0)), wide(), deep()]


@pytest.mark.parametrize("program", PROGRAMS, ids=["perceptron", "wide", "deep"])
def test_every_value_is_in_one_box_and_every_argument_has_an_arrow(program):
    drawing = draw(program)
    positions = sorted(at for box in drawing.boxes for at in box.values)
    assert positions == list(range(len(program.values)))
    of = {at: i for i, box in enumerate(drawing.boxes) for at in box.values}
    expected = {
        (of[argument], of[at]) for at, value in enumerate(program.values) for argument in value.arguments
    }
    assert {(a.start, a.end) for a in drawing.arrows} == {(a, b) for a, b in expected if a != b}
    outputs = [box for box in drawing.boxes if box.is_output]
    assert {at for box in outputs for at in box.values} >= set(program.outputs)


@pytest.mark.parametrize("program", PROGRAMS, ids=["perceptron", "wide", "deep"])
def test_boxes_neither_overlap_nor_leave_the_drawing_and_arrows_lead_down(program):
    drawing = draw(program)
    for box in drawing.boxes:
        assert box.x - box.width / 2 >= 0
        assert box.x + box.width / 2 <= drawing.width
        assert 0 <= box.y <= box.y + box.height <= drawing.height
    for a, b in combinations(drawing.boxes, 2):
        apart = abs(a.x - b.x) >= (a.width + b.width) / 2
        assert apart or a.y + a.height <= b.y or b.y + b.height <= a.y
    for arrow in drawing.arrows:
        heights = [y for _, y in arrow.points]
        assert heights == sorted(heights)
        start, end = drawing.boxes[arrow.start], drawing.boxes[arrow.end]
        assert arrow.points[0] == (start.x, start.y + start.height)
        assert arrow.points[-1] == (end.x, end.y)


def test_a_box_says_what_computes_its_value_and_what_that_can_be():
    program = perceptron(np.random.default_rng(0))
    lines = [box.lines for box in draw(program).boxes]
    value = program.values[1].type
    assert lines[0] == ("Input", "input", "(6,) [0, 3], 2 bits")
    assert lines[1] == ("Linear", "hidden", f"(3,) [{value.min}, {value.max}], {value.bits} bits")
    assert lines[2][0] == "3 lookups"
    assert lines[3][-1] == "output, decrypted by the client"
    assert [box.kind for box in draw(program).boxes] == ["input", "sum", "lookup", "sum"]


def test_long_programs_are_drawn_by_layers_and_then_without_their_middle():
    program = deep()
    by_layer = draw(program, max_layers=40)
    assert {len(box.values) for box in by_layer.boxes[1:]} == {2}
    assert not any(box.kind == "rest" for box in by_layer.boxes)
    assert by_layer.boxes[1].lines == (
        "Linear → 3 lookups",
        "block 0",
        "sums [0, 7], 3 bits",
        *by_layer.boxes[1].lines[3:],
    )
    short = draw(program)
    (rest,) = [box for box in short.boxes if box.kind == "rest"]
    n_lookups = sum(program.values[at].type.size for at in rest.values if at in program.lookups)
    assert rest.lines == (f"… {len(rest.values)} more values", f"{n_lookups} lookups")
    edges = [(arrow.start, arrow.end) for arrow in short.arrows]
    assert max(layers_of(len(short.boxes), edges)) + 1 <= 16


def test_wide_programs_are_drawn_in_part():
    drawing = draw(wide(), max_width=3)
    rows = {}
    for box in drawing.boxes:
        rows.setdefault(box.y, []).append(box)
    assert max(map(len, rows.values())) == 3
    with pytest.raises(ValueError, match="at least 3 and max_width 2"):
        draw(wide(), max_width=1)


def test_svg_is_well_formed_and_escaped_and_takes_the_colour_of_the_page():
    program = wide(3)
    page = program._repr_html_()
    svg = re.search("<svg.*</svg>", page, re.DOTALL)[0]
    root = ElementTree.fromstring(svg)
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert "table <0> & co" in texts
    assert root.get("fill") == "currentColor"
    assert root.get("aria-label").startswith("integer program of 8 values, 3 of them inputs, 9 lookups a row")
    assert "<script" not in page
    assert "overflow-x: auto" in page


def test_labels_with_control_characters_are_one_line_of_xml():
    builder = ProgramBuilder()
    x = builder.input(np.zeros(1), np.full(1, 7), label="first\nsecond\x00\u2028")
    program = builder.finish(builder.add(ops.Sum(axis=0), x, label="total\x1b"))
    assert len(str(program).splitlines()) == 2
    titles = [
        node.text
        for node in ElementTree.fromstring(draw(program).to_svg()).iter()
        if node.tag.endswith("title")
    ]
    assert titles == str(program).splitlines()


def test_an_empty_program_is_drawn_as_nothing():
    assert draw(Program((), ())).boxes == ()
    ElementTree.fromstring(draw(Program((), ())).to_svg())


def test_a_program_is_named_in_a_line():
    assert repr(wide(3)) == "<Program of 8 values, 3 inputs, 2 outputs; 9 lookups a row; proven>"


def test_neighbours_are_placed_as_near_to_each_other_as_widths_allow():
    """Two nodes above one: it stands in their middle; an edge over a layer has a place of its own there."""
    x, ways = placed([0, 0, 1, 2], [(0, 2), (1, 2), (2, 3), (1, 3)], [10.0, 10.0, 10.0, 10.0], gap=4.0)
    assert x[1] - x[0] == pytest.approx(14.0, abs=3.0)
    assert abs(x[1] - x[0]) >= 14.0 - 1e-9
    assert [len(way) for way in ways] == [0, 0, 0, 1]
    ((across, layer),) = ways[3]
    assert layer == 1
    assert abs(across - x[2]) >= 11.0 - 1e-9
