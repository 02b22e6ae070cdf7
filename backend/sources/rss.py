"""The kind `rss`: RSS 0.9x/1.0/2.0, Atom and JSON Feed over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from backend.domain.errors import WorkError
from backend.domain.orders import FeedOrder, FetchResult
from backend.domain.politeness import HOLD_SECONDS, host_of_feed
from backend.domain.ports import HttpClient, HttpRequest, HttpResponse
from backend.sources.parsing import parse_feed

ACCEPT = (
    "application/rss+xml, application/atom+xml, application/feed+json, application/rdf+xml;q=0.9, "
    "application/xml;q=0.8, text/xml;q=0.8, application/json;q=0.7, */*;q=0.1"
)
SECONDS = 30.0
MAX_BYTES = 10 * 1024 * 1024
MAX_VALIDATOR = 500
MAX_RETRY_AFTER = 86400.0
WORTH_RETRYING = frozenset({408, 425, 429})


class RssSource:
    """Collects one feed; conditional when the order has validators."""

    kind = "rss"

    def fetch(self, feed: FeedOrder, http: HttpClient) -> FetchResult:
        """Collect the feed. Raises `WorkError`: http_status, feed_gone, not_a_feed, empty_answer, and the client's."""
        response = http.send(
            HttpRequest("GET", feed.url, _headers(feed), seconds=SECONDS, max_bytes=MAX_BYTES)
        )
        now = datetime.now(UTC)
        if response.status == 304:
            return FetchResult(
                etag=_validator(response, "etag") or feed.etag,
                last_modified=_validator(response, "last-modified") or feed.last_modified,
                not_modified=True,
                final_url=response.permanent_url,
            )
        if response.status != 200:
            raise status_error(response, now)
        parsed = parse_feed(response.body, response.headers.get("content-type", ""), response.url, now)
        return FetchResult(
            articles=parsed.articles,
            title=parsed.title,
            etag=_validator(response, "etag"),
            last_modified=_validator(response, "last-modified"),
            final_url=response.permanent_url,
        )


def _headers(feed: FeedOrder) -> dict[str, str]:
    headers = {"Accept": ACCEPT}
    if feed.etag:
        headers["If-None-Match"] = feed.etag
    if feed.last_modified:
        headers["If-Modified-Since"] = feed.last_modified
    return headers


def _validator(response: HttpResponse, name: str) -> str:
    """A validator to send next time; one too long to keep is as good as none."""
    value = response.headers.get(name, "").strip()
    return value if len(value) <= MAX_VALIDATOR and value.isprintable() else ""


def status_error(response: HttpResponse, now: datetime) -> WorkError:
    """The error for an answer that brings no feed; 4xx can't succeed later, but for a few."""
    status, host = response.status, urlsplit(response.url).hostname or ""
    if status == 410:
        return WorkError("feed_gone", permanent=True, host=host)
    wait = retry_after(response.headers, now) if status in {429, 503} else None
    return WorkError(
        "empty_answer" if 200 <= status < 300 else "http_status",
        permanent=400 <= status < 500 and status not in WORTH_RETRYING,
        retry_after=wait,
        # One feed's 429 is its host's answer to all of them.
        host_wait=(wait or HOLD_SECONDS) if status == 429 else wait,
        busy_host=host_of_feed("rss", response.url),
        host=host,
        status=status,
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that `Retry-After` asks for, written as seconds or as a date; at most a day."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return min(max((then - now).total_seconds(), 0.0), MAX_RETRY_AFTER)
