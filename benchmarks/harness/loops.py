"""Every loop of the running system, driven by hand: each function does what its process does again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from sqlalchemy import Engine, select, update

from backend.dispatch import health
from backend.dispatch.beat import Beat, Timer
from backend.dispatch.dispatching import dispatch_tasks
from backend.dispatch.pump import pump
from backend.domain.identifiers import new_id
from backend.domain.orders import FetchResult, Freeze, FrozenMessage, Outcome, Receipt, WorkOrder
from backend.domain.ports import Lease
from backend.store import nodes, ticks
from backend.store.columns import now
from backend.store.credentials import new_pair, rotate
from backend.store.session import read, transact
from backend.store.tables import Allocation, MessageTask, Pulse
from backend.workers.ledger import SqlLedger
from benchmarks.harness import filling
from benchmarks.harness.report import BrokenResult
from tests.building import LIMITS, deliver_ledger, drafts, ledger_for, outcome_of
from tests.integration.api.harness import Api
from tests.integration.api.playing import Child

QUEUE = f"node:filled-{filling.BIG_NODE}"
ROUNDS = 3


@dataclass
class Loops:
    """What the loops run on: a filled database and an empty Redis."""

    api: Api
    redis: Redis
    beat: Beat = field(init=False)

    @property
    def engine(self) -> Engine:
        """The parent's own engine: what is recorded there is all that happens."""
        return self.api.engine

    def __post_init__(self) -> None:
        self.beat = Beat(self.engine, self.redis, LIMITS, lease_seconds=45.0, delivery_attempts=6)
        transact(self.engine, nodes.ensure_parent)
        self.beat.stamp()
        # As after a long quiet time: renewals could have arrived, so what is expired may be recovered.
        transact(
            self.engine, lambda session: session.execute(update(Pulse).values(recover_after=_long_ago()))
        )

    @property
    def all(self) -> dict[str, Callable[[], None]]:
        """Every loop by name."""
        return {
            "beat": self.tick,
            "update worker": self.update,
            "deliver worker": self.deliver,
            "presence": self.presence,
            "dispatch": self.dispatch,
            "ticks": self.ticks,
            "child": self.child,
            "readiness": self.readiness,
        }

    def tick(self) -> None:
        """Every step of a beat, all timers due."""
        for _ in range(ROUNDS):
            for name in self.beat.__dataclass_fields__:
                timer = getattr(self.beat, name)
                if isinstance(timer, Timer):
                    timer.last = float("-inf")
            # Not `tick`: that logs what a step raises and goes on.
            for step in self.beat._due():  # noqa: SLF001
                step()

    def _ledger(self) -> SqlLedger:
        return ledger_for(self.engine, filling.identifier_of(filling.BIG_NODE))

    def update(self) -> None:
        """Begin by name and next, checkpoint, renew, settle."""
        ledger = self._ledger()
        for number in range(ROUNDS):
            named = self._pending(ledger.taker.node_id)
            self._work(ledger, ledger.begin(named, 1, new_id()))
            self._work(ledger, ledger.begin_next(QUEUE, new_id(), 50 + number))

    def _pending(self, node_id: str) -> str:
        query = select(Allocation.id).where(Allocation.node_id == node_id, Allocation.state == "pending")
        found = read(
            self.engine, lambda session: session.scalar(query.order_by(Allocation.id.desc()).limit(1))
        )
        if found is None:
            raise BrokenResult("there is no pending allocation to begin")
        return found

    def _work(self, ledger: SqlLedger, order: WorkOrder | None) -> None:
        if order is None:
            raise BrokenResult("a pending allocation could not be begun")
        outcome = outcome_of(order, FetchResult(drafts(new_id(), new_id())))
        half = len(outcome.items) // 2
        done, rest = (
            Outcome(order.allocation_id, order.attempt, order.execution, order.kind, items)
            for items in (outcome.items[:half], outcome.items[half:])
        )
        ledger.checkpoint(order, done)
        ledger.renew([Lease(order.allocation_id, order.attempt, order.execution)])
        ledger.settle(rest)

    def deliver(self) -> None:
        """Begin what the pump plans, fix the bodies, checkpoint a receipt, settle."""
        ledger = deliver_ledger(self.engine)
        for _ in range(ROUNDS):
            pump(self.engine, self.redis, LIMITS)
            order = ledger.begin_next("default", new_id(), 100)
            if order is None:
                raise BrokenResult("the pump planned no deliveries")
            message = FrozenMessage("title", "body")
            ledger.checkpoint(order, Freeze({one.delivery_id: message for one in order.deliveries}))
            receipts = tuple(Receipt(one.delivery_id, 200, "ok") for one in order.deliveries)
            outcome = Outcome(
                order.allocation_id, order.attempt, order.execution, order.kind, receipts=receipts
            )
            ledger.settle(outcome)

    def presence(self) -> None:
        """A beat of a node."""
        node_id = self._ledger().taker.node_id
        for _ in range(ROUNDS):
            transact(self.engine, lambda session: _beat(session, node_id))

    def dispatch(self) -> None:
        """A dispatch of one message task by hand."""
        task_id = read(self.engine, lambda session: session.scalar(select(MessageTask.id).limit(1)))
        dispatch_tasks(self.engine, self.redis, limits=LIMITS, task_id=task_id, actor="bench")

    def ticks(self) -> None:
        """What people look at, task by task."""
        task_id = read(self.engine, lambda session: session.scalar(select(MessageTask.id).limit(1)))
        if task_id is None:
            raise BrokenResult("there is no message task")
        read(self.engine, lambda session: ticks.list_ticks(session, task_id))

    def child(self) -> None:
        """What a WeRSS child does over HTTP: beat, claim, wait for work, begin, upload, complete, report."""
        node_id, pair = filling.identifier_of(filling.REMOTE_NODE), new_pair()
        transact(self.engine, lambda session: rotate(session, node_id, pair))
        child = Child(self.api, node_id, pair)
        for number in range(ROUNDS):
            _answered(child.post("/heartbeat"))
            package = child.claim()
            _answered(child.status(package["allocation_id"], "executing"))
            _answered(child.upload(package["allocation_id"], []))
            _answered(child.complete(package, []))
            _answered(child.get(f"/pending-tasks?limit={number + 2}"))
            _answered(child.post("/report-result", {"task_id": package["task_id"], "results": []}))
        while child.claim() is not None:
            pass
        _answered(child.post("/claim-task?wait=2"))

    def readiness(self) -> None:
        """What a load balancer asks for."""
        health.readiness(self.engine, self.redis, verbose=True, flow_seconds=300.0)


def _answered(answer: Any) -> None:
    if answer.status_code != 200:
        raise BrokenResult(f"a child was answered {answer.status_code}: {answer.text}")


def _beat(session: Any, node_id: str) -> None:
    nodes.beat(session, node_id, "filled", workers_alive=2, version="bench")


def _long_ago() -> Any:
    return now(-3600)
