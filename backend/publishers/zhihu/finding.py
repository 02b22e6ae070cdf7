"""Where Zhihu tells whether an article is there: its public page and the account's own recent articles (wire 2.5)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from backend.domain.errors import WorkError
from backend.publishers.conversation import object_of
from backend.publishers.evidence import SLACK, Listed, State
from backend.publishers.zhihu.drafts import article_url
from backend.publishers.zhihu.wire import WWW, Conversation, Hidden

PAGE_SIZE = 20
PAGES = 3
INITIAL_DATA = re.compile(r'<script[^>]*\bid="js-initialData"[^>]*>(.*?)</script>', re.DOTALL)


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
        Listed(
            str(row["id"]),
            str(row.get("title") or ""),
            datetime.fromtimestamp(row[moment], UTC),
            article_url(str(row["id"])),
        )
        for row in rows
        if row.get("id") and isinstance(row.get(moment), int)
    ]
