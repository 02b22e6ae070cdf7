"""Raw entries to article drafts: keys, plain texts, sane dates, limits. Pure; the time is an argument."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from backend.domain.orders import ArticleDraft
from backend.sources.dates import parse_date
from backend.sources.plaintext import plain
from backend.sources.raw import Markup, RawEntry, RawFeed

MAX_ARTICLES = 1000
MAX_KEY = 500
MAX_TITLE = 1000
MAX_SUMMARY = 1000
MAX_URL = 2000
TITLE_FROM_TEXT = 100
_CHINESE = re.compile("[\u4e00-\u9fff]")
_MARKUP_READ = 8192
_OLDEST = datetime.min.replace(tzinfo=UTC)


def drafts(feed: RawFeed, now: datetime) -> tuple[ArticleDraft, ...]:
    """The feed's articles, each key once, in the document's order; of more than 1,000 the newest."""
    chinese = is_chinese(feed)
    found: dict[str, ArticleDraft] = {}
    for entry in feed.entries:
        draft = _draft(entry, chinese, now)
        if draft is not None:
            found.setdefault(draft.key, draft)
    articles = list(found.values())
    if len(articles) > MAX_ARTICLES:
        articles.sort(key=lambda article: article.published_at or _OLDEST, reverse=True)
    return tuple(articles[:MAX_ARTICLES])


def is_chinese(feed: RawFeed) -> bool:
    """Whether its times without a zone are most likely China's."""
    if feed.language:
        return feed.language.lower().startswith("zh")
    return any(_CHINESE.search(text) for text in (feed.title, *(entry.title for entry in feed.entries[:5])))


def article_key(entry: RawEntry, title: str) -> str:
    """What identifies the article within its feed: guid, else link, else title and date as written."""
    key = " ".join((entry.guid or entry.link).split())
    if not key:
        key = " ".join([title, *entry.dates[:1]]).strip()
    if len(key) <= MAX_KEY:
        return key
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _draft(entry: RawEntry, chinese: bool, now: datetime) -> ArticleDraft | None:
    summary = plain(entry.summary[:_MARKUP_READ], _summary_markup(entry), MAX_SUMMARY)
    title = plain(entry.title[:_MARKUP_READ], entry.title_markup, MAX_TITLE) or _title_from_text(
        entry, summary
    )
    key = article_key(entry, title)
    if not key:
        return None
    return ArticleDraft(
        key=key,
        title=title or entry.link,
        url=entry.link if len(entry.link) <= MAX_URL else "",
        summary=summary,
        content=entry.content,
        author=plain(_author(entry.author), Markup.UNSAID, 200),
        cover_url=entry.cover if len(entry.cover) <= MAX_URL else "",
        published_at=_published(entry, chinese, now),
    )


def _summary_markup(entry: RawEntry) -> Markup:
    return entry.content_markup if entry.summary == entry.content else Markup.HTML


def _title_from_text(entry: RawEntry, summary: str) -> str:
    text = summary or plain(entry.content[:_MARKUP_READ], entry.content_markup, MAX_SUMMARY)
    return plain(text, Markup.TEXT, TITLE_FROM_TEXT)


def _author(text: str) -> str:
    """RSS 2.0 wants `address (name)`; people want the name."""
    match = re.fullmatch(r"\S+@\S+\s+\((.+)\)", text.strip())
    return match.group(1) if match else text


def _published(entry: RawEntry, chinese: bool, now: datetime) -> datetime | None:
    for text in entry.dates:
        found = parse_date(text, chinese=chinese, now=now)
        if found is not None:
            return found
    return None
