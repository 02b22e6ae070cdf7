"""Generated feeds as texts: RSS 2.0 and 1.0, Atom, JSON Feed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from xml.sax.saxutils import escape, quoteattr

FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Article:
    """One generated article; `number` orders them in time."""

    guid: str
    title: str
    link: str
    body: str
    number: int = 0

    @property
    def published(self) -> datetime:
        """One hour apart, in the past."""
        return FIRST_DAY + timedelta(hours=self.number)


def rss20(title: str, articles: list[Article], encoding: str = "utf-8") -> str:
    """RSS 2.0; the guid is no link."""
    items = "\n".join(
        f"<item><title>{escape(each.title)}</title><link>{escape(each.link)}</link>"
        f'<guid isPermaLink="false">{escape(each.guid)}</guid>'
        f"<pubDate>{format_datetime(each.published)}</pubDate>"
        f"<description>{escape(each.body)}</description></item>"
        for each in articles
    )
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<rss version="2.0"><channel><title>{escape(title)}</title>'
        f"<link>https://feeds.example/</link>\n{items}\n</channel></rss>\n"
    )


def atom(title: str, articles: list[Article]) -> str:
    """Atom 1.0 with HTML content."""
    entries = "\n".join(
        f"<entry><title>{escape(each.title)}</title><link href={quoteattr(each.link)}/><id>{escape(each.guid)}</id>"
        f"<updated>{each.published.isoformat()}</updated>"
        f'<content type="html">{escape(each.body)}</content></entry>'
        for each in articles
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<title>{escape(title)}</title><id>urn:feed</id><updated>{FIRST_DAY.isoformat()}</updated>\n{entries}\n</feed>\n"
    )


def rss10(title: str, articles: list[Article]) -> str:
    """RSS 1.0; the article's identity is its `rdf:about`."""
    items = "\n".join(
        f"<item rdf:about={quoteattr(each.guid)}><title>{escape(each.title)}</title><link>{escape(each.link)}</link>"
        f"<dc:date>{each.published.isoformat()}</dc:date><description>{escape(each.body)}</description></item>"
        for each in articles
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<channel><title>{escape(title)}</title></channel>\n{items}\n</rdf:RDF>\n"
    )


def json_feed(title: str, articles: list[Article]) -> str:
    """JSON Feed 1.1."""
    items = [
        {
            "id": each.guid,
            "url": each.link,
            "title": each.title,
            "content_html": each.body,
            "date_published": each.published.isoformat(),
        }
        for each in articles
    ]
    document = {"version": "https://jsonfeed.org/version/1.1", "title": title, "items": items}
    return json.dumps(document, ensure_ascii=False)
