"""Articles in files: what the front matter says, and which images travel along."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidInput
from backend.domain.manuscripts import read_manuscript, with_images
from backend.domain.publishing import Manuscript

FULL = """---
title: "Queues: a love story"
tags: [queues, Python, queues, 3]
cover: https://example.com/cover.png
draft: true
scheduled_at: 2026-12-01T08:00:00+08:00
layout: post
---

# Not the title

Text.
"""


def test_the_front_matter_says_what_the_article_is() -> None:
    written = read_manuscript(FULL, name="file")
    assert written.manuscript == Manuscript(
        title="Queues: a love story",
        content="# Not the title\n\nText.",
        cover="https://example.com/cover.png",
        tags=("queues", "Python", "3"),
        draft=True,
    )
    assert written.scheduled_at == datetime(2026, 12, 1, tzinfo=UTC)
    assert written.unknown == ("layout",)


@pytest.mark.parametrize(
    ("text", "title", "content"),
    [
        ("# Hello #\n\nText", "Hello", "Text"),
        ("Text\n\n# Later", "the-file", "Text\n\n# Later"),
        ("\ufeff---\r\ntitle: Windows\r\n---\r\nText\r\n", "Windows", "Text"),
        ("---\n---\n# Empty front matter\nText", "Empty front matter", "Text"),
        ("----\nno front matter", "the-file", "----\nno front matter"),
    ],
    ids=["heading", "heading later", "bom and crlf", "empty front matter", "a line"],
)
def test_without_a_title_the_first_heading_or_the_file_names_it(text: str, title: str, content: str) -> None:
    manuscript = read_manuscript(text, name="the-file").manuscript
    assert (manuscript.title, manuscript.content) == (title, content)


def test_a_heading_of_an_html_file_stays_where_it_is() -> None:
    manuscript = read_manuscript("<h1>Hello</h1>", content_format="html", name="file").manuscript
    assert (manuscript.title, manuscript.content) == ("file", "<h1>Hello</h1>")


@pytest.mark.parametrize(
    ("front", "field"),
    [
        ("tags: {a: 1}", "tags"),
        ("draft: maybe", "draft"),
        ("scheduled_at: soon", "scheduled_at"),
        ("cover: [1]", "cover"),
        ("title: [a]", "title"),
    ],
)
def test_what_can_not_be_meant_is_named(front: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_manuscript(f"---\n{front}\n---\nText")
    assert list(refused.value.fields) == [field]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("---\ntitle: a\nText", "front_matter_open"),
        ("---\ntitle: [a\n---\nText", "front_matter_broken"),
        ("---\n- a\n---\nText", "front_matter_broken"),
        ("---\nscheduled_at: 2026-13-45\n---\nText", "front_matter_broken"),
    ],
)
def test_front_matter_that_is_none_is_refused(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_manuscript(text)
    assert refused.value.code == code


def carried(content: str, content_format: str = "markdown") -> tuple[str, list[str]]:
    """The content with its images replaced, and the paths that were asked for."""
    asked: list[str] = []

    def carry(path: str) -> str:
        asked.append(path)
        return f"data:{len(asked)}"

    return with_images(Manuscript("t", content, content_format), carry).content, asked


def test_images_beside_the_article_travel_along() -> None:
    content = '![a](a.png) ![b](<img/b%20c.png> "title")\n<img alt="x" src="../d&amp;e.png">'
    assert carried(content) == (
        '![a](data:1) ![b](<data:2> "title")\n<img alt="x" src="data:3">',
        ["a.png", "img/b c.png", "../d&e.png"],
    )
    assert carried('<p><IMG SRC="a.png"></p>', "html") == ('<p><IMG SRC="data:1"></p>', ["a.png"])


@pytest.mark.parametrize(
    "content",
    [
        "![a](https://example.com/a.png) ![b](data:image/png;base64,AA==) ![c](//example.com/c.png)",
        "```md\n![a](a.png)\n```\nand `![b](b.png)`",
        "[a link](a.png)",
    ],
    ids=["elsewhere", "code", "link"],
)
def test_what_is_no_image_beside_the_article_stays(content: str) -> None:
    assert carried(content) == (content, [])


def test_a_cover_that_is_a_file_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        with_images(Manuscript("t", "x", cover="cover.png"), str)
    assert list(refused.value.fields) == ["cover"]


@given(st.text())
def test_any_text_is_an_article_or_is_refused_with_a_reason(text: str) -> None:
    try:
        written = read_manuscript(text, name="name")
    except InvalidInput:
        return
    assert written.manuscript.title
    carried(written.manuscript.content)
