"""A program as boxes and arrows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from skfhe.program import ops
from skfhe.program._graph import Program, Value, printable
from skfhe.program._layout import layers_of, placed

__all__ = ["Arrow", "Box", "Drawing", "draw"]

COLORS = {
    "input": "#0072B2",
    "lookup": "#D55E00",
    "rounding": "#CC79A7",
    "sum": "#009E73",
    "free": "#8C8C8C",
    "rest": "#8C8C8C",
}
"""Of Okabe and Ito, told apart with any kind of colour vision. As lines and, faint, as fillings they can be
seen on white and on black."""
MEANINGS = {
    "input": "encrypted input",
    "sum": "sums, which cost little",
    "lookup": "lookups, which cost most",
    "rounding": "rounding",
    "free": "costs nothing",
    "rest": "left out",
}
KINDS: dict[type[ops.Op], str] = {
    ops.Input: "input",
    ops.Lookup: "lookup",
    ops.Round: "rounding",
    ops.Truncate: "rounding",
    **dict.fromkeys((ops.Linear, ops.Convolution, ops.Add, ops.Subtract, ops.Sum), "sum"),
}
"""All others move elements or say what is known of them, and cost nothing."""

OUTPUT = "output, decrypted by the client"
Node = tuple[int, ...]
"""Positions of the values that are one box."""
LETTER = 6.3
"""Width of a letter of 11 pixels, about."""
LINE, PAD, GAP, LAYER_GAP = 15.0, 8.0, 26.0, 30.0
MOST_LETTERS = 40


@dataclass(frozen=True)
class Box:
    """One box of a drawing.

    Parameters
    ----------
    kind : {"input", "sum", "lookup", "rounding", "free", "rest"}
        Of the dearest of its operations; "rest" if it stands for values that are left out.
    lines : tuple of str
        What it says, its operations first.
    values : tuple of int
        Positions of the values that it stands for.
    is_output : bool
        Whether one of them is decrypted.
    x, y, width, height : float
        Its middle across and its upper edge, in pixels, and its size.
    """

    kind: str
    lines: tuple[str, ...]
    values: tuple[int, ...]
    is_output: bool
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    @property
    def color(self) -> str:
        """Of its kind, in hexadecimal."""
        return COLORS[self.kind]


@dataclass(frozen=True)
class Arrow:
    """One arrow of a drawing.

    Parameters
    ----------
    start, end : int
        Which box it leaves, and which it leads to.
    points : tuple of (float, float)
        From the lower edge of the one to the upper edge of the other, each next to be reached by a curve that
        leaves and arrives vertically.
    """

    start: int
    end: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Drawing:
    """Boxes and arrows of a program, from the top down.

    Parameters
    ----------
    program : Program
    boxes : tuple of Box
    arrows : tuple of Arrow
    width, height : float
        In pixels.
    """

    program: Program
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float

    @property
    def key(self) -> list[tuple[str, str]]:
        """The colours of the kinds of boxes that there are, and what they mean."""
        present = {box.kind for box in self.boxes}
        return [(COLORS[kind], meaning) for kind, meaning in MEANINGS.items() if kind in present]

    def to_svg(self) -> str:
        """Return the drawing as SVG, in the colour of the text around it, so on light and dark pages alike.

        Returns
        -------
        str
        """
        keys, key_height = _key(self.key, self.width)
        width = max(self.width, 300.0)
        shift = (width - self.width) / 2
        title = escape(_summary(self.program))
        lines = str(self.program).splitlines()
        return "".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" '
                f'width="{width:.0f}" height="{self.height + key_height:.0f}" '
                f'viewBox="0 0 {width:.0f} {self.height + key_height:.0f}" font-family="sans-serif" '
                'font-size="11" fill="currentColor">',
                keys,
                f'<g transform="translate({shift:.1f} {key_height:.1f})">',
                *(_arrow_svg(arrow) for arrow in self.arrows),
                *(_box_svg(box, lines) for box in self.boxes),
                "</g></svg>",
            ]
        )


def draw(program: Program, *, max_layers: int = 16, max_width: int = 5) -> Drawing:
    """Return a program as boxes and arrows.

    Parameters
    ----------
    program : Program
    max_layers : int, default=16
        Boxes on the longest path. Of a longer program, values that only follow each other in one layer of the
        network are one box; if that is not enough, those in the middle are left out.
    max_width : int, default=5
        Boxes beside each other; others are left out.

    Returns
    -------
    Drawing

    Examples
    --------
    >>> from skfhe.program import ProgramBuilder, ops
    >>> builder = ProgramBuilder()
    >>> x = builder.input(np.zeros(2), np.full(2, 3), label="x")
    >>> y = builder.add(ops.Sum(axis=0), x, label="total")
    >>> [box.lines[:3] for box in draw(builder.finish(y)).boxes]
    [('Input', 'x', '(2,) [0, 3], 2 bits'), ('Sum', 'total', '() [0, 6], 3 bits')]
    """
    if max_layers < 3 or max_width < 2:
        raise ValueError(f"max_layers must be at least 3 and max_width 2, got {max_layers} and {max_width}")
    nodes: list[Node] = [(position,) for position in range(len(program.values))]
    if _n_layers(program, nodes) > max_layers:
        nodes = _chains(program)
    nodes, left_out = _abbreviated(program, nodes, max_layers, max_width)
    boxes = [_box(program, node, node in left_out) for node in nodes]
    edges = _edges(program, nodes)
    layer = layers_of(len(nodes), edges)
    x, ways = placed(layer, edges, [box.width for box in boxes], GAP)
    heights = np.zeros(max(layer, default=0) + 1)
    for row, box in zip(layer, boxes, strict=True):
        heights[row] = max(heights[row], box.height)
    tops = np.append(0.0, np.cumsum(heights + LAYER_GAP))
    margin = 3.0
    stood = [
        replace(box, x=float(x[i]) + margin, y=float(tops[layer[i]]) + margin) for i, box in enumerate(boxes)
    ]
    arrows = []
    for (start, end), way in zip(edges, ways, strict=True):
        first, last = stood[start], stood[end]
        passed = [
            (across + margin, float(tops[row] + up) + margin)
            for across, row in way
            for up in (0, heights[row])
        ]
        points = [(first.x, first.y + first.height), *passed, (last.x, last.y)]
        arrows.append(Arrow(start, end, tuple(points)))
    right = max([0.0, *(box.x + box.width / 2 for box in stood), *(p[0] for a in arrows for p in a.points)])
    return Drawing(
        program, tuple(stood), tuple(arrows), right + margin, float(tops[-1] - LAYER_GAP) + 2 * margin
    )


# What is one box.


def _edges(program: Program, nodes: Sequence[Node]) -> list[tuple[int, int]]:
    """Return which node is made of which others, each pair once."""
    of = {position: i for i, node in enumerate(nodes) for position in node}
    found = {
        (of[argument], i)
        for i, node in enumerate(nodes)
        for position in node
        for argument in program.values[position].arguments
        if of[argument] != i
    }
    return sorted(found)


def _n_layers(program: Program, nodes: Sequence[Node]) -> int:
    return max(layers_of(len(nodes), _edges(program, nodes)), default=-1) + 1


def _chains(program: Program) -> list[Node]:
    """Return values that follow each other, and nothing else, in one layer of the network as one node."""
    readers: dict[int, list[int]] = {}
    for position, value in enumerate(program.values):
        for argument in set(value.arguments):
            readers.setdefault(argument, []).append(position)
    chains: dict[int, list[int]] = {}
    begun: dict[int, int] = {}  # the first value of the chain that a value is in
    for position, value in enumerate(program.values):
        before = value.arguments[0] if len(set(value.arguments)) == 1 else None
        follows = (
            before is not None
            and len(readers[before]) == 1
            and before not in program.outputs
            and program.values[before].label == value.label
            and not isinstance(program.values[before].op, ops.Input)
        )
        begun[position] = begun[before] if follows and before is not None else position
        chains.setdefault(begun[position], []).append(position)
    return [tuple(chain) for chain in chains.values()]


def _abbreviated(
    program: Program, nodes: Sequence[Node], max_layers: int, max_width: int
) -> tuple[list[Node], set[Node]]:
    """Return nodes with those left out as nodes of their own, and which these are.

    No path leads out of such a node and into it again, for all that is between two layers is in it.
    """
    layer = layers_of(len(nodes), _edges(program, nodes))
    n_layers = max(layer, default=-1) + 1
    first, last = n_layers, n_layers  # the layers that are left out
    if n_layers > max_layers:
        first = (2 * max_layers) // 3
        last = n_layers - (max_layers - 1 - first)
    kept: list[Node] = []
    left_out: set[Node] = set()
    for row in range(n_layers):
        if first < row < last:
            continue
        own = [node for node, of in zip(nodes, layer, strict=True) if of == row]
        rest: list[Node] = []
        if row == first:
            own, rest = [], [n for n, of in zip(nodes, layer, strict=True) if first <= of < last]
        elif len(own) > max_width:
            own, rest = own[: max_width - 1], own[max_width - 1 :]
        kept += own
        if rest:
            kept.append(tuple(sorted(position for node in rest for position in node)))
            left_out.add(kept[-1])
    return kept, left_out


# What is in a box.


def _box(program: Program, node: Node, is_left_out: bool) -> Box:
    values = [program.values[position] for position in node]
    if is_left_out:
        n_lookups = sum(v.type.size for v in values if isinstance(v.op, ops.Lookup))
        kind = "rest"
        lines = [f"… {len(node)} more values", f"{n_lookups} lookups" if n_lookups else "no lookups"]
    else:
        kinds = [KINDS.get(type(value.op), "free") for value in values]
        kind = next(kind for kind in ("lookup", "rounding", "sum", "input", "free") if kind in kinds)
        lookups = [at for at in node if at in program.lookups]
        summed = [program.values[program.accumulator_of(at)] for at in lookups if len(node) > 1]
        lines = [_operations(values), values[-1].label, *(f"sums {_interval(each)}" for each in summed)]
        lines.append(_type(values[-1]))
    is_output = bool(set(node) & set(program.outputs))
    lines = [_shortened(line) for line in (*lines, OUTPUT if is_output else "") if line]
    letters = max(len(line) * (1.1 if i == 0 else 1.0) for i, line in enumerate(lines))
    size = {"width": max(letters * LETTER, 70.0) + 2 * PAD, "height": len(lines) * LINE + 2 * PAD - 3}
    return Box(kind, tuple(lines), tuple(node), is_output, **size)


def _operations(values: Sequence[Value]) -> str:
    names = [
        f"{value.type.size} lookup{'s' if value.type.size > 1 else ''}"
        if isinstance(value.op, ops.Lookup)
        else type(value.op).__name__
        for value in values
    ]
    return " → ".join(names)


def _type(value: Value) -> str:
    """Return the shape, the interval and the bits of a value in words."""
    kind = value.type
    return f"{kind.shape} {_interval(value)}"


def _interval(value: Value) -> str:
    kind = value.type
    return f"[{_number(kind.min)}, {_number(kind.max)}], {kind.bits} bit{'s' if kind.bits > 1 else ''}"


def _number(number: int) -> str:
    return str(number) if abs(number) < 10**6 else f"{number:.2e}".replace("e+", "e").replace("e0", "e")


def _shortened(text: str) -> str:
    text = printable(text)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _summary(program: Program) -> str:
    n_lookups = sum(program.values[at].type.size for at in program.lookups)
    return (
        f"integer program of {len(program.values)} values, {len(program.inputs)} of them inputs, "
        f"{n_lookups} lookups a row, intervals {program.range_source}"
    )


# SVG.


def _box_svg(box: Box, lines: Sequence[str]) -> str:
    color = box.color
    left = box.x - box.width / 2
    frame = f'x="{left:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5"'
    dash = ' stroke-dasharray="4 3"' if box.kind == "rest" else ""
    stroke = 2.6 if box.kind == "lookup" else 1.3
    drawn = [
        f"<g><title>{escape(_all_of(box, lines))}</title>",
        f'<rect {frame} fill="{color}" fill-opacity="0.16" stroke="{color}" stroke-width="{stroke}"{dash}/>',
    ]
    for i, line in enumerate(box.lines):
        face = ' font-weight="bold"' if i == 0 else ""
        if box.is_output and i == len(box.lines) - 1:
            face = ' font-style="italic"'
        y = box.y + PAD + (i + 0.65) * LINE
        drawn.append(f'<text x="{box.x:.1f}" y="{y:.1f}" text-anchor="middle"{face}>{escape(line)}</text>')
    return "".join([*drawn, "</g>"])


def _all_of(box: Box, lines: Sequence[str]) -> str:
    """Return every value of a box in full, as far as that is not too much."""
    shown = [lines[at] for at in box.values[:12]]
    return "\n".join([*shown, *(["…"] if len(box.values) > 12 else [])])


def _arrow_svg(arrow: Arrow) -> str:
    (x, y), *others = arrow.points
    way = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in others:
        middle = (y + to_y) / 2
        way.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    line = f'<path d="{"".join(way)}" fill="none" stroke="currentColor" stroke-opacity="0.6"/>'
    head = f'<path d="M{x:.1f} {y:.1f}l-4 -7h8z" fill-opacity="0.75"/>'
    return line + head


def _key(meanings: Sequence[tuple[str, str]], width: float) -> tuple[str, float]:
    """Return what the colours mean, and the height that it takes."""
    drawn, x, y, width = [], 4.0, 14.0, max(width, 300.0)
    for color, meaning in meanings:
        letters = len(meaning) * LETTER
        if x > 4.0 and x + 18 + letters > width:
            x, y = 4.0, y + 17.0
        drawn.append(
            f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="12" height="11" rx="2" fill="{color}" '
            f'fill-opacity="0.16" stroke="{color}" stroke-width="1.3"/>'
            f'<text x="{x + 17:.1f}" y="{y:.1f}">{meaning}</text>'
        )
        x += 17 + letters + 16
    return "".join(drawn), y + 16.0
