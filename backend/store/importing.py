"""What an import brings: rows that are not here yet, and nothing else. What is here already is never touched.

A row that is here counts by its id. What is found is read before anything is written, so that a repeated commit
changes neither the result nor the count; nothing imported is ever delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict
from backend.domain.identifiers import digest, new_id
from backend.domain.werss import MovedArticle, MovedFeed, MovedTask, MovedUser
from backend.domain.werss_nodes import MovedNode
from backend.store.cipher import Cipher
from backend.store.collecting import article_columns
from backend.store.feeds import feed_columns
from backend.store.inserting import chunked, insert_missing
from backend.store.message_tasks import create_task
from backend.store.nodes import create_node
from backend.store.tables import Article, Feed, MessageTask, Node, NodeCredential, User
from backend.store.users import normal_name


@dataclass(frozen=True, slots=True)
class Standing:
    """Which of the rows are here (`ids`), and what stands in the way of others: by id, the other's name."""

    ids: frozenset[str]
    taken: dict[str, str] = field(default_factory=dict)


def all_feed_ids(session: Session) -> set[str]:
    """The ids of every feed."""
    return set(session.scalars(select(Feed.id)))


def standing_feeds(session: Session, feeds: Sequence[MovedFeed]) -> Standing:
    """Which feeds are here; in the way is another feed of the same account."""
    wanted = {one.draft.url_hash: one.draft.id for one in feeds}
    rows = session.execute(
        select(Feed.id, Feed.name, Feed.url_hash).where(
            or_(Feed.id.in_(wanted.values()), Feed.url_hash.in_(wanted))
        )
    ).all()
    here = frozenset(row.id for row in rows)
    return Standing(here, {wanted[row.url_hash]: row.name for row in rows if row.url_hash in wanted})


def add_feeds(session: Session, feeds: Sequence[MovedFeed]) -> None:
    """Add feeds that are not here."""
    rows = [
        {
            **feed_columns(one.draft),
            "is_active": one.is_active,
            "collected_at": one.collected_at,
        }
        | given("created_at", one.created_at)
        for one in sorted(feeds, key=lambda one: one.draft.id)
    ]
    insert_uniform(session, Feed, rows)


def standing_articles(session: Session, articles: Sequence[MovedArticle]) -> Standing:
    """Which articles are here, by their keys; in the way is another article of the same id."""
    keys = {key_of(one): one for one in articles}
    known = session.execute(
        select(Article.id, Article.key_hash, Article.title).where(
            or_(
                Article.key_hash.in_(keys),
                Article.id.in_([one.draft.id for one in articles if one.draft.id]),
            )
        )
    ).all()
    here = frozenset(row.key_hash for row in known)
    in_the_way = {row.id: row.title for row in known}
    taken = {
        key: in_the_way[one.draft.id]
        for key, one in keys.items()
        if key not in here and one.draft.id in in_the_way
    }
    return Standing(here, taken)


def key_of(article: MovedArticle) -> str:
    """What tells the article from others: the same for one that a child uploads later."""
    return digest(article.feed_id, article.draft.key)


def add_articles(session: Session, articles: Sequence[MovedArticle]) -> None:
    """Add articles that are not here. No delivery is made: what somebody has read elsewhere is no news."""
    rows = [
        {
            "id": one.draft.id or new_id(),
            "feed_id": one.feed_id,
            "key_hash": key_of(one),
            **article_columns(one.draft),
        }
        | given("first_stored_at", one.created_at)
        | given("updated_at", one.updated_at or one.created_at)
        for one in sorted(articles, key=key_of)
    ]
    insert_uniform(session, Article, rows)


def standing_users(session: Session, users: Sequence[MovedUser]) -> Standing:
    """Which users are here; in the way is another user of the same name."""
    wanted = {normal_name(one.name): one.id for one in users}
    rows = session.execute(
        select(User.id, User.name).where(or_(User.id.in_([one.id for one in users]), User.name.in_(wanted)))
    ).all()
    taken = {wanted[row.name]: row.name for row in rows if row.name in wanted}
    return Standing(frozenset(row.id for row in rows), taken)


def add_users(session: Session, users: Sequence[MovedUser]) -> None:
    """Add users that are not here, their passwords' hashes as they are."""
    rows = [
        {
            "id": one.id,
            "name": normal_name(one.name),
            "password_hash": one.password_hash,
            "role": one.role,
            "is_active": one.is_active,
        }
        | given("created_at", one.created_at)
        for one in sorted(users, key=lambda one: one.id)
    ]
    insert_uniform(session, User, rows)


def standing_nodes(session: Session, nodes: Sequence[MovedNode]) -> Standing:
    """Which nodes are here; in the way is another node with the same API key."""
    keys = {one.api_key: one.id for one in nodes if one.api_key}
    here = session.scalars(select(Node.id).where(Node.id.in_([one.id for one in nodes])))
    rows = session.execute(
        select(NodeCredential.api_key, Node.name)
        .join(Node, Node.id == NodeCredential.node_id)
        .where(NodeCredential.api_key.in_(keys))
    )
    return Standing(frozenset(here), {keys[row.api_key]: row.name for row in rows})


def node_names(session: Session) -> set[str]:
    """The names of every node."""
    return set(session.scalars(select(Node.name)))


def add_node(session: Session, moved: MovedNode) -> None:
    """Add a remote node with its pair as it is. Raises `Conflict` when somebody took its name or key meanwhile."""
    if session.get(Node, moved.id) is not None:
        return
    wanted = moved.settings
    node = create_node(
        session,
        name=wanted.name or moved.id,
        transport="remote",
        description=wanted.description or "",
        api_url=wanted.api_url or "",
        max_capacity=wanted.max_capacity or 1,
        node_id=moved.id,
    )
    node.feed_quota = dict(wanted.feed_quota or {})
    node.is_active = wanted.is_active is not False
    node.callback_url = moved.callback_url
    if moved.created_at is not None:
        node.created_at = moved.created_at
    session.flush()
    if moved.api_key:
        _add_pair(session, moved)


def _add_pair(session: Session, moved: MovedNode) -> None:
    row = {
        "id": new_id(),
        "node_id": moved.id,
        "api_key": moved.api_key,
        "secret_hash": moved.secret_hash,
    }
    insert_missing(session, NodeCredential, [row])
    owner = session.scalar(select(NodeCredential.node_id).where(NodeCredential.api_key == moved.api_key))
    if owner != moved.id:
        raise Conflict(detail="another node has just got this API key")


def standing_tasks(session: Session, tasks: Sequence[MovedTask]) -> Standing:
    """Which message tasks are here."""
    ids = [one.id for one in tasks]
    return Standing(frozenset(session.scalars(select(MessageTask.id).where(MessageTask.id.in_(ids)))))


def add_task(session: Session, cipher: Cipher, moved: MovedTask) -> None:
    """Add a message task. Its baseline is now: what was stored before is never delivered."""
    create_task(session, cipher, moved.id, moved.task)


def given(column: str, value: object) -> dict[str, Any]:
    """The column with its value, or nothing where the database's own clock shall fill it."""
    return {} if value is None else {column: value}


def insert_uniform(session: Session, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    """Insert what is missing; rows of different columns go out in statements of their own."""
    by_columns: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        by_columns.setdefault(tuple(row), []).append(row)
    for alike in by_columns.values():
        for part in chunked(alike):
            insert_missing(session, table, part)
