"""Whether a submitted article is at Zhihu: the draft by its id, its public page, then own recent articles (wire 2.5)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from backend.domain.errors import WorkError
from backend.domain.ports import HttpResponse
from backend.domain.publishing import Finding, Presence, Published
from backend.publishers.zhihu.drafts import State, article_url, normal
from backend.publishers.zhihu.wire import WWW, Conversation, Hidden, object_of

PAGE_SIZE = 20
PAGES = 3
# Clocks are compared through a header of whole seconds and a journey of unknown length.
SLACK = timedelta(seconds=5)
INITIAL_DATA = re.compile(r'<script[^>]*\bid="js-initialData"[^>]*>(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Listed:
    """One of the account's own articles; `created` by Zhihu's clock."""

    id: str
    title: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out. `listed` is `None` where the lists were hidden or end before the time in question.

    `since` is the submission by Zhihu's clock.
    """

    draft_id: str
    title: str
    draft: State
    public: bool
    listed: tuple[Listed, ...] | None
    known_ids: Collection[str]
    since: datetime


def decide(evidence: Evidence) -> Finding:
    """What the evidence means. Pure: rule 5 of the design.

    The draft's id is the article's, so only where the draft tells nothing may an article with another id be it.
    """
    if evidence.draft is State.PUBLISHED or evidence.public or _is_listed(evidence):
        return _there(evidence.draft_id)
    if evidence.listed is None:
        return _unknown("Zhihu hides the account's articles, so nobody can tell whether it is there")
    if evidence.draft is State.DRAFT:
        return Finding(Presence.NOT_THERE, reason="its draft is still a draft and none of the articles is it")
    alike = [one for one in evidence.listed if _could_be(one, evidence)]
    if len(alike) == 1:
        return _there(alike[0].id)
    if alike:
        return _unknown(f"{len(alike)} new articles of the account have this title")
    gone = evidence.draft is State.GONE
    return _unknown(
        "the draft is gone and no article is there: it may be under review, or somebody removed it"
        if gone
        else "Zhihu hides the draft, and no article of the account is it yet"
    )


def _is_listed(evidence: Evidence) -> bool:
    return any(one.id == evidence.draft_id for one in evidence.listed or ())


def _could_be(one: Listed, evidence: Evidence) -> bool:
    return (
        one.id not in evidence.known_ids
        and normal(one.title) == normal(evidence.title)
        and one.created >= evidence.since - SLACK
    )


def _there(article_id: str) -> Finding:
    return Finding(Presence.THERE, Published(article_id, article_url(article_id)))


def _unknown(reason: str) -> Finding:
    return Finding(Presence.UNKNOWN, reason=reason)


def is_public(article_id: str, talk: Conversation) -> bool:
    """Whether everybody can read it; a page that says nothing says no, and the lists decide."""
    try:
        response = talk.call("GET", article_url(article_id), expected=range(300, 500))
    except WorkError as error:
        if error.permanent:
            return False
        raise
    article = _initial_article(response.body.decode("utf-8", "replace"), article_id)
    return article.get("state") == State.PUBLISHED


def _initial_article(page: str, article_id: str) -> dict[str, Any]:
    found = INITIAL_DATA.search(page)
    try:
        value: Any = json.loads(found.group(1)) if found else {}
    except (ValueError, RecursionError):
        return {}
    for name in ("initialState", "entities", "articles", article_id):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def recent(talk: Conversation, since: datetime | None = None) -> tuple[Listed, ...] | None:
    """The account's newest articles: one page, or as many as reach back to `since`. `None` where they are hidden."""
    for page in (_creations, _member_articles):
        try:
            return _reaching_back(page, talk, since)
        except Hidden:
            continue
        except WorkError as error:
            # What Zhihu refuses here for good says nothing about the article.
            if error.code != "rejected":
                raise
    return None


Page = Callable[[Conversation, int], tuple[list[Listed], bool]]


def _reaching_back(page: Page, talk: Conversation, since: datetime | None) -> tuple[Listed, ...] | None:
    found: list[Listed] = []
    for number in range(PAGES):
        more, at_end = page(talk, number * PAGE_SIZE)
        found += more
        if at_end or since is None or not more or min(one.created for one in more) < since - SLACK:
            return tuple(found)
    return None


def _creations(talk: Conversation, offset: int) -> tuple[list[Listed], bool]:
    query = f"start=0&end=0&limit={PAGE_SIZE}&offset={offset}&need_co_creation=1&sort_type=created"
    answer = object_of(talk.call("GET", f"{WWW}/api/v4/creators/creations/v2/article?{query}"))
    inner = [one.get("data") for one in _rows(answer) if one.get("type") == "article"]
    return _listed([one for one in inner if isinstance(one, dict)], "created_time"), _at_end(answer)


def _member_articles(talk: Conversation, offset: int) -> tuple[list[Listed], bool]:
    me = object_of(talk.call("GET", f"{WWW}/api/v4/me"))
    token = quote(str(me.get("url_token") or ""), safe="")
    query = f"offset={offset}&limit={PAGE_SIZE}&sort_by=created"
    answer = object_of(talk.call("GET", f"{WWW}/api/v4/members/{token}/articles?{query}"))
    return _listed(_rows(answer), "created"), _at_end(answer)


def _rows(answer: dict[str, Any]) -> Sequence[dict[str, Any]]:
    rows = answer.get("data")
    if not isinstance(rows, list):
        # An answer without its list must not look like an account without articles.
        raise Hidden("platform_changed", permanent=True, platform="Zhihu", what="no list of articles")
    return [row for row in rows if isinstance(row, dict)]


def _at_end(answer: dict[str, Any]) -> bool:
    paging = answer.get("paging")
    return bool(paging.get("is_end")) if isinstance(paging, dict) else False


def _listed(rows: Sequence[dict[str, Any]], moment: str) -> list[Listed]:
    return [
        Listed(str(row["id"]), str(row.get("title") or ""), datetime.fromtimestamp(row[moment], UTC))
        for row in rows
        if row.get("id") and isinstance(row.get(moment), int)
    ]


def by_their_clock(moment: datetime, response: HttpResponse, now: datetime) -> datetime:
    """A moment of ours by the platform's clock, which its `Date` header tells."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, TypeError, IndexError):
        return moment
    return moment + (theirs.astimezone(UTC) - now)
