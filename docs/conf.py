"""How the documentation is built: ``make docs``."""

import inspect
import os
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # examples run in two processes at a time
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import skfhe  # noqa: E402

warnings.filterwarnings("ignore", "A worker stopped while some jobs")  # joblib renews those that have grown

project = "skfhe"
author = "the authors of skfhe"
copyright = author
version = release = skfhe.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/**/*.ipynb", "auto_examples/**/*.py", "sg_execution_times.rst"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # templates are given functions, which no cache can keep
default_role = "py:obj"
"""Single backticks name an object: a link where there is a page, code where there is none."""

highlight_language = "none"  # blocks say what they are

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"skfhe {release}"
html_static_path = ["_static"]
html_css_files = ["skfhe.css"]
html_favicon = "_static/favicon.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skfhe", "image_light": "_static/favicon.svg", "image_dark": "_static/favicon.svg"},
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "changelog": [], "contributing": [], "security": []}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"__init__\.py|_helpers\.py",
    "within_subsection_order": "FileNameSortKey",
    "matplotlib_animations": False,
    "abort_on_example_error": False,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "remove_config_comments": True,
    "parallel": 2,
    "reset_modules": ("matplotlib", "gallery_processes.start_by_spawn"),
}

ELSEWHERE = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{name}.html",
    "torch": "https://docs.pytorch.org/docs/stable/generated/{name}.html",
    "xgboost": "https://xgboost.readthedocs.io/en/stable/python/python_api.html#{name}",
    "lightgbm": "https://lightgbm.readthedocs.io/en/stable/pythonapi/{name}.html",
}
"""Where other libraries describe their objects, so that no inventory has to be fetched at build."""

UPPER = {
    **{"README.md#what-is-encrypted-and-who-sees-what": "who_learns_what.md", "README.md": "index.md"},
    **{"SECURITY.md": "security.md", "CONTRIBUTING.md": "contributing.md"},
}
"""Files of the repository's root, and the pages that show them."""


def own_methods(module: str, name: str) -> list[str]:
    """Public methods of a class that skfhe itself defines."""
    return [found for found, member in _methods(module, name) if _is_own(member)]


def other_methods(module: str, name: str) -> list[str]:
    """Public methods that a class has from another library."""
    return [found for found, member in _methods(module, name) if not _is_own(member)]


def _methods(module: str, name: str) -> list[tuple[str, Any]]:
    cls = getattr(import_module(module), name)
    members = ((found, inspect.getattr_static(cls, found)) for found in dir(cls) if not found.startswith("_"))
    return [(found, member) for found, member in members if _is_method(member)]


def _is_method(member: Any) -> bool:
    return inspect.isroutine(member) or hasattr(member, "check")  # as available_if makes them


def _is_own(member: Any) -> bool:
    function = getattr(member, "__func__", None) or getattr(member, "fn", member)
    return getattr(function, "__module__", "").startswith("skfhe.")


autosummary_context = {"own_methods": own_methods, "other_methods": other_methods}


def link_elsewhere(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Link an object of another library to that library's page."""
    from docutils import nodes

    name = node.get("reftarget", "")
    library, _, rest = name.partition(".")
    if node.get("refdomain") != "py" or library not in ELSEWHERE or not rest:
        return None
    return nodes.reference("", "", contnode, internal=False, refuri=ELSEWHERE[library].format(name=name))


def relink(text: str) -> str:
    """Point links between the files of the repository to the pages that show them."""
    for file, page in UPPER.items():
        text = text.replace(f"](../{file}", f"]({page}").replace(f"]({file}", f"]({page}")
    return text


def relink_page(app: Any, docname: str, source: list[str]) -> None:
    """Relink what a page itself says."""
    source[0] = relink(source[0])


def relink_included(app: Any, path: Path, docname: str, source: list[str]) -> None:
    """Relink what a page includes from the repository's root, as if it lay beside the page."""
    text = relink(source[0])
    for folder in ("skfhe", "tests", "tools", "benchmarks"):
        text = text.replace(f"]({folder}/", f"](../{folder}/")
    source[0] = text.replace("](docs/", "](")


def escape_stars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep ``*row`` in a shape from being read as the beginning of an emphasis."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``)", line)
            parts[::2] = [re.sub(r"([(,] ?)\*(?=\w)", r"\1\\*", part) for part in parts[::2]]
            lines[i] = "".join(parts)


def setup(app: Any) -> None:
    """Connect the functions above."""
    from numpydoc.docscrape_sphinx import SphinxDocString

    # An attribute is described by its class, not by the property that it may be, which several classes share.
    process = SphinxDocString._process_param
    SphinxDocString._process_param = lambda self, param, desc, _: process(self, param, desc, False)
    app.connect("autodoc-process-docstring", escape_stars, priority=100)  # before numpydoc's
    app.connect("missing-reference", link_elsewhere)
    app.connect("source-read", relink_page)
    app.connect("include-read", relink_included)
