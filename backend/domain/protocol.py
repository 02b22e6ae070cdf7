"""What a remote node and its parent say to each other: versions, capabilities, and what follows from them. Pure.

Both ends use this module; the bodies themselves are in `backend.domain.wire`. An unknown field is ignored and a missing one has
a default, so that old and new nodes and parents meet. A failure's stable code is `data.error` of its envelope.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from backend.domain.why import Why

PROTOCOL = 2
"""1: update work. 2: publish and account work too."""
OLDEST = 1
"""The oldest version that this program still speaks, on either end."""
SINCE = {"update": 1, "publish": 2, "account": 2}
"""By kind of work, since which version a remote node can be given it. Deliveries are the parent's own."""

INSTANCE_REFUSED = "instance_refused"
TOO_OLD = "protocol_too_old"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a node says that it can do: kinds of work, kinds of feeds, platforms.

    `sources` is `None` where the node says nothing of them: an older program, trusted with the usual ones.
    """

    kinds: tuple[str, ...] = ("update",)
    sources: tuple[str, ...] | None = None
    publishers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Speaker:
    """One end as the other knows it. Who names no version speaks the first one."""

    protocol: int = 1
    capabilities: Capabilities = Capabilities()


def agreed(own: int, other: int) -> int | None:
    """The version that both ends speak from now on; `None` when the other end is too old for this program."""
    return min(own, other) if other >= OLDEST else None


def given_kinds(speaker: Speaker, own: int = PROTOCOL) -> frozenset[str]:
    """The kinds of work that may pass between this end, speaking `own`, and that one."""
    version = agreed(own, speaker.protocol)
    if version is None:
        return frozenset()
    return frozenset(kind for kind in speaker.capabilities.kinds if SINCE.get(kind, version + 1) <= version)


def offered(capabilities: Capabilities, parent_protocol: int) -> Capabilities:
    """What a node offers a parent of that version: an older one is told nothing that it can't give."""
    kinds = given_kinds(Speaker(parent_protocol, capabilities))
    return Capabilities(
        tuple(kind for kind in capabilities.kinds if kind in kinds),
        capabilities.sources,
        capabilities.publishers if "publish" in kinds else (),
    )


def why_not(speaker: Speaker, kind: str, platform: str = "") -> Why | None:
    """Why a remote node can't be given work of the kind, for that platform; nothing when it can."""
    if agreed(PROTOCOL, speaker.protocol) is None:
        return Why(TOO_OLD, {"protocol": speaker.protocol, "oldest": OLDEST})
    if kind in SINCE and SINCE[kind] > speaker.protocol:
        return Why(
            "node_too_old_for_kind", {"protocol": speaker.protocol, "kind": kind, "since": SINCE[kind]}
        )
    if kind not in speaker.capabilities.kinds:
        return Why("node_without_kind", {"kind": kind})
    if platform and platform not in speaker.capabilities.publishers:
        return Why("node_without_platform", {"platform": platform})
    return None


def lost_by(held: Collection[str], listed: Collection[str]) -> tuple[str, ...]:
    """What a former start of the node held and the new one does not know of: it is given back at once."""
    return tuple(sorted(set(held) - set(listed)))
