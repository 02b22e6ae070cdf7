"""Whether a node is online and available, and what it collects: pure, from facts by the database's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.feeds import WECHAT
from backend.domain.planner import Kinds, NodeLoad
from backend.domain.protocol import Capabilities, Speaker, why_not
from backend.domain.why import Why

ONLINE_SECONDS = 180.0
PRESENCE_SECONDS = 45.0
# Longer than a supervisor waits before it starts a worker again that ended at once.
WORKERLESS_SECONDS = 60.0
NODES_NAMED = 5


@dataclass(frozen=True, slots=True)
class OutboxReport:
    """What a node says of its outbox: entries that wait, the age of the oldest one, and dead letters."""

    entries: int = 0
    oldest_seconds: float | None = None
    dead: int = 0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is known of a node. `silent_seconds` since its last beat; `None` when it never beat or signed off.

    `workerless_seconds` since it beats without a worker that lives; `None` when one lives.

    `protocol`, `kinds` and `publishers` come from the handshake of our own remote nodes.
    `workers_alive` counts for attached nodes only. `instance` is empty when no beat carried one; `sources` are the
    kinds of feeds that it says it collects, `None` when it says nothing.
    """

    id: str
    name: str
    slug: str
    node_type: int
    transport: str
    is_active: bool
    draining: bool
    kinds: tuple[str, ...]
    in_flight: int
    max_capacity: int
    silent_seconds: float | None
    workers_alive: int = 1
    quota: Mapping[str, int] = field(default_factory=dict)
    instance: str = ""
    sources: tuple[str, ...] | None = None
    workerless_seconds: float | None = None
    protocol: int | None = None
    publishers: tuple[str, ...] | None = None

    @property
    def speaker(self) -> Speaker | None:
        """The node as its handshake showed it; nothing for one that never said which protocol it speaks."""
        if self.protocol is None:
            return None
        return Speaker(self.protocol, Capabilities(self.kinds, self.sources, self.publishers or ()))

    @property
    def third_party(self) -> bool:
        """Whether it is somebody else's child (WeRSS): remote, and no beat ever carried an instance."""
        return self.transport == "remote" and not self.instance


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a node is online (the seeds' 180 s rule) and gets work, and why when it does not."""

    online: bool
    available: bool
    why: Why | None = None

    @property
    def reason(self) -> str:
        """Why it gets no work, in English; empty when it gets some."""
        return self.why.sentence() if self.why else ""


def availability(node: NodeFacts) -> Availability:
    """online = active and a beat within 180 s; available = also neither draining nor full.

    Our own nodes beat every 15 s and must have been present within 45 s; third-party ones go by the 180 s alone.
    """
    online = node.is_active and node.silent_seconds is not None and node.silent_seconds < ONLINE_SECONDS
    why = _hindrance(node)
    return Availability(online, online and why is None, why)


def _hindrance(node: NodeFacts) -> Why | None:
    if not node.is_active:
        return Why("node_off")
    if node.silent_seconds is None:
        return Why("node_not_running")
    if node.silent_seconds >= (ONLINE_SECONDS if node.third_party else PRESENCE_SECONDS):
        return Why("node_silent", {"seconds": f"{node.silent_seconds:.0f}"})
    full = Why("node_full", {"in_flight": node.in_flight, "max_capacity": node.max_capacity})
    hindrances = (
        (Why("node_workerless"), node.transport == "attached" and not node.workers_alive),
        (Why("node_draining"), node.draining),
        (full, node.in_flight >= node.max_capacity),
    )
    return next((why for why, holds in hindrances if holds), None)


def is_gone(node: NodeFacts) -> bool:
    """Whether work that waits in the node's queue should be planned again elsewhere.

    A node that beats is gone too when none of its workers has lived for a while: nobody would begin the work. A remote
    node of ours is gone as soon as its presence is over: what it has lost may have been planned for it again just before.
    """
    is_far = node.transport == "remote" and not node.third_party
    patience = PRESENCE_SECONDS if is_far else ONLINE_SECONDS
    if not node.is_active or node.silent_seconds is None or node.silent_seconds >= patience:
        return True
    workerless = node.workerless_seconds is not None and node.workerless_seconds >= WORKERLESS_SECONDS
    return workerless and node.transport == "attached"


def collected_kinds(node: NodeFacts) -> Kinds:
    """Which kinds of feeds the node can collect.

    WeRSS children collect WeChat accounts and nothing else. One of ours collects what it says; one that says nothing
    (an older program) is trusted with every kind that needs no account of its own: all but WeChat's.
    """
    if node.third_party:
        return Kinds(frozenset({WECHAT}))
    if node.sources is None:
        return Kinds(frozenset({WECHAT}), inverted=True)
    return Kinds(frozenset(node.sources))


def loads_of(nodes: Sequence[NodeFacts], kind: str) -> list[NodeLoad]:
    """The available nodes that can do the kind, as the planner takes them."""
    return [
        NodeLoad(node.id, node.in_flight, node.max_capacity, node.quota, collected_kinds(node))
        for node in nodes
        if kind in node.kinds and availability(node).available
    ]


def why_feeds_wait(kind: str, nodes: Sequence[NodeFacts]) -> Why | None:
    """What keeps feeds of that kind from a node; nothing when an available node could take them."""
    collecting = [node for node in nodes if "update" in node.kinds]
    if not collecting:
        return _nobody_collects(nodes)
    able = [(node, availability(node).why) for node in collecting if kind in collected_kinds(node)]
    if not able:
        return Why("no_node_for_wechat" if kind == WECHAT else "no_node_for_kind", {"kind": kind})
    hindered = [Why("node_hindered", {"name": node.name, "why": why}) for node, why in able if why]
    return _all_hindered(hindered) if len(hindered) == len(able) else None


def _nobody_collects(nodes: Sequence[NodeFacts]) -> Why:
    """No node does update work: why each remote one of ours does not, or that there is none."""
    unable = [(node, why_not(node.speaker, "update")) for node in nodes if node.speaker is not None]
    hindered = [Why("node_hindered", {"name": node.name, "why": why}) for node, why in unable if why]
    return _all_hindered(hindered) if hindered else Why("no_node")


def _all_hindered(hindered: Sequence[Why]) -> Why:
    more = len(hindered) - NODES_NAMED
    named = tuple(hindered[:NODES_NAMED])
    return (
        Why("more_nodes_hindered", {"nodes": named, "count": more})
        if more > 0
        else Why("nodes_hindered", {"nodes": named})
    )
