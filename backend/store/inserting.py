"""Inserts that leave existing rows alone, whoever wrote them first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from backend.store.tables import Base, core

T = TypeVar("T")

CHUNK = 500


def insert_missing(session: Session, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    """Insert each row unless one of its unique keys is taken; read back who won by id.

    A row count can't tell: MySQL reports a duplicate that was left alone as a match.
    """
    if not rows:
        return
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(core(table)).on_conflict_do_nothing(), rows)
        return
    untouched = {column.name: column for column in core(table).primary_key}
    session.execute(mysql.insert(core(table)).on_duplicate_key_update(**untouched), rows)


def chunked(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in parts that fit into one statement."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
