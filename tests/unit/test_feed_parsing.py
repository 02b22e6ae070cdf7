"""Messy feeds are read right: a corpus with what must be found in it, and the decisions one by one."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import WorkError
from backend.domain.orders import ArticleDraft
from backend.domain.ports import HttpResponse
from backend.sources.articles import MAX_ARTICLES, MAX_KEY, MAX_TITLE
from backend.sources.charset import decode
from backend.sources.dates import parse_date
from backend.sources.documents import Format, repaired, route, strict_tree
from backend.sources.exact import read_tree
from backend.sources.parsing import parse_feed
from backend.sources.plaintext import plain
from backend.sources.raw import Markup
from backend.sources.rss import retry_after, status_error
from backend.sources.tolerant import read_tolerantly
from tests.standins.feed_texts import Article, atom, json_feed, rss10, rss20
from tests.unit.feeds import BASE, HERE, Sample, corpus

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CORPUS = corpus()
FEEDS = [sample for sample in CORPUS if sample.articles is not None]
NO_FEEDS = [sample for sample in CORPUS if sample.articles is None]


def parse(text: str | bytes, content_type: str = "") -> tuple[ArticleDraft, ...]:
    body = text.encode() if isinstance(text, str) else text
    return parse_feed(body, content_type, BASE, NOW).articles


def items(*inner: str) -> str:
    body = "".join(f"<item>{each}</item>" for each in inner)
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>F</title>{body}</channel></rss>'


# the corpus


@pytest.mark.parametrize("sample", FEEDS, ids=str)
def test_a_messy_feed_brings_exactly_its_articles(sample: Sample) -> None:
    parsed = parse_feed(sample.body, sample.content_type, BASE, NOW)
    wanted = sample.articles or []
    assert parsed.title == sample.title
    assert [(each.title, each.key, each.url) for each in parsed.articles] == [
        (each["title"], each["key"], each["url"]) for each in wanted
    ]


@pytest.mark.parametrize("sample", FEEDS, ids=str)
def test_a_messy_feed_brings_dates_covers_and_texts(sample: Sample) -> None:
    articles = parse_feed(sample.body, sample.content_type, BASE, NOW).articles
    for article, wanted in zip(articles, sample.articles or [], strict=True):
        _check_details(article, wanted)


def _check_details(article: ArticleDraft, wanted: dict[str, Any]) -> None:
    if wanted["published"] or wanted.get("check_date"):
        assert (article.published_at.isoformat() if article.published_at else None) == wanted["published"]
    assert article.cover_url == wanted.get("cover", article.cover_url)
    for name in ("summary", "content", "author"):
        assert wanted.get(f"{name}_has", "") in getattr(article, name)
    assert len(article.content) <= wanted.get("content_max", 100_000)
    assert wanted.get("never", "\0") not in article.content + article.summary


@pytest.mark.parametrize("sample", NO_FEEDS, ids=str)
def test_what_is_no_feed_is_refused_for_good(sample: Sample) -> None:
    with pytest.raises(WorkError) as caught:
        parse_feed(sample.body, sample.content_type, BASE, NOW)
    assert (caught.value.code, caught.value.permanent) == ("not_a_feed", True)


def test_the_corpus_and_its_table_name_the_same_files() -> None:
    files = {path.name for path in HERE.iterdir() if path.is_file()} - {"expected.json", "__init__.py"}
    assert files == {sample.name for sample in CORPUS}
    assert len(files) > 45


# what is said about a page that is no feed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html><head><title>Tom &amp; I</title></head></html>", "an HTML page titled “Tom & I”"),
        (
            "<html><head><link rel=alternate type='application/rss+xml' href='/rss.php?token=s3cret'></head></html>",
            "which names https://site.example/rss.php as its feed",
        ),
        ("<opml version='2.0'/>", "an OPML list of feeds"),
        ("<urlset/>", "a sitemap"),
        ("<catalogue/>", "XML with the root <catalogue>"),
        ('{"a": 1}', "JSON that is no JSON Feed"),
        ("hello there", "plain text"),
        ("\x01\x02\x03\x04", "binary data"),
    ],
)
def test_the_error_says_what_was_found(text: str, words: str) -> None:
    with pytest.raises(WorkError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"  \n\t", b"\xef\xbb\xbf"])
def test_an_empty_answer_may_be_retried(body: bytes) -> None:
    with pytest.raises(WorkError) as caught:
        parse(body)
    assert (caught.value.code, caught.value.permanent) == ("empty_answer", False)


def test_a_feed_cut_within_its_first_article_is_an_error_and_not_an_empty_feed() -> None:
    text = items("<title>Cut</title><link>https://site.example/1</link>")
    with pytest.raises(WorkError) as caught:
        parse(text[: text.index("</link>")])
    assert (caught.value.code, caught.value.permanent) == ("truncated_feed", False)


# routing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Format.EMPTY),
        (" \n", Format.EMPTY),
        ('{"version": 1}', Format.JSON),
        (" [1]", Format.JSON),
        ("<rss/>", Format.XML),
        ("<?xml version='1.0'?><!-- <html> --><feed/>", Format.XML),
        ("<!DOCTYPE rss [<!ENTITY a 'b'>]><rss/>", Format.XML),
        ("<rdf:RDF/>", Format.XML),
        ("<!DOCTYPE html><p>", Format.HTML),
        ("<!-- x --><HTML>", Format.HTML),
        ("PHP Warning\n<rss>", Format.XML),
        ("<b>Warning</b> on line 3 <?xml version='1.0'?><rss>", Format.XML),
        ("words <html>", Format.HTML),
        ("<opml/>", Format.XML),
        ("words", Format.OTHER),
    ],
)
def test_the_beginning_decides_the_reader(text: str, expected: Format) -> None:
    assert route(text) is expected


@pytest.mark.parametrize("sample", [each for each in FEEDS if each.name.endswith((".xml", ".rdf"))], ids=str)
def test_repairs_change_nothing_in_a_sound_feed(sample: Sample) -> None:
    text = decode(sample.body, sample.content_type)
    tree = strict_tree(text)
    if tree is None:
        assert strict_tree(repaired(text)) is not None or read_tolerantly(repaired(text), BASE)
        return
    mended = strict_tree(repaired(text))
    assert mended is not None
    assert read_tree(mended, BASE) == read_tree(tree, BASE)


@pytest.mark.parametrize(
    "fault",
    [
        "<title>Q&A</title>",
        "<title>caf&eacute;</title>",
        "<title>a\x08b</title>",
        "<dc:date>2026-03-01</dc:date>",
        "<title x:y='1'>t</title>",
    ],
)
def test_a_usual_fault_is_repaired_without_the_slow_parser(fault: str) -> None:
    text = items(f"{fault}<guid>g</guid>")
    assert strict_tree(text) is None
    assert strict_tree(repaired(text)) is not None


def test_repairs_leave_cdata_alone() -> None:
    inside = "<![CDATA[a & b &nbsp; <x:y>]]>"
    text = items(f"<title>Q&A</title><description>{inside}</description>")
    assert inside in repaired(text)


def test_ids_stay_the_same_when_a_feed_becomes_malformed() -> None:
    sound = items(
        "<title>T</title><guid>some-id</guid><link>/a</link>", "<title>U</title><link>/b?x=1</link>"
    )
    broken = sound.replace("</channel>", "<b></i></channel>")
    assert strict_tree(repaired(broken)) is None
    assert [(a.key, a.url, a.title) for a in parse(broken)] == [(a.key, a.url, a.title) for a in parse(sound)]


@pytest.mark.parametrize("render", [rss20, atom, rss10, json_feed])
def test_every_format_gives_the_same_articles(render: Any) -> None:
    written = [
        Article(f"g{n}", f"Title {n} & co", f"https://site.example/{n}", "<p>B</p>", n) for n in range(5)
    ]
    found = parse(render("Feed", written))
    assert [(a.key, a.title, a.url, a.published_at) for a in found] == [
        (a.guid, a.title, a.link, a.published) for a in written
    ]


# safety


def test_an_entity_bomb_costs_nothing() -> None:
    layers = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY e0 "{"x" * 100}">{layers}]>' + items(
        "<title>&e11;</title><guid>g</guid>"
    ).removeprefix('<?xml version="1.0"?>')
    start = time.process_time()
    articles = parse(text)
    assert time.process_time() - start < 2
    assert [(article.key, len(article.title) < 100) for article in articles] == [("g", True)]


@pytest.mark.parametrize(
    "text",
    [
        "<rss>" + "<a>" * 50_000,
        "<rss><channel><item>" + "&" * 200_000,
        "<rss" + " a=b" * 50_000,
        '{"items":' + "[" * 100_000,
        "<rss><channel>" + "<![CDATA[" * 50_000,
        "<!DOCTYPE " * 50_000 + "<rss>",
        "<!--" * 50_000 + "<rss>",
        "<link " * 50_000,
        "<!DOCTYPE [" * 50_000 + "<rss>",
        "<!DOCTYPE " + "[]" * 50_000 + "<rss>",
        "<!DOCTYPE a [" + "'" * 50_001 + "<rss>",
        '<rss xmlns:media="http://search.yahoo.com/mrss/"><channel><item><guid>g</guid>'
        + "<media:group>" * 20_000
        + "</media:group>" * 20_000
        + "</item></channel></rss>",
        '<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>g</id><title type="xhtml">'
        + "<b>" * 20_000
        + "</b>" * 20_000
        + "</title></entry></feed>",
        "<html>" + "<title" * 100_000,
        "<rss><channel>" + "<item><title>a</b></item>" * 40_000 + "</channel></rss>",
        "<rss><channel>" + "<item" * 200_000 + "</channel></rss>",
        "<rss><channel>" + "<item a='" * 100_000 + "</channel></rss>",
    ],
    ids=range(17),
)
def test_a_hostile_document_ends_quickly_in_an_answer_or_a_refusal(text: str) -> None:
    start = time.process_time()
    try:
        parse(text)
    except WorkError as error:
        assert error.code in {"not_a_feed", "truncated_feed"}
    assert time.process_time() - start < 10


@given(st.binary(max_size=400), st.text(max_size=30))
def test_any_bytes_end_in_articles_or_a_work_error(body: bytes, content_type: str) -> None:
    try:
        found = parse(b"<rss><channel><item><guid>g</guid>" + body, content_type)
    except WorkError as error:
        assert error.code in {"not_a_feed", "truncated_feed"}
    else:
        assert all(article.key for article in found)


# keys and limits


def test_a_long_key_is_hashed_and_stays_the_same() -> None:
    first, again = (parse(items(f"<title>T</title><guid>{'x' * 600}</guid>"))[0].key for _ in range(2))
    assert first == again
    assert first.startswith("sha256:")
    assert len(first) <= MAX_KEY


def test_an_article_without_anything_to_know_it_by_is_left_out() -> None:
    assert parse(items("<category>x</category>", "<guid>g</guid>")) == (
        ArticleDraft(key="g", title="", url=""),
    )


def test_a_long_title_is_cut_and_marked() -> None:
    title = parse(items(f"<title>{'长' * 1500}</title><guid>g</guid>"))[0].title
    assert len(title) == MAX_TITLE
    assert title.endswith("…")


def test_of_too_many_articles_the_newest_are_kept() -> None:
    written = [
        Article(f"g{n}", f"T{n}", f"https://site.example/{n}", "", n) for n in range(MAX_ARTICLES + 50)
    ]
    found = parse(rss20("Feed", written))
    assert len(found) == MAX_ARTICLES
    assert {article.key for article in found} == {f"g{n}" for n in range(50, MAX_ARTICLES + 50)}


def test_links_that_are_not_http_are_dropped() -> None:
    article = parse(items("<title>T</title><guid>g</guid><link>javascript:alert(1)</link>"))[0]
    assert article.url == ""


# titles


@pytest.mark.parametrize(
    ("text", "markup", "expected"),
    [
        ("a  b\n c\u00a0d", Markup.TEXT, "a b c d"),
        ("AT&amp;T", Markup.UNSAID, "AT&T"),
        ("AT&amp;T", Markup.TEXT, "AT&amp;T"),
        ("List<String> in <b>Java</b>", Markup.UNSAID, "List<String> in Java"),
        ("1 < 2 & 3 > 2", Markup.UNSAID, "1 < 2 & 3 > 2"),
        ("<p>One</p><p>Two</p>", Markup.HTML, "One Two"),
        ("a<script>bad()</script>b<!-- c -->d", Markup.HTML, "a b d"),
        ("&lt;b&gt;", Markup.HTML, "<b>"),
        ("zero\u200bwidth\x07", Markup.TEXT, "zerowidth"),
    ],
)
def test_titles_become_plain_text(text: str, markup: Markup, expected: str) -> None:
    assert plain(text, markup, 100) == expected


@given(st.text(max_size=200), st.sampled_from(Markup), st.integers(1, 50))
def test_plain_text_is_one_line_within_its_limit(text: str, markup: Markup, limit: int) -> None:
    line = plain(text, markup, limit)
    assert len(line) <= limit
    assert line == " ".join(line.split())


# dates


@given(st.integers(700_000_000, int(NOW.timestamp())), st.booleans())
def test_standard_dates_come_back_exactly(seconds: int, chinese: bool) -> None:
    when = datetime.fromtimestamp(seconds, UTC)
    for text in (when.isoformat(), format_datetime(when), str(int(when.timestamp()))):
        if len(text) >= 10:
            assert parse_date(text, chinese=chinese, now=NOW) == when


@given(st.text(max_size=40))
def test_any_text_is_a_sane_date_or_none(text: str) -> None:
    found = parse_date(text, chinese=False, now=NOW)
    assert found is None or (found.tzinfo is UTC and found <= NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("text", "chinese", "expected"),
    [
        ("Tue, 03 Mar 2026 08:00:00 CST", True, "2026-03-03T00:00:00+00:00"),
        ("Tue, 03 Mar 2026 08:00:00 CST", False, "2026-03-03T14:00:00+00:00"),
        ("2026-03-03 08:00", True, "2026-03-03T00:00:00+00:00"),
        ("2026-03-03 08:00", False, "2026-03-03T08:00:00+00:00"),
        ("2026年3月3日 下午2点30分", True, "2026-03-03T06:30:00+00:00"),
        ("2026-03-03 08:00 北京时间", True, "2026-03-03T00:00:00+00:00"),
        ("2026-03-03 08:00:00 GMT+8", False, "2026-03-03T00:00:00+00:00"),
        ("2026/3/3 8:05", False, "2026-03-03T08:05:00+00:00"),
        ("1772524800000", False, "2026-03-03T08:00:00+00:00"),
    ],
)
def test_odd_dates_mean_what_their_writers_mean(text: str, chinese: bool, expected: str) -> None:
    found = parse_date(text, chinese=chinese, now=NOW)
    assert found is not None
    assert found.isoformat() == expected


def test_an_unreadable_published_date_gives_way_to_the_updated_one() -> None:
    text = atom("F", [Article("g", "T", "https://site.example/1", "")])
    text = text.replace("</id><updated>", "</id><published>soon</published><updated>", 1)
    assert parse(text)[0].published_at == datetime(2025, 1, 1, tzinfo=UTC)


# charsets

CHINESE = "今天天气很好，我们一起去公园散步，看到了许多美丽的花。"
TAIWANESE = "今天天氣很好，我們一起去公園散步，看到了許多美麗的花。"


@pytest.mark.parametrize(
    ("text", "encoding", "content_type"),
    [
        (CHINESE, "gbk", ""),
        (CHINESE, "gb18030", "text/xml; charset=utf-8"),
        (CHINESE, "gbk", "text/html; charset=iso-8859-1"),
        (TAIWANESE, "big5", ""),
        (TAIWANESE, "big5", "text/xml; charset=big5"),
        (CHINESE, "utf-8", "text/xml; charset=gbk"),
        (CHINESE, "utf-16", ""),
        ("<?xml?>" + CHINESE, "utf-16-le", ""),
        ("<?xml?>" + CHINESE, "utf-16-be", ""),
        (CHINESE, "utf-8-sig", "text/xml; charset=big5"),
        ("これは日本語の文章です。", "euc_jp", "text/xml; charset=EUC-JP"),
        ("これは日本語の文章です。", "iso2022_jp", "text/xml; charset=iso-2022-jp"),
        ("Привет, как дела сегодня?", "cp1251", "text/xml; charset=windows-1251"),
        ("Grüße aus Köln", "latin-1", "text/xml; charset=no-such-charset"),
        ("plain ascii", "ascii", "text/xml; charset=base64"),
    ],
)
def test_text_is_decoded_by_what_it_is(text: str, encoding: str, content_type: str) -> None:
    assert decode(text.encode(encoding), content_type) == text


@given(st.binary(max_size=300), st.text(max_size=40))
def test_decoding_never_fails(data: bytes, content_type: str) -> None:
    assert isinstance(decode(data, content_type), str)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1b~\ufeff"), min_size=1))
def test_valid_utf8_is_always_read_as_utf8(text: str) -> None:
    assert decode(text.encode(), "text/xml; charset=gbk") == text


# HTTP statuses


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        (400, "http_status", True),
        (401, "http_status", True),
        (403, "http_status", True),
        (404, "http_status", True),
        (408, "http_status", False),
        (410, "feed_gone", True),
        (425, "http_status", False),
        (429, "http_status", False),
        (500, "http_status", False),
        (503, "http_status", False),
        (204, "empty_answer", False),
        (300, "http_status", False),
    ],
)
def test_a_status_becomes_an_error_that_knows_whether_to_retry(
    status: int, code: str, permanent: bool
) -> None:
    error = status_error(HttpResponse(status, {}, b"", BASE, BASE), NOW)
    assert (error.code, error.permanent) == (code, permanent)
    assert "site.example" in str(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("999999999", 86400.0),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str, expected: float | None) -> None:
    assert retry_after({"retry-after": text}, NOW) == expected


def test_only_busy_statuses_carry_a_wait() -> None:
    headers = {"retry-after": "7"}
    waits = {
        status: status_error(HttpResponse(status, headers, b"", BASE, BASE), NOW).retry_after
        for status in (404, 429, 500, 503)
    }
    assert waits == {404: None, 429: 7.0, 500: None, 503: 7.0}


def test_a_busy_status_names_the_host_that_gave_it_wherever_redirects_led() -> None:
    error = status_error(HttpResponse(429, {}, b"", "https://Behind.example:8443/feed", BASE), NOW)
    assert (error.host_wait, error.busy_host) == (60.0, "behind.example:8443")


def test_a_json_feed_without_its_version_needs_items_that_look_like_one() -> None:
    assert [a.key for a in parse(json.dumps({"items": [{"id": "a", "url": "https://x.example/"}]}))] == ["a"]
    with pytest.raises(WorkError, match="JSON that is no JSON Feed"):
        parse(json.dumps({"items": [{"name": "a"}]}))
