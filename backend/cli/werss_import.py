"""The import of a WeRSS database: batch by batch, each in a short transaction, counting what became of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backend.cli.language import say
from backend.cli.output import note
from backend.cli.werss_database import Row, WerssDatabase
from backend.domain.children import text
from backend.domain.errors import Conflict, InvalidInput
from backend.domain.werss import (
    MovedArticle,
    MovedFeed,
    MovedTask,
    MovedUser,
    has_default_name,
    move_article,
    move_feed,
    move_task,
    move_user,
)
from backend.domain.werss_nodes import MovedNode, move_node, renamed
from backend.domain.werss_rows import Left, whys
from backend.domain.why import Why
from backend.store import importing
from backend.store.cipher import Cipher
from backend.store.importing import Standing
from backend.store.passwords import is_imported, verify_password
from backend.store.session import read, transact
from backend.store.users import normal_name

T = TypeVar("T")

BATCH = 500
# Articles carry their whole content.
ARTICLE_BATCH = 100
PROGRESS_EVERY = 20_000
NAMES = ("mp_name", "title", "username", "name")
# What WeRSS writes into a new database, by its own documents.
DEFAULT_PASSWORD = "admin@123"  # noqa: S105  (published, and therefore refused)


@dataclass(frozen=True, slots=True)
class RowNote:
    """A row of the source and what is to be said of it."""

    id: str
    name: str
    why: Why


@dataclass
class Tally:
    """What became of one kind of rows; a dry run counts what would be taken."""

    kind: str
    taken: int = 0
    already: int = 0
    left: list[RowNote] = field(default_factory=list)
    remarks: list[RowNote] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """How many rows were looked at."""
        return self.taken + self.already + len(self.left)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How rows of one kind are taken. `key` tells whether one is here, `claim` is what no two may share.

    `taken` is told of each that was. `together`: a batch is one transaction; else each row has its own, because it may
    be refused by itself.
    """

    move: Callable[[Row], T]
    key: Callable[[T], str]
    claim: Callable[[T], str]
    standing: Callable[[Session, Sequence[T]], Standing]
    add: Callable[[Session, Sequence[T]], None]
    taken: Callable[[T], object] = lambda _: None
    together: bool = True
    batch: int = BATCH


class WerssImport:
    """One run over a source; `applied=False` reads and decides the same, and writes nothing."""

    def __init__(
        self, source: WerssDatabase, engine: Engine, cipher: Cipher, zone: str, *, applied: bool
    ) -> None:
        self.source, self.engine, self.cipher = source, engine, cipher
        self.zone, self.applied = zone, applied
        self.feed_ids = read(engine, importing.all_feed_ids)
        self.node_names = read(engine, importing.node_names)

    def run(self, names: Iterable[str]) -> list[Tally]:
        """Take the kinds of these names, in this order."""
        kinds: dict[str, Kind[Any]] = {
            "feeds": self._feeds(),
            "articles": self._articles(),
            "users": self._users(),
            "nodes": self._nodes(),
            "tasks": self._tasks(),
        }
        return [self._take(name, kinds[name]) for name in names]

    def _take(self, name: str, kind: Kind[T]) -> Tally:
        tally, claimed, told = Tally(name), dict[str, str](), 0
        for rows in self.source.batches(name, kind.batch):
            fresh = self._fresh(tally, kind, rows, claimed)
            for part in [fresh] if kind.together else [[one] for one in fresh]:
                self._add(tally, kind, part)
            if tally.seen - told >= PROGRESS_EVERY:
                told = tally.seen
                note(say("werss_progress", count=told, what=name))
        return tally

    def _fresh(
        self, tally: Tally, kind: Kind[T], rows: Sequence[Row], claimed: dict[str, str]
    ) -> list[tuple[Row, T]]:
        moved = _moved(tally, kind, rows)
        standing = read(self.engine, lambda session: kind.standing(session, [one for _, one in moved]))
        fresh = []
        for row, one in moved:
            key, claim = kind.key(one), kind.claim(one)
            other = standing.taken.get(key) or claimed.get(claim)
            if key in standing.ids:
                tally.already += 1
            elif other is not None:
                tally.left.append(_noted(row, Why("werss_taken", {"other": other})))
            else:
                fresh.append((row, one))
                if claim:
                    claimed[claim] = _name(row)
        return fresh

    def _add(self, tally: Tally, kind: Kind[T], part: Sequence[tuple[Row, T]]) -> None:
        try:
            if part and self.applied:
                transact(self.engine, lambda session: kind.add(session, [one for _, one in part]))
        except (Conflict, InvalidInput) as error:
            troubles = whys(error) if isinstance(error, InvalidInput) else (Why(error.code, error.params),)
            why = Why("werss_unusable", {"detail": troubles})
            tally.left += [_noted(row, why) for row, _ in part]
            return
        for row, one in self._arrived(tally, kind, part):
            tally.taken += 1
            kind.taken(one)
            tally.remarks += [_noted(row, why) for why in getattr(one, "remarks", ())]

    def _arrived(self, tally: Tally, kind: Kind[T], part: Sequence[tuple[Row, T]]) -> Sequence[tuple[Row, T]]:
        """Those that are really here now: a database takes more names for the same than Python, and others write too."""
        if not part or not self.applied:
            return part
        here = read(self.engine, lambda session: kind.standing(session, [one for _, one in part])).ids
        tally.left += [
            _noted(row, Why("werss_taken", {"other": _name(row)}))
            for row, one in part
            if kind.key(one) not in here
        ]
        return [(row, one) for row, one in part if kind.key(one) in here]

    def _feeds(self) -> Kind[MovedFeed]:
        zone = ZoneInfo(self.zone)
        return Kind(
            lambda row: move_feed(row, zone),
            lambda one: one.draft.id,
            lambda one: one.draft.url_hash,
            importing.standing_feeds,
            importing.add_feeds,
            # In a dry run too: what belongs to the feed is judged as if it were here.
            taken=lambda one: self.feed_ids.add(one.draft.id),
        )

    def _articles(self) -> Kind[MovedArticle]:
        zone = ZoneInfo(self.zone)
        return Kind(
            lambda row: move_article(row, zone, self.feed_ids),
            importing.key_of,
            lambda _: "",
            importing.standing_articles,
            importing.add_articles,
            batch=ARTICLE_BATCH,
        )

    def _users(self) -> Kind[MovedUser]:
        zone = ZoneInfo(self.zone)

        def move(row: Row) -> MovedUser:
            moved = move_user(row, zone, is_imported)
            if has_default_name(moved) and verify_password(moved.password_hash, DEFAULT_PASSWORD):
                raise Left(Why("werss_default_password"))
            return moved

        return Kind(
            move,
            lambda one: one.id,
            lambda one: normal_name(one.name),
            importing.standing_users,
            importing.add_users,
        )

    def _nodes(self) -> Kind[MovedNode]:
        def move(row: Row) -> MovedNode:
            moved = renamed(move_node(row), self.node_names)
            self.node_names.add(moved.settings.name or "")
            return moved

        def add(session: Session, nodes: Sequence[MovedNode]) -> None:
            for one in nodes:
                importing.add_node(session, one)

        return Kind(
            move, lambda one: one.id, lambda one: one.api_key, importing.standing_nodes, add, together=False
        )

    def _tasks(self) -> Kind[MovedTask]:
        def add(session: Session, tasks: Sequence[MovedTask]) -> None:
            for one in tasks:
                importing.add_task(session, self.cipher, one)

        return Kind(
            lambda row: move_task(row, self.zone, self.feed_ids),
            lambda one: one.id,
            lambda _: "",
            importing.standing_tasks,
            add,
            together=False,
        )


def _moved(tally: Tally, kind: Kind[T], rows: Sequence[Row]) -> list[tuple[Row, T]]:
    moved = []
    for row in rows:
        try:
            moved.append((row, kind.move(row)))
        except Left as left:
            tally.left.append(_noted(row, left.why))
    return moved


def _noted(row: Row, why: Why) -> RowNote:
    return RowNote(text(row.get("id")), _name(row), why)


def _name(row: Row) -> str:
    return next((text(row[name]) for name in NAMES if row.get(name)), "")[:60]
