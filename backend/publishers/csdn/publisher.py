"""Publishes to CSDN: a draft first, then the same article saved as public (wire 3.1)."""

from __future__ import annotations

from collections.abc import Callable
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
    Presence,
    Promise,
    Published,
    PublishOrder,
)
from backend.publishers import refusing
from backend.publishers.content import html_of, left_out, markdown_of
from backend.publishers.conversation import rows
from backend.publishers.csdn.wire import NAME, Console
from backend.publishers.fitting import unfit
from backend.publishers.logins import WithoutLogin

SECONDS = 30.0
MAX_TITLE = 100
SESSION = "UserToken"
NEEDED = ("UserName", SESSION)
SAVE = "/blog-console-api/v3/mdeditor/saveArticle"
LIST = "/blog-console-api/v1/article/list?page=1&status=enable&pageSize=20"
PUBLIC, DRAFT = 0, 2


class CsdnPublisher(WithoutLogin):
    """Implements `Publisher` for CSDN.

    Repeatable, because the draft's id is the article's: saved again as public, it is the same article.
    """

    platform = "csdn"
    called = NAME
    promise = Promise(repeatable=True, finds=True, quiet_seconds=2 * SECONDS)
    credential_kinds = frozenset({CredentialKind.COOKIES})

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """Cookies that every call needs."""
        names = {cookie.name for cookie in credentials.cookies if cookie.value}
        missing = [name for name in NEEDED if name not in names]
        return (InvalidInput("cookie_missing", platform=NAME, names=", ".join(missing)),) if missing else ()

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """No title or one too long, nothing to show, pictures that are not on the web."""
        return unfit(NAME, manuscript, MAX_TITLE, embedded=False)

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """Ask who is logged in."""
        console = Console(credentials, desk, self._seconds)
        try:
            user = str(console.call("GET", "/blog-console-api/v1/user/info").get("username") or "")
        except WorkError as error:
            return refusing.verdict(error, account_id, version)
        ends = earliest_end(credentials.cookies, frozenset({SESSION}))
        return refusing.well(account_id, version, user or console.user, ends)

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """Save the article as a draft, under its own id where it has one. Raises `WorkError`."""
        refusing.insist(
            NAME, (*self.credential_troubles(order.credentials), *self.refusals(order.manuscript))
        )
        console = Console(order.credentials, desk, self._seconds)
        draft_id = order.draft_id
        if not draft_id:
            desk.tell("making the draft")
            # Nearly empty: its id must be safe before whatever else may go wrong.
            title = order.manuscript.title
            draft_id = _saved(console, _content(Manuscript(title, title), "", DRAFT))
            save(DraftSaved(draft_id))
        desk.tell("saving the draft")
        _saved(console, _content(order.manuscript, draft_id, DRAFT))
        warnings = left_out(order.manuscript.content, order.manuscript.content_format)
        return Prepared(draft_id, warnings, f"https://editor.csdn.net/md?articleId={draft_id}")

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """The account's newest public articles."""
        return tuple(_public_ids(Console(order.credentials, desk, self._seconds)) or ())

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """Save it as public, once. Raises `WorkError`."""
        console = Console(order.credentials, desk, self._seconds)
        content = _content(order.manuscript, prepared.draft_id, PUBLIC)
        article_id = str(console.call("POST", SAVE, content, repeatable=False).get("id") or prepared.draft_id)
        return _published(article_id, console)

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """Whether the draft's id is among the account's public articles: it keeps its id. Raises `WorkError`."""
        console = Console(order.credentials, desk, self._seconds)
        listed = _public_ids(console)
        if listed is None:
            return Finding(Presence.UNKNOWN, reason="CSDN hides the account's articles")
        if order.draft_id in listed:
            return Finding(Presence.THERE, _published(order.draft_id, console))
        return Finding(Presence.NOT_THERE, reason="none of the account's public articles is it")


def _content(manuscript: Manuscript, article_id: str, status: int) -> dict[str, Any]:
    own = {"id": article_id} if article_id else {}
    return own | {
        "title": manuscript.title.strip(),
        "markdowncontent": markdown_of(manuscript.content, manuscript.content_format),
        "content": html_of(manuscript.content, manuscript.content_format),
        "readType": "public",
        "level": 0,
        "tags": ",".join(manuscript.tags),
        "status": status,
        "categories": "",
        "type": "original",
        "original_link": "",
        "authorized_status": False,
        "Description": "",
        "not_auto_saved": "1",
        "source": "pc_mdeditor",
        "cover_images": [manuscript.cover] if manuscript.cover else [],
        "cover_type": 1 if manuscript.cover else 0,
        "is_new": 1,
        "vote_id": 0,
        "resource_id": "",
        "pubStatus": "publish" if status == PUBLIC else "draft",
    }


def _saved(console: Console, content: dict[str, Any]) -> str:
    found = str(console.call("POST", SAVE, content).get("id") or content.get("id") or "")
    if not found:
        raise WorkError("platform_changed", platform=NAME, what="no id in the answer to saving")
    return found


def _public_ids(console: Console) -> list[str] | None:
    """`None` where CSDN does not tell. Raises `WorkError` where that is about the account."""
    try:
        listed = rows(console.call("GET", LIST), "list")
    except WorkError as error:
        if error.code == "rejected":
            return None
        raise
    return None if listed is None else [str(one.get("articleId") or "") for one in listed]


def _published(article_id: str, console: Console) -> Published:
    return Published(article_id, f"https://blog.csdn.net/{console.user}/article/details/{article_id}")
