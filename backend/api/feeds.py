"""Feeds: add, list, change, delete, and OPML in and out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from flask import Response, request

from backend.api.access import Access, declare
from backend.api.context import actor, language, parts
from backend.api.inputs import UnreadableBody, read_content
from backend.api.routes import Routes
from backend.api.schemas.common import Page
from backend.api.schemas.feeds import (
    FeedAnswer,
    FeedChangeRequest,
    FeedPath,
    FeedQuery,
    FeedRequest,
    FullFeedAnswer,
    ImportAnswer,
    MoveAnswer,
    RefusedAnswer,
)
from backend.domain.errors import InvalidInput
from backend.domain.feeds import WECHAT, FeedDraft, clean_name, draft_feed
from backend.domain.opml import OpmlEntry, RefusedEntry, parse_opml, render_opml
from backend.domain.wechat_feeds import draft_account
from backend.store import articles
from backend.store import feeds as store
from backend.store.feeds import FeedView
from backend.store.session import read, transact

feeds = Routes("feeds", "/api/v1/feeds", text="What is collected.")

OPML_TYPES = ("text/x-opml", "text/x-opml+xml", "application/xml", "text/xml")
OPML_BYTES = 10 * 1024 * 1024
OPML_KIND = "rss"
IMPORT_CHUNK = 500
EXPORT_CHUNK = 1000
DELETE_CHUNK = 500


@feeds.post("")
@declare(Access.OPERATOR, errors=(409,), creates=True)
def add_feed(body: FeedRequest) -> FeedAnswer:
    """Add a feed. An account of kind `wechat` that is there already is answered as it stands."""
    draft = _draft(body)
    view = transact(parts().engine, lambda session: store.create_feed(session, draft))
    return FeedAnswer.model_validate(view)


def _draft(body: FeedRequest) -> FeedDraft:
    if body.kind == WECHAT:
        return draft_account(
            faker_id=body.faker_id, feed_id=body.id, name=body.name, cover=body.cover, intro=body.intro
        )
    needless = {
        field: InvalidInput("field_for_accounts")
        for field in ("id", "faker_id", "cover", "intro")
        if getattr(body, field)
    }
    if needless:
        raise InvalidInput(fields=needless)
    if body.url is None:
        raise InvalidInput(fields={"url": InvalidInput("field_missing")})
    return draft_feed(body.url, kind=body.kind, name=body.name, known_kinds=parts().feed_kinds)


@feeds.get("")
@declare(Access.VIEWER)
def list_feeds(query: FeedQuery) -> Page[FeedAnswer]:
    """The newest feeds."""
    found, total = read(
        parts().engine,
        lambda session: store.list_feeds(
            session, q=query.q, kind=query.kind, limit=query.limit, offset=query.offset
        ),
    )
    return Page(list=[FeedAnswer.model_validate(view) for view in found], total=total)


@feeds.get("/<id:feed_id>")
@declare(Access.VIEWER)
def get_feed(path: FeedPath) -> FullFeedAnswer:
    """One feed, with how its address changed by itself."""
    view, moves = read(
        parts().engine,
        lambda session: (store.get_feed(session, path.feed_id), store.moves_of(session, path.feed_id)),
    )
    return FullFeedAnswer(**asdict(view), moves=[MoveAnswer.model_validate(move) for move in moves])


@feeds.put("/<id:feed_id>")
@declare(Access.OPERATOR, errors=(409,))
def change_feed(path: FeedPath, body: FeedChangeRequest) -> FeedAnswer:
    """Change a feed; what is left out stays."""
    standing = read(parts().engine, lambda session: store.get_feed(session, path.feed_id))
    wanted = draft_feed(
        standing.url if body.url is None else body.url,
        kind=standing.kind if body.kind is None else body.kind,
        # What it is already it may stay, whoever collects it.
        known_kinds=parts().feed_kinds | {standing.kind},
    )
    view = transact(
        parts().engine,
        lambda session: store.update_feed(
            session, path.feed_id, name=clean_name(body.name or ""), address=wanted, is_active=body.is_active
        ),
    )
    return FeedAnswer.model_validate(view)


@feeds.delete("/<id:feed_id>")
@declare(Access.OPERATOR, errors=(409,))
def delete_feed(path: FeedPath) -> None:
    """Delete a feed with its articles; refused while a node is collecting it."""
    who = actor()
    transact(parts().engine, lambda session: store.delete_feed(session, path.feed_id, actor=who))
    # The feed is gone with that commit; its articles follow in short transactions.
    while transact(
        parts().engine, lambda session: articles.delete_some(session, path.feed_id, limit=DELETE_CHUNK)
    ):
        pass


@feeds.post("/import")
@declare(Access.OPERATOR, errors=(400, 415), reads=OPML_TYPES, body_bytes=OPML_BYTES)
def import_feeds() -> ImportAnswer:
    """Add the feeds of an OPML file; doing it again adds nothing."""
    if request.mimetype not in OPML_TYPES:
        raise UnreadableBody(expected=OPML_TYPES[0])
    listed = parse_opml(read_content())
    drafts, refused = _drafts(listed.entries)
    added = 0
    for start in range(0, len(drafts), IMPORT_CHUNK):
        added += _import_chunk(drafts[start : start + IMPORT_CHUNK])
    left_out = sorted([*listed.refused, *refused], key=lambda entry: entry.line)
    return ImportAnswer(
        added=added, existing=len(drafts) - added, refused=[_refused(entry) for entry in left_out]
    )


@feeds.get("/export")
@declare(Access.VIEWER, media=("text/x-opml",))
def export_feeds() -> Response:
    """Every feed as an OPML file."""
    # No reader can fetch an official account.
    found = (OpmlEntry(feed.name, feed.url) for feed in _walk() if feed.kind != WECHAT)
    content = render_opml("Cascade", found)
    answer = Response(content, mimetype="text/x-opml")
    answer.headers["Content-Disposition"] = "attachment; filename=cascade-feeds.opml"
    return answer


def _import_chunk(drafts: Sequence[FeedDraft]) -> int:
    return transact(parts().engine, lambda session: store.import_feeds(session, drafts)).added


def _drafts(entries: Sequence[OpmlEntry]) -> tuple[list[FeedDraft], list[RefusedEntry]]:
    drafts: list[FeedDraft] = []
    refused: list[RefusedEntry] = []
    for entry in entries:
        try:
            drafts.append(
                draft_feed(entry.url, kind=OPML_KIND, name=entry.title, known_kinds=parts().feed_kinds)
            )
        except InvalidInput as error:
            refused.append(RefusedEntry(entry.title, entry.url, entry.line, error))
    return drafts, refused


def _refused(entry: RefusedEntry) -> RefusedAnswer:
    trouble = entry.trouble
    fields = trouble.field_sentences(language()) if isinstance(trouble, InvalidInput) else {}
    reason = " ".join(fields.values()) or trouble.sentence(language())
    return RefusedAnswer(line=entry.line, title=entry.title[:255], url=entry.url[:500], reason=reason)


def _walk() -> Iterator[FeedView]:
    last = ""
    while found := _after(last):
        yield from found
        last = found[-1].id


def _after(last: str) -> list[FeedView]:
    return read(parts().engine, lambda session: store.feeds_after(session, last, EXPORT_CHUNK))
