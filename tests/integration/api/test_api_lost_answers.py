"""Whatever remote nodes repeat, lose, or do too late: every feed's item ends once, and its article is stored once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.dispatch import repairs
from backend.dispatch.pump import pump
from backend.domain import wire
from backend.domain.identifiers import new_id
from backend.domain.orders import WorkOrder
from backend.domain.ports import Lease, Standing
from backend.domain.wire import Lost, Piece, Renewal
from backend.store.tables import Article, Node, WorkItem
from tests.building import (
    LIMITS,
    allocation_ids,
    change,
    counted,
    dispatch,
    expire,
    make_feeds,
    make_task,
    outcome_of,
    rows_of,
)
from tests.integration.api.harness import Api, data
from tests.integration.api.remote_node import RemoteNode, lease_of, make_remote

FEEDS = 3
OPEN = ("pending", "claimed", "executing")
MOVES = ("claim", "begin", "settle", "checkpoint", "renew", "lost", "expire", "restart")
Step = tuple[str, int, int, bool]
STEPS = st.lists(
    st.tuples(st.sampled_from(MOVES), st.integers(0, 1), st.integers(0, 5), st.booleans()), max_size=14
)


@dataclass
class Play:
    """Two nodes, and what each of them still knows."""

    api: Api
    nodes: list[RemoteNode]
    pieces: list[list[Piece]] = field(default_factory=lambda: [[], []])
    orders: list[list[WorkOrder]] = field(default_factory=lambda: [[], []])

    def step(self, move: str, who: int, which: int, *, again: bool) -> None:
        """One move of a node; `again`: its answer was lost, and it asks once more."""
        act: Callable[[int, int, int], None] = getattr(self, move)
        act(who, which, 2 if again else 1)

    def claim(self, who: int, which: int, times: int) -> None:
        claim_id = new_id()
        answers = [self.nodes[who].claim(slots=which, claim_id=claim_id) for _ in range(times)]
        assert answers[0] == answers[-1]
        self.pieces[who] += answers[0]

    def begin(self, who: int, which: int, times: int) -> None:
        if self.pieces[who]:
            piece, execution = self.pieces[who][which % len(self.pieces[who])], new_id()
            answers = [self.nodes[who].begin(piece, execution) for _ in range(times)]
            assert answers[0] == answers[-1]
            self.orders[who] += [answers[0]] if answers[0] else []

    def settle(self, who: int, which: int, times: int) -> None:
        if (order := self.order(who, which)) is not None:
            answers = [self.nodes[who].settle(outcome_of(order)) for _ in range(times)]
            assert answers[0].status_code == answers[-1].status_code in {200, 409}

    def checkpoint(self, who: int, which: int, times: int) -> None:
        if (order := self.order(who, which)) is not None:
            ask = wire.checkpoint_ask(lease_of(order), outcome_of(order))
            answers = [data(self.nodes[who].call(lease_of(order), "checkpoint", ask)) for _ in range(times)]
            assert answers[0] == answers[-1]

    def renew(self, who: int, which: int, times: int) -> None:
        leases = tuple(lease_of(one) for one in self.orders[who]) or (Lease(new_id(), 1, new_id()),)
        for _ in range(times):
            answer = data(self.nodes[who].call(leases[which % len(leases)], "renew", Renewal(leases)))
            assert answer["standings"].keys() == {one.execution for one in leases}

    def lost(self, who: int, which: int, times: int) -> None:
        if (order := self.order(who, which)) is not None:
            body = Lost(order.attempt, order.execution, "its worker died", blames=False)
            for _ in range(times):
                data(self.nodes[who].call(lease_of(order), "lost", body))

    def expire(self, _who: int, _which: int, times: int) -> None:
        expire(self.api.engine)
        for _ in range(times):
            repairs.recover_expired(self.api.engine, 3)

    def restart(self, who: int, which: int, times: int) -> None:
        dead = self.nodes[who]
        self.nodes[who] = dead.restarted()
        known = [one.allocation_id for one in self.pieces[who][:which]]
        for _ in range(times):
            self.nodes[who].beat(*known, replaces=dead.instance)

    def order(self, who: int, which: int) -> WorkOrder | None:
        """One of those that the node began, however long ago."""
        return self.orders[who][which % len(self.orders[who])] if self.orders[who] else None

    def finish(self) -> None:
        """Everything that is left is worked off by whoever gets it."""
        for _ in range(10):
            self.expire(0, 0, 1)
            change(self.api.engine, WorkItem, not_before=None)
            pump(self.api.engine, None, LIMITS)
            for node in self.nodes:
                for piece in node.claim():
                    order = node.begin(piece)
                    assert order is not None
                    assert data(node.settle(outcome_of(order)))["standing"] == Standing.HELD
            if set(counted(self.api.engine, WorkItem)) == {"done"}:
                return
        raise AssertionError(counted(self.api.engine, WorkItem))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_every_item_ends_once_and_every_article_is_stored_once(api: Api, steps: list[Step]) -> None:
    before = len(rows_of(api.engine, Article))
    play = Play(api, [make_remote(api, new_id()) for _ in range(2)])
    feeds = make_feeds(api.engine, FEEDS, f"h{new_id()[-12:]}.example.com")
    dispatch(api.engine, make_task(api.engine, feeds))
    for move, who, which, again in steps:
        play.step(move, who, which, again=again)
        pump(api.engine, None, LIMITS)
    play.finish()
    assert len(rows_of(api.engine, Article)) == before + FEEDS
    assert [one for state in OPEN for one in allocation_ids(api.engine, state)] == []
    # The next example has nodes of its own.
    change(api.engine, Node, is_active=False)
