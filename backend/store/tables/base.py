"""What all tables share."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    Integer,
    MetaData,
    String,
    Table,
)
from sqlalchemy.orm import DeclarativeBase

from backend.store.columns import UtcDateTime, ascii_key

MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_unicode_ci"}
ID = ascii_key(36)
FEED_ID = ascii_key(64)
STATE = ascii_key(16)
SERIAL = BigInteger().with_variant(Integer(), "sqlite")

# Marks columns that hold what `Cipher` encrypted; the secret keys' rotation finds them by it.
ENCRYPTED = {"encrypted": True}


class Base(DeclarativeBase):
    """Declarative base: constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), str: String(255), dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012


def core(mapped: type[Base]) -> Table:
    """The table of a mapped class, for statements that run often: through the class, the ORM's machinery costs as much again as the statement itself."""
    return cast("Table", mapped.__table__)
