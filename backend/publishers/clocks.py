"""Our moments by a platform's clock."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from backend.domain.ports import HttpResponse


def by_their_clock(moment: datetime, response: HttpResponse, now: datetime) -> datetime:
    """A moment of ours by the platform's clock, which its `Date` header tells."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, TypeError, IndexError):
        return moment
    return moment + (theirs.astimezone(UTC) - now)
