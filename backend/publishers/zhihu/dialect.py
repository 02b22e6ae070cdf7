"""Articles in the HTML that Zhihu's editor understands (wire 2.7): what it lacks is moved or told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from bs4 import BeautifulSoup, Tag

from backend.publishers.content import classes, inner_html, language_of

EQUATION = "https://www.zhihu.com/equation?tex="
# Zhihu knows two headings; what is deeper becomes bold.
HEADINGS = ("h2", "h3")
PLAIN = {"s": "del", "kbd": "code", "dl": "ul", "dt": "li", "dd": "li", "mark": "b", "strong": "b", "em": "i"}
BLOCKS = ("table", "ul", "ol", "blockquote", "p", "h2", "h3", "figure")


@dataclass(slots=True)
class Rendering:
    """Work on one tree; `warnings` grow as it goes, `placed` are the figures that stand where Zhihu takes them."""

    root: Tag
    warnings: list[str] = field(default_factory=list)
    placed: list[Tag] = field(default_factory=list)

    def new(self, name: str, text: str = "", **attributes: str) -> Tag:
        """A fresh element."""
        tag = BeautifulSoup("", "html.parser").new_tag(name)
        for key, value in attributes.items():
            tag[key.replace("_", "-")] = value
        if text:
            tag.string = text
        return tag


def render(root: Tag, moved: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The article as Zhihu takes it, and what changed in it. `moved` says where each picture is now. Changes the tree."""
    work = Rendering(root)
    _formulas(work)
    _code(work)
    _headings(work)
    _tables(work)
    _pictures(work, moved)
    _plain(work)
    return inner_html(root), tuple(work.warnings)


def _formulas(work: Rendering) -> None:
    for element in work.root.find_all(["span", "div"]):
        if "math" not in classes(element):
            continue
        tex = element.get_text().strip()
        block = element.name == "div"
        image = work.new("img", eeimg="2" if block else "1", src=EQUATION + quote(tex, safe=""), alt=tex)
        element.replace_with(image)
        if block:
            image.wrap(work.new("p"))


def _code(work: Rendering) -> None:
    for block in work.root.find_all("pre"):
        language, text = language_of(block), block.get_text()
        fresh = work.new("pre", lang=language) if language else work.new("pre")
        fresh.append(work.new("code", text.rstrip("\n")))
        block.replace_with(fresh)


def _headings(work: Rendering) -> None:
    found = work.root.find_all(["h1", "h2", "h3", "h4", "h5", "h6"])
    levels = sorted({int(heading.name[1]) for heading in found})
    for heading in found:
        depth = levels.index(int(heading.name[1]))
        if depth < len(HEADINGS):
            heading.name = HEADINGS[depth]
        else:
            heading.name = "p"
            bold = work.new("b")
            bold.extend(list(heading.contents))
            heading.append(bold)
    if len(levels) > len(HEADINGS):
        work.warnings.append("headings below the second level became bold text (Zhihu has two levels)")


def _tables(work: Rendering) -> None:
    for table in work.root.find_all("table"):
        body = work.new("tbody")
        spans = table.find_all(["td", "th"], attrs={"colspan": True}) + table.find_all(
            ["td", "th"], attrs={"rowspan": True}
        )
        for row in table.find_all("tr"):
            body.append(row.extract())
        caption = table.find("caption")
        if caption is not None:
            paragraph = work.new("p")
            paragraph.extend(list(caption.contents))
            table.insert_before(paragraph)
        fresh = work.new(
            "table",
            data_draft_node="block",
            data_draft_type="table",
            data_size="normal",
            data_row_style="normal",
        )
        fresh.append(body)
        table.replace_with(fresh)
        if spans:
            work.warnings.append(
                "cells that span several rows or columns may stand alone: Zhihu's tables have none"
            )


def _pictures(work: Rendering, moved: Mapping[str, str]) -> None:
    for image in work.root.find_all("img"):
        if image.get("eeimg"):
            continue
        source = str(image.get("src") or "").strip()
        figure = work.new("figure", data_size="normal")
        figure.append(work.new("img", src=moved.get(source, source), alt=str(image.get("alt") or "")))
        old = image.find_parent("figure")
        caption = old.find("figcaption") if old is not None else None
        text = caption.get_text(strip=True) if caption is not None else str(image.get("title") or "")
        if text:
            figure.append(work.new("figcaption", text))
        _put(work, image, old, figure)


def _put(work: Rendering, image: Tag, old: Tag | None, figure: Tag) -> None:
    """Put the figure where blocks may stand: Zhihu drops pictures inside of paragraphs, cells and list items."""
    if old is not None and len(old.find_all("img")) == 1:
        old.replace_with(figure)
        return
    outermost = [one for one in image.parents if one.name in BLOCKS and one is not work.root]
    if not outermost:
        image.replace_with(figure)
        return
    block = outermost[-1]
    image.extract()
    if block.name == "p" and not block.get_text(strip=True) and block.find("img") is None:
        block.replace_with(figure)
        return
    if block.name in {"table", "ul", "ol", "blockquote"}:
        work.warnings.append(f"a picture inside of a <{block.name}> stands below it")
    after: Tag = block
    for one in work.placed:
        if after.find_next_sibling(True) is one:
            after = one
    after.insert_after(figure)
    work.placed.append(figure)


def _plain(work: Rendering) -> None:
    for element in work.root.find_all(list(PLAIN)):
        element.name = PLAIN[element.name]
    for element in work.root.find_all("div"):
        if element.find([*BLOCKS, "div", "pre", "hr"]) is None and element.get_text(strip=True):
            element.name = "p"
    for element in work.root.find_all(["div", "span"]):
        element.unwrap()
    for element in work.root.find_all("a"):
        if not element.get("href"):
            element.unwrap()
    for element in work.root.find_all("p"):
        if not element.get_text(strip=True) and element.find(["img", "br"]) is None:
            element.decompose()
