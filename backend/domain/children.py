"""What WeRSS children send, read into our words: pure, lenient about types, strict about meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.domain.identifiers import digest
from backend.domain.messages import render
from backend.domain.orders import ArticleDraft, Failure, FetchResult, ItemOutcome, encodable

CHILD_FAILED = "child_failed"
LARGEST_COUNT = 1_000_000
LONGEST_CONTENT = 1_000_000
LONGEST_ERROR = 500
LONGEST_KEY = 255
# WeRSS marks what its publisher took back with this status, or with this word instead of the content.
DELETED_STATUS = 1000
DELETED_CONTENT = "DELETED"
FAILING = frozenset({"failed", "failure", "error", "timeout", "false", "0"})
# Later than the year 2286 in seconds: such a number counts milliseconds.
MILLISECONDS_FROM = 10_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
USABLE_ID = re.compile(r"[A-Za-z0-9_.~@:+=-]{1,64}")


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How one feed went on a child. `reported_at` is the child's own time stamp, as it wrote it."""

    feed_id: str
    feed_name: str
    success: bool
    article_count: int = 0
    success_count: int = 0
    error: str = ""
    reported_at: str = ""


@dataclass(frozen=True, slots=True)
class HeldItem:
    """A work item of an allocation that a child holds."""

    item_id: str
    feed_id: str


@dataclass(frozen=True, slots=True)
class UploadedArticle:
    """An article that a child found in a feed."""

    feed_id: str
    draft: ArticleDraft


def read_results(raw: Iterable[Mapping[str, object]]) -> tuple[ChildResult, ...]:
    """The results of a report, one for each feed: of a feed that is named twice, the last one counts.

    Both shapes of wire.md 6.4 are read, `{mp_id, status, error}` and `{feed_id, success, error}`, and the one of
    `report-result` that has counts only. What names no feed is left out.
    """
    found = (_result(one) for one in raw)
    return tuple({one.feed_id: one for one in found if one is not None}.values())


def _result(raw: Mapping[str, object]) -> ChildResult | None:
    feed_id = usable_id(raw.get("mp_id")) or usable_id(raw.get("feed_id"))
    if not feed_id:
        return None
    success_count = raw.get("success_count", raw.get("new_article_count"))
    return ChildResult(
        feed_id=feed_id,
        feed_name=text(raw.get("mp_name"))[:255],
        success=_succeeded(raw),
        article_count=count(raw.get("article_count")),
        success_count=count(success_count),
        error=text(raw.get("error"))[:LONGEST_ERROR],
        reported_at=text(raw.get("timestamp"))[:64],
    )


def _succeeded(raw: Mapping[str, object]) -> bool:
    verdict = raw.get("success", raw.get("status"))
    if verdict is None:
        return not raw.get("error")
    return bool(verdict) and str(verdict).strip().casefold() not in FAILING


def item_outcomes(items: Iterable[HeldItem], results: Iterable[ChildResult]) -> tuple[ItemOutcome, ...]:
    """The outcomes of the items whose feeds the results name; the other items have none."""
    by_feed = {one.feed_id: one for one in results}
    return tuple(_outcome(item, by_feed[item.feed_id]) for item in items if item.feed_id in by_feed)


def _outcome(item: HeldItem, result: ChildResult) -> ItemOutcome:
    if not result.success:
        return ItemOutcome(item.item_id, item.feed_id, failure=child_failure(result.error))
    # Not modified: the validators that our own nodes use for this feed still hold.
    found = FetchResult(not_modified=True, reported_count=result.article_count)
    return ItemOutcome(item.item_id, item.feed_id, result=found)


def child_failure(detail: str) -> Failure:
    """The failure of work on a child, in the child's own words as far as it said any."""
    return Failure(CHILD_FAILED, render(CHILD_FAILED, "en", {"detail": text(detail)[:LONGEST_ERROR] or "-"}))


def result_digest(node_id: str, task_id: str, allocation_id: str | None, result: ChildResult) -> str:
    """What two reports of the same result have in common, and two different results have not."""
    return digest(
        node_id,
        task_id,
        allocation_id or "",
        result.feed_id,
        str(result.success),
        str(result.article_count),
        str(result.success_count),
        result.error,
        result.reported_at,
    )


def read_articles(raw: Iterable[Mapping[str, object]]) -> tuple[UploadedArticle, ...]:
    """The articles of an upload that can be kept: those that were taken back, or name no feed, are left out."""
    return tuple(one for one in map(_article, raw) if one is not None)


def _article(raw: Mapping[str, object]) -> UploadedArticle | None:
    feed_id = usable_id(raw.get("mp_id")) or usable_id(raw.get("feed_id"))
    url = text(raw.get("url")).strip()
    key = text(raw.get("id")).strip()[:LONGEST_KEY] or url
    if not feed_id or not key or was_taken_back(raw):
        return None
    draft = ArticleDraft(
        key=key,
        title=text(raw.get("title")),
        url=url,
        summary=text(raw.get("description")),
        content=_content(raw),
        author=text(raw.get("author")),
        cover_url=text(raw.get("pic_url")),
        published_at=moment(raw.get("publish_time")),
        id=usable_id(raw.get("id")),
    )
    return UploadedArticle(feed_id, draft)


def was_taken_back(raw: Mapping[str, object]) -> bool:
    """Whether WeRSS knows the article as deleted: there is nothing in it to keep or to deliver."""
    return count(raw.get("status")) == DELETED_STATUS or text(raw.get("content")).strip() == DELETED_CONTENT


def _content(raw: Mapping[str, object]) -> str:
    texts = (text(raw.get(name)) for name in ("content", "content_html", "content_markdown"))
    return next((one for one in texts if one), "")[:LONGEST_CONTENT]


def feeds_as_text(feed_ids: Iterable[str]) -> str:
    """Feeds as the JSON text that WeRSS keeps in `mps_id`; an empty list means all feeds there."""
    return json.dumps([{"id": one} for one in feed_ids])


def usable_id(value: object) -> str:
    """The value as an id of ours, or nothing: columns of ids hold no other characters."""
    found = text(value)
    return found if USABLE_ID.fullmatch(found) else ""


def text(value: object) -> str:
    """Text, or what JSON has instead of it: numbers as they are written, everything else as nothing."""
    if isinstance(value, str):
        return encodable(value).replace("\0", "")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else ""


def count(value: object) -> int:
    """A whole number that a column can hold; anything else is 0."""
    try:
        number = int(float(text(value) or 0))
    except (ValueError, OverflowError):
        return 0
    return min(max(number, 0), LARGEST_COUNT)


def moment(value: object) -> datetime | None:
    """A time from Unix seconds or milliseconds, or from ISO 8601 (UTC when it names no zone)."""
    written = text(value).strip()
    try:
        number = float(written)
    except ValueError:
        return _iso_moment(written)
    seconds = number / 1000 if abs(number) >= MILLISECONDS_FROM else number
    try:
        return EPOCH + timedelta(seconds=seconds) if seconds > 0 else None
    except (OverflowError, ValueError):
        return None


def _iso_moment(written: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(written)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
