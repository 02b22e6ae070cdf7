"""Nodes: what people set and see of them, their credentials and connections."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from backend.api.schemas.common import Answer, Id, OrEmpty, Request, Whole
from backend.domain.node_settings import (
    DEFAULT_CAPACITY,
    LARGEST_CAPACITY,
    LARGEST_WEIGHT,
    MAX_API_URL,
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_QUOTA_FEEDS,
)

DEFAULT_GRACE_SECONDS = 3600
LONGEST_GRACE_SECONDS = 30 * 24 * 3600

NodeState = Literal["online", "offline", "available", "unavailable", "draining", "switched_off"]
# Scripts send `?node_type=` for "no filter".


class SyncConfig(Request):
    """How much a node may have in work at once, and which feeds go to it first (the larger weight wins)."""

    max_capacity: Whole | None = Field(default=None, ge=1, le=LARGEST_CAPACITY, examples=[20])
    feed_quota: dict[Id, Annotated[Whole, Field(ge=1, le=LARGEST_WEIGHT)]] | None = Field(
        default=None, max_length=MAX_QUOTA_FEEDS, examples=[{"MP_WXS_1": 10}]
    )


class NodeRequest(Request):
    """A child node to add."""

    node_type: Literal[0, 1] = Field(1, description="1: a child. The parent's own node (0) is there already.")
    name: str = Field(min_length=1, max_length=MAX_NAME, examples=["子节点1"])
    description: str | None = Field(None, max_length=MAX_DESCRIPTION, examples=["用于扩展采集能力"])
    api_url: str | None = Field(None, max_length=MAX_API_URL, examples=["http://child-server:8001"])
    sync_config: SyncConfig | None = None


class NodeChangeRequest(Request):
    """What to change of a node; what is left out stays."""

    name: str | None = Field(None, min_length=1, max_length=MAX_NAME)
    description: str | None = Field(None, max_length=MAX_DESCRIPTION)
    api_url: str | None = Field(None, max_length=MAX_API_URL)
    is_active: bool | None = Field(None, description="false: it is refused and gets no work.")
    draining: bool | None = Field(None, description="true: it ends what it has and gets nothing new.")
    sync_config: SyncConfig | None = None


class NodePath(Request):
    """Which node."""

    node_id: Id


class NodeQuery(Request):
    """Which nodes."""

    node_type: Annotated[Literal["0", "1"] | None, OrEmpty()] = None
    state: Annotated[NodeState | None, OrEmpty()] = None


class DeletionQuery(Request):
    """Whether to delete a node that runs or has work in hand: the work then goes to other nodes."""

    force: bool = False


class SyncConfigAnswer(Answer):
    """Capacity and quota of a node."""

    max_capacity: int
    feed_quota: dict[str, int]


class NodeAnswer(Answer):
    """A node. `status` is 1 while it beats (180 s); `reason` says why it is not `available`."""

    id: str
    node_id: str
    node_type: int = Field(description="0: the parent, 1: a child")
    name: str
    slug: str
    transport: str = Field(description="attached (the parent's own machines) or remote (over HTTP)")
    third_party: bool = Field(description="a WeRSS child: its beats carry no instance")
    description: str
    api_url: str
    callback_url: str
    api_key: str
    parent_id: str | None = None
    status: int = Field(description="1: online, 0: offline")
    is_active: bool
    draining: bool
    available: bool
    reason: str
    current_tasks: int
    max_capacity: int = Field(examples=[DEFAULT_CAPACITY])
    sync_config: SyncConfigAnswer
    sources: list[str] | None = Field(description="the kinds of feeds that it says it collects")
    kinds: list[str] = Field(description="the kinds of work that it can be given")
    publishers: list[str] | None = Field(
        description="the platforms that it says it can publish to; null: those of the parent's installation"
    )
    protocol: int | None = Field(
        description="the version that a remote node of ours speaks; null: it never said (attached, or a WeRSS child)"
    )
    queue: str | None = Field(description="its queue in the parent's Redis; remote nodes have none there")
    queue_length: int | None = Field(
        description="what waits for its workers (remote: to be claimed); null while Redis is away"
    )
    workers_alive: int
    outbox_entries: int = Field(
        description="outcomes that wait in its outbox for the database, by its last beat"
    )
    outbox_oldest_at: datetime | None = Field(description="since when the oldest of them waits")
    outbox_dead: int = Field(description="outcomes that could not be used; they are kept in its dead letters")
    version: str
    last_heartbeat_at: datetime | None
    last_sync_at: datetime | None
    created_at: datetime
    updated_at: datetime


class CredentialsRequest(Request):
    """How long the pair that stands may still be used."""

    model_config = ConfigDict(extra="forbid", openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    grace_seconds: Whole = Field(DEFAULT_GRACE_SECONDS, ge=0, le=LONGEST_GRACE_SECONDS)


class CredentialsAnswer(Answer):
    """A new pair. The secret is shown this once."""

    node_id: str
    api_key: str
    api_secret: str
    grace_seconds: int


class ConnectionRequest(Request):
    """What to try: with credentials a heartbeat at `api_url`, without them a signed ping of the node."""

    model_config = ConfigDict(extra="forbid", openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    api_url: str | None = Field(None, max_length=MAX_API_URL, examples=["http://child-server:8001"])
    api_key: str | None = Field(None, max_length=100, examples=["CNxxxxx"])
    api_secret: str | None = Field(None, max_length=200, examples=["CSxxxxx"])


class ConnectionAnswer(Answer):
    """Whether the node answered; else what went wrong, and what to do."""

    connected: bool
    code: str
    error: str | None
    hint: str | None
    url: str
    http_status: int | None
    parent_response: dict[str, Any] | None = Field(description="what answered, when it is connected")
