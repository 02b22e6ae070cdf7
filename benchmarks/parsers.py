"""Which feed parser: correctness on the messy corpus first, then CPU per document.

Run: .venv/bin/python -m benchmarks.parsers [--json FILE]
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
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


def cpu_milliseconds(call: Callable[[], object]) -> float:
    """CPU time of one call, the best of a few rounds: the machine is shared."""
    call()
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(ROUNDS // 5):
            call()
        best = min(best, (time.process_time() - start) / (ROUNDS // 5))
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


def measure() -> list[Row]:
    """Every candidate's row; ratios are against the first candidate."""
    samples = [sample for sample in corpus() if sample.name not in OUR_RULES]
    bodies = documents()
    rows: list[Row] = []
    for name, read in CANDIDATES.items():
        right = sum(is_right(sample, read) for sample in samples)
        calls = {key: functools.partial(read, body, "") for key, body in bodies.items()}
        rows.append(_row(name, right, len(samples), calls, rows))
    for name, parse in TREES.items():
        trees = {key: functools.partial(parse, bodies[key]) for key in ("rss", "atom")}
        rows.append(_row(name, 0, 0, trees, rows))
    return rows


def _row(name: str, right: int, of: int, calls: Mapping[str, Callable[[], object]], rows: list[Row]) -> Row:
    times = {key: round(cpu_milliseconds(call), 3) for key, call in calls.items()}
    base = rows[0].milliseconds if rows else times
    return Row(name, right, of, times, {key: round(value / base[key], 2) for key, value in times.items()})


def report(rows: list[Row]) -> str:
    """The table as text: read it as ratios."""
    sizes = {key: len(body) for key, body in documents().items()}
    lines = ["documents: " + ", ".join(f"{key} {size / 1024:.0f} KB" for key, size in sizes.items())]
    for row in rows:
        right = f"{row.right}/{row.of}" if row.of else "-"
        cells = "  ".join(
            f"{key} {row.milliseconds[key]:.2f} ms (x{row.ratios[key]:.2f})" for key in row.ratios
        )
        lines.append(f"{row.name:40} right {right:6} {cells}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, show the table, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    rows = measure()
    sys.stdout.write(report(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
