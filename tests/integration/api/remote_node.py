"""A remote node of ours as the tests play it: the bodies of `backend.domain.wire` over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from backend.domain import wire
from backend.domain.identifiers import new_id
from backend.domain.orders import Outcome, WorkOrder
from backend.domain.ports import Lease
from backend.domain.protocol import PROTOCOL, Capabilities
from backend.domain.wire import BeginAsk, Claim, FullBeat, Heard, Piece, PresenceBeat, SettleAsk
from tests.integration.api.harness import Api, data
from tests.integration.api.playing import Child, make_child

CASCADE = "/api/v1/cascade"
ABLE = Capabilities(("account", "publish", "update"), ("rss",), ("zhihu",))


@dataclass(frozen=True)
class RemoteNode:
    """One start of a remote node's process."""

    child: Child
    instance: str = field(default_factory=new_id)
    capabilities: Capabilities = ABLE
    protocol: int = PROTOCOL

    @property
    def id(self) -> str:
        """The node's id."""
        return self.child.node_id

    def restarted(self) -> RemoteNode:
        """Another start of the same node."""
        return replace(self, instance=new_id())

    def beat(self, *holds: str, status: int = 200, **more: Any) -> Any:
        """The full beat."""
        body = FullBeat(
            instance=self.instance,
            host="far-away",
            protocol=self.protocol,
            capabilities=self.capabilities,
            workers=2,
            holds=holds,
            **more,
        )
        answer = data(self.child.post("/heartbeat", wire.plain(body)), status)
        return wire.from_plain(Heard, answer) if status == 200 else answer

    def present(self, status: int = 200, *, signs_off: bool = False) -> Any:
        """The short beat."""
        body = PresenceBeat(self.instance, signs_off)
        return data(self.child.post("/heartbeat", wire.plain(body)), status)

    def claim(self, slots: int = 100, claim_id: str | None = None, status: int = 200) -> Any:
        """What a claim gives."""
        body = Claim(claim_id or new_id(), self.instance, slots, self.protocol, self.capabilities)
        answer = data(self.child.post("/claim-task", wire.plain(body)), status)
        return [wire.from_plain(Piece, one) for one in answer or ()] if status == 200 else answer

    def call(self, lease: Lease, verb: str, body: object) -> Any:
        """The answer to one of the routes of an allocation."""
        return self.child.post(f"/allocations/{lease.allocation_id}/{verb}", wire.plain(body))

    def begin(self, piece: Piece, execution: str = "") -> WorkOrder | None:
        """The order."""
        lease = Lease(piece.allocation_id, piece.attempt, execution or new_id())
        ask = BeginAsk(lease.attempt, lease.execution, self.instance)
        said = data(self.call(lease, "begin", ask))
        return None if said is None else wire.from_plain(WorkOrder, said)

    def settle(self, outcome: Outcome) -> Any:
        """The answer to settle."""
        ask = SettleAsk(outcome.attempt, outcome.execution, outcome)
        return self.call(lease_of(outcome), "settle", ask)


def make_remote(api: Api, name: str = "far", **more: Any) -> RemoteNode:
    """A remote node whose first start has just beaten."""
    node = RemoteNode(Child(api, *make_child(api.engine, name), prefix=CASCADE), **more)
    node.beat()
    return node


def lease_of(one: Outcome | WorkOrder) -> Lease:
    """The execution's fencing identity."""
    return Lease(one.allocation_id, one.attempt, one.execution)
