"""Articles as WordPress takes them: HTML of its editor, media, and terms by their names."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from bs4 import Tag

from backend.domain.ports import Desk
from backend.publishers import pictures
from backend.publishers.content import classes
from backend.publishers.conversation import object_of
from backend.publishers.evidence import normal
from backend.publishers.wordpress.wire import NAME, Site, id_of, list_of


def dress(root: Tag) -> tuple[str, ...]:
    """Put the tree into WordPress's ways: code blocks, and formulas as MathJax and KaTeX read them. Warnings come back."""
    warnings: list[str] = []
    for block in root.find_all("pre"):
        block["class"] = " ".join([*classes(block), "wp-block-code"])
    for element in root.find_all(["span", "div"]):
        if "math" not in classes(element):
            continue
        opened, closed = ("\\[", "\\]") if element.name == "div" else ("\\(", "\\)")
        element.string = f"{opened}{element.get_text().strip()}{closed}"
        warnings.append("formulas stay as TeX: the site needs a plug-in such as KaTeX to show them")
    return tuple(dict.fromkeys(warnings))


def bring_embedded(root: Tag, site: Site, desk: Desk) -> None:
    """Upload the pictures that are embedded; the others stay where they are. Raises `WorkError`."""
    embedded = [source for source in pictures.sources(root) if source.startswith("data:")]
    for number, source in enumerate(embedded, 1):
        desk.tell(f"upload {number}/{len(embedded)}")
        address = str(media(source, site, desk).get("source_url") or "")
        for image in root.find_all("img", src=source):
            image["src"] = address


def media(source: str, site: Site, desk: Desk) -> dict[str, Any]:
    """The picture in the site's library; one with the same bytes is used again. Raises `WorkError`."""
    picture = pictures.read(source, desk, NAME)
    slug = picture.file_name.partition(".")[0]
    found = list_of(site.call("GET", "/media", query={"slug": slug, "context": "edit"}))
    if found:
        return found[0]
    sent = (picture.content, picture.kind, picture.file_name)
    return object_of(site.call("POST", "/media", media=sent))


def terms(kind: str, names: Iterable[str], site: Site) -> list[int]:
    """The ids of tags or categories by their names; missing ones are made. Raises `WorkError`."""
    return [_term(kind, name, site) for name in _distinct(list(names))]


def _distinct(names: Sequence[str]) -> list[str]:
    first = {normal(name): name.strip() for name in reversed(names) if name.strip()}
    return list(reversed(first.values()))


def _term(kind: str, name: str, site: Site) -> int:
    found = list_of(site.call("GET", f"/{kind}", query={"search": name, "per_page": 100}))
    for one in found or []:
        if normal(html.unescape(str(one.get("name") or ""))) == normal(name):
            return int(id_of(one))
    # One that the search did not show: WordPress says which in its refusal.
    made = object_of(site.call("POST", f"/{kind}", content={"name": name}, expected={400}))
    data = made.get("data")
    if made.get("code") == "term_exists" and isinstance(data, dict) and data.get("term_id"):
        return int(data["term_id"])
    return int(id_of(made))
