"""What children send and get. Unknown fields are ignored: deployed WeRSS children will not be changed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from backend.api.schemas.common import Answer, ChildRequest, Id, Moment, OptionalId, OrEmpty, PageQuery
from backend.domain.children import count, text, usable_id
from backend.domain.nodes import OutboxReport
from backend.domain.protocol import PROTOCOL, Capabilities

MAX_ARTICLES = 10_000
MAX_ERROR = 2_000
MAX_RESULTS = 10_000
MAX_ITEMS = 100
MAX_PACKAGES = 100
MAX_ADDRESS = 512
MAX_RUNNING = 1_000
MAX_SOURCES = 50
MAX_SLOTS = 10_000
MAX_HOLDS = 20_000
LONGEST_WAIT_SECONDS = 10 * 365 * 86_400.0


def _web_address(value: object) -> str:
    address = text(value).strip()
    usable = address.startswith(("http://", "https://")) and len(address) <= MAX_ADDRESS
    return address if usable else ""


def _ids(value: object) -> list[str]:
    ids = [usable_id(one) for one in value[:MAX_RUNNING]] if isinstance(value, list) else []
    return [one for one in ids if one]


def _kinds(value: object) -> list[str] | None:
    return sorted({one[:32] for one in _ids(value)})[:MAX_SOURCES] if isinstance(value, list) else None


def _start(value: object) -> str:
    return usable_id(value)[:36]


def _version(value: object) -> int | None:
    return None if value is None else min(count(value), 1_000)


def _capabilities(value: object) -> Capabilities | None:
    if not isinstance(value, dict):
        return None
    sources = _kinds(value.get("sources"))
    return Capabilities(
        tuple(_kinds(value.get("kinds")) or ()),
        None if sources is None else tuple(sources),
        tuple(_kinds(value.get("publishers")) or ()),
    )


def _outbox(value: object) -> OutboxReport | None:
    if not isinstance(value, dict):
        return None
    age = value.get("oldest_seconds")
    oldest = min(float(count(age)), LONGEST_WAIT_SECONDS) if age is not None else None
    return OutboxReport(count(value.get("entries")), oldest, count(value.get("dead")))


def _holds(value: object) -> list[str] | None:
    ids = [usable_id(one) for one in value[:MAX_HOLDS]] if isinstance(value, list) else None
    return None if ids is None else [one for one in ids if one]


Start = Annotated[str, BeforeValidator(_start)]
Version = Annotated[int | None, BeforeValidator(_version)]
Said = Annotated[Capabilities | None, BeforeValidator(_capabilities)]
Holds = Annotated[list[str] | None, BeforeValidator(_holds)]
Attempt = Annotated[int | None, Field(ge=1, le=1_000_000)]
Record = dict[str, Any]


class HeartbeatRequest(ChildRequest):
    """What a node says of itself. Nothing makes a beat invalid: what can't be used counts as not said."""

    model_config = ConfigDict(extra="ignore", openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    instance: Start = Field(
        default="", description="The start of one of our own nodes; WeRSS children have none."
    )
    replaces: Start = Field(default="", description="The start before this one, which has ended for sure.")
    host: Annotated[str, BeforeValidator(lambda value: text(value)[:100])] = ""
    protocol: Version = None
    capabilities: Said = Field(
        default=None, description="The kinds of work and of feeds, and the platforms, that it can do."
    )
    outbox: Annotated[OutboxReport | None, BeforeValidator(_outbox)] = None
    holds: Holds = Field(
        default=None,
        description="The allocations that it knows to be its own; what an earlier start held besides is given back.",
    )
    signs_off: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    callback_url: Annotated[str, BeforeValidator(_web_address)] = ""
    version: Annotated[str, BeforeValidator(lambda value: text(value)[:32])] = ""
    workers: Annotated[int | None, BeforeValidator(lambda value: None if value is None else count(value))] = (
        None
    )
    capacity: Annotated[
        int | None, BeforeValidator(lambda value: None if value is None else count(value))
    ] = None
    running: Annotated[list[str], BeforeValidator(_ids)] = Field(default_factory=list)
    sources: Annotated[list[str] | None, BeforeValidator(_kinds)] = Field(
        default=None, description="The kinds of feeds that it can collect."
    )

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_options: Any) -> HeartbeatRequest:
        """Read a body that may hold anything: old children send forms, or nothing."""
        try:
            said = json.loads(json_data)
        except (ValueError, RecursionError):
            said = None
        return cls.model_validate(said if isinstance(said, dict) else {})


class ClaimQuery(ChildRequest):
    """How long to wait for work, in seconds; more than 25 is taken as 25."""

    wait: Annotated[float, Field(ge=0, allow_inf_nan=False), OrEmpty(0)] = 0.0


class ClaimRequest(ChildRequest):
    """The same `claim_id` again gets the same work again, as long as it has not ended."""

    model_config = ConfigDict(extra="ignore", openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    claim_id: OptionalId = None
    instance: Start = Field(
        default="", description="Our own nodes name their start, and get a list of pieces for their slots."
    )
    slots: Annotated[int, BeforeValidator(lambda value: min(count(value), MAX_SLOTS))] = 0
    protocol: Version = None
    capabilities: Said = None


class PendingQuery(ChildRequest):
    """How many packages to take."""

    limit: Annotated[int, Field(ge=1, le=MAX_PACKAGES), OrEmpty(1)] = 1


class TaskStatusRequest(ChildRequest):
    """How far the work is. `attempt` is optional: WeRSS children never name one."""

    allocation_id: Id
    status: Literal["executing", "completed", "failed"]
    error_message: Annotated[str, BeforeValidator(lambda value: text(value)[:MAX_ERROR])] = ""
    attempt: Attempt = None


class UploadRequest(ChildRequest):
    """Articles of the allocation's feeds, as WeRSS writes them."""

    allocation_id: Id
    articles: list[Record] = Field(max_length=MAX_ARTICLES)
    attempt: Attempt = None


class CompletionRequest(ChildRequest):
    """A result for each feed of the allocation, in either of WeRSS's shapes."""

    allocation_id: Id
    results: list[Record] = Field(default_factory=list, max_length=MAX_RESULTS)
    attempt: Attempt = None


class ReportRequest(ChildRequest):
    """Results for feeds of a message task; no allocation is named.

    An autonomous child names the tick that it ran instead (`planned_at`), and brings `items` with their articles.
    """

    task_id: Id
    results: list[Record] = Field(default_factory=list, max_length=MAX_RESULTS)
    planned_at: Moment | None = None
    execution: OptionalId = None
    items: list[Record] = Field(
        default_factory=list,
        max_length=MAX_ITEMS,
        examples=[[{"item_id": "0193…", "feed_id": "f-1"}]],
    )


class HeartbeatAnswer(Answer):
    """The parent has heard. `stale` names what of `running` is cancelled, or not this node's work any more: stop it."""

    status: Literal["alive"] = "alive"
    node_id: str
    stale: list[str]
    protocol: int = Field(
        default=PROTOCOL, description="The version that this parent speaks with its own remote nodes."
    )
    name: str
    slug: str
    capacity: int = Field(description="How many items it may hold, as people set it.")
    draining: bool = Field(description="Whether it gets nothing new.")
    lease_seconds: float = Field(description="For how long its work stays its own without being renewed.")
    renew_seconds: float = Field(description="How often to renew.")


class PieceAnswer(Answer):
    """Claimed work of one of our own nodes: what it is and how many slots it fills; the order comes with begin."""

    allocation_id: str
    attempt: int
    kind: str
    queue: str
    size: int
    alone: bool


class PackageFeedAnswer(Answer):
    """A feed to collect; `status` is 1."""

    id: str
    faker_id: str
    mp_name: str
    mp_cover: str
    mp_intro: str
    status: int


class PackageAnswer(Answer):
    """Claimed work, with all that it needs."""

    allocation_id: str
    task_id: str
    task_name: str
    message_type: int
    message_template: str
    web_hook_url: str
    cron_exp: str
    headers: str
    cookies: str
    feeds: list[PackageFeedAnswer]
    dispatched_at: datetime


class ChildFeedAnswer(Answer):
    """A feed, in WeRSS's words; `status` is 1 while it is collected, 0 when it is paused."""

    id: str
    faker_id: str
    mp_name: str
    mp_cover: str
    mp_intro: str
    status: int
    created_at: datetime
    updated_at: datetime
    kind: str
    url: str


class ChildTaskAnswer(Answer):
    """A message task, in WeRSS's words: `mps_id` is a JSON list as text, empty for all feeds; `status` 1 is enabled.

    `autonomous`: the asking node runs it by itself while it does not reach its parent.
    """

    id: str
    name: str
    message_type: int
    message_template: str
    web_hook_url: str
    mps_id: str
    cron_exp: str
    status: int
    headers: str
    cookies: str
    created_at: datetime
    updated_at: datetime
    time_zone: str
    autonomous: bool
    paused: bool


class HeldAnswer(Answer):
    """How the allocation stands now; `cancel_requested`: stop it; `repeated` when this had been said before."""

    allocation_id: str
    status: str
    cancel_requested: bool = False
    repeated: bool = False


class UploadAnswer(Answer):
    """`received` articles, `kept` of them (of existing feeds of the allocation, not taken back), `new_count` new ones."""

    received: int
    kept: int
    new_count: int


class ReportAnswer(Answer):
    """How many results arrived, and how many feeds they settled."""

    received: int
    settled: int


class ResultQuery(PageQuery):
    """Which reported results."""

    task_id: OptionalId = None
    node_id: OptionalId = None


class ResultAnswer(Answer):
    """How one feed went, as a child reported it."""

    id: str
    node_id: str
    node_name: str
    task_id: str
    allocation_id: str | None
    mp_id: str
    mp_name: str
    status: Literal["success", "failed"]
    article_count: int
    success_count: int
    error_message: str
    reported_at: str
    created_at: datetime


class SyncLogQuery(PageQuery):
    """Which exchanges."""

    node_id: OptionalId = None
    operation: OptionalId = None
    direction: Literal["pull", "push"] | None = None
    status: int | None = Field(None, ge=1, le=2)


class SyncLogAnswer(Answer):
    """One exchange with a child; `status` is 1 done, 2 failed."""

    id: str
    node_id: str
    node_name: str
    operation: str
    direction: Literal["pull", "push"]
    status: int
    data_count: int
    duration_ms: int
    error_message: str
    extra_data: Record
    started_at: datetime
    completed_at: datetime
