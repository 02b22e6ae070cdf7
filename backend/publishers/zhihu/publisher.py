"""Publishes to Zhihu: a draft, its pictures and topics, then the one call that makes it public (wire 2.2 to 2.5)."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from backend.domain.credentials import earliest_end, live_cookies
from backend.domain.errors import CascadeError, InvalidInput, WorkError
from backend.domain.ports import Desk, HttpResponse
from backend.domain.publishing import (
    AccountVerdict,
    CredentialKind,
    Credentials,
    DraftSaved,
    Finding,
    LoginSight,
    Manuscript,
    Prepared,
    Promise,
    Published,
    PublishOrder,
)
from backend.publishers import pictures, refusing
from backend.publishers.content import html_of, left_out, tree_of
from backend.publishers.conversation import object_of
from backend.publishers.evidence import Evidence, State, by_their_clock, decide
from backend.publishers.fitting import unfit
from backend.publishers.zhihu import drafts, finding, images
from backend.publishers.zhihu.dialect import render
from backend.publishers.zhihu.login import SESSION, by_code
from backend.publishers.zhihu.password import by_password
from backend.publishers.zhihu.wire import (
    HUMAN_CHECK,
    NAME,
    RISK,
    SECONDS,
    WWW,
    Conversation,
    error_of,
    raise_trouble,
)

MAX_TITLE = 100
# Others change with every answer; only these carry the login.
CARRYING = frozenset({SESSION, "_xsrf", "d_c0"})
DECLARED: dict[str, Any] = {"disclaimer_type": "none", "disclaimer_status": "close"}


class ZhihuPublisher:
    """Implements `Publisher` for Zhihu.

    Repeatable, because a draft's id is the id of the article that comes of it: published again, it is the same article.
    """

    platform = "zhihu"
    promise = Promise(repeatable=True, finds=True, quiet_seconds=2 * SECONDS)
    credential_kinds = frozenset({CredentialKind.COOKIES, CredentialKind.PASSWORD})
    login_kinds = frozenset({"qr", "password"})

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """No session cookie, and nothing to get one with."""
        names = {cookie.name for cookie in credentials.cookies if cookie.value}
        walkable = credentials.fields.get("username") and credentials.fields.get("password")
        return (
            ()
            if SESSION in names or walkable
            else (InvalidInput("cookie_missing", platform=NAME, names=SESSION),)
        )

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """No title or one too long, nothing to show, pictures that nobody but their author can read."""
        return unfit(NAME, manuscript, MAX_TITLE, embedded=True)

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """Ask who is logged in; a cookie that Zhihu renewed meanwhile comes with the verdict."""
        talk = Conversation(credentials, desk, self._seconds)
        try:
            response = talk.call("GET", f"{WWW}/api/v4/me")
            if not object_of(response).get("id"):
                raise refusing.expired(NAME, response, "")
        except WorkError as error:
            return refusing.verdict(error, account_id, version)
        return self._welcome(
            account_id, version, credentials, talk, str(object_of(response).get("name") or "")
        )

    def _welcome(
        self, account_id: str, version: int, before: Credentials, talk: Conversation, name: str
    ) -> AccountVerdict:
        ends = earliest_end(talk.cookies, frozenset({SESSION}))
        verdict = refusing.well(account_id, version, name, ends)
        if _carried(talk.cookies) == _carried(before.cookies):
            return verdict
        return replace(verdict, refreshed=Credentials(talk.cookies, before.fields))

    def log_in(
        self,
        account_id: str,
        version: int,
        credentials: Credentials,
        desk: Desk,
        prompt: Callable[[LoginSight], None],
    ) -> AccountVerdict:
        """With the password where there is one, else by a QR code that somebody scans with Zhihu's app. Raises `WorkError`."""
        if credentials.fields.get("password"):
            cookies = by_password(account_id, version, credentials, desk, prompt)
            if isinstance(cookies, AccountVerdict):
                return cookies
        else:
            cookies = by_code(account_id, desk, prompt)
        fresh = Credentials(cookies, credentials.fields)
        verdict = self.check_session(account_id, version, fresh, desk)
        return verdict if verdict.refreshed else replace(verdict, refreshed=fresh)

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """Make or continue the draft, bring its pictures, give it topics. Raises `WorkError`."""
        refusing.insist(
            NAME, (*self.credential_troubles(order.credentials), *self.refusals(order.manuscript))
        )
        talk = Conversation(order.credentials, desk, self._seconds)
        draft_id = order.draft_id or _new_draft(order, talk, desk, save)
        html, cover, warnings = _content(order.manuscript, talk, desk)
        desk.tell("saving the draft")
        if not drafts.save(draft_id, order.manuscript.title.strip(), html, cover, talk):
            warnings = (*warnings, f"the draft {draft_id} was gone; another one was made")
            draft_id = _another_draft(order, draft_id, talk, desk, save)
            drafts.save(draft_id, order.manuscript.title.strip(), html, cover, talk)
        warnings = (*warnings, *drafts.add_topics(draft_id, order.manuscript.tags, talk))
        return Prepared(draft_id, warnings, drafts.edit_url(draft_id))

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """The newest articles of the account; none where Zhihu hides them, and then titles are told apart by their time."""
        listed = finding.recent(Conversation(order.credentials, desk, self._seconds))
        return tuple(one.id for one in listed or ())

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """The one call that publishes, sent once. Raises `WorkError`."""
        talk = Conversation(order.credentials, desk, self._seconds)
        response = talk.call(
            "POST",
            f"{WWW}/api/v4/content/publish",
            content=_submission(prepared.draft_id),
            referer=drafts.edit_url(prepared.draft_id),
            repeatable=False,
        )
        return _published(response, prepared.draft_id, order.credentials)

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """Look for the submitted article; what follows from what is found stands in `evidence.decide`. Raises `WorkError`."""
        talk = Conversation(order.credentials, desk, self._seconds)
        me = talk.call("GET", f"{WWW}/api/v4/me")
        now = datetime.now(UTC)
        since = by_their_clock(order.submitted_at or now, me, now)
        state = self._state(order.draft_id, talk)
        listed = None if state is State.PUBLISHED else finding.recent(talk, since)
        url = drafts.article_url(order.draft_id)
        return decide(
            Evidence(NAME, order.draft_id, order.manuscript.title, url, state, listed, order.known_ids, since)
        )

    def _state(self, draft_id: str, talk: Conversation) -> State:
        """The draft's state by its id; what everybody can read is published, whatever is said of the draft."""
        if not draft_id:
            return State.HIDDEN
        state = drafts.state(draft_id, talk)
        return State.PUBLISHED if finding.is_public(draft_id, talk) else state


def _carried(cookies: tuple[Any, ...]) -> dict[str, str]:
    found = live_cookies(cookies, "www.zhihu.com", datetime.now(UTC))
    return {name: value for name, value in found.items() if name in CARRYING}


def _new_draft(
    order: PublishOrder, talk: Conversation, desk: Desk, save: Callable[[DraftSaved], None]
) -> str:
    desk.tell("making the draft")
    draft_id = drafts.create(order.manuscript.title.strip(), talk)
    save(DraftSaved(draft_id))
    return draft_id


def _another_draft(
    order: PublishOrder, gone: str, talk: Conversation, desk: Desk, save: Callable[[DraftSaved], None]
) -> str:
    if order.submitted_at is not None:
        raise WorkError("draft_gone", permanent=True, platform=NAME, draft=gone)
    return _new_draft(order, talk, desk, save)


def _content(manuscript: Manuscript, talk: Conversation, desk: Desk) -> tuple[str, str, tuple[str, ...]]:
    """The article as Zhihu takes it, where its cover is, and what was left out or changed."""
    root = tree_of(html_of(manuscript.content, manuscript.content_format))
    cover = (manuscript.cover,) if manuscript.cover else ()
    moved = images.bring((*cover, *pictures.sources(root)), talk, desk)
    html, warnings = render(root, moved)
    lost = left_out(manuscript.content, manuscript.content_format)
    return html, moved.get(manuscript.cover, manuscript.cover), (*lost, *warnings)


def _submission(draft_id: str) -> dict[str, Any]:
    business = {
        "column": None,
        "commentPermission": "anyone",
        **DECLARED,
        "table_of_contents_enabled": False,
        "commercial_report_info": {"commercial_types": []},
        "commercial_zhitask_bind_info": None,
        "canReward": False,
    }
    return {
        "action": "article",
        "data": {
            "publish": {"traceId": f"{int(time.time() * 1000)},{uuid.uuid4()}"},
            "extra_info": {"publisher": "pc", "pc_business_params": json.dumps(business)},
            "draft": {"disabled": 1, "id": draft_id, "isPublished": False},
            "commentsPermission": {"comment_permission": "anyone"},
            "creationStatement": DECLARED,
            "contentsTables": {"table_of_contents_enabled": False},
            "commercialReportInfo": {"isReport": 0},
            "appreciate": {"can_reward": False, "tagline": ""},
            "hybridInfo": {},
        },
    }


def _published(response: HttpResponse, draft_id: str, credentials: Credentials) -> Published:
    """What the answer says: a refusal comes with HTTP 200 too (wire 0.C). Raises `WorkError`."""
    answer = object_of(response)
    code, said = answer.get("code"), error_of(response)[1]
    if code is None:
        raise WorkError(
            "platform_changed", ambiguous=True, platform=NAME, what="no code in the answer to publishing"
        )
    if code in {HUMAN_CHECK, RISK}:
        raise_trouble(response, credentials, repeatable=False)
    if code != 0:
        raise refusing.rejected(NAME, response, refusing.words(response, credentials, said))
    article = _result(answer)
    article_id = str(article.get("id") or draft_id)
    note = str(article.get("reason") or "") if article.get("is_normal") is False else ""
    return Published(article_id, drafts.article_url(article_id), note)


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    """The article inside of the answer, which is JSON in a text; empty when it can't be read, for it is published all the same."""
    data = answer.get("data")
    try:
        result: Any = json.loads(str(data.get("result"))) if isinstance(data, dict) else {}
    except (ValueError, RecursionError):
        return {}
    article = result.get("publish") if isinstance(result, dict) else None
    return article if isinstance(article, dict) else {}
