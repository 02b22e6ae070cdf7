"""WeRSS databases, made with the schema that wire.md has of it: both of its name eras, as its versions wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import bcrypt
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
)

BIZ = 3_000_000_001
FEED = f"MP_WXS_{BIZ}"
FAKER_ID = "MzAwMDAwMDAwMQ=="
KEY, SECRET = "CN" + "k" * 32, "CS" + "s" * 32
PASSWORD = "a good password"
# The least cost: what is tested is that the hash moves, not how slow it is.
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
DEFAULT_HASH = bcrypt.hashpw(b"admin@123", bcrypt.gensalt(4)).decode()


def schema(era: str) -> MetaData:
    """`we_` (from 2026-03) or the plain names (2025: fewer columns, tasks numbered)."""
    newer = bool(era)
    metadata = MetaData()
    Table(
        f"{era}feeds",
        metadata,
        Column("id", String(255), primary_key=True),
        *(Column(name, String(255)) for name in ("mp_name", "mp_cover", "mp_intro", "faker_id")),
        *(Column(name, Integer) for name in ("status", "sync_time", "update_time")),
        *(Column(name, DateTime) for name in ("created_at", "updated_at")),
    )
    Table(
        f"{era}articles",
        metadata,
        Column("id", String(255), primary_key=True),
        Column("mp_id", String(255)),
        Column("title", String(1000 if newer else 500)),
        *(Column(name, String(500)) for name in ("pic_url", "url")),
        Column("description", Text if newer else String(800)),
        *(Column(name, Integer) for name in ("status", "publish_time", "is_export", "is_read")),
        *(Column(name, DateTime) for name in ("created_at", "updated_at")),
        Column("content", Text),
        *(Column(name, Text) for name in ("extinfo", "content_html", "content_markdown") if newer),
        *([Column("updated_at_millis", BigInteger)] if newer else []),
    )
    Table(
        f"{era}message_tasks",
        metadata,
        Column("id", String(255) if newer else Integer, primary_key=True),
        Column("message_type", Integer, nullable=False),
        Column("name", String(100), nullable=False),
        Column("message_template", Text, nullable=False),
        Column("web_hook_url", String(500), nullable=False),
        *(Column(name, Text) for name in ("headers", "cookies") if newer),
        Column("mps_id", Text, nullable=False),
        Column("cron_exp", String(100)),
        Column("status", Integer, default=0),
        *(Column(name, DateTime) for name in ("created_at", "updated_at")),
    )
    Table(
        f"{era}users",
        metadata,
        Column("id", String(255), primary_key=True),
        Column("username", String(50), unique=True, nullable=False),
        Column("password_hash", String(255), nullable=False),
        Column("is_active", Boolean),
        Column("role", String(20)),
        Column("created_at", DateTime),
    )
    if newer:
        _cascade_nodes(metadata, era)
    return metadata


def _cascade_nodes(metadata: MetaData, era: str) -> None:
    Table(
        f"{era}cascade_nodes",
        metadata,
        Column("id", String(255), primary_key=True),
        Column("node_type", Integer, nullable=False),
        Column("name", String(255), nullable=False),
        Column("description", Text),
        Column("api_url", String(500)),
        Column("callback_url", String(500)),
        Column("api_key", String(100)),
        Column("api_secret_hash", String(64)),
        Column("parent_id", String(255)),
        Column("status", Integer),
        Column("sync_config", Text),
        *(Column(name, DateTime) for name in ("last_sync_at", "last_heartbeat_at", "created_at")),
        Column("is_active", Boolean),
    )


class WerssStandin:
    """A WeRSS database; `add` puts rows into it as its own programs would."""

    def __init__(self, url: str, era: str = "we_") -> None:
        self.url, self.era = url, era
        self.engine: Engine = create_engine(url)
        self.metadata = schema(era)
        self.metadata.create_all(self.engine)

    @classmethod
    def in_file(cls, path: Path, era: str = "we_") -> WerssStandin:
        """In an SQLite file, as it comes."""
        return cls(f"sqlite:///{path}", era)

    def add(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Add rows; columns that this version has not are left out."""
        target = self.metadata.tables[self.era + table]
        known = [{name: value for name, value in row.items() if name in target.c} for row in rows]
        with self.engine.begin() as connection:
            for row in known:
                connection.execute(target.insert().values(row))

    def close(self) -> None:
        """Let go of it."""
        self.engine.dispose()


def feed(number: int = 0, **values: Any) -> dict[str, Any]:
    """A subscribed account."""
    return {
        "id": f"MP_WXS_{BIZ + number}",
        "mp_name": f"公众号 {number}",
        "mp_cover": "https://covers.example/0.png",
        "mp_intro": "about it",
        "status": 1,
        "sync_time": 1_767_225_600,
        "update_time": 1_767_225_600,
        "created_at": datetime(2026, 1, 2, 8, 0, 0),  # noqa: DTZ001  (as WeRSS writes it: the server's own time)
        "faker_id": FAKER_ID if not number else f"Mz{number:012d}==",
    } | values


def article(number: int, **values: Any) -> dict[str, Any]:
    """A collected article of the first account."""
    return {
        "id": f"{BIZ}-265{number:07d}_1",
        "mp_id": FEED,
        "title": f"标题 {number}",
        "pic_url": "https://covers.example/a.png",
        "url": f"https://mp.weixin.qq.com/s/{number}",
        "description": "short",
        "status": 1,
        "publish_time": 1_767_225_600 + number,
        "created_at": datetime(2026, 1, 2, 9, 0, 0),  # noqa: DTZ001
        "content": f"<p>body {number}</p>",
        "is_read": 0,
    } | values


def task(number: int | str = 1, **values: Any) -> dict[str, Any]:
    """A message task for the first account, each day at nine."""
    return {
        "id": number,
        "message_type": 0,
        "name": f"task {number}",
        "message_template": "",
        "web_hook_url": "https://hooks.example/x",
        "headers": '{"X-From": "werss"}',
        "cookies": "a=b",
        "mps_id": json.dumps([{"id": FEED, "mp_name": "公众号 0"}]),
        "cron_exp": "0 9 * * *",
        "status": 1,
    } | values


def user(name: str, **values: Any) -> dict[str, Any]:
    """Somebody who logs in to WeRSS."""
    return {
        "id": f"id-{name}",
        "username": name,
        "password_hash": HASH,
        "is_active": True,
        "role": "user",
    } | values


def node(name: str = "子节点1", **values: Any) -> dict[str, Any]:
    """A child with its credentials."""
    return {
        "id": "550e8400-e29b-41d4-a716-446655440000",
        "node_type": 1,
        "name": name,
        "description": "用于扩展采集",
        "api_url": "http://child-node1:8001",
        "api_key": KEY,
        "api_secret_hash": sha256(SECRET.encode()).hexdigest(),
        "status": 1,
        "sync_config": json.dumps({"max_capacity": 20, "feed_quota": {FEED: 5}}),
        "created_at": datetime(2026, 1, 2, 0, 0, 0),  # noqa: DTZ001
        "is_active": True,
    } | values
