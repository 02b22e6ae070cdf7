"""A remote node's work against a real parent: whatever gets lost on the way, nothing is collected twice and no result is lost."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch import queues
from backend.dispatch.pump import pump
from backend.dispatch.repairs import recover_expired
from backend.domain.errors import CredentialsRefused, ParentAway, ParentFailed, Unavailable, WorkError
from backend.domain.nodes import OutboxReport
from backend.domain.orders import FetchResult, Outcome, WorkOrder
from backend.domain.ports import HttpRequest, HttpResponse, Lease, Standing
from backend.domain.protocol import Capabilities
from backend.outbound.trusted import TrustedHttpClient
from backend.store import credentials
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Allocation, Article, Node, StagedChunk, WorkItem
from backend.workers.claimer import Claimer, OutboxLimit, Scope
from backend.workers.contact import Contact, HttpKeeper, HttpTeller, InstanceRefused, held
from backend.workers.deaths import Death
from backend.workers.http_ledger import HttpLedger
from backend.workers.journal import BEGUN, CLAIMED, FINISHED, Journal, Who
from backend.workers.local_queues import LocalQueues
from backend.workers.outbox import Outbox
from backend.workers.parent import Pair, Parent
from tests import building
from tests.building import CIPHER, World, drafts, outcome_of, row_of, states
from tests.contracts.http_ledgers import INSTANCE, ServedParent, claimer_for, remote_pair, served_parent

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


class Road:
    """The way to the parent: `lose` names verbs whose answers get lost once they were carried out; `cut` lets nothing through."""

    def __init__(self) -> None:
        self.client = TrustedHttpClient(environ={})
        self.lose: list[str] = []
        self.is_cut = False
        self.drop_settles = 0
        self.instead: dict[str, HttpResponse] = {}
        self.sent: list[str] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        if self.is_cut:
            raise WorkError("connect_failed", host="parent")
        self.sent.append(request.url.rpartition("/")[2].partition("?")[0])
        answer = self.instead.get(self.sent[-1]) or self.client.send(request)
        if self.drop_settles and self.sent[-1] == "settle" and "chunk=" not in request.url:
            self.drop_settles -= 1
            raise WorkError("broken_answer", host="parent", ambiguous=True)
        if self.sent[-1] in self.lose:
            self.lose.remove(self.sent[-1])
            raise WorkError("broken_answer", host="parent", ambiguous=True)
        return answer


def answered(status: int, data: object) -> HttpResponse:
    envelope = json.dumps({"code": status, "message": "so it is", "data": data}).encode()
    return HttpResponse(status, {}, envelope, "", "")


class Child:
    """A remote node's parts over a road that tests break."""

    def __init__(self, folder: Path, parent: ServedParent, pair: Pair) -> None:
        self.folder, self.pair, self.road = folder, pair, Road()
        # Only a second try: patience is tested with the line itself.
        tries = iter([None, True] * 1000)
        self.line = Parent(parent.url, self.road, lambda: self.pair, wait=lambda _seconds: next(tries))
        self.journal = Journal(folder / "journal.db")
        self.outbox = Outbox(folder / "outbox", CIPHER)
        self.contact = Contact()

    def worker(self, name: str = "w1") -> HttpLedger:
        return HttpLedger(self.line, self.journal, Who(INSTANCE, name))

    def claimer(self, slots: int = 100) -> Claimer:
        return claimer_for(
            self.line, self.journal, self.folder, Scope("update", frozenset({"update"}), slots)
        )

    def begin(self, execution: str = "x1", name: str = "w1") -> WorkOrder:
        order = self.worker(name).begin_next("node:n", execution, 100)
        assert order is not None
        return order

    def teller(self) -> HttpTeller:
        return HttpTeller(
            parent=self.line,
            contact=self.contact,
            journal=self.journal,
            outbox=self.outbox,
            instance=INSTANCE,
            version="test",
            capabilities=Capabilities(("update",), ("rss",)),
            full_seconds=60.0,
        )

    def stages(self) -> list[str]:
        return [entry.stage for entry in self.journal.entries()]


@pytest.fixture
def world(engine: Engine) -> World:
    return building.make_world(engine, 3)


@pytest.fixture
def child(world: World, tmp_path: Path) -> Iterator[Child]:
    with made_child(world, tmp_path) as made:
        yield made


@contextmanager
def made_child(world: World, folder: Path) -> Iterator[Child]:
    with served_parent(world.engine, folder) as parent:
        yield Child(folder / "child", parent, remote_pair(world.engine, world.node_id))


def counted(world: World) -> dict[str, int]:
    return building.counted(world.engine, Allocation)


def test_a_claim_whose_answer_got_lost_brings_the_same_work_and_no_more(child: Child, world: World) -> None:
    child.road.lose = ["claim-task"]
    with pytest.raises(ParentAway):
        child.claimer(2).claim()
    assert counted(world) == {"claimed": 2, "pending": 1}
    again = child.claimer(2).claim()
    assert [one.size for one in again] == [1, 1]
    assert counted(world) == {"claimed": 2, "pending": 1}


def test_it_never_claims_more_than_it_can_run(child: Child, world: World) -> None:
    claimer = child.claimer(2)
    assert len(claimer.claim()) == 2
    assert claimer.claim() == []
    assert claimer.room() == 0
    child.worker().settle(outcome_of(child.begin()))
    assert (claimer.room(), len(claimer.claim())) == (1, 1)


def test_a_begin_whose_answer_got_lost_is_begun_again_by_whoever_comes_next(
    child: Child, world: World
) -> None:
    child.claimer(1).claim()
    child.road.lose = ["begin", "begin"]
    with pytest.raises(ParentAway):
        child.worker().begin_next("node:n", "x1", 100)
    assert counted(world)["executing"] == 1
    assert child.stages() == [CLAIMED]
    order = child.begin("x2", "another worker")
    assert order.execution == "x1"
    assert child.worker().settle(outcome_of(order)) is Standing.HELD
    assert child.stages() == []


@pytest.mark.parametrize("answer", [answered(500, None), answered(200, {"attempt": "x"})])
def test_work_the_begin_of_which_met_an_error_of_the_parent_waits_here_again(
    child: Child, answer: HttpResponse
) -> None:
    child.claimer(1).claim()
    child.road.instead["begin"] = answer
    with pytest.raises(ParentFailed):
        child.worker().begin_next("node:n", "x1", 100)
    assert child.stages() == [CLAIMED]
    child.road.instead.clear()
    assert child.worker().settle(outcome_of(child.begin("x2"))) is Standing.HELD


@pytest.mark.parametrize("data", [{"allocation_id": "a"}, ["a"], [{"allocation_id": "a"}]])
def test_a_claim_answered_by_something_else_is_an_error_that_the_claimer_waits_out(
    child: Child, data: object
) -> None:
    child.road.instead["claim-task"] = answered(200, data)
    with pytest.raises(ParentFailed, match="another release"):
        child.claimer(1).claim()


def test_a_settle_whose_answer_got_lost_counts_once(child: Child, world: World) -> None:
    child.claimer(1).claim()
    order = child.begin()
    child.road.lose = ["settle"]
    assert child.worker().settle(outcome_of(order, FetchResult(drafts("a", "b")))) is Standing.HELD
    assert child.road.sent.count("settle") == 2
    assert building.totals(world.engine) == (2, 1, 2)


def test_results_of_an_outage_are_kept_take_no_slot_and_are_settled_when_the_parent_is_back(
    child: Child, world: World
) -> None:
    child.claimer(1).claim()
    order = child.begin()
    child.road.is_cut = True
    outcome = outcome_of(order)
    with pytest.raises(Unavailable):
        child.worker().settle(outcome)
    child.outbox.put(outcome, final=True)
    assert (child.stages(), child.claimer(1).room()) == ([FINISHED], 1)
    assert held(child.journal, child.outbox) == (order.allocation_id,)
    assert child.outbox.drain(child.worker("")) == 0
    child.road.is_cut = False
    assert child.outbox.drain(child.worker("")) == 1
    assert (child.stages(), child.outbox.entries()) == ([], [])
    assert states(world.engine, Allocation)[order.allocation_id] == "completed"


def test_a_result_that_came_too_late_is_refused_once_and_kept_as_a_dead_letter(
    child: Child, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    child.claimer(1).claim()
    order = child.begin()
    building.expire(world.engine, order.allocation_id)
    assert building.counted(world.engine, Allocation)["executing"] == 1
    from_parent = world.ledger.settle(replace(outcome_of(order), execution="stranger"))
    assert from_parent is Standing.SUPERSEDED
    building.change(world.engine, Allocation, order.allocation_id, execution="somebody else")
    child.outbox.put(outcome_of(order), final=True)
    for _ in range(3):
        child.outbox.drain(child.worker(""))
    assert child.road.sent.count("settle") == 1
    assert (child.stages(), child.outbox.report().dead) == ([], 1)
    assert caplog.text.count("came too late") == 1


def test_a_large_outcome_arrives_in_chunks_as_one(child: Child, world: World) -> None:
    child.claimer(1).claim()
    order = child.begin()
    draw = random.Random(7)  # noqa: S311
    texts = [draw.randbytes(500_000).hex() for _ in range(9)]
    articles = tuple(replace(drafts(str(n))[0], content=text) for n, text in enumerate(texts))
    child.road.lose = ["settle", "settle"]
    with pytest.raises(ParentAway):
        child.worker().settle(outcome_of(order, FetchResult(articles)))
    assert building.rows_of(world.engine, Article) == []
    assert child.worker().settle(outcome_of(order, FetchResult(articles))) is Standing.HELD
    assert child.road.sent.count("settle") >= 4
    assert sorted(row.content for row in building.rows_of(world.engine, Article)) == sorted(texts)


def large(order: WorkOrder) -> Outcome:
    content = random.Random(7).randbytes(1_000_000).hex()  # noqa: S311
    return outcome_of(order, FetchResult((replace(drafts("a")[0], content=content),)))


def test_chunks_that_come_once_more_after_their_settle_are_not_kept(child: Child, world: World) -> None:
    child.claimer(1).claim()
    outcome = large(child.begin())
    for _ in range(2):
        assert child.worker().settle(outcome) is Standing.HELD
        assert building.rows_of(world.engine, StagedChunk) == []


def test_a_large_outcome_the_refusal_of_which_got_lost_is_refused_again(child: Child, world: World) -> None:
    child.claimer(1).claim()
    order = child.begin()
    building.change(world.engine, Allocation, order.allocation_id, execution="somebody else")
    child.road.drop_settles = 1
    assert child.worker().settle(large(order)) is Standing.SUPERSEDED
    assert building.rows_of(world.engine, StagedChunk) == []


def test_refused_credentials_stop_the_calls_keep_the_results_and_new_ones_go_on(
    child: Child, world: World
) -> None:
    child.claimer(1).claim()
    order = child.begin()
    fresh = credentials.new_pair()
    transact(world.engine, lambda session: credentials.rotate(session, world.node_id, fresh))
    outcome = outcome_of(order)
    with pytest.raises(CredentialsRefused, match="put the new api_key"):
        child.worker().settle(outcome)
    child.outbox.put(outcome, final=True)
    asked = len(child.road.sent)
    for _ in range(3):
        with pytest.raises(CredentialsRefused):
            child.claimer().claim()
        assert child.outbox.drain(child.worker("")) == 0
    assert len(child.road.sent) == asked
    child.pair = Pair(fresh.api_key, fresh.api_secret)
    assert child.outbox.drain(child.worker("")) == 1
    assert len(child.claimer().claim()) == 2


def test_what_a_dead_worker_held_goes_back_at_once_and_what_it_finished_does_not(
    child: Child, world: World
) -> None:
    child.claimer(3).claim()
    lost, finished, others = child.begin("x1"), child.begin("x2"), child.begin("x3", "w2")
    child.outbox.put(outcome_of(finished), final=True)
    HttpKeeper(child.worker(""), child.outbox).give_back_worker(Death("w1", "signal 9", blames=True))
    found = states(world.engine, Allocation)
    assert [found[one.allocation_id] for one in (lost, finished, others)] == [
        "failed",
        "executing",
        "executing",
    ]
    assert "signal 9" in row_of(world.engine, Allocation, lost.allocation_id).error_message
    assert [entry.execution for entry in child.journal.entries()] == ["x2", "x3"]
    assert building.counted(world.engine, WorkItem) == {"waiting": 1, "assigned": 2}


def test_nothing_is_given_back_while_the_parent_is_away_and_nothing_twice(child: Child, world: World) -> None:
    child.claimer(1).claim()
    child.begin("x1")
    keeper = HttpKeeper(child.worker(""), child.outbox)
    child.road.is_cut = True
    with pytest.raises(Unavailable):
        keeper.give_back_start(INSTANCE)
    assert child.stages() == [BEGUN]
    child.road.is_cut = False
    child.road.lose = ["lost"]
    for _ in range(2):
        keeper.give_back_start(INSTANCE)
    assert child.stages() == []
    assert counted(world) == {"failed": 1, "pending": 2}


def test_a_full_outbox_stops_the_claiming_and_says_so_once(
    child: Child, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    claimer = child.claimer()
    claimer.limit, claimer.outbox = OutboxLimit(entries=1), child.outbox
    kept = child.outbox.put(Outcome("a", 1, "x", "update"), final=True)
    for _ in range(2):
        assert claimer._is_outbox_full()
    assert caplog.text.count("ALARM: 1 finished results wait") == 1
    kept.unlink()
    assert not claimer._is_outbox_full()
    assert caplog.text.count("has room again") == 1


def test_renewals_carry_every_lease_and_say_what_became_of_each(child: Child, world: World) -> None:
    child.claimer(2).claim()
    mine, gone = child.begin("x1"), child.begin("x2")
    building.change(world.engine, Allocation, gone.allocation_id, execution="somebody else")
    leases = [Lease(one.allocation_id, 1, one.execution) for one in (mine, gone)]
    assert child.worker().renew(leases) == {"x1": Standing.HELD, "x2": Standing.SUPERSEDED}


def test_claimed_work_that_waits_here_is_held_by_beats_while_a_worker_lives(
    child: Child, world: World
) -> None:
    child.claimer(2).claim()
    begun = child.begin()
    waiting = next(entry for entry in child.journal.entries() if entry.stage == CLAIMED)
    teller = child.teller()
    building.expire(world.engine)
    teller.beat(0, OutboxReport(), None)
    assert recover_expired(world.engine, 6) == 2
    assert row_of(world.engine, Allocation, begun.allocation_id).state == "failed"
    pump(world.engine, None, building.LIMITS)
    child.claimer(3).claim()
    building.expire(world.engine)
    teller.beat(1, OutboxReport(), None)
    assert recover_expired(world.engine, 6) == 0
    assert waiting.allocation_id not in {entry.allocation_id for entry in child.journal.entries()}


@pytest.mark.parametrize("came_through", [True, False])
def test_work_the_begin_of_which_was_never_answered_is_held_too(
    child: Child, world: World, came_through: bool
) -> None:
    child.claimer(1).claim()
    if came_through:
        child.road.lose = ["begin"] * 2
    else:
        child.road.is_cut = True
    with pytest.raises(Unavailable):
        child.begin()
    child.road.is_cut = False
    [entry] = child.journal.entries()
    assert (entry.stage, entry.execution) == (CLAIMED, "x1")
    state = row_of(world.engine, Allocation, entry.allocation_id).state
    assert state == ("executing" if came_through else "claimed")
    building.expire(world.engine)
    child.teller().beat(1, OutboxReport(), None)
    assert recover_expired(world.engine, 6) == 0
    # Whoever comes next begins it with the same execution.
    assert child.begin("x2").execution == "x1"


def test_what_the_parent_has_given_to_others_takes_no_place_here_whatever_became_of_its_worker(
    child: Child, world: World
) -> None:
    child.claimer(3).claim()
    lost, finished = child.begin("x1"), child.begin("x2")
    child.journal.finish("x2")
    for order in (lost, finished):
        building.expire(world.engine, order.allocation_id)
    assert recover_expired(world.engine, 6) == 2
    child.teller().beat(1, OutboxReport(), None)
    assert sorted(child.stages()) == [CLAIMED, FINISHED]


def test_a_beat_tells_of_all_that_waits_here(child: Child, world: World) -> None:
    teller, kept = child.teller(), Outbox(child.folder / "ticks", CIPHER)
    teller.kept = kept
    kept.put(Outcome("tick-a", 1, "x", "update"), final=True)
    teller.beat(1, OutboxReport(2, 5.0, 1), None)
    node = row_of(world.engine, Node)
    assert (node.outbox_entries, node.outbox_dead) == (3, 1)


def test_a_start_whose_place_another_took_ends_with_the_parents_sentence(child: Child, world: World) -> None:
    ended: list[bool] = []
    teller = child.teller()
    teller.instance_lost = lambda: ended.append(True)
    teller.beat(1, OutboxReport(), None)
    building.change(world.engine, Node, instance="another start", presence_at=now())
    with pytest.raises(InstanceRefused, match="Another process"):
        teller.beat(1, OutboxReport(), None)
    assert ended == [True]


def test_an_absence_is_noticed_and_the_outbox_waits_a_moment_after_it(child: Child, world: World) -> None:
    clock = [100.0]
    child.contact.clock, child.contact.roll = lambda: clock[0], lambda: 0.5
    teller = child.teller()
    assert not child.contact.may_drain()
    teller.beat(1, OutboxReport(), None)
    assert child.contact.may_drain()
    child.road.is_cut = True
    with pytest.raises(ParentAway):
        teller.beat(1, OutboxReport(), None)
    clock[0] += 40
    assert (child.contact.away_seconds, child.contact.may_drain()) == (40, False)
    child.road.is_cut = False
    teller.beat(1, OutboxReport(), None)
    assert not child.contact.may_drain()
    clock[0] += 15
    assert child.contact.may_drain()


def test_what_the_local_redis_lost_is_enqueued_again_from_the_journal(
    child: Child, world: World, redis_client: Redis
) -> None:
    local = LocalQueues(redis_client, child.journal, 120.0)
    local.offer(child.claimer(2).claim())
    assert queues.length(redis_client, "node:n") == 2
    assert local.mend() == 0
    redis_client.flushall()
    child.begin("x1")
    assert local.mend() == 1
    assert queues.length(redis_client, "node:n") == 1
