"""Articles as every publisher begins with them: sanitized HTML from Markdown or HTML, and Markdown from either."""

from __future__ import annotations

import re
from typing import Any

import nh3
from bs4 import BeautifulSoup, Tag
from markdown_it import MarkdownIt
from markdownify import MarkdownConverter
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin

MARKDOWN = "markdown"
TAGS = frozenset(
    [
        *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code", "div", "span"),
        *("ul", "ol", "li", "dl", "dt", "dd", "figure", "figcaption", "img", "a"),
        *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"),
        *("strong", "b", "em", "i", "u", "s", "del", "sup", "sub", "mark", "kbd"),
    ]
)
ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "code": {"class"},
    "pre": {"class", "lang"},
    "span": {"class"},
    "div": {"class"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
SILENT = frozenset({"script", "style", "head", "template", "title", "noscript"})
# Elements that hold something which no list above can carry: their loss is told.
TELLING = ("iframe", "video", "audio", "object", "embed", "svg", "canvas", "form", "input", "math")
SCHEMES = frozenset({"http", "https", "mailto", "data"})
TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)")
VOID = frozenset({"br", "hr", "img"})
MAX_DEPTH = 100
MAX_PARTS = 40_000
KEPT_CLASS = re.compile(r"math|inline|block|(?:lang|language)-[\w+#.-]{1,40}")


def _markdown_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    # An amount such as $5 is no formula: a space or digit beside the sign decides.
    parser.use(dollarmath_plugin, allow_space=False, allow_digits=False)
    parser.use(footnote_plugin)
    # Platforms keep no anchors: an arrow back would lead nowhere.
    parser.add_render_rule("footnote_anchor", lambda *_: "")
    return parser


def html_of(content: str, content_format: str) -> str:
    """The article as sanitized HTML. Formulas are `span.math.inline` and `div.math.block` with their TeX as text."""
    source = _markdown_parser().render(content) if content_format == MARKDOWN else content
    return nh3.clean(
        source,
        tags=set(TAGS),
        clean_content_tags=set(SILENT),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=_attribute,
        link_rel=None,
        url_schemes=set(SCHEMES),
    ).strip()


def _attribute(_tag: str, name: str, value: str) -> str | None:
    if name == "class":
        kept = [one for one in value.split() if KEPT_CLASS.fullmatch(one)]
        return " ".join(kept) or None
    if name == "href" and value.strip().casefold().startswith(("data:", "#")):
        return None
    return value


def tree_of(html: str) -> Tag:
    """The sanitized HTML as a tree, beneath one `div`."""
    root = BeautifulSoup(f"<div>{html}</div>", "html.parser").div
    assert root is not None  # noqa: S101 - we wrote it a line above
    return root


def inner_html(root: Tag) -> str:
    """What stands in the tree, as HTML."""
    return root.decode_contents(formatter="minimal").strip()


def left_out(content: str, content_format: str) -> tuple[str, ...]:
    """Sentences about what sanitizing takes away that a reader would miss."""
    source = _markdown_parser().render(content) if content_format == MARKDOWN else content
    found = BeautifulSoup(f"<div>{source}</div>", "html.parser")
    counts = {name: len(found.find_all(name)) for name in TELLING}
    return tuple(f"left out: <{name}> ({count}×)" for name, count in counts.items() if count)


def markdown_of(content: str, content_format: str) -> str:
    """The article as Markdown; what was written as Markdown stays as it was written."""
    if content_format == MARKDOWN:
        return content
    converter = _Converter(heading_style="ATX", bullets="-", code_language_callback=language_of)
    return str(converter.convert_soup(tree_of(html_of(content, content_format)))).strip()


class _Converter(MarkdownConverter):
    """Knows formulas, whose TeX must not be escaped."""

    def convert_span(self, element: Tag, text: str, parent_tags: set[str]) -> str:
        """A formula in a line."""
        return f"${element.get_text()}$" if "math" in classes(element) else text

    def convert_div(self, element: Tag, text: str, parent_tags: set[str]) -> str:
        """A formula of its own."""
        if "math" in classes(element):
            return f"\n\n$$\n{element.get_text().strip()}\n$$\n\n"
        return f"\n\n{text.strip()}\n\n"


def classes(element: Tag) -> list[str]:
    """The element's classes."""
    value: Any = element.get("class") or []
    return value.split() if isinstance(value, str) else list(value)


def language_of(block: Tag) -> str:
    """The language of a `pre`, empty when nobody said it."""
    for element in (block, *block.find_all("code", limit=1)):
        for name in classes(element):
            head, _, language = name.partition("-")
            if head in {"language", "lang"} and language:
                return language
    return str(block.get("lang") or "")


def is_too_intricate(html: str) -> bool:
    """Whether sanitized HTML is nested so deeply, or of so many parts, that no tree of it can be walked in reasonable time."""
    depth = 0
    for count, found in enumerate(TAG.finditer(html), 1):
        if found.group(2) not in VOID:
            depth += -1 if found.group(1) else 1
        if depth > MAX_DEPTH or count > MAX_PARTS:
            return True
    return False


def has_something(html: str) -> bool:
    """Whether a reader would see anything."""
    root = tree_of(html)
    return bool(root.get_text(strip=True)) or root.find(["img", "hr"]) is not None
