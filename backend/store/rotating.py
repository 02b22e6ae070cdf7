"""Re-encryption of everything that is encrypted in the database, when the secret key changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Column, CursorResult, Table, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import ConfigurationError
from backend.store.cipher import Cipher
from backend.store.tables import Base


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column that holds encrypted texts."""

    table: Table
    column: Column[Any]

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.table.name}.{self.column.name}"


@dataclass(frozen=True, slots=True)
class Part:
    """What one transaction looked at. `last` is where the next one goes on, nothing after the end.

    `lost`: the ids of rows that none of the keys opens.
    """

    last: str | None
    changed: int
    lost: tuple[str, ...]


def sealed_columns() -> Iterator[SealedColumn]:
    """Every column that is marked as encrypted."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if column.info.get("encrypted"):
                yield SealedColumn(table, column)


def reseal_part(session: Session, cipher: Cipher, sealed: SealedColumn, after: str, limit: int) -> Part:
    """Encrypt the next rows under the first key; what has it already stays, so that it may be run again and again.

    A row that somebody changes meanwhile keeps what they wrote.
    """
    (key,) = sealed.table.primary_key.columns
    query = select(key, sealed.column).where(key > after, sealed.column != "").order_by(key).limit(limit)
    rows = session.execute(query).all()
    changed, lost = 0, []
    for row_id, token in rows:
        try:
            fresh = cipher.refresh(token)
        except ConfigurationError:
            lost.append(str(row_id))
            continue
        if fresh != token:
            changed += _replace(session, sealed, row_id, token, fresh)
    return Part(str(rows[-1][0]) if len(rows) == limit else None, changed, tuple(lost))


def _replace(session: Session, sealed: SealedColumn, row_id: object, token: str, fresh: str) -> int:
    (key,) = sealed.table.primary_key.columns
    statement = update(sealed.table).where(key == row_id, sealed.column == token)
    result = session.execute(statement.values({sealed.column.name: fresh}))
    # Also a row that somebody else just changed needs another look.
    return max(1, cast("CursorResult[Any]", result).rowcount)
