"""A feed as a reader found it: texts, before dates, keys and limits are decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Markup(Enum):
    """What a text is made of. `UNSAID` is RSS, which never says whether its titles are HTML."""

    TEXT = "text"
    HTML = "html"
    UNSAID = "unsaid"


@dataclass(slots=True)
class RawEntry:
    """One entry. Links are absolute already; `dates` are texts, published before updated."""

    guid: str = ""
    link: str = ""
    title: str = ""
    title_markup: Markup = Markup.UNSAID
    summary: str = ""
    content: str = ""
    content_markup: Markup = Markup.HTML
    author: str = ""
    cover: str = ""
    dates: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RawFeed:
    """A feed with its entries in the document's order."""

    title: str = ""
    title_markup: Markup = Markup.UNSAID
    language: str = ""
    entries: list[RawEntry] = field(default_factory=list)
