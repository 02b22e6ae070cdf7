"""Publishes to Juejin: a draft with category and tags, then the call that puts it into review (wire 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from backend.domain.credentials import earliest_end
from backend.domain.errors import CascadeError, InvalidInput, WorkError
from backend.domain.ports import Desk
from backend.domain.publishing import (
    AccountVerdict,
    CredentialKind,
    Credentials,
    DraftSaved,
    Finding,
    Manuscript,
    Prepared,
    Promise,
    Published,
    PublishOrder,
)
from backend.publishers import refusing
from backend.publishers.content import html_of, left_out, markdown_of, tree_of
from backend.publishers.conversation import part, rows
from backend.publishers.evidence import Listed, by_their_clock
from backend.publishers.fitting import unfit
from backend.publishers.juejin import finding
from backend.publishers.juejin.wire import NAME, SESSION, SITE, Conversation
from backend.publishers.logins import WithoutLogin

SECONDS = 30.0
MAX_TITLE = 100
MAX_TAGS = 3
BRIEF = (50, 100)
CATEGORY_OPTION = "juejin.category"
BACKEND_CATEGORY = "6809637769959178254"
IN_REVIEW = "Juejin reviews new articles; until then only their author sees it"


class JuejinPublisher(WithoutLogin):
    """Implements `Publisher` for Juejin.

    Not repeatable: nobody has established what publishing the same draft again does. Its draft tells which article it became.
    """

    platform = "juejin"
    called = NAME
    promise = Promise(repeatable=False, finds=True, quiet_seconds=2 * SECONDS)
    credential_kinds = frozenset({CredentialKind.COOKIES})

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """No session cookie."""
        names = {cookie.name for cookie in credentials.cookies if cookie.value}
        return () if SESSION in names else (InvalidInput("cookie_missing", platform=NAME, names=SESSION),)

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """What does not fit, and an article without tags."""
        found = unfit(NAME, manuscript, MAX_TITLE, embedded=False)
        needs_tags = not any(tag.strip() for tag in manuscript.tags)
        return (*found, InvalidInput("tags_needed", platform=NAME, limit=MAX_TAGS)) if needs_tags else found

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """Ask who is logged in."""
        try:
            talk = Conversation(credentials, desk, self._seconds)
            answer = talk.call("check")
            if not part(answer.data).get("user_id"):
                raise refusing.expired(NAME, answer.response, "")
        except WorkError as error:
            return refusing.verdict(error, account_id, version)
        ends = earliest_end(credentials.cookies, frozenset({SESSION}))
        return refusing.well(account_id, version, str(part(answer.data).get("user_name") or ""), ends)

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """Make or continue the draft, with category and tags by Juejin's ids. Raises `WorkError`."""
        refusing.insist(
            NAME, (*self.credential_troubles(order.credentials), *self.refusals(order.manuscript))
        )
        talk = Conversation(order.credentials, desk, self._seconds)
        tag_ids, warnings = _tags(order.manuscript.tags, talk)
        category = _category(order.manuscript.tags, desk.options.get(CATEGORY_OPTION, ""), talk)
        content = _content(order.manuscript, category, tag_ids)
        draft_id = order.draft_id
        if not draft_id:
            desk.tell("making the draft")
            draft_id = _id_of(talk.call("draft", content | {"mark_content": ""}).data)
            save(DraftSaved(draft_id))
        desk.tell("saving the draft")
        talk.call("save", content | {"id": draft_id})
        lost = left_out(order.manuscript.content, order.manuscript.content_format)
        return Prepared(draft_id, (*lost, *warnings), f"{SITE}/editor/drafts/{draft_id}")

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """The account's newest articles, those in review too."""
        listed = _listed(Conversation(order.credentials, desk, self._seconds))
        return tuple(one.id for one in listed or ())

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """Put it into review, once. Raises `WorkError`."""
        talk = Conversation(order.credentials, desk, self._seconds)
        content = {
            "draft_id": prepared.draft_id,
            "sync_to_org": False,
            "column_ids": [],
            "theme_ids": [],
        }
        article_id = str(part(talk.call("publish", content, repeatable=False).data).get("article_id") or "")
        if not article_id:
            raise WorkError(
                "platform_changed", ambiguous=True, platform=NAME, what="no article_id in its answer"
            )
        return Published(article_id, finding.address(article_id), IN_REVIEW)

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """Look for the submitted article; what it is decided from stands in `finding.decide`. Raises `WorkError`."""
        talk = Conversation(order.credentials, desk, self._seconds)
        answer = talk.call("check")
        if not part(answer.data).get("user_id"):
            raise refusing.expired(NAME, answer.response, "")
        now = datetime.now(UTC)
        return finding.decide(
            finding.Evidence(
                _article_of(order.draft_id, talk),
                order.manuscript.title,
                _listed(talk),
                order.known_ids,
                by_their_clock(order.submitted_at or now, answer.response, now),
            )
        )


def _article_of(draft_id: str, talk: Conversation) -> str | None:
    """The id of the article that the draft became, empty when it is still a draft, `None` when Juejin does not tell."""
    try:
        draft = part(talk.call("read", {"draft_id": draft_id}).data, "article_draft")
    except WorkError as error:
        if error.code == "rejected":
            return None
        raise
    if "article_id" not in draft:
        return None
    return str(draft["article_id"] or "0").lstrip("0")


def _listed(talk: Conversation) -> tuple[Listed, ...] | None:
    """`None` where Juejin does not tell. Raises `WorkError` where that is about the account."""
    asked = {"audit_status": None, "keyword": "", "page_size": 20, "page_no": 1}
    try:
        found = rows(talk.call("list", asked).data)
    except WorkError as error:
        if error.code == "rejected":
            return None
        raise
    return None if found is None else finding.listed_of(found)


def _tags(names: tuple[str, ...], talk: Conversation) -> tuple[list[str], tuple[str, ...]]:
    """Juejin's ids of the tags, three at most, and sentences about those that it does not have. Raises `WorkError`."""
    found: list[str] = []
    unknown: list[str] = []
    for name in names[:MAX_TAGS]:
        asked = {"cursor": "0", "key_word": name, "limit": 10, "sort_type": 1}
        tags = [part(one, "tag") for one in rows(talk.call("tags", asked).data) or []]
        same = [one for one in tags if str(one.get("tag_name") or "").casefold() == name.casefold()]
        if same:
            found.append(str(same[0].get("tag_id")))
        else:
            unknown.append(name)
    if not found:
        raise WorkError("tags_unknown", permanent=True, platform=NAME, names=", ".join(unknown))
    more = names[MAX_TAGS:]
    warnings = [f"Juejin has no tag {name}" for name in unknown]
    warnings += [f"Juejin takes {MAX_TAGS} tags: {', '.join(more)} left out"] * bool(more)
    return found, tuple(warnings)


def _category(tags: tuple[str, ...], wanted: str, talk: Conversation) -> str:
    """The id of the category that a tag names, else of the operator's one, else of 后端. Raises `WorkError`."""
    names = [name.casefold() for name in (*tags, wanted) if name]
    known = [part(one, "category") for one in rows(talk.call("categories", {}).data) or []]
    by_name = {str(one.get("category_name") or "").casefold(): str(one.get("category_id")) for one in known}
    chosen = next((by_name[name] for name in names if name in by_name), "")
    return chosen or (wanted if wanted.isdigit() else BACKEND_CATEGORY)


def brief_of(manuscript: Manuscript) -> str:
    """The summary: the article's first words, which Juejin wants to be 50 to 100 characters (wire 3.2)."""
    least, most = BRIEF
    html = html_of(manuscript.content, manuscript.content_format)
    text = " ".join(tree_of(html).get_text(" ", strip=True).split())
    brief = text or manuscript.title.strip()
    while len(brief) < least:
        brief = f"{brief} · {manuscript.title.strip()}"
    return brief[:most]


def _content(manuscript: Manuscript, category: str, tag_ids: list[str]) -> dict[str, Any]:
    return {
        "category_id": category,
        "tag_ids": tag_ids,
        "link_url": "",
        "cover_image": manuscript.cover,
        "title": manuscript.title.strip(),
        "brief_content": brief_of(manuscript),
        "edit_type": 10,
        "html_content": "deprecated",
        "mark_content": markdown_of(manuscript.content, manuscript.content_format),
        "theme_ids": [],
    }


def _id_of(data: Any) -> str:
    found = str(part(data).get("id") or "")
    if not found:
        raise WorkError("platform_changed", platform=NAME, what="no id in the answer to making a draft")
    return found
