"""Publishes to blogs over MetaWeblog: a draft, its pictures, then the same post saved as published (wire 3.5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xmlrpc.client import Binary

from backend.domain.errors import CascadeError, WorkError
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
from backend.publishers import fitting, pictures, refusing
from backend.publishers.content import html_of, inner_html, left_out, tree_of
from backend.publishers.evidence import Evidence, Listed, State, by_their_clock, decide, normal
from backend.publishers.logins import WithoutLogin
from backend.publishers.metaweblog.wire import (
    GONE,
    NAME,
    NO_SUCH_METHOD,
    NOT_ALLOWED,
    SECONDS,
    Blog,
    Refused,
)

NEEDED = ("url", "username", "password")
RECENT = 20
STATES = {
    **dict.fromkeys(("publish", "future", "pending", "private"), State.PUBLISHED),
    **dict.fromkeys(("draft", "auto-draft", "post_draft"), State.DRAFT),
    "trash": State.GONE,
}
LONG_AGO = datetime.fromtimestamp(0, UTC)


class MetaWeblogPublisher(WithoutLogin):
    """Implements `Publisher` for MetaWeblog.

    Repeatable, because publishing saves the post that the draft already is.
    """

    platform = "metaweblog"
    called = NAME
    promise = Promise(repeatable=True, finds=True, quiet_seconds=2 * SECONDS)
    credential_kinds = frozenset({CredentialKind.PASSWORD})

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds

    def credential_troubles(self, credentials: Credentials) -> tuple[CascadeError, ...]:
        """A missing address, user name or password."""
        return fitting.lacking(NAME, credentials, NEEDED)

    def refusals(self, manuscript: Manuscript) -> tuple[CascadeError, ...]:
        """No title, nothing to show, pictures that nobody but their author can read."""
        return fitting.unfit(NAME, manuscript, embedded=True)

    def check_session(
        self, account_id: str, version: int, credentials: Credentials, desk: Desk
    ) -> AccountVerdict:
        """Ask for the account's blogs."""
        blog = self._blog(credentials, desk)
        try:
            blogs = blog.call("blogger.getUsersBlogs", "", *blog.login)
        except WorkError as error:
            return refusing.verdict(error, account_id, version)
        first = blogs[0] if isinstance(blogs, list) and blogs and isinstance(blogs[0], dict) else {}
        return refusing.well(account_id, version, str(first.get("blogName") or blog.login[0]))

    def prepare(self, order: PublishOrder, desk: Desk, save: Callable[[DraftSaved], None]) -> Prepared:
        """Make or continue the draft, and upload its embedded pictures. Raises `WorkError`."""
        refusing.insist(
            NAME, (*self.credential_troubles(order.credentials), *self.refusals(order.manuscript))
        )
        blog = self._blog(order.credentials, desk)
        draft_id = order.draft_id or _new_draft(order, blog, desk, save)
        html, warnings = _content(order.manuscript, blog, desk)
        desk.tell("saving the draft")
        if not _save(draft_id, _post(order, html), blog):
            warnings = (*warnings, f"the draft {draft_id} was gone; another one was made")
            if order.submitted_at is not None:
                raise WorkError("draft_gone", permanent=True, platform=NAME, draft=draft_id)
            draft_id = _new_draft(order, blog, desk, save)
            _save(draft_id, _post(order, html), blog)
        return Prepared(draft_id, warnings, _address(draft_id, blog), kept=html)

    def recent_ids(self, order: PublishOrder, desk: Desk) -> tuple[str, ...]:
        """The newest published posts; none where the blog hides them, and then titles are told apart by their time."""
        return tuple(one.id for one in _recent(self._blog(order.credentials, desk)) or ())

    def publish(self, order: PublishOrder, prepared: Prepared, desk: Desk) -> Published:
        """Save the draft as published, once. Raises `WorkError`."""
        blog = self._blog(order.credentials, desk)
        post = _post(order, prepared.kept)
        blog.call("metaWeblog.editPost", prepared.draft_id, *blog.login, post, True, repeatable=False)
        return Published(prepared.draft_id, _address(prepared.draft_id, blog))

    def find_published(self, order: PublishOrder, desk: Desk) -> Finding:
        """The post's state by its id, then the newest posts. Raises `WorkError`."""
        blog = self._blog(order.credentials, desk)
        state, post = _state(order.draft_id, blog)
        now = datetime.now(UTC)
        since = order.submitted_at or now
        since = by_their_clock(since, blog.last, now) if blog.last is not None else since
        listed = None if state is State.PUBLISHED else _recent(blog)
        title = order.manuscript.title
        return decide(
            Evidence(NAME, order.draft_id, title, _link(post), state, listed, order.known_ids, since)
        )

    def _blog(self, credentials: Credentials, desk: Desk) -> Blog:
        return Blog(credentials, desk, self._seconds)


def _new_draft(order: PublishOrder, blog: Blog, desk: Desk, save: Callable[[DraftSaved], None]) -> str:
    desk.tell("making the draft")
    told = blog.call("metaWeblog.newPost", blog.id, *blog.login, _post(order, ""), False)
    draft_id = str(told or "")
    if draft_id in {"", "0", "False"}:
        # Typecho may not say which it made: it is the newest one with this title.
        draft_id = _newest(order.manuscript.title, blog)
    save(DraftSaved(draft_id))
    return draft_id


def _newest(title: str, blog: Blog) -> str:
    for row in _rows(blog.call("metaWeblog.getRecentPosts", blog.id, *blog.login, 1)):
        if normal(str(row.get("title") or "")) == normal(title):
            return str(row.get("postid"))
    raise WorkError("platform_changed", platform=NAME, what="no id of the new draft")


def _post(order: PublishOrder, html: str) -> dict[str, Any]:
    post: dict[str, Any] = {"title": order.manuscript.title.strip(), "description": html}
    if order.manuscript.tags:
        post["mt_keywords"] = ",".join(order.manuscript.tags)
    if category := order.credentials.fields.get("category", ""):
        post["categories"] = [one.strip() for one in category.split(",") if one.strip()]
    return post


def _content(manuscript: Manuscript, blog: Blog, desk: Desk) -> tuple[str, tuple[str, ...]]:
    """The article's HTML with its embedded pictures uploaded, and what was left out."""
    root = tree_of(html_of(manuscript.content, manuscript.content_format))
    embedded = [source for source in pictures.sources(root) if source.startswith("data:")]
    for number, source in enumerate(embedded, 1):
        desk.tell(f"upload {number}/{len(embedded)}")
        picture = pictures.read(source, desk, NAME)
        file = {
            "name": picture.file_name,
            "type": picture.kind,
            "bits": Binary(picture.content),
            "overwrite": True,
        }
        stored = blog.call("metaWeblog.newMediaObject", blog.id, *blog.login, file)
        for image in root.find_all("img", src=source):
            image["src"] = str(stored.get("url") or "") if isinstance(stored, dict) else ""
    unused = ("left out: the cover, which MetaWeblog has no place for",) * bool(manuscript.cover)
    return inner_html(root), (*left_out(manuscript.content, manuscript.content_format), *unused)


def _save(draft_id: str, post: dict[str, Any], blog: Blog) -> bool:
    """Save the draft; `False` when it is not there any more. Raises `WorkError`."""
    try:
        blog.call("metaWeblog.editPost", draft_id, *blog.login, post, False, faults={GONE})
    except Refused:
        return False
    return True


def _address(post_id: str, blog: Blog) -> str:
    """Where the post is; empty where the blog does not tell now, for what was done is done."""
    try:
        return _link(blog.call("metaWeblog.getPost", post_id, *blog.login))
    except WorkError:
        return ""


def _link(post: Any) -> str:
    link = (post.get("permaLink") or post.get("link")) if isinstance(post, dict) else ""
    return str(link or "")


def _state(draft_id: str, blog: Blog) -> tuple[State, Any]:
    """The post's state by its id, and the post."""
    try:
        post = blog.call("metaWeblog.getPost", draft_id, *blog.login, faults={GONE, NOT_ALLOWED})
    except Refused as refused:
        return State.GONE if refused.fault == GONE else State.HIDDEN, {}
    return STATES.get(str(post.get("post_status")) if isinstance(post, dict) else "", State.HIDDEN), post


def _recent(blog: Blog) -> tuple[Listed, ...] | None:
    """The newest published posts; `None` where the blog hides them, or does not say which of them are drafts."""
    hiding = {NOT_ALLOWED, NO_SUCH_METHOD}
    try:
        rows = _rows(blog.call("metaWeblog.getRecentPosts", blog.id, *blog.login, RECENT, faults=hiding))
    except Refused:
        return None
    if not all(row.get("post_status") for row in rows):
        return None
    return tuple(_listed(row) for row in rows if STATES.get(str(row["post_status"])) is State.PUBLISHED)


def _rows(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _listed(row: dict[str, Any]) -> Listed:
    # `dateCreated` is in the blog's own time zone, which nobody tells: it can't be compared.
    told = row.get("date_created_gmt")
    created = told.replace(tzinfo=UTC) if isinstance(told, datetime) else LONG_AGO
    return Listed(str(row.get("postid")), str(row.get("title") or ""), created, _link(row))
