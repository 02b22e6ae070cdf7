"""OPML: what is read, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidInput
from backend.domain.opml import MAX_ENTRIES, OpmlEntry, parse_opml, render_opml


def outlines(body: str) -> bytes:
    return f'<opml version="1.0"><head><title>t</title></head><body>{body}</body></opml>'.encode()


@pytest.mark.parametrize(
    ("outline", "entry"),
    [
        ('<outline text="A" xmlUrl="https://a/"/>', ("A", "https://a/")),
        ('<outline title="T" text="A" xmlUrl="https://a/"/>', ("T", "https://a/")),
        ('<outline title="" text="A" xmlUrl=" https://a/ "/>', ("A", "https://a/")),
        ('<outline xmlUrl="https://a/"/>', ("", "https://a/")),
        ('<outline text="A" xmlurl="https://a/"/>', ("A", "https://a/")),
        ('<OUTLINE TEXT="A" XMLURL="https://a/"/>', ("A", "https://a/")),
        ('<outline type="rss" text="A" url="https://a/"/>', ("A", "https://a/")),
        (
            '<outline text="A &amp; B &#20013;" xmlUrl="https://a/?b=1&amp;c=2"/>',
            ("A & B 中", "https://a/?b=1&c=2"),
        ),
        ('<outline text="A" xmlUrl="https://a/"><outline/></outline>', ("A", "https://a/")),
    ],
)
def test_readers_write_the_same_thing_in_many_ways(outline: str, entry: tuple[str, str]) -> None:
    (found,) = parse_opml(outlines(outline)).entries
    assert (found.title, found.url) == entry


def test_folders_are_walked_however_deep_and_are_no_feeds_themselves() -> None:
    depth = 200
    body = '<outline text="f">' * depth + '<outline xmlUrl="https://a/"/>' + "</outline>" * depth
    listed = parse_opml(outlines(body))
    assert [entry.url for entry in listed.entries] == ["https://a/"]
    assert listed.refused == ()


def test_an_entry_without_an_address_is_refused_by_line_and_title() -> None:
    listed = parse_opml(outlines('\n<outline xmlUrl="https://a/"/>\n<outline text="lost" type="rss"/>'))
    assert [(one.line, one.title, one.trouble.code) for one in listed.refused] == [(3, "lost", "opml_no_url")]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb2312", "gb18030", "big5", "iso-8859-1"]
)
def test_a_file_is_read_in_the_encoding_it_declares(encoding: str) -> None:
    title = "café" if encoding == "iso-8859-1" else "中文"
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?>\n<opml><body><outline text="{title}" xmlUrl="https://a/"/></body></opml>'
    (entry,) = parse_opml(text.encode(encoding)).entries
    assert entry.title == title


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   ",
        b"{}",
        b"<opml>",
        b"<opml></rss>",
        b'<?xml version="1.0" encoding="no-such-encoding"?><opml/>',
        b"\xff\xfe\x00",
        b"<opml>\x00</opml>",
    ],
)
def test_what_is_not_xml_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_opml(content)
    assert refused.value.code == "bad_opml"


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE opml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE opml [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE opml [<!ENTITY % p SYSTEM "http://127.0.0.1/x.dtd"> %p;]>',
    ],
)
def test_entities_are_refused_and_never_expanded(declaration: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_opml(declaration.encode() + outlines('<outline text="x" xmlUrl="https://a/"/>'))
    assert refused.value.code == "bad_opml"


def test_a_file_without_outlines_is_not_taken_for_an_empty_list() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_opml(b"<rss><channel/></rss>")
    assert refused.value.code == "opml_no_feeds"


def test_a_file_with_too_many_entries_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_opml(outlines("<outline/>" * (MAX_ENTRIES + 1)))
    assert refused.value.code == "too_many_entries"


@given(st.lists(st.tuples(st.text(), st.text(min_size=1))))
def test_every_list_survives_the_way_out_and_in(pairs: list[tuple[str, str]]) -> None:
    def one_line(text: str) -> str:
        # Every whitespace becomes a space, and what XML cannot hold is dropped.
        kept = "".join(
            c
            for c in text
            if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff")
        )
        return " ".join(kept.split())

    entries = [OpmlEntry(title, url) for title, url in pairs if one_line(url)]
    content = render_opml("list & <all>", entries)
    if not entries:
        assert b"<outline" not in content
        return
    found = [(entry.title, entry.url) for entry in parse_opml(content).entries]
    assert found == [(one_line(entry.title), one_line(entry.url)) for entry in entries]
