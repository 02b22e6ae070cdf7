"""Publishes to WordPress: a draft with its media and terms, then its change to public (wire 3.4)."""

from __future__ import annotations

import html
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from backend.domain.errors import CascadeError, WorkError
from backend.domain.ports import Desk, HttpResponse
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
from backend.publishers import fitting, refusing
from backend.publishers.content import html_of, inner_html, left_out, tree_of
from backend.publishers.conversation import object_of
from backend.publishers.evidence import SLACK, Evidence, Listed, State, by_their_clock, decide
from backend.publishers.logins import WithoutLogin
from backend.publishers.wordpress.content import bring_embedded, dress, media, terms
from backend.publishers.wordpress.wire import NAME, SECONDS, Site, id_of, list_of

NEEDED = ("url", "username", "password")
PAGE_SIZE = 50
VISIBLE = "publish,future,pending,private"
# What became of a draft that was published; a pending one waits for the site's editor.
STATES = {
    **dict.fromkeys(VISIBLE.split(","), State.PUBLISHED),
    **dict.fromkeys(("draft", "auto-draft"), State.DRAFT),
    "trash": State.GONE,
}
FIELDS = "id,title,link,status,date_gmt"


class WordPressPublisher(WithoutLogin):
    """Implements `Publisher` for WordPress.

    Repeatable, because publishing only changes the state of the post that the draft already is.
    """

    platform = "wordpress"
    called = NAME
    promise = Promise(repeatable=True, finds=True, quiet_seconds=2 * SECONDS)
    credential_kinds = frozenset({CredentialKind.PASSWORD})

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """A missing address, user name or application password."""
        return fitting.lacking(NAME, credentials, NEEDED)

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """No title, nothing to show, pictures that nobody but their author can read."""
        return fitting.unfit(NAME, manuscript, embedded=True)

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """Ask who the application password belongs to."""
        try:
            me = object_of(self._site(credentials, desk).call("GET", "/users/me", query={"context": "edit"}))
        except WorkError as error:
            return refusing.verdict(error, account_id, version)
        return refusing.well(account_id, version, str(me.get("name") or me.get("slug") or id_of(me)))

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """Make or continue the draft, with its media, tags and category. Raises `WorkError`."""
        refusing.insist(
            NAME, (*self.credential_troubles(order.credentials), *self.refusals(order.manuscript))
        )
        site = self._site(order.credentials, desk)
        draft_id = order.draft_id or _new_draft(order, site, desk, save)
        content, warnings = _content(order, site, desk)
        desk.tell("saving the draft")
        if site.call("POST", f"/posts/{draft_id}", content=content, expected={404, 410}).status >= 300:
            warnings = (*warnings, f"the draft {draft_id} was gone; another one was made")
            if order.submitted_at is not None:
                raise WorkError("draft_gone", permanent=True, platform=NAME, draft=draft_id)
            draft_id = _new_draft(order, site, desk, save)
            site.call("POST", f"/posts/{draft_id}", content=content)
        return Prepared(draft_id, warnings, f"{site.home}/?p={draft_id}&preview=true")

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """The account's newest posts; none where the site hides them, and then titles are told apart by their time."""
        return tuple(one.id for one in _recent(self._site(order.credentials, desk)) or ())

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """Make the draft public, once. Raises `WorkError`."""
        site = self._site(order.credentials, desk)
        answer = object_of(
            site.call("POST", f"/posts/{prepared.draft_id}", content={"status": "publish"}, repeatable=False)
        )
        if not answer.get("id"):
            raise WorkError("platform_changed", ambiguous=True, platform=NAME, what="no post in its answer")
        return _published(answer)

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """The post's state by its id, then the account's newest posts. Raises `WorkError`."""
        site = self._site(order.credentials, desk)
        state, url, answer = _state(order.draft_id, site)
        now = datetime.now(UTC)
        since = order.submitted_at or now
        since = by_their_clock(since, answer, now) if answer is not None else since
        listed = None if state is State.PUBLISHED else _recent(site, since)
        title = order.manuscript.title
        return decide(Evidence(NAME, order.draft_id, title, url, state, listed, order.known_ids, since))

    def _site(self, credentials: Credentials, desk: Desk) -> Site:
        return Site(credentials, desk, self._seconds)


def _new_draft(order: PublishOrder, site: Site, desk: Desk, save: Callable[[DraftSaved], None]) -> str:
    desk.tell("making the draft")
    title = order.manuscript.title.strip()
    draft_id = id_of(
        object_of(site.call("POST", "/posts", content={"title": title, "content": "", "status": "draft"}))
    )
    save(DraftSaved(draft_id))
    return draft_id


def _content(order: PublishOrder, site: Site, desk: Desk) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The post's fields, and what was left out or needs something of the site."""
    manuscript = order.manuscript
    root = tree_of(html_of(manuscript.content, manuscript.content_format))
    warnings = (*left_out(manuscript.content, manuscript.content_format), *dress(root))
    bring_embedded(root, site, desk)
    content: dict[str, Any] = {"title": manuscript.title.strip(), "content": inner_html(root)}
    if manuscript.tags:
        content["tags"] = terms("tags", manuscript.tags, site)
    if category := order.credentials.fields.get("category", ""):
        content["categories"] = terms("categories", category.split(","), site)
    if manuscript.cover:
        content["featured_media"] = int(id_of(media(manuscript.cover, site, desk)))
    return content, warnings


def _published(post: dict[str, Any]) -> Published:
    note = "it waits for the site's editor" if post.get("status") == "pending" else ""
    return Published(id_of(post), str(post.get("link") or ""), note)


def _state(draft_id: str, site: Site) -> tuple[State, str, HttpResponse | None]:
    """The post's state, its address, and the answer that told them, `None` when it was not asked."""
    if not draft_id:
        return State.HIDDEN, "", None
    query = {"context": "edit", "_fields": FIELDS}
    response = site.call("GET", f"/posts/{draft_id}", query=query, expected={403, 404, 410})
    if response.status == 403:
        return State.HIDDEN, "", response
    if response.status >= 300:
        return State.GONE, "", response
    post = object_of(response)
    return STATES.get(str(post.get("status")), State.HIDDEN), str(post.get("link") or ""), response


def _recent(site: Site, since: datetime | None = None) -> tuple[Listed, ...] | None:
    """The account's newest posts; `None` where they are hidden or there may be more since then."""
    me = object_of(site.call("GET", "/users/me", query={"context": "edit"}))
    query = {
        "author": id_of(me),
        "status": VISIBLE,
        "per_page": PAGE_SIZE,
        "orderby": "date",
        "order": "desc",
        "context": "edit",
        "_fields": FIELDS,
    }
    response = site.call("GET", "/posts", query=query, expected={400, 403})
    rows = list_of(response)
    if response.status >= 300 or rows is None:
        return None
    found = tuple(_listed(row) for row in rows if row.get("id"))
    full = len(rows) >= PAGE_SIZE and since is not None
    return (
        None if full and min(one.created for one in found) >= (since or found[0].created) - SLACK else found
    )


def _listed(row: dict[str, Any]) -> Listed:
    title = row.get("title")
    told = title if isinstance(title, dict) else {}
    text = str(told.get("raw") or html.unescape(str(told.get("rendered") or "")))
    try:
        created = datetime.fromisoformat(str(row.get("date_gmt"))).replace(tzinfo=UTC)
    except ValueError:
        created = datetime.fromtimestamp(0, UTC)
    return Listed(str(row["id"]), text, created, str(row.get("link") or ""))
