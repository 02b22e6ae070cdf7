"""Which feed parser: correctness on the messy corpus first, then CPU per document."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin
from xml.etree import ElementTree

import fastfeedparser
import feedparser
from lxml import etree

from backend.sources.articles import MAX_TITLE
from backend.sources.parsing import parse_feed
from backend.sources.plaintext import plain
from backend.sources.raw import Markup
from benchmarks.harness.report import Options, Report, Table
from tests.standins.feed_texts import Article, atom, rss20
from tests.unit.feeds import BASE, Sample, corpus

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ROUNDS = 60

# What must be found in these is our own rule (titles from texts, keys from titles, which link), not a parser's.
OUR_RULES = frozenset(
    {"rss20_no_title.xml", "rss20_double_guid.xml", "rss20_no_guid.xml", "atom_no_alternate.xml"}
)

Found = list[tuple[str, str, str]]
"""Title, key and link of each article."""


@dataclass(frozen=True)
class Row:
    """One candidate: documents read right, and CPU per document of each size in milliseconds."""

    name: str
    right: int
    of: int
    milliseconds: dict[str, float]
    ratios: dict[str, float]


def with_cascade(body: bytes, content_type: str) -> Found:
    """What the source does: decode, strict tree, repairs, feedparser."""
    parsed = parse_feed(body, content_type, BASE, NOW)
    return [(article.title, article.key, article.url) for article in parsed.articles]


def with_feedparser(body: bytes, content_type: str) -> Found:
    """feedparser alone, with its own charset detection; titles and links finished as ours are."""
    parsed = feedparser.parse(
        body,
        response_headers={"content-type": content_type},
        resolve_relative_uris=False,
        sanitize_html=False,
    )
    return _finished(parsed.entries, refused=not parsed.version)


def with_feedparser_defaults(body: bytes, content_type: str) -> Found:
    """feedparser as it comes."""
    parsed = feedparser.parse(body, response_headers={"content-type": content_type})
    return _finished(parsed.entries, refused=not parsed.version)


def with_fastfeedparser(body: bytes, _content_type: str) -> Found:
    """fastfeedparser alone."""
    return _finished(fastfeedparser.parse(body).entries, refused=False)


def _finished(entries: list[Any], *, refused: bool) -> Found:
    if refused:
        raise ValueError("no feed")
    return [
        (
            plain(entry.get("title") or "", Markup.UNSAID, MAX_TITLE),
            str(entry.get("id") or entry.get("link") or ""),
            urljoin(BASE, entry.get("link") or "") if entry.get("link") else "",
        )
        for entry in entries
    ]


CANDIDATES: dict[str, Callable[[bytes, str], Found]] = {
    "cascade (strict, repairs, feedparser)": with_cascade,
    "fastfeedparser alone": with_fastfeedparser,
    "feedparser, lean options": with_feedparser,
    "feedparser, defaults": with_feedparser_defaults,
}
TREES: dict[str, Callable[[bytes], object]] = {
    "bare tree, ElementTree": ElementTree.fromstring,
    "bare tree, lxml": etree.fromstring,
}


def is_right(sample: Sample, read: Callable[[bytes, str], Found]) -> bool:
    """Whether a candidate finds exactly the expected articles, or refuses what is no feed."""
    try:
        found = read(sample.body, sample.content_type)
    except Exception:  # noqa: BLE001 - candidates refuse with whatever they like
        return sample.articles is None
    wanted = None if sample.articles is None else [(a["title"], a["key"], a["url"]) for a in sample.articles]
    return found == wanted


def cpu_milliseconds(call: Callable[[], object], rounds: int) -> float:
    """CPU time of one call, the best of a few rounds: the machine is shared."""
    call()
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(max(1, rounds // 5)):
            call()
        best = min(best, (time.process_time() - start) / max(1, rounds // 5))
    return best * 1000


def documents() -> dict[str, bytes]:
    """The documents to time: about 20 KB of RSS and Atom, and the RSS in GBK."""
    articles = [
        Article(
            f"id-{number}",
            f"标题 Title {number}",
            f"https://site.example/{number}",
            "<p>正文 some words</p>" * 20,
        )
        for number in range(30)
    ]
    rss = rss20("Feed", articles)
    return {
        "rss": rss.encode(),
        "atom": atom("Feed", articles).encode(),
        "gbk": rss.replace('encoding="utf-8"', 'encoding="gbk"').encode("gbk"),
        "unclosed": rss.replace("</channel>", "<b></channel>").encode(),
    }


def measure(rounds: int) -> list[Row]:
    """Every candidate's row; ratios are against the first candidate."""
    samples = [sample for sample in corpus() if sample.name not in OUR_RULES]
    bodies = documents()
    rows: list[Row] = []
    for name, read in CANDIDATES.items():
        right = sum(is_right(sample, read) for sample in samples)
        calls = {key: functools.partial(read, body, "") for key, body in bodies.items()}
        rows.append(_row(name, right, len(samples), calls, rows, rounds))
    for name, parse in TREES.items():
        trees = {key: functools.partial(parse, bodies[key]) for key in ("rss", "atom")}
        rows.append(_row(name, 0, 0, trees, rows, rounds))
    return rows


def _row(
    name: str, right: int, of: int, calls: Mapping[str, Callable[[], object]], rows: list[Row], rounds: int
) -> Row:
    times = {key: round(cpu_milliseconds(call, rounds), 3) for key, call in calls.items()}
    base = rows[0].milliseconds if rows else times
    return Row(name, right, of, times, {key: round(value / base[key], 2) for key, value in times.items()})


def run(options: Options) -> Report:
    """Measure; `quick` takes a tenth of the rounds."""
    sizes = ", ".join(f"{key} {len(body) / 1024:.0f} KB" for key, body in documents().items())
    table = Table(f"feed parsers: {sizes}")
    for row in measure(6 if options.quick else ROUNDS):
        table.rows.append(
            {
                "name": row.name,
                "right": f"{row.right}/{row.of}" if row.of else None,
                **{f"{key} ratio": value for key, value in row.ratios.items()},
                **{f"{key} CPU ms": value for key, value in row.milliseconds.items()},
            }
        )
    table.notes = [
        "right: of the messy documents, how many are read exactly; ratio: CPU in units of the first row"
    ]
    ours = table.rows[0]
    broken = (
        []
        if ours["right"] == f"{(of := str(ours['right']).partition('/')[2])}/{of}"
        else ["ours misread some"]
    )
    return Report([table], broken=broken)
