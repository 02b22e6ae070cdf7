"""What our own remote nodes send and get. Unknown fields are ignored, so that old and new nodes and parents meet.

The other end writes and reads the same bodies with `backend.domain.wire`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from backend.api.examples import AN_ID, WEB
from backend.api.schemas.allocations import AllocationPath
from backend.api.schemas.common import Answer, Whole
from backend.domain import wire
from backend.domain.ports import Standing

Record = dict[str, Any]
Attempt = Annotated[Whole, Field(ge=1, le=1_000_000)]
Drawn = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,36}$")]
MaybeDrawn = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,36}$")]
MAX_PROGRESS = 500


class NodeRequest(BaseModel):
    """What our own nodes send: fields of a newer release are ignored, and text that no database can hold is refused."""

    model_config = ConfigDict(extra="ignore")


class WorkPath(AllocationPath):
    """Which allocation."""


class BeginRequest(NodeRequest):
    """Who begins it: `execution` is drawn for each try, `instance` is the start of the node's process."""

    attempt: Attempt
    execution: Drawn
    instance: MaybeDrawn = ""


class CheckpointRequest(NodeRequest):
    """What is final so far. `kind` says what `checkpoint` is."""

    attempt: Attempt
    execution: Drawn
    kind: Literal["outcome", "freeze", "draft", "submission", "prompt", "screenshot"]
    checkpoint: Record


class LeaseRequest(NodeRequest):
    """One lease. Without an execution it is of work that was claimed and has not begun."""

    allocation_id: Drawn
    attempt: Attempt
    execution: MaybeDrawn = ""


class RenewRequest(NodeRequest):
    """Every lease of the node that still stands, and by allocation how far its work is, for the waiting person."""

    leases: list[LeaseRequest] = Field(max_length=wire.MAX_LEASES)
    progress: dict[Drawn, Annotated[str, StringConstraints(max_length=MAX_PROGRESS)]] = Field(
        default_factory=dict, max_length=wire.MAX_LEASES
    )


class SettleQuery(NodeRequest):
    """With `chunk` and `of`, the body is that part (from 0) of the outcome's gzip instead."""

    chunk: Annotated[int | None, Field(ge=0, lt=wire.MAX_CHUNKS)] = None
    of: Annotated[int | None, Field(ge=1, le=wire.MAX_CHUNKS)] = None
    attempt: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    execution: Drawn | None = None


class SettleRequest(NodeRequest):
    """The outcome, or how many chunks of it were staged and the SHA-256 of all of them."""

    attempt: Attempt
    execution: Drawn
    outcome: Record | None = None
    staged: Annotated[Whole, Field(ge=1, le=wire.MAX_CHUNKS)] | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^([0-9A-Fa-f]{64})?$")] = ""


class OrderAnswer(Answer):
    """Everything that the work needs; `seconds` is its own overall limit. What it does not need is empty."""

    allocation_id: str
    attempt: int
    execution: str
    kind: str
    queue: str
    seconds: float
    alone: bool = Field(
        description="Nothing else runs beside it in its process: it was with a worker that died."
    )
    feeds: list[Record] = Field(examples=[[{"item_id": AN_ID, "feed_id": AN_ID, "kind": "rss", "url": WEB}]])
    deliveries: list[Record] = Field(examples=[[]])
    publish: Record | None = Field(examples=[None])
    account: Record | None = Field(examples=[None])


class LostRequest(NodeRequest):
    """An execution that is over for sure. `cause` is what people read; `blames`: the work may be what killed it."""

    attempt: Attempt
    execution: Drawn
    cause: Annotated[str, StringConstraints(max_length=MAX_PROGRESS)] = ""
    blames: bool = True


class StandingAnswer(Answer):
    """How the execution stands: `held`, `cancelled` (stop it), or `superseded` (somebody else has taken over)."""

    standing: Standing


class StandingsAnswer(Answer):
    """By execution (by allocation, for work that has not begun), how each lease stands."""

    standings: dict[str, Standing]


class SettledAnswer(StandingAnswer):
    """`staged` tells that a chunk is kept and nothing is settled yet."""

    staged: int | None = None
