"""Why work waits, in one reason: pure, over facts that the store reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backend.domain.nodes import NodeFacts, availability, is_gone, why_feeds_wait
from backend.domain.receivers import PER_MINUTE
from backend.domain.why import Why

ERROR_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Scene:
    """What all reasons depend on: the database's time, how many beats are alive, and every node.

    `recover_after`: no lease is recovered before, because renewals could not arrive lately.
    """

    now: datetime
    beats: int
    nodes: tuple[NodeFacts, ...]
    recover_after: datetime | None = None

    def node(self, node_id: str | None) -> NodeFacts | None:
        """The node of that id."""
        return next((node for node in self.nodes if node.id == node_id), None)


@dataclass(frozen=True, slots=True)
class Backoff:
    """When work may be tried again, and what its last attempt ended with."""

    not_before: datetime | None = None
    attempts: int = 0
    error_code: str = ""
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What an item's host allows: until when it is to be left alone, and how many other items of it nodes have."""

    name: str = ""
    held_until: datetime | None = None
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class AllocationFacts:
    """What an allocation waits with."""

    kind: str
    state: str
    node_id: str
    cancel_requested: bool = False
    started_at: datetime | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SendingFacts:
    """What waiting deliveries compete for: a receiver's messages of the last minute, and places for sending."""

    receiver_kind: str
    recent: int = 0
    assigned: int = 0
    capacity: int = 1


def why_item_waits(backoff: Backoff, feed_kind: str, scene: Scene, host: HostFacts | None = None) -> Why:
    """Why a waiting work item has no node yet; `feed_kind` decides which nodes could take it."""
    return (
        _backoff(backoff, scene)
        or _host_held(host, scene)
        or _no_room(feed_kind, scene)
        or _no_beat(scene)
        or (Why("why_host_busy") if host and host.in_flight else None)
        or Why("why_next_plan")
    )


def why_delivery_waits(backoff: Backoff, sending: SendingFacts, scene: Scene) -> Why:
    """Why a waiting delivery is not sent yet."""
    limit = PER_MINUTE.get(sending.receiver_kind)
    return (
        _backoff(backoff, scene)
        or _no_beat(scene)
        or (
            Why("why_receiver_limit", {"limit": limit})
            if limit is not None and sending.recent >= limit
            else None
        )
        or (
            Why("why_sending_full", {"assigned": sending.assigned, "capacity": sending.capacity})
            if sending.assigned >= sending.capacity
            else None
        )
        or Why("why_next_sending")
    )


def why_allocation_waits(facts: AllocationFacts, scene: Scene) -> Why | None:
    """Why an allocation has not ended; `None` when it has."""
    node = scene.node(facts.node_id)
    if facts.state in {"claimed", "executing"}:
        return _in_hands(facts, node, scene)
    return _pending(facts, node) if facts.state == "pending" else None


def why_run_waits(state: str, open_items: int, known_items: int, first: Why | None) -> Why | None:
    """Why a run has not ended; `first` is the reason of its oldest open item."""
    if state == "queued":
        return Why("why_run_queued")
    if state == "expanding":
        return Why("why_expanding", {"count": known_items})
    if state != "running":
        return None
    if first is None:
        return Why("why_run_closing")
    return Why("why_run_open", {"open": open_items, "known": known_items, "first": first})


def _backoff(backoff: Backoff, scene: Scene) -> Why | None:
    if backoff.not_before is None or backoff.not_before <= scene.now:
        return None
    if not backoff.error_code:
        return Why("why_not_before", {"moment": backoff.not_before})
    error = backoff.error_message or backoff.error_code
    facts = {
        "moment": backoff.not_before,
        "attempt": backoff.attempts,
        "error": error[:ERROR_LENGTH].rstrip(". "),
    }
    return Why("why_backoff", facts)


def _host_held(host: HostFacts | None, scene: Scene) -> Why | None:
    if host is None or host.held_until is None or host.held_until <= scene.now:
        return None
    return Why("why_host_held", {"host": host.name, "moment": host.held_until})


def _no_beat(scene: Scene) -> Why | None:
    return None if scene.beats else Why("why_no_beat")


def _no_room(feed_kind: str, scene: Scene) -> Why | None:
    why = why_feeds_wait(feed_kind, scene.nodes)
    return Why("why_no_room", {"why": why}) if why else None


def _pending(facts: AllocationFacts, node: NodeFacts | None) -> Why:
    if node is None:
        return Why("why_node_deleted")
    name = {"node": node.name}
    if is_gone(node):
        code = "why_parent_gone" if node.node_type == 0 else "why_node_gone"
        return Why(code, {**name, "why": availability(node).why or ""})
    if node.transport != "attached":
        return Why("why_unclaimed", name)
    if not node.workers_alive:
        return Why("why_parent_workerless" if node.node_type == 0 else "why_workerless", name)
    code = "why_sender_busy" if facts.kind == "deliver" else "why_workers_busy"
    return Why(code, {**name, "workers": node.workers_alive})


def _in_hands(facts: AllocationFacts, node: NodeFacts | None, scene: Scene) -> Why:
    name: dict[str, object] = {"node": node.name if node else facts.node_id}
    if facts.lease_until is not None and facts.lease_until < scene.now:
        if not scene.beats:
            return Why("why_lost_no_beat", name)
        if scene.recover_after is not None and scene.recover_after > scene.now:
            return Why("why_lost_later", {**name, "moment": scene.recover_after})
        return Why("why_lost", name)
    if facts.cancel_requested:
        return Why("why_stopping", name)
    if facts.state == "claimed":
        return Why("why_claimed", {**name, "moment": facts.lease_until or ""})
    return Why("why_executing", {**name, "moment": facts.started_at or ""})
