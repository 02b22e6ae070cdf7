"""Whether a submitted article is at a platform where the draft's id becomes the article's: rule 5 of the design. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from backend.domain.ports import HttpResponse
from backend.domain.publishing import Finding, Presence, Published

# Clocks are compared through a header of whole seconds and a journey of unknown length.
SLACK = timedelta(seconds=5)


class State(StrEnum):
    """What the platform says about a draft by its id. `HIDDEN`: it did not tell."""

    DRAFT = "draft"
    PUBLISHED = "published"
    GONE = "gone"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Listed:
    """One of the account's own articles; `created` by the platform's clock."""

    id: str
    title: str
    created: datetime
    url: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out. `listed` is `None` where the lists were hidden or end before the time in question.

    `since` is the submission by the platform's clock; `url` is where the article is, when it is there under the draft's id.
    """

    platform: str
    draft_id: str
    title: str
    url: str
    draft: State
    listed: tuple[Listed, ...] | None
    known_ids: Collection[str]
    since: datetime


def decide(evidence: Evidence) -> Finding:
    """What the evidence means.

    Only where the draft tells nothing may an article with another id be it.
    """
    listed = [one for one in evidence.listed or () if one.id == evidence.draft_id]
    if evidence.draft is State.PUBLISHED or listed:
        return _there(evidence.draft_id, evidence.url or next((one.url for one in listed), ""))
    if evidence.listed is None:
        return _unknown(
            f"{evidence.platform} hides the account's articles: nobody can tell whether it is there"
        )
    if evidence.draft is State.DRAFT:
        return Finding(Presence.NOT_THERE, reason="its draft is still a draft and none of the articles is it")
    return _by_title(evidence, [one for one in evidence.listed if _could_be(one, evidence)])


def _by_title(evidence: Evidence, alike: list[Listed]) -> Finding:
    if len(alike) == 1:
        return _there(alike[0].id, alike[0].url)
    if alike:
        return _unknown(f"{len(alike)} new articles of the account have this title")
    if evidence.draft is State.GONE:
        return _unknown(
            "the draft is gone and no article is there: it may be under review, or somebody removed it"
        )
    return _unknown(f"{evidence.platform} hides the draft, and no article of the account is it yet")


def _could_be(one: Listed, evidence: Evidence) -> bool:
    return (
        one.id not in evidence.known_ids
        and normal(one.title) == normal(evidence.title)
        and one.created >= evidence.since - SLACK
    )


def _there(article_id: str, url: str) -> Finding:
    return Finding(Presence.THERE, Published(article_id, url))


def _unknown(reason: str) -> Finding:
    return Finding(Presence.UNKNOWN, reason=reason)


def normal(text: str) -> str:
    """A title or name as it is compared: platforms change spaces, widths and case."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def by_their_clock(moment: datetime, response: HttpResponse, now: datetime) -> datetime:
    """A moment of ours by the platform's clock, which its `Date` header tells."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", ""))
    except (ValueError, TypeError, IndexError):
        return moment
    return moment + (theirs.astimezone(UTC) - now)
