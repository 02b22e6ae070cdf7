"""What children call to be known and to know: their beats, feeds and message tasks."""

from __future__ import annotations

from flask import Response, g
from sqlalchemy.orm import Session

from backend.api.access import Access, declare
from backend.api.answers import Reply
from backend.api.context import asking_node, parts
from backend.api.giving_back import give_back
from backend.api.preconditions import tagged, unchanged
from backend.api.routes import Routes
from backend.api.schemas.children import ChildFeedAnswer, ChildTaskAnswer, HeartbeatAnswer, HeartbeatRequest
from backend.api.sync_logging import entry, log_refusals
from backend.domain.errors import Conflict
from backend.domain.protocol import OLDEST, PROTOCOL, TOO_OLD, agreed
from backend.store import child_lists, sync_logs
from backend.store.beats import SentBeat
from backend.store.own_beats import Told
from backend.store.session import read, transact
from backend.store.starts import Start

RENEWALS_PER_LEASE = 3

children = Routes(
    "children",
    text="What children call to be known and to know: beats, feeds, message tasks.",
    any_content_type=True,
    strict_query=False,
)
log_refusals(children)


@children.post("/heartbeat")
@declare(Access.NODE, authenticates=True, errors=(409,))
def heartbeat(body: HeartbeatRequest) -> HeartbeatAnswer:
    """Say that the node lives; whatever the body holds, it is a beat."""
    return _hear(body)


@children.get("/heartbeat")
@declare(Access.NODE, authenticates=True)
def heartbeat_by_get() -> HeartbeatAnswer:
    """The same without a body."""
    return _hear(HeartbeatRequest())


def _hear(said: HeartbeatRequest) -> HeartbeatAnswer:
    key, secret = g.node_pair
    values = _values(said)
    told = _told(said, values) if said.instance else None
    beat = SentBeat(key, secret, tuple(values.items()), tuple(said.running), told)
    heard = parts().children.heartbeats.hear(beat)
    g.node = heard.node
    give_back(heard.left)
    lease_seconds = parts().children.leases.own
    return HeartbeatAnswer(
        node_id=heard.node.id,
        stale=list(heard.stale),
        name=heard.node.name,
        slug=heard.node.slug,
        capacity=heard.node.max_capacity,
        draining=heard.node.draining,
        lease_seconds=lease_seconds,
        renew_seconds=lease_seconds / RENEWALS_PER_LEASE,
    )


def _values(said: HeartbeatRequest) -> dict[str, str | int | list[str]]:
    values: dict[str, str | int | list[str]] = {
        name: value
        for name, value in (
            ("callback_url", said.callback_url),
            ("version", said.version),
            ("machine", said.host),
        )
        if value
    }
    if said.workers is not None:
        values["workers_alive"] = said.workers
    if said.capacity is not None:
        values["reported_capacity"] = said.capacity
    if said.sources is not None:
        values["sources"] = said.sources
    return values


def _told(said: HeartbeatRequest, values: dict[str, str | int | list[str]]) -> Told:
    protocol = said.protocol if said.protocol is not None or said.capabilities is None else 1
    if protocol is not None and agreed(PROTOCOL, protocol) is None:
        raise Conflict(TOO_OLD, protocol=protocol, oldest=OLDEST)
    return Told(
        start=Start(said.instance, said.replaces),
        values=values,
        protocol=protocol,
        capabilities=said.capabilities,
        outbox=said.outbox,
        holds=None if said.holds is None else tuple(said.holds),
        running=tuple(said.running),
        signs_off=said.signs_off,
    )


@children.get("/feeds")
@declare(Access.NODE, versioned=True)
def feeds() -> Reply[list[ChildFeedAnswer]] | Response:
    """Every feed, as a plain list; WeRSS children get WeChat accounts only. With `If-None-Match`: 304 while nothing changed."""
    third_party = _is_third_party()
    found = read(parts().engine, lambda session: child_lists.feeds_for(session, third_party=third_party))
    if (same := unchanged(found)) is not None:
        _mark_synced()
        return same
    _log_pull(len(found))
    return tagged([ChildFeedAnswer.model_validate(one) for one in found], found)


@children.get("/message-tasks")
@declare(Access.NODE, versioned=True)
def message_tasks() -> Reply[list[ChildTaskAnswer]] | Response:
    """Every enabled message task, as a plain list, with what it takes to deliver. With `If-None-Match`: 304 while nothing changed."""
    cipher, third_party, node_id = parts().cipher, _is_third_party(), asking_node().id
    found = read(
        parts().engine,
        lambda session: child_lists.tasks_for(session, cipher, node_id, third_party=third_party),
    )
    if (same := unchanged(found)) is not None:
        _mark_synced()
        return same
    _log_pull(len(found))
    return tagged([ChildTaskAnswer.model_validate(one) for one in found], found)


def _is_third_party() -> bool:
    return not asking_node().instance


def _mark_synced() -> None:
    node_id = asking_node().id
    transact(parts().engine, lambda session: child_lists.mark_synced(session, node_id))


def _log_pull(count: int) -> None:
    node_id = asking_node().id
    pulled = entry(node_id, count)

    def write(session: Session) -> None:
        child_lists.mark_synced(session, node_id)
        sync_logs.record(session, pulled)

    transact(parts().engine, write)
