"""The bodies that remote nodes and their parent exchange, as frozen plain data, and how they are written and read.

Unknown fields are ignored, missing ones have a default. Answers stand in the envelope's `data`.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from backend.domain.errors import InvalidInput
from backend.domain.nodes import OutboxReport
from backend.domain.orders import Freeze, Outcome
from backend.domain.ports import Checkpoint, Lease, Standing
from backend.domain.protocol import Capabilities
from backend.domain.publishing import DraftSaved, LoginPrompt, LoginScreenshot, Submission

Body = TypeVar("Body")

UPDATES_ONLY = Capabilities()
EMPTY_OUTBOX = OutboxReport()

CHUNK_BYTES = 4 * 1024 * 1024
"""How many bytes of a compressed outcome go into one chunk at most."""
MAX_CHUNKS = 16
MAX_OUTCOME_BYTES = 128 * 1024 * 1024
"""How large an outcome may be once it is unpacked; more is refused as it is being unpacked.

What is larger goes in parts: checkpoints of some items each, then a settle of the rest.
"""
WHOLE_BYTES = 1024 * 1024
"""A larger outcome is staged in chunks."""
MAX_LEASES = 1000
GZIP_WINDOW = 31

CHECKPOINTS: dict[str, type[Checkpoint]] = {
    "outcome": Outcome,
    "freeze": Freeze,
    "draft": DraftSaved,
    "submission": Submission,
    "prompt": LoginPrompt,
    "screenshot": LoginScreenshot,
}
"""By the name that `CheckpointAsk.kind` gives, what is reported."""


@dataclass(frozen=True, slots=True)
class Join:
    """`POST /join`: a token for credentials."""

    token: str = field(repr=False)
    instance: str = ""
    version: str = ""
    protocol: int = 1
    capabilities: Capabilities = UPDATES_ONLY


@dataclass(frozen=True, slots=True)
class Joined:
    """The node that was joined, and its pair, shown this once."""

    node_id: str
    name: str
    slug: str
    api_key: str
    api_secret: str = field(repr=False)
    protocol: int = 1


@dataclass(frozen=True, slots=True)
class PresenceBeat:
    """`POST /heartbeat`, the short one of every 15 s: only that this start of the node lives, or that it ends now."""

    instance: str
    signs_off: bool = False


@dataclass(frozen=True, slots=True)
class FullBeat:
    """`POST /heartbeat` with all that a node says of itself.

    `holds` lists the allocations that it knows to be its own: what an earlier start held and it does not list is given back
    at once. `replaces` is the start before this one on the same data directory, which has ended for sure.
    """

    instance: str
    version: str = ""
    host: str = ""
    protocol: int = 1
    capabilities: Capabilities = UPDATES_ONLY
    workers: int = 0
    outbox: OutboxReport = EMPTY_OUTBOX
    callback_url: str = ""
    holds: tuple[str, ...] | None = None
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """The answer to a beat. A parent that names no `protocol` does not know our own remote nodes yet.

    `stale` names what of `holds` is not this node's work any more, or was cancelled.
    """

    node_id: str
    status: str = "alive"
    protocol: int = 0
    name: str = ""
    slug: str = ""
    capacity: int = 0
    lease_seconds: float = 45.0
    renew_seconds: float = 15.0
    draining: bool = False
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """`POST /claim-task?wait=`: as much work as fits into `slots`. The same `claim_id` again gets the same work again."""

    claim_id: str
    instance: str
    slots: int
    protocol: int = 1
    capabilities: Capabilities = UPDATES_ONLY
    holds: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Claimed work: what it is and how many slots it fills, nothing secret; the order comes with begin.

    `alone`: it was with a worker that died; nothing else runs beside it in its process.
    """

    allocation_id: str
    attempt: int
    kind: str
    queue: str
    size: int = 1
    alone: bool = False


@dataclass(frozen=True, slots=True)
class BeginAsk:
    """`POST /allocations/{id}/begin`; answered with a `WorkOrder`, or null when somebody else has it."""

    attempt: int
    execution: str
    instance: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointAsk:
    """`POST /allocations/{id}/checkpoint`; `kind` is one of `CHECKPOINTS`, `checkpoint` its fields."""

    attempt: int
    execution: str
    kind: str
    checkpoint: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stands:
    """How an execution stands."""

    standing: Standing


@dataclass(frozen=True, slots=True)
class Renewal:
    """`POST /allocations/{id}/renew` for many leases at once; `progress` by allocation, for the waiting person.

    A lease without an execution is of work that was claimed and has not begun; its standing is named by the allocation.
    """

    leases: tuple[Lease, ...]
    progress: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Renewed:
    """By execution, how each lease stands."""

    standings: dict[str, Standing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SettleAsk:
    """`POST /allocations/{id}/settle`: the outcome itself, or how many chunks of its gzip were staged and their digest."""

    attempt: int
    execution: str
    outcome: Outcome | None = None
    staged: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """`POST /allocations/{id}/lost`: the execution is over for sure, its process ended without an outcome.

    `cause` is what people read; `blames`: the work may be what killed it.
    """

    attempt: int
    execution: str
    cause: str = ""
    blames: bool = True


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    """Made when it is needed: the large ones keep a megabyte."""
    return TypeAdapter(cast("Any", kind))


def encode(body: object) -> bytes:
    """The body as JSON."""
    return bytes(_adapter(cast("Any", type(body))).dump_json(body))


def plain(body: object) -> Any:
    """The body as what JSON is made of."""
    return _adapter(cast("Any", type(body))).dump_python(body, mode="json")


def decode(kind: type[Body], text: bytes | str) -> Body:
    """Read JSON. Raises pydantic's `ValidationError`."""
    body: Body = _adapter(cast("Any", kind)).validate_json(text)
    return body


def from_plain(kind: type[Body], data: object) -> Body:
    """Read what JSON was made of, such as an envelope's `data`. Raises pydantic's `ValidationError`."""
    body: Body = _adapter(cast("Any", kind)).validate_python(data)
    return body


def checkpoint_ask(lease: Lease, progress: Checkpoint) -> CheckpointAsk:
    """What to send for a checkpoint."""
    name = next(name for name, kind in CHECKPOINTS.items() if isinstance(progress, kind))
    return CheckpointAsk(lease.attempt, lease.execution, name, plain(progress))


def checkpoint_from(ask: CheckpointAsk) -> Checkpoint:
    """The checkpoint that was sent. Raises `KeyError` for one that this program does not know."""
    return from_plain(CHECKPOINTS[ask.kind], ask.checkpoint)


def pack(content: bytes) -> bytes:
    """Compress an outcome; the same every time, so that a repeated chunk is the same chunk."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def unpack(packed: bytes, limit: int = MAX_OUTCOME_BYTES) -> bytes:
    """Read gzip of at most so many unpacked bytes: a small body may hold a terabyte of zeros. Raises `InvalidInput`."""
    reader = zlib.decompressobj(wbits=GZIP_WINDOW)
    try:
        content = reader.decompress(packed, limit + 1)
    except zlib.error as error:
        raise InvalidInput("broken_gzip") from error
    if len(content) > limit or reader.unconsumed_tail:
        raise InvalidInput("too_large_unpacked", megabytes=limit // (1024 * 1024))
    if not reader.eof:
        raise InvalidInput("broken_gzip")
    return content


def digest_of(packed: bytes) -> str:
    """What `SettleAsk.sha256` holds: of all chunks one after the other, as they were sent (gzip)."""
    return hashlib.sha256(packed).hexdigest()
