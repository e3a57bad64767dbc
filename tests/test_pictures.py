"""The picture of README.md is there, and is made of figures that were measured."""

import importlib.util
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

ROOT = Path(__file__).parents[1]


def test_pictures_of_the_readme_exist():
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert "docs/_static/story.svg" in found
    for path in found:
        assert (ROOT / path).is_file(), path


def script(name):
    """Return a script of docs/pictures as a module."""
    matplotlib.use("Agg")
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "pictures" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_story_is_drawn_from_its_figures():
    """Every phase that takes time has a bar, and the times told are sums of what was measured."""
    story = script("story")
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


def test_the_page_of_jobs_has_the_figures_that_were_measured():
    """No figure of its tables is written by hand, and none is of a job that was not run."""
    page = script("jobs")
    found = page.load()
    assert found
    text = page.PAGE.read_text("utf-8")
    assert page.filled(text, found) == text
    for name, made in page.TABLES.items():
        assert made(found) in text, name


def test_encrypted_rows_of_jobs_were_the_clear_ones():
    for job in script("jobs").load():
        for each in job["ours"]["budgets"]:
            assert each.get("equal_rows") == each.get("checked_rows"), job["job"]


def test_each_job_has_a_panel_with_its_front():
    page = script("jobs")
    found = page.load()
    figure = page.draw(found)
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert len(panels) == len(found)
    for ax, job in zip(panels, found, strict=True):
        assert ax.get_title().startswith(job["job"])
        scores = ax.lines[0].get_ydata()
        assert [job["ours"]["candidates"]["score"][at] for at in job["ours"]["front"]] == list(scores)
    plt.close(figure)


def test_the_chart_of_families_is_drawn_of_what_was_measured():
    chart = script("which_model")
    families = chart.leaves()
    picture = chart.PICTURE.read_text("utf-8")
    assert picture == chart.draw(families), "run python docs/pictures/which_model.py"
    assert all(0 < score <= 1 for leaf in families for _, score, _ in leaf.measured)
    assert ":file: _static/which_model.svg" in (ROOT / "docs" / "which_model.md").read_text("utf-8")


def test_every_answer_of_the_chart_leads_somewhere_and_is_told_in_words():
    chart = script("which_model")
    families = chart.leaves()
    goals = [name for question in chart.QUESTIONS for _, name in question.answers]
    assert sorted(goals) == sorted({each.name for each in (*chart.QUESTIONS, *families)} - {"row"})
    (words,) = re.findall(r"<desc[^>]*>(.*)</desc>", chart.draw(families))
    for leaf in families:
        assert (ROOT / "docs" / leaf.link.partition("#")[0]).with_suffix(".md").is_file(), leaf.link
        assert leaf.head in words
        assert all(line in words for line in chart.measured(leaf))


def test_no_text_of_the_chart_runs_out_of_its_box():
    chart = script("which_model")
    root = ElementTree.fromstring(chart.draw(chart.leaves()))
    below = {"{http://www.w3.org/2000/svg}text", "{http://www.w3.org/2000/svg}rect"}
    right = None
    for each in (each for each in root.iter() if each.tag in below):
        if each.tag.endswith("rect"):
            right = float(each.get("x")) + float(each.get("width"))
        elif right is not None and float(each.get("x")) < right:
            bold = each.get("class") == "head"
            face = FontProperties(
                family="DejaVu Sans", weight="bold" if bold else "normal", size=13 if bold else 12
            )
            assert float(each.get("x")) + TextPath((0, 0), each.text, prop=face).get_extents().x1 < right, (
                each.text
            )
