"""A kind of feed that somebody else might add: a text with one quotation a line. This file and one line are all of it.

The line: `quotes = "quotes:QuotesSource"` in the group `cascade.sources` of the package's entry points.
"""

from __future__ import annotations

from backend.domain.errors import WorkError
from backend.domain.orders import ArticleDraft, FeedOrder, FetchResult
from backend.domain.ports import HttpClient, HttpRequest


class QuotesSource:
    """Collects one text."""

    kind = "quotes"

    def fetch(self, feed: FeedOrder, http: HttpClient) -> FetchResult:
        """One article for each line. Raises `WorkError`."""
        answer = http.send(HttpRequest("GET", feed.url))
        if answer.status != 200:
            raise WorkError("http_status", host="", status=answer.status)
        lines = answer.body.decode().splitlines()
        return FetchResult(tuple(ArticleDraft(line, line, feed.url) for line in lines if line.strip()))
