"""Several threads that make the protocol's calls at once on the same rows: real transactions that meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from sqlalchemy import select

from backend.dispatch import interventions, repairs
from backend.dispatch.pump import pump
from backend.dispatch.queues import node_queue
from backend.domain.children import ChildResult
from backend.domain.errors import Conflict, NotFound
from backend.domain.identifiers import new_id
from backend.domain.orders import Freeze, FrozenMessage, Receipt
from backend.domain.ports import Lease, Standing
from backend.store import children, claims, recovery
from backend.store.children import Holder
from backend.store.claims import Ask, Claimant, Claimed
from backend.store.session import read, transact
from backend.store.sync_logs import SyncEntry
from backend.store.tables import Allocation
from tests.building import CIPHER, LIMITS, together
from tests.integration.protocol import workers
from tests.integration.protocol.promises import Execution
from tests.integration.protocol.stage import Stage
from tests.integration.protocol.world import CHILD_LEASE_SECONDS, DELIVERY_ATTEMPTS, ITEMS, LEASE_SECONDS

QUEUES = {"n1": "node:n1", "n2": "node:n2", "parent": "default"}
# A refusal that comes late may count or not: with these, what was sent to a robot once is never sent again.
ANSWERS = {"webhook": ("heard", "refused", "lost"), "robot": ("heard", "lost")}


@dataclass
class Member:
    """One thread: what it began, and its own chance."""

    stage: Stage
    lock: threading.Lock
    chance: Random
    mine: list[Execution] = field(default_factory=list)

    def run(self, calls: int) -> None:
        """Make so many calls."""
        moves: list[Callable[[], None]] = [
            *[self.begin] * 4,
            *[self.settle] * 5,
            *[self.settle_again] * 2,
            *[self.checkpoint] * 2,
            *[self.claim] * 2,
            *[self.report] * 2,
            *[self.sweep] * 3,
            *[self.intervene],
            *[self.renew],
            *[self.pass_time],
        ]
        for _ in range(calls):
            self.chance.choice(moves)()

    def begin(self) -> None:
        """A job begins, which another thread may begin at the same moment."""
        node = self.chance.choice(["n1", "n1", "n2", "parent"])
        ledger, execution = self.stage.world.ledger(node), new_id()
        pending = select(Allocation.id, Allocation.attempt).where(
            Allocation.queue == QUEUES[node], Allocation.state == "pending"
        )
        rows = read(self.stage.engine, lambda session: session.execute(pending.order_by(Allocation.id)).all())
        if rows and self.chance.random() < 0.5:
            order = ledger.begin(rows[0].id, rows[0].attempt, execution)
        else:
            order = ledger.begin_next(QUEUES[node], execution, 100)
        if order is not None:
            with self.lock:
                self.mine.append(self.stage.promises.began(node, order))

    def _send(self, execution: Execution) -> None:
        order, ledger = execution.order, self.stage.world.ledger(execution.node)
        for delivery in order.deliveries:
            if delivery.delivery_id in execution.receipts:
                continue
            with self.lock:
                known = frozenset(self.stage.promises.heard)
            message = FrozenMessage("title", f"body of {delivery.delivery_id}")
            if ledger.checkpoint(order, Freeze({delivery.delivery_id: message})) is not Standing.HELD:
                continue
            kind = "webhook" if "hooks.example" in delivery.web_hook_url else "robot"
            answer = workers.ANSWERS[self.chance.choice(ANSWERS[kind])]
            with self.lock:
                self.stage.promises.sending(delivery.delivery_id, kind, known)
            execution.receipts[delivery.delivery_id] = Receipt(delivery.delivery_id, 200, failure=answer)

    def _ends(self) -> list[str]:
        return self.chance.choices(workers.ENDS, k=3)

    def checkpoint(self) -> None:
        """A worker tells of a part."""
        open_ones = [one for one in self.mine if one.outcome is None]
        if open_ones:
            execution = self.chance.choice(open_ones)
            self._send(execution)
            workers.collect(execution, self._ends(), part=True)
            outcome = workers.outcome_so_far(execution)
            self.stage.world.ledger(execution.node).checkpoint(execution.order, outcome)
            with self.lock:
                self.stage.promises.told(outcome, self.stage.seen.tasks)

    def settle(self) -> None:
        """A worker ends its work."""
        open_ones = [one for one in self.mine if one.outcome is None]
        if open_ones:
            execution = self.chance.choice(open_ones)
            self._send(execution)
            workers.final_outcome(execution, self._ends())
            self._settle(execution)

    def settle_again(self) -> None:
        """Somebody tells an outcome that was told, or is being told right now, by anybody."""
        with self.lock:
            told = [one for one in self.stage.promises.executions if one.outcome is not None]
        if told:
            self._settle(self.chance.choice(told[-3:]))

    def _settle(self, execution: Execution) -> None:
        outcome = workers.final_outcome(execution, ())
        standing = self.stage.world.ledger(execution.node).settle(outcome)
        with self.lock:
            promises = self.stage.promises
            held = standing is Standing.HELD
            assert held or outcome.execution not in promises.settled, (
                f"settled, and then {standing}: {outcome}"
            )
            promises.told(outcome, self.stage.seen.tasks)
            if held:
                promises.settled.add(outcome.execution)
                promises.ended |= {one.item_id for one in outcome.items if one.result}

    def renew(self) -> None:
        """A process renews."""
        if self.mine:
            orders = [one.order for one in self.mine[-5:]]
            leases = [Lease(one.allocation_id, one.attempt, one.execution) for one in orders]
            self.stage.world.ledger("n1").renew(leases)

    def pass_time(self) -> None:
        """Leases run out."""
        self.stage.world.pass_time(self.chance.choice([10.0, 50.0]))

    def sweep(self) -> None:
        """A beat does one of its steps, or all."""
        engine = self.stage.engine
        steps: list[Callable[[], object]] = [
            lambda: transact(engine, lambda session: recovery.stamp_pulse(session, new_id(), LEASE_SECONDS)),
            lambda: repairs.recover_expired(engine, DELIVERY_ATTEMPTS),
            lambda: repairs.release_due(engine),
            lambda: repairs.close_runs(engine),
            lambda: pump(engine, None, LIMITS),
        ]
        for step in steps if self.chance.random() < 0.5 else [self.chance.choice(steps), steps[-1]]:
            step()

    def intervene(self) -> None:
        """A person cancels or tries again."""
        query = select(Allocation.id).order_by(Allocation.id.desc()).limit(6)
        ids = read(self.stage.engine, lambda session: session.scalars(query).all())
        if not ids:
            return
        one = self.chance.choice(ids)
        with suppress(Conflict):
            if self.chance.random() < 0.5:
                interventions.retry_allocation(self.stage.engine, None, one, "ana")
            else:
                interventions.cancel_allocation(self.stage.engine, None, one, "ana")

    def claim(self) -> None:
        """A child claims; its other process does so with the same claim id."""
        node = self.chance.choice(["w1", "w2"])
        claim_id = f"c{self.chance.randrange(6)}"
        pair = self.stage.world.pairs[node]
        ask = Ask(pair.api_key, pair.api_secret, SyncEntry("", "claim_task", "pull"), 1, claim_id)
        (answer,) = transact(
            self.stage.engine,
            lambda session: claims.claim(
                session,
                [ask],
                CIPHER,
                lambda who: Claimant(who.id, node_queue(who.slug), CHILD_LEASE_SECONDS),
            ),
        )
        if isinstance(answer, Claimed):
            with self.lock:
                self.stage.promises.claimed([one.allocation_id for one in answer.packages], node, claim_id)

    def report(self) -> None:
        """A child reports about what it claimed."""
        with self.lock:
            claimed = list(self.stage.promises.claims.items())
        if not claimed:
            return
        one, (node, _) = self.chance.choice(claimed[-3:])
        holder = Holder(self.stage.world.children[node], "", CHILD_LEASE_SECONDS)
        feeds = self.stage.world.tasks[1].feed_ids
        results = [ChildResult(feed_id, "", success=self.chance.random() < 0.7) for feed_id in sorted(feeds)]
        with suppress(Conflict, NotFound):
            transact(
                self.stage.engine, lambda session: children.complete(session, holder, one, results, ITEMS)
            )


def play(stage: Stage, seed: int, *, threads: int, calls: int) -> None:
    """One round: all at once, then a look at what they left."""
    lock = threading.Lock()
    members = [Member(stage, lock, Random(f"{seed}-{number}")) for number in range(threads)]  # noqa: S311
    works = [lambda member=member: member.run(calls) for member in members]
    together(*works)
