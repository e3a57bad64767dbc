"""The OpenAPI description as one page of HTML, which loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

__all__ = ["page"]

_STYLE = """body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
h2{margin:2em 0 0;font-size:1.1em}code{background:#eee;padding:0 .2em}
td{padding:0 1em .2em 0;vertical-align:top}"""


def page(description: dict[str, Any]) -> str:
    """Return a page for people.

    Parameters
    ----------
    description : dict
        By OpenAPI.

    Returns
    -------
    str
    """
    about = description["info"]
    paragraphs = (f"<p>{_marked(text)}</p>" for text in about["description"].split("\n\n"))
    routes = (
        part
        for path, methods in description["paths"].items()
        for method, route in methods.items()
        for part in _route(path, method, route)
    )
    title = escape(f"{about['title']} {about['version']}")
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
            f"<style>{_STYLE}</style><h1>{title}</h1>",
            *paragraphs,
            '<p>For programs: <a href="openapi.json">openapi.json</a></p>',
            *routes,
            "</html>",
        ]
    )


def _marked(text: str) -> str:
    """Return text in which what stands between backquotes is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _route(path: str, method: str, route: dict[str, Any]) -> Iterator[str]:
    """Yield what the page has of one route."""
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{_marked(route['summary'])}</p><table>"
    for parameter in route.get("parameters", []):
        if parameter["in"] == "header":
            yield _row(parameter["name"], parameter["description"])
    if "requestBody" in route:
        yield _row("body", " or ".join(route["requestBody"]["content"]))
    for status, answer in route["responses"].items():
        kinds = ", ".join(answer.get("content", {}))
        yield _row(status, answer["description"] + (f" ({kinds})" if kinds and int(status) < 400 else ""))
    yield "</table>"


def _row(name: str, text: str) -> str:
    return f"<tr><td><code>{escape(name)}</code><td>{_marked(text)}"
