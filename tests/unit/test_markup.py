"""HTML as text and as Markdown, linear on hostile input."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.markup import markdown, plain_text


@pytest.mark.parametrize(
    ("source", "text", "marked"),
    [
        ("<p>One</p><p>Two &amp; <b>three</b></p>", "One\n\nTwo & three", "One\n\nTwo & **three**"),
        ("<ul><li>a</li><li>b</li></ul>", "a\n\nb", "- a\n- b"),
        ('<a href="https://x.example/?a=1&amp;b=2">link</a>', "link", "[link](https://x.example/?a=1&b=2)"),
        ("<img alt='pic' src='https://x.example/1.jpg'/>", "", "![pic](https://x.example/1.jpg)"),
        ('<img data-src="https://mmbiz.example/1">', "", "![](https://mmbiz.example/1)"),
        ("<h3>Head</h3>text<br>more", "Head\ntext\nmore", "### Head\n\ntext\nmore"),
        ("<script>alert('<p>')</script><style>p{}</style>seen", "seen", "seen"),
        ("<!-- <p>hidden</p> -->seen", "seen", "seen"),
        ("1 < 2 and <3", "1 < 2 and <3", "1 < 2 and <3"),
        ("cut <a href='x", "cut", "cut"),
        ("</a>", "", ""),
    ],
)
def test_fragments_become_text_and_markdown(source: str, text: str, marked: str) -> None:
    assert plain_text(source) == text
    assert markdown(source) == marked


@given(st.text(alphabet=st.sampled_from("<>/!-&;a=\"' \nps")))
def test_any_text_can_be_read(source: str) -> None:
    assert len(plain_text(source)) <= len(source) + source.count("<") * 2
    assert "\r" not in markdown(source)


@pytest.mark.parametrize(
    "piece",
    ["<", "<!--", "<!---->", "<p", "&", "<a href=", "<a href='x", "<script>", "</", "<a><", "\n", "&#"],
)
def test_hostile_input_takes_linear_time(piece: str) -> None:
    started = time.process_time()
    plain_text(piece * 200_000)
    markdown(piece * 200_000)
    assert time.process_time() - started < 15
