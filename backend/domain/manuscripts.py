"""Articles in files: YAML front matter, then Markdown or HTML; and the images that stand beside them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from html import unescape
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from backend.domain.errors import CascadeError, InvalidInput
from backend.domain.publishing import Manuscript

FENCE = "---"
KNOWN = frozenset({"title", "tags", "cover", "draft", "scheduled_at"})
HEADING = re.compile(r"\A\s*#[ \t]+(?P<title>[^\n]+?)[ \t]*#*[ \t]*(?:\n|\Z)")
# Code shows images and has none: it is passed over.
CODE = r"(?P<code>^(?P<fence>```+|~~~+).*?^(?P=fence)|(?P<ticks>`+)[^`].*?(?P=ticks)(?!`))"
MARKDOWN_IMAGE = r"(?P<before>!\[[^\]\n]*\]\([ \t]*<?)(?P<target>[^)>\s]+)"
HTML_IMAGE = r"(?P<tag><img\b[^>]*?\bsrc\s*=\s*[\"'])(?P<source>[^\"']+)"
IN_MARKDOWN = re.compile("|".join((CODE, MARKDOWN_IMAGE, HTML_IMAGE)), re.MULTILINE | re.DOTALL)
IN_HTML = re.compile(HTML_IMAGE, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Written:
    """An article as a file says it. `unknown` are the names in its front matter that mean nothing here."""

    manuscript: Manuscript
    scheduled_at: datetime | None = None
    unknown: tuple[str, ...] = ()


def read_manuscript(text: str, *, content_format: str = "markdown", name: str = "") -> Written:
    """The article of a file. Its title is the front matter's, else the heading that it begins with, else `name`.

    Times without an offset are UTC. Raises `InvalidInput` with what is wrong, by field.
    """
    told, body = _split(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    _check(told)
    title = _text(told.get("title"))
    if not title and content_format == "markdown" and (heading := HEADING.match(body)):
        # Platforms show the title above the article: it would stand there twice.
        title, body = heading["title"].strip(), body[heading.end() :]
    manuscript = Manuscript(
        title=title or name,
        content=body.strip("\n"),
        content_format=content_format,
        cover=_text(told.get("cover")),
        tags=_tags(told.get("tags")),
        draft=bool(told.get("draft")),
    )
    unknown = tuple(str(one) for one in told if one not in KNOWN)
    return Written(manuscript, _moment(told.get("scheduled_at")), unknown)


def _split(text: str) -> tuple[Mapping[Any, Any], str]:
    first, _, rest = text.partition("\n")
    if first.rstrip() != FENCE:
        return {}, text
    lines = rest.split("\n")
    end = next((at for at, line in enumerate(lines) if line.rstrip() in {FENCE, "..."}), None)
    if end is None:
        raise InvalidInput("front_matter_open")
    try:
        told = yaml.safe_load("\n".join(lines[:end]))
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput("front_matter_broken", detail=" ".join(str(error).split())) from None
    if not isinstance(told, dict | None):
        raise InvalidInput("front_matter_broken", detail="it must be a mapping of names to values")
    return told or {}, "\n".join(lines[end + 1 :])


def _check(told: Mapping[Any, Any]) -> None:
    rules: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
        ("title", "front_matter_title", _is_word),
        ("tags", "front_matter_tags", lambda value: all(map(_is_word, _listed(value)))),
        ("cover", "front_matter_cover", lambda value: isinstance(value, str)),
        ("draft", "front_matter_draft", lambda value: isinstance(value, bool)),
        ("scheduled_at", "front_matter_scheduled_at", _is_moment),
    )
    troubles: dict[str, CascadeError] = {
        name: InvalidInput(code)
        for name, code, fits in rules
        if told.get(name) is not None and not fits(told[name])
    }
    if troubles:
        raise InvalidInput(fields=troubles)


def _is_word(value: object) -> bool:
    # YAML makes numbers and dates of words that look so.
    return isinstance(value, str | int | float | date) and not isinstance(value, bool)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, date) or (isinstance(value, str) and bool(datetime.fromisoformat(value)))
    except ValueError:
        return False


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _tags(value: object) -> tuple[str, ...]:
    listed = value.split(",") if isinstance(value, str) else _listed(value)
    return tuple(dict.fromkeys(tag for tag in (_text(one) for one in listed) if tag))


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    assert isinstance(value, datetime)  # noqa: S101 - checked before
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def is_elsewhere(target: str) -> bool:
    """Whether an image's address can be used by anybody, and is not a file beside the article."""
    return bool(urlsplit(target).scheme) or target.startswith("//")


def with_images(manuscript: Manuscript, carry: Callable[[str], str]) -> Manuscript:
    """The article with each image that is a file replaced by what `carry` makes of its path.

    Raises `InvalidInput` for a cover that is a file.
    """
    if manuscript.cover and not is_elsewhere(manuscript.cover):
        raise InvalidInput(fields={"cover": InvalidInput("cover_is_file")})

    def replaced(found: re.Match[str]) -> str:
        parts = found.groupdict("")
        before, target = (parts.get("before") or parts["tag"]), (parts.get("target") or parts["source"])
        if not target or is_elsewhere(target):
            return found[0]
        return before + carry(unquote(unescape(target)))

    pattern = IN_MARKDOWN if manuscript.content_format == "markdown" else IN_HTML
    return replace(manuscript, content=pattern.sub(replaced, manuscript.content))
