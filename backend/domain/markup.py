"""HTML fragments as plain text and as Markdown, in one linear pass over hostile input."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

_MAX = 512 * 1024
_NAME = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)")
_ATTRIBUTE = re.compile(r"""\b(href|src|alt|data-src)\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+)""", re.IGNORECASE)
_SILENT = frozenset({"script", "style", "head", "template"})
_BLOCKS = frozenset(
    [
        "p",
        "div",
        "section",
        "article",
        "header",
        "footer",
        "blockquote",
        "pre",
        "table",
        "tr",
        "ul",
        "ol",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
    ]
)
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "code": "`"}


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    """(text, "") and ("", tag) in order. An unclosed comment or tag ends the fragment."""
    at = 0
    while True:
        start = source.find("<", at)
        if start < 0:
            yield source[at:], ""
            return
        yield source[at:start], ""
        comment = source.startswith("<!--", start)
        if not comment and not (
            source[start + 1 : start + 2].isalpha() or source[start + 1 : start + 2] in "/!?"
        ):
            yield "<", ""
            at = start + 1
            continue
        end = source.find("-->" if comment else ">", start)
        if end < 0:
            return
        at = end + (3 if comment else 1)
        yield "", "" if comment else source[start:at]


def _visible(source: str) -> Iterator[tuple[str, str, bool, str]]:
    """(text, tag name, closing, tag) without what browsers don't show."""
    silent = ""
    for text, tag in _tokens(source[:_MAX]):
        found = _NAME.match(tag)
        name, closing = (found.group(1).lower() if found else ""), tag.startswith("</")
        if silent:
            silent = "" if closing and name == silent else silent
        elif name in _SILENT and not closing:
            silent = name
        else:
            yield html.unescape(text), name, closing, tag


def plain_text(source: str) -> str:
    """The text that a reader sees; blocks end lines."""
    parts = []
    for text, name, _, _ in _visible(source):
        parts.append(text)
        if name in {"br", "li"} or name in _BLOCKS:
            parts.append("\n")
    return _tidy("".join(parts))


def markdown(source: str) -> str:
    """The fragment as Markdown: headings, lists, links, images and emphasis; everything else as text."""
    parts: list[str] = []
    targets: list[str] = []
    for text, name, closing, tag in _visible(source):
        parts.append(text)
        if name == "a" and closing:
            parts.append(f"]({targets.pop()})" if targets else "")
        elif name == "a":
            targets.append(_attributes(tag).get("href", ""))
            parts.append("[")
        else:
            parts.append(_mark(name, closing, tag))
    return _tidy("".join(parts))


def _mark(name: str, closing: bool, tag: str) -> str:
    if name == "img":
        given = _attributes(tag)
        return f"![{given.get('alt', '')}]({given.get('src') or given.get('data-src', '')})"
    if name == "li":
        return "" if closing else "\n- "
    if name in _BLOCKS:
        heading = not closing and len(name) == 2 and name[0] == "h"
        return "\n\n" + ("#" * int(name[1]) + " " if heading else "")
    return "\n" if name == "br" else _MARKS.get(name, "")


def _attributes(tag: str) -> dict[str, str]:
    return {name.lower(): html.unescape(value.strip("\"'")) for name, value in _ATTRIBUTE.findall(tag[:4096])}


def _tidy(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.split("\n")]
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    return "\n".join(kept).strip()
