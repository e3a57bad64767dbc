"""The chart at the top of docs/which_model.md: questions down to a family of models, with what was measured.

``python docs/pictures/which_model.py`` draws ``docs/_static/which_model.svg`` of what is kept in
``benchmarks/results``. The page takes the file in as it is, so that its text is text, its colours are the
theme's, light or dark, and its leaves are links.
"""

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks" / "results"
PICTURE = HERE.parent / "_static" / "which_model.svg"
WIDTH, ROW, TOP = 720, 92, 10
QUESTION, LEAF = 62, 78
"""Heights of boxes."""
COLUMNS = ((8, 174), (252, 166), (474, 238))
"""Left edge and width of a column of boxes."""
STYLE = """
.which-model {font-family: system-ui, -apple-system, "Segoe UI", sans-serif;
  color: var(--pst-color-text-base, #1a1a1a)}
.which-model text {fill: currentColor; font-size: 13px}
.which-model .small {font-size: 12px}
.which-model .head {font-weight: 600}
.which-model rect {fill: var(--pst-color-surface, #f3f4f5); stroke: var(--pst-color-text-muted, #68737e)}
.which-model a rect {fill: var(--pst-color-background, #ffffff);
  stroke: var(--pst-color-primary, #1f6f8b); stroke-width: 2}
.which-model a {color: inherit; text-decoration: none}
.which-model a .head {fill: var(--pst-color-link, #1a6079); text-decoration: underline}
.which-model a:focus rect, .which-model a:hover rect {stroke-width: 4}
.which-model path {fill: none; stroke: var(--pst-color-text-muted, #68737e); stroke-width: 1.5}
.which-model marker path {fill: var(--pst-color-text-muted, #68737e); stroke: none}
""".strip()


@dataclass(frozen=True)
class Question:
    """A question, and the way from each answer."""

    name: str
    column: int
    row: int
    lines: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]
    """What is answered, and the question or leaf that it leads to."""


@dataclass(frozen=True)
class Leaf:
    """A family, the page that describes it, and what was measured: (data, score, seconds) twice at most."""

    name: str
    row: int
    head: str
    link: str
    measured: tuple[tuple[str, float, float], ...]


QUESTIONS = (
    Question("row", 0, 0, ("What is a row?",), (("an image", "network"), ("a line of a table", "number"))),
    Question("network", 1, 0, ("Has a network been", "trained for it?"), (("no", "images"), ("yes", "own"))),
    Question(
        "number",
        0,
        2,
        ("How many rows are", "there to train on?"),
        (("tens", "few"), ("hundreds, or more", "sum")),
    ),
    Question(
        "sum",
        0,
        3,
        ("Does each feature", "count by itself?", "(Try: it takes seconds.)"),
        (("yes", "seen"), ("no, they act together", "time")),
    ),
    Question(
        "seen", 1, 3, ("May a client see", "thresholds of trees?"), (("yes", "stumps"), ("no", "linear"))
    ),
    Question(
        "time",
        0,
        5,
        ("How long may", "a row take?"),
        (("0.1 s", "small"), ("0.5 s", "boosting"), ("1 s", "forest")),
    ),
)


def kept(name):
    """Return the results of a benchmark."""
    (path,) = RESULTS.glob(f"{name}-amd-epyc-*.json")
    return json.loads(path.read_text("utf-8"))


def job(name, model, budget=0.05):
    """Return the score and the seconds, as `cost_` has them, of a job's model of a budget."""
    found = kept(f"jobs-{name}")["ours"]["budgets"]
    each = next(each for each in found if each["model"] == model and each["budget"] == budget)
    return each["score"], each["seconds"]


def of(benchmark, score="score", seconds="row", **wanted):
    """Return the score, or the mean of folds, and the seconds of the first such model of a benchmark."""
    each = next(
        each
        for each in kept(benchmark)["results"]
        if all(each[name] == value for name, value in wanted.items())
    )
    scores = each[score]
    return (sum(scores) / len(scores) if isinstance(scores, list) else scores), each[seconds]


def leaves():
    """Return the families, in order, with what is kept of them."""
    network = kept("digits-cnn")["results"]
    families = {"benchmark": "families", "score": "clear", "seconds": "seconds", "data": "wine"}
    nets = {"benchmark": "neural-network-skfhe-peer-50-epochs", "score": "folds", "model": "skfhe"}
    return (
        Leaf(
            "images",
            0,
            "RBFSampler, RidgeClassifier",
            "families.html#rbf-kernels-random-features-with-a-public-seed",
            (("MNIST", *job("mnist", "random features")),),
        ),
        Leaf(
            "own",
            1,
            "Your own network",
            "your_own_network.html",
            (("digits, CNN", network["clear"], network["seconds, one row"]),),
        ),
        Leaf(
            "few",
            2,
            "Bayes, discriminants, SVC",
            "families.html",
            (
                ("wine, GaussianNB", *of(family="GaussianNB", **families)),
                ("wine, SVC", *of(family="SVC, poly", **families)),
            ),
        ),
        Leaf(
            "stumps",
            3,
            "Boosting, depth 1",
            "trees.html#depth-1",
            (("mortgage", *job("mortgage", "boosting")), ("churn", *job("churn", "boosting"))),
        ),
        Leaf(
            "linear",
            4,
            "Linear model, or of splines",
            "linear_models.html",
            (("cancer", *job("cancer", "linear")), ("attrition", *job("attrition", "splines"))),
        ),
        Leaf(
            "small",
            5,
            "NeuralNetClassifier",
            "neural_network.html",
            (("checkerboard", *of(data="checkerboard", **nets)), ("digits", *of(data="digits", **nets))),
        ),
        Leaf(
            "boosting",
            6,
            "Boosting, depth 2 or 3",
            "trees.html",
            (
                ("churn, depth 2", *job("churn", "boosting", 0.15)),
                ("churn, depth 3", *job("churn", "boosting", 0.5)),
            ),
        ),
        Leaf(
            "forest",
            7,
            "Random forest",
            "trees.html",
            (
                (
                    "digits",
                    *of("tabular-forest-forest-leaves-digits", model="forest", whose="skfhe", data="digits"),
                ),
            ),
        ),
    )


def told(score):
    """Return a score as tables tell it."""
    return f"{score:.3f}".removeprefix("0")


def duration(seconds):
    """Return seconds to two digits."""
    return f"{seconds * 1e3:.2g} ms" if seconds < 0.0995 else f"{seconds:.2g} s"


def measured(leaf):
    """Return what a leaf says below its name."""
    return [f"{data}: {told(score)}, {duration(seconds)}" for data, score, seconds in leaf.measured]


def text(x, y, line, kind):
    """Return one line of text."""
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(line)}</text>'


def box(column, row, height, lines):
    """Return a box with lines of text, which are (text, class)."""
    x, width = COLUMNS[column]
    y = TOP + ROW * row + (ROW - height) / 2
    first = y + height / 2 - 18 * (len(lines) - 1) / 2 + 4.5
    drawn = [f'<rect x="{x}" y="{y:g}" width="{width}" height="{height}" rx="6"/>']
    drawn += [text(x + 10, f"{first + 18 * i:g}", line, kind) for i, (line, kind) in enumerate(lines)]
    return "".join(drawn)


def way(question, answer, target, row):
    """Return the arrow of an answer: to the right, down and then to the right, or down a column."""
    x, width = COLUMNS[question.column]
    middle = TOP + ROW * (question.row + 0.5)
    y = TOP + ROW * (row + 0.5)
    column = target.column if isinstance(target, Question) else 2
    if column == question.column:
        start, end = middle + QUESTION / 2, y - QUESTION / 2
        path, label = f"M{x + 30} {start:g}V{end - 2:g}", (x + 40, (start + end) / 2 + 4)
    elif row == question.row:
        path, label = f"M{x + width} {y:g}H{COLUMNS[column][0] - 2}", (x + width + 8, y - 6)
    else:
        turn = x + width - 30
        path = f"M{turn} {middle + QUESTION / 2:g}V{y:g}H{COLUMNS[column][0] - 2}"
        label = (x + width + 8, y - 6)
    drawn = f'<path d="{path}" marker-end="url(#which-model-tip)"/>'
    return drawn + text(f"{label[0]:g}", f"{label[1]:g}", answer, "small")


def in_words(families):
    """Return the whole chart as text, for those who do not see it."""
    found = {each.name: each for each in (*QUESTIONS, *families)}
    told_of = []
    for question in QUESTIONS:
        answers = [
            f"{answer}: {goal.head} ({'; '.join(measured(goal))})"
            if isinstance(goal, Leaf)
            else f"{answer}: {' '.join(goal.lines[:2])}"
            for answer, goal in ((answer, found[name]) for answer, name in question.answers)
        ]
        told_of.append(f"{' '.join(question.lines[:2])} {'; '.join(answers)}.")
    return " ".join(told_of)


def draw(families):
    """Return the picture."""
    found = {each.name: each for each in (*QUESTIONS, *families)}
    height = 2 * TOP + ROW * len(families)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="which-model" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" role="group" aria-labelledby="which-model-title which-model-words">',
        '<title id="which-model-title">Which model to take</title>',
        f'<desc id="which-model-words">{escape(in_words(families))}</desc>',
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="which-model-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8Z"/></marker></defs>',
    ]
    for question in QUESTIONS:
        parts += [way(question, answer, found[name], found[name].row) for answer, name in question.answers]
        kinds = ["head", "head", "small"]
        parts.append(
            box(question.column, question.row, QUESTION, list(zip(question.lines, kinds, strict=False)))
        )
    for leaf in families:
        lines = [(leaf.head, "head"), *((line, "small") for line in measured(leaf))]
        parts.append(f'<a href="{leaf.link}">{box(2, leaf.row, LEAF, lines)}</a>')
    return "\n".join((*parts, "</svg>\n"))


if __name__ == "__main__":
    PICTURE.write_text(draw(leaves()), "utf-8")
