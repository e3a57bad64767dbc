"""The picture of README.md is there, and is made of figures that were measured."""

import importlib.util
import json
import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]


def test_pictures_of_the_readme_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert "docs/_static/story.svg" in found
    for path in found:
        assert (ROOT / path).is_file(), path


def test_the_story_is_drawn_from_its_figures():
    """Every phase that takes time has a bar, and the times told are sums of what was measured."""
    matplotlib.use("Agg")
    path = ROOT / "docs" / "pictures" / "story.py"
    spec = importlib.util.spec_from_file_location("story", path)
    story = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(story)
    figures = json.loads(story.FIGURES.read_text("utf-8"))
    figure = story.draw(figures)
    (ax,) = figure.axes
    said = [text.get_text() for text in ax.texts]
    spent = dict.fromkeys((phase[0] for phase in figures["phases"]), 0.0)
    for name, _, _, seconds, _ in figures["phases"]:
        spent[name] += seconds
    assert f"server computes {story.told(spent['run'])}" in said
    assert story.told(spent["encode"] + spent["encrypt"]) in said
    assert figures["equal_rows"][0] == figures["equal_rows"][1]
    bars = [patch for patch in ax.patches if type(patch).__name__ == "Rectangle"]
    assert len(bars) == len(figures["phases"])
    plt.close(figure)
