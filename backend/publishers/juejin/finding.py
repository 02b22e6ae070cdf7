"""Whether a submitted article is at Juejin: its draft by id first, then own recent articles.

Here the article has another id than its draft, so an article that could be it counts whatever the draft tells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from backend.domain.publishing import Finding, Presence, Published
from backend.publishers.evidence import SLACK, Listed, normal
from backend.publishers.juejin.wire import SITE


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out. `article_id` is the draft's: empty while it is none, `None` when the draft can't be read.

    `listed` is `None` where the list is hidden. `since` is the submission by Juejin's clock.
    """

    article_id: str | None
    title: str
    listed: Sequence[Listed] | None
    known_ids: Collection[str]
    since: datetime


def decide(evidence: Evidence) -> Finding:
    """What the evidence means. Pure: rule 5 of the design."""
    if evidence.article_id:
        return _there(evidence.article_id)
    if evidence.listed is None:
        return _unknown("Juejin hides the account's articles, so nobody can tell whether it is there")
    alike = [one for one in evidence.listed if _could_be(one, evidence)]
    if len(alike) == 1:
        return _there(alike[0].id)
    if alike:
        return _unknown(f"{len(alike)} new articles of the account have this title")
    if evidence.article_id is None:
        return _unknown("the draft can't be read, and no article of the account is it yet")
    return Finding(Presence.NOT_THERE, reason="its draft is still a draft and none of the articles is it")


def _could_be(one: Listed, evidence: Evidence) -> bool:
    known = one.id in evidence.known_ids
    return normal(one.title) == normal(evidence.title) and not known and one.created >= evidence.since - SLACK


def _there(article_id: str) -> Finding:
    return Finding(Presence.THERE, Published(article_id, address(article_id)))


def _unknown(reason: str) -> Finding:
    return Finding(Presence.UNKNOWN, reason=reason)


def address(article_id: str) -> str:
    """Where everybody can read it, once Juejin has reviewed it."""
    return f"{SITE}/post/{article_id}"


def listed_of(rows: Sequence[dict[str, object]]) -> tuple[Listed, ...]:
    """The rows of `list_by_user`."""
    found = []
    for row in rows:
        inner = row.get("article_info")
        info = inner if isinstance(inner, dict) else {}
        identifier, moment = row.get("article_id") or info.get("article_id"), str(info.get("ctime") or "")
        if identifier and moment.isdigit():
            title = str(info.get("title") or "")
            found.append(Listed(str(identifier), title, datetime.fromtimestamp(int(moment), UTC)))
    return tuple(found)
