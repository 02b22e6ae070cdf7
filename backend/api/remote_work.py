"""What our own remote nodes call while they work: begin, checkpoint, renew, settle. The same phases as `SqlLedger` has."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.answers import Reply
from backend.api.context import asking_node, parts
from backend.api.giving_back import give_back
from backend.api.inputs import read_body, read_raw
from backend.api.routes import Routes
from backend.api.schemas.remote import (
    BeginRequest,
    CheckpointRequest,
    LostRequest,
    OrderAnswer,
    RenewRequest,
    SettledAnswer,
    SettleQuery,
    SettleRequest,
    StandingAnswer,
    StandingsAnswer,
    WorkPath,
)
from backend.api.sync_logging import log_refusals
from backend.dispatch import progress
from backend.dispatch.queues import try_wake
from backend.domain import wire
from backend.domain.errors import Conflict, InvalidInput
from backend.domain.orders import Outcome
from backend.domain.ports import Lease, Standing
from backend.store import deaths, phases, staging
from backend.store import remote_work as store
from backend.store.allocations import Taker
from backend.store.session import read, transact
from backend.store.staging import Chunk

NO_STORE = {"Cache-Control": "no-store"}
CHUNKS = ("application/octet-stream",)

remote_work = Routes(
    "remote_work",
    text="What our own remote nodes call while they work.",
    any_content_type=True,
    strict_query=False,
)
log_refusals(remote_work)


@remote_work.post("/allocations/<id:allocation_id>/begin")
@declare(Access.NODE, errors=(409,))
def begin(path: WorkPath, body: BeginRequest) -> Reply[OrderAnswer | None]:
    """Take claimed work; the order holds everything that it needs. Again the same for the same execution, null for any other."""
    node, children = asking_node(), parts().children
    children.require_instance(node, body.instance)
    taker = Taker(node.id, body.instance or node.instance, children.leases.own)
    order = transact(
        parts().engine,
        lambda session: phases.begin(
            session, children.terms, path.allocation_id, body.attempt, body.execution, taker
        ),
    )
    return Reply(None if order is None else OrderAnswer.model_validate(wire.plain(order)), headers=NO_STORE)


@remote_work.post("/allocations/<id:allocation_id>/checkpoint")
@declare(Access.NODE, body_bytes=wire.CHUNK_BYTES, unpacked_bytes=wire.MAX_OUTCOME_BYTES)
def checkpoint(path: WorkPath, body: CheckpointRequest) -> StandingAnswer:
    """Record what is final so far. A `submission` that is not answered with `held` must not be followed by the call that publishes."""
    node, terms = asking_node(), parts().children.terms
    lease = Lease(path.allocation_id, body.attempt, body.execution)
    told = _checkpoint(lease, body)
    standing = transact(
        parts().engine, lambda session: store.checkpoint(session, terms, node.id, lease, told)
    )
    try_wake(parts().redis)
    return StandingAnswer(standing=standing)


@remote_work.post("/allocations/<id:allocation_id>/renew")
@declare(Access.NODE)
def renew(path: WorkPath, body: RenewRequest) -> StandingsAnswer:  # noqa: ARG001  (any of its leases may stand in the path)
    """Extend all leases of the node in one call, whatever its heartbeats do."""
    node, seconds = asking_node(), parts().children.leases.own
    leases = [Lease(one.allocation_id, one.attempt, one.execution) for one in body.leases]
    standings = transact(parts().engine, lambda session: store.renew(session, node.id, leases, seconds))
    if body.progress:
        said = read(parts().engine, lambda session: store.progress_keys(session, node.id, body.progress))
        progress.tell(parts().redis, said)
    return StandingsAnswer(standings=standings)


@remote_work.post("/allocations/<id:allocation_id>/settle")
@declare(
    Access.NODE,
    errors=(409, 429),
    reads=CHUNKS,
    reads_itself=SettleRequest,
    body_bytes=wire.CHUNK_BYTES,
    unpacked_bytes=wire.MAX_OUTCOME_BYTES,
)
def settle(path: WorkPath, query: SettleQuery) -> SettledAnswer:
    """End the work with its outcome, all of it in one transaction; again, it changes nothing.

    An outcome of more than a megabyte is compressed and staged before: `?chunk=0&of=3&attempt=&execution=` with the bytes as the
    body. 409 with `standing: superseded` when other work has taken its place: what was useful was kept, don't send it again.
    """
    if query.chunk is not None:
        return _stage(path, query)
    body: SettleRequest = read_body(SettleRequest, any_content_type=True)
    lease = Lease(path.allocation_id, body.attempt, body.execution)
    node, terms = asking_node(), parts().children.terms
    if read(parts().engine, lambda session: store.is_settled(session, node.id, lease)):
        return SettledAnswer(standing=Standing.HELD)
    outcome = _outcome(lease, body, node.id)
    standing = transact(parts().engine, lambda session: store.settle(session, terms, node.id, outcome))
    try_wake(parts().redis)
    if standing is Standing.SUPERSEDED:
        raise Conflict("work_superseded", id=path.allocation_id, standing=standing)
    return SettledAnswer(standing=standing)


@remote_work.post("/allocations/<id:allocation_id>/lost")
@declare(Access.NODE)
def lost(path: WorkPath, body: LostRequest) -> StandingAnswer:
    """Say that an execution's process ended and brings nothing more: its work is given to others at once, not when its lease is over."""
    node = asking_node()
    lease = Lease(path.allocation_id, body.attempt, body.execution)
    give_back(
        read(
            parts().engine,
            lambda session: deaths.held_by_execution(session, node.id, lease, body.cause, blames=body.blames),
        )
    )
    return StandingAnswer(standing=Standing.SUPERSEDED)


def _stage(path: WorkPath, query: SettleQuery) -> SettledAnswer:
    missing = [name for name in ("of", "attempt", "execution") if getattr(query, name) is None]
    if missing:
        raise InvalidInput(fields={name: InvalidInput("field_missing") for name in missing})
    node_id = asking_node().id
    lease = Lease(path.allocation_id, query.attempt or 1, query.execution or "")
    chunk = Chunk(lease, query.chunk or 0, read_raw())

    def write(session: Session) -> None:
        if not store.is_own(session, node_id, path.allocation_id):
            raise Conflict("work_superseded", id=path.allocation_id, standing=Standing.SUPERSEDED)
        # Settled before, and only that answer was lost: nobody would fetch or forget the chunk.
        if not store.is_settled(session, node_id, lease):
            staging.stage(session, node_id, chunk)

    transact(parts().engine, write)
    # Whether it comes too late is decided when it is settled: until then the work may be somebody else's, or nobody's.
    return SettledAnswer(standing=Standing.HELD, staged=chunk.number)


def _outcome(lease: Lease, body: SettleRequest, node_id: str) -> Outcome:
    if body.staged is not None:
        count, sha256 = body.staged, body.sha256
        packed = read(
            parts().engine, lambda session: staging.assemble(session, node_id, lease, count, sha256)
        )
        outcome = wire.decode(Outcome, wire.unpack(packed))
    elif body.outcome is not None:
        outcome = wire.from_plain(Outcome, body.outcome)
    else:
        raise InvalidInput(fields={"outcome": InvalidInput("field_missing")})
    return _of(lease, outcome)


def _of(lease: Lease, outcome: Outcome) -> Outcome:
    if Lease(outcome.allocation_id, outcome.attempt, outcome.execution) != lease:
        raise InvalidInput("outcome_of_another", named=outcome.allocation_id)
    return outcome


def _checkpoint(lease: Lease, body: CheckpointRequest) -> Any:
    ask = wire.CheckpointAsk(body.attempt, body.execution, body.kind, body.checkpoint)
    try:
        told = wire.checkpoint_from(ask)
    except ValidationError as error:
        detail = f"{error.error_count()} fields"
        raise InvalidInput("unknown_checkpoint", detail=detail) from None
    return _of(lease, told) if isinstance(told, Outcome) else told
