"""Our own remote nodes over HTTP: one start at a time, work that fits and that they can do, and nothing lost between starts."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import get_args

import pytest
from redis import Redis
from sqlalchemy import select

from backend.api import door
from backend.api.schemas.remote import CheckpointRequest
from backend.dispatch import progress, repairs
from backend.domain import wire
from backend.domain.identifiers import new_id
from backend.domain.nodes import OutboxReport, why_feeds_wait
from backend.domain.orders import FetchResult, WorkOrder
from backend.domain.ports import Lease, Standing
from backend.domain.protocol import Capabilities
from backend.domain.wire import BeginAsk, CheckpointAsk, Lost, Renewal, SettleAsk
from backend.store import doors, nodes, recovery
from backend.store.columns import now
from backend.store.session import read
from backend.store.tables import Allocation, Article, Node, Pulse, StagedChunk, SyncLog, WorkItem
from tests.building import (
    change,
    counted,
    dispatch,
    drafts,
    expire,
    forget,
    make_feeds,
    make_task,
    outcome_of,
    row_of,
    rows_of,
    together,
)
from tests.integration.api.harness import Api, data
from tests.integration.api.remote_node import ABLE, RemoteNode, lease_of, make_remote


def work(api: Api, feeds: int = 1) -> None:
    """A run over new feeds, dispatched."""
    made = make_feeds(api.engine, feeds, f"h{new_id()[-12:]}.example.com")
    dispatch(api.engine, make_task(api.engine, made))


def begun(api: Api, node: RemoteNode) -> WorkOrder:
    """One allocation, claimed and begun."""
    work(api)
    order = node.begin(node.claim()[0])
    assert order is not None
    return order


def lease_left(api: Api) -> float:
    """For how many seconds the only allocation's lease still holds."""
    query = select(Allocation.lease_until, now())
    ends, current = read(api.engine, lambda session: session.execute(query).one())
    assert ends is not None
    return float((ends - current).total_seconds())


def test_work_is_claimed_begun_renewed_and_settled_with_everything_in_one_commit(api: Api) -> None:
    node = make_remote(api)
    work(api)
    (piece,) = node.claim()
    assert (piece.kind, piece.queue, piece.attempt, piece.size) == ("update", "node:far", 1, 1)
    order = node.begin(piece)
    assert order is not None
    change(api.engine, Allocation, lease_until=now(1))
    renewed = node.call(lease_of(order), "renew", Renewal((lease_of(order),), {piece.allocation_id: "half"}))
    assert data(renewed)["standings"] == {order.execution: "held"}
    assert 40 < lease_left(api) <= 45
    assert data(node.settle(outcome_of(order)))["standing"] == "held"
    assert (counted(api.engine, Allocation), counted(api.engine, WorkItem)) == ({"completed": 1}, {"done": 1})
    assert len(rows_of(api.engine, Article)) == 1


def test_an_answer_that_was_lost_is_asked_for_again_at_every_step(api: Api) -> None:
    node, claim_id = make_remote(api), new_id()
    work(api)
    (piece,) = node.claim(claim_id=claim_id)
    assert node.claim(claim_id=claim_id) == [piece]
    order = node.begin(piece, "x1")
    assert order is not None
    assert order == node.begin(piece, "x1")
    assert node.begin(piece, "x2") is None
    answers = [data(node.settle(outcome_of(order)))["standing"] for _ in range(3)]
    assert (answers, len(rows_of(api.engine, Article))) == (["held"] * 3, 1)
    assert node.claim(claim_id=claim_id) == []


def test_a_claim_never_exceeds_the_slots_unless_nothing_else_could_ever_run(api: Api) -> None:
    node = make_remote(api)
    for feeds in (4, 3, 2):
        work(api, feeds)
    sizes = sorted(row.item_count for row in rows_of(api.engine, Allocation))
    assert sum(sizes) == 9
    got = node.claim(slots=5)
    assert 0 < sum(piece.size for piece in got) <= 5
    rest = node.claim(slots=1)
    assert [piece.size for piece in rest] == [1] * len(rest)
    assert node.claim(slots=0) == []


def test_an_idle_node_gets_what_is_larger_than_all_of_its_slots(api: Api) -> None:
    node = make_remote(api)
    work(api, 10)
    largest = max(row.item_count for row in rows_of(api.engine, Allocation))
    assert largest > 1
    (piece,) = node.claim(slots=1)
    assert piece.size > 1
    assert all(one.size <= 1 for one in node.claim(slots=1))


def test_a_node_gets_only_kinds_of_work_that_it_offers_in_a_version_that_has_them(api: Api) -> None:
    node = make_remote(api)
    work(api)
    change(api.engine, Allocation, kind="publish")
    assert make_speaker(node, protocol=1).claim() == []
    assert make_speaker(node, capabilities=Capabilities()).claim() == []
    # No account of that platform belongs to it, so nobody knows that the node can do it.
    assert node.claim() == []
    change(api.engine, Allocation, kind="update")
    assert len(make_speaker(node, protocol=1).claim()) == 1


def make_speaker(node: RemoteNode, **changes: object) -> RemoteNode:
    return replace(node, **changes)  # type: ignore[arg-type]


def test_what_a_beat_says_is_what_the_planner_knows(api: Api) -> None:
    node = make_remote(api)
    row = row_of(api.engine, Node, node.id)
    assert (row.protocol, row.kinds, row.sources, row.publishers, row.machine) == (
        2,
        ["account", "publish", "update"],
        ["rss"],
        ["zhihu"],
        "far-away",
    )
    make_speaker(node, protocol=1).beat(outbox=OutboxReport(3, 12.0, 1))
    row = row_of(api.engine, Node, node.id)
    assert (row.kinds, row.outbox_entries, row.outbox_dead) == (["update"], 3, 1)
    assert row.outbox_oldest_at is not None
    node.present()
    assert row_of(api.engine, Node, node.id).kinds == ["update"]


def test_what_waits_for_a_node_that_can_no_longer_do_it_goes_back_to_the_planner_with_a_reason(
    api: Api,
) -> None:
    node = make_remote(api)
    work(api)
    make_speaker(node, capabilities=Capabilities(("publish",), ("rss",), ("zhihu",))).beat()
    assert (counted(api.engine, Allocation), counted(api.engine, WorkItem)) == (
        {"cancelled": 1},
        {"waiting": 1},
    )
    why = why_feeds_wait("rss", read(api.engine, nodes.facts))
    assert why is not None
    assert why.sentence() == "far: it does no update work"


def test_a_protocol_that_is_too_old_is_refused_with_what_to_do(api: Api) -> None:
    node = make_remote(api)
    told = make_speaker(node, protocol=0).beat(status=409)
    assert told["error"] == "protocol_too_old"


def test_a_second_live_process_with_the_same_identity_is_refused_and_told_where_the_first_one_is(
    api: Api,
) -> None:
    first = make_remote(api)
    second = first.restarted()
    answer = second.child.post("/heartbeat", {"instance": second.instance})
    assert answer.status_code == 409
    assert "on far-away, last heard of 0 s ago" in answer.get_json()["message"]
    assert second.claim(status=409)["error"] == "instance_refused"
    first.present()


def test_of_two_processes_that_start_at_the_same_moment_one_has_the_identity(api: Api) -> None:
    node = make_remote(api)
    node.present(signs_off=True)
    starts = [node.restarted() for _ in range(4)]
    answers = together(
        *(lambda one=one: one.child.post("/heartbeat", {"instance": one.instance}) for one in starts)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


def test_a_restart_on_the_same_data_directory_needs_not_wait(api: Api) -> None:
    first = make_remote(api)
    second = first.restarted()
    second.beat(replaces=first.instance)
    assert first.present(status=409)["error"] == "instance_refused"
    # Whoever was replaced can't take the place back by its own word.
    assert first.restarted().beat(replaces=first.instance, status=409)["error"] == "instance_refused"


def test_a_dead_process_makes_room_after_half_a_minute(api: Api) -> None:
    first = make_remote(api)
    change(api.engine, Node, first.id, presence_at=now(-31))
    first.restarted().present()


def test_a_new_start_gives_back_at_once_what_the_dead_one_held_and_keeps_what_it_lists(api: Api) -> None:
    first = make_remote(api)
    for _ in range(3):
        work(api)
    claimed = sorted(first.claim(), key=lambda piece: piece.allocation_id)
    known, lost, begun_by_dead = claimed
    first.begin(begun_by_dead)
    second = first.restarted()
    second.beat(known.allocation_id, replaces=first.instance)
    states = {row.id: (row.state, row.error_code) for row in rows_of(api.engine, Allocation)}
    assert states == {
        known.allocation_id: ("claimed", ""),
        lost.allocation_id: ("failed", "lost"),
        begun_by_dead.allocation_id: ("failed", "lost"),
    }
    assert counted(api.engine, WorkItem) == {"assigned": 1, "waiting": 2}
    assert second.begin(known) is not None


def test_a_start_that_has_been_replaced_begins_nothing_more(api: Api) -> None:
    first = make_remote(api)
    work(api)
    (piece,) = first.claim()
    first.restarted().beat(piece.allocation_id, replaces=first.instance)
    ask = BeginAsk(1, new_id(), first.instance)
    answer = first.call(Lease(piece.allocation_id, 1, ask.execution), "begin", ask)
    assert data(answer, 409)["error"] == "instance_replaced"


def test_what_the_node_lists_and_does_not_hold_it_hears_of(api: Api) -> None:
    node = make_remote(api)
    work(api)
    (piece,) = node.claim()
    assert node.beat(piece.allocation_id, "unheard-of").stale == ("unheard-of",)


def test_beats_never_renew_the_work_of_our_own_nodes_and_renewals_do_also_before_it_begins(api: Api) -> None:
    node = make_remote(api)
    work(api)
    (piece,) = node.claim()
    change(api.engine, Allocation, lease_until=now(2))
    node.beat(piece.allocation_id)
    node.present()
    assert lease_left(api) < 3
    waiting = Lease(piece.allocation_id, 1, "")
    renewed = data(node.call(waiting, "renew", Renewal((waiting,))))
    assert renewed["standings"] == {piece.allocation_id: "held"}
    assert lease_left(api) > 40


def test_how_far_work_is_travels_with_its_renewals_to_whoever_waits_for_it(
    api_with_redis: Api, redis_client: Redis
) -> None:
    node = make_remote(api_with_redis)
    order, account = begun(api_with_redis, node), new_id()
    change(api_with_redis.engine, Allocation, account_id=account)
    lease = lease_of(order)
    data(node.call(lease, "renew", Renewal((lease,), {order.allocation_id: "login", new_id(): "upload"})))
    assert progress.read(redis_client, [account]) == {account: "login"}
    stranger = make_remote(api_with_redis, "stranger")
    data(stranger.call(lease, "renew", Renewal((lease,), {order.allocation_id: "lies"})))
    assert progress.read(redis_client, [account]) == {account: "login"}


def test_nobody_renews_settles_or_checkpoints_the_work_of_another_node(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    stranger, lease = make_remote(api, "stranger"), lease_of(order)
    change(api.engine, Allocation, lease_until=now(2))
    assert data(stranger.call(lease, "renew", Renewal((lease,))))["standings"] == {
        order.execution: "superseded"
    }
    ask = wire.checkpoint_ask(lease, outcome_of(order))
    assert data(stranger.call(lease, "checkpoint", ask))["standing"] == "superseded"
    assert data(stranger.settle(outcome_of(order)), 409)["standing"] == "superseded"
    staged = stranger.child.client.post(
        f"{stranger.child.prefix}/allocations/{order.allocation_id}/settle?chunk=0&of=1&attempt=1"
        f"&execution={order.execution}",
        data=b"x",
    )
    assert data(staged, 409)["standing"] == "superseded"
    assert (lease_left(api) < 3, rows_of(api.engine, Article)) == (True, [])


def test_an_outcome_changes_only_feeds_of_its_own_allocation(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    (other,) = make_feeds(api.engine, 1, "other.example.com")
    outcome = outcome_of(order)
    sneaked = replace(outcome.items[0], item_id="foreign", feed_id=other)
    assert data(node.settle(replace(outcome, items=(*outcome.items, sneaked))))["standing"] == "held"
    assert {row.feed_id for row in rows_of(api.engine, Article)} == {order.feeds[0].feed_id}


def test_a_settle_that_comes_too_late_is_refused_recorded_and_keeps_what_is_useful(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    expire(api.engine)
    lost = Lost(1, order.execution, "its worker process ended: signal 9", blames=False)
    assert data(node.call(lease_of(order), "lost", lost))["standing"] == "superseded"
    assert counted(api.engine, WorkItem) == {"waiting": 1}
    for _ in range(2):
        assert data(node.settle(outcome_of(order)), 409)["standing"] == "superseded"
    # Nobody else had begun: the item took its late result.
    assert (counted(api.engine, WorkItem), len(rows_of(api.engine, Article))) == ({"done": 1}, 1)
    logged = [row for row in rows_of(api.engine, SyncLog) if row.operation == "settle"]
    assert [(row.status, row.extra_data["status"]) for row in logged] == [(2, 409)] * 2


def test_while_remote_nodes_can_reach_no_parent_their_work_is_not_given_away(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    door.stamp_once(api.engine, 45.0)
    expire(api.engine)
    # The beats went on; the parents' HTTP was away for a while.
    change(api.engine, Pulse, doors.DOOR, alive_at=now(-30))
    assert repairs.recover_expired(api.engine, 3) == 0
    door.stamp_once(api.engine, 45.0)
    assert repairs.recover_expired(api.engine, 3) == 0
    lease = lease_of(order)
    assert data(node.call(lease, "renew", Renewal((lease,))))["standings"] == {order.execution: "held"}
    change(api.engine, Allocation, lease_until=now(-1))
    change(api.engine, Pulse, doors.DOOR, recover_after=now(-1))
    assert repairs.recover_expired(api.engine, 3) == 1


def test_a_parent_that_is_gone_for_good_and_attached_nodes_hold_nothing_up(api: Api) -> None:
    begun(api, make_remote(api))
    door.stamp_once(api.engine, 45.0)
    expire(api.engine)
    change(api.engine, Pulse, doors.DOOR, alive_at=now(-30))
    change(api.engine, Node, transport="attached")
    assert len(read(api.engine, recovery.expired_leases)) == 1
    change(api.engine, Node, transport="remote")
    assert read(api.engine, recovery.expired_leases) == []
    change(api.engine, Pulse, doors.DOOR, alive_at=now(-601))
    assert len(read(api.engine, recovery.expired_leases)) == 1


def test_work_that_a_person_cancels_is_told_of_by_renew_and_checkpoint(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    change(api.engine, Allocation, cancel_requested=True)
    lease = lease_of(order)
    assert data(node.call(lease, "renew", Renewal((lease,))))["standings"] == {order.execution: "cancelled"}
    ask = wire.checkpoint_ask(lease, replace(outcome_of(order), items=()))
    assert data(node.call(lease, "checkpoint", ask))["standing"] == "cancelled"


def upload(node: RemoteNode, order: WorkOrder, packed: bytes, size: int) -> int:
    """The outcome in chunks; how many."""
    parts = [packed[start : start + size] for start in range(0, len(packed), size)]
    for number, part in enumerate(parts):
        stage(node, order, number, len(parts), part)
    return len(parts)


def stage(
    node: RemoteNode, order: WorkOrder, number: int, count: int, part: bytes, status: int = 200
) -> None:
    path = f"{node.child.prefix}/allocations/{order.allocation_id}/settle"
    query = f"?chunk={number}&of={count}&attempt={order.attempt}&execution={order.execution}"
    data(node.child.client.post(path + query, data=part), status)


def settle_staged(
    node: RemoteNode, order: WorkOrder, count: int, packed: bytes, status: int = 200
) -> dict[str, str]:
    ask = SettleAsk(order.attempt, order.execution, staged=count, sha256=wire.digest_of(packed))
    found: dict[str, str] = data(node.call(lease_of(order), "settle", ask), status)
    return found


def test_a_large_outcome_comes_in_chunks_and_is_applied_in_one_transaction(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    large = FetchResult(drafts(*"abcdefgh", content=secrets.token_hex(40_000)))
    packed = wire.pack(wire.encode(outcome_of(order, large)))
    assert settle_staged(node, order, 5, packed, 409)["error"] == "chunks_missing"
    stage(node, order, 0, 5, b"of another try")
    count = upload(node, order, packed, len(packed) // 3)
    assert rows_of(api.engine, Article) == []
    assert settle_staged(node, order, count, packed)["standing"] == "held"
    assert (len(rows_of(api.engine, Article)), rows_of(api.engine, StagedChunk)) == (8, [])
    assert settle_staged(node, order, count, packed)["standing"] == "held"


def test_chunks_that_were_damaged_or_hold_a_bomb_are_refused_and_nothing_is_applied(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    packed = wire.pack(wire.encode(outcome_of(order)))
    upload(node, order, packed, len(packed))
    assert settle_staged(node, order, 1, packed + b"x", 409)["error"] == "chunks_broken"
    bomb = wire.pack(b" " * (wire.MAX_OUTCOME_BYTES + 1))
    assert len(bomb) < wire.WHOLE_BYTES
    stage(node, order, 0, 1, bomb)
    assert settle_staged(node, order, 1, bomb, 422)["error"] == "too_large_unpacked"
    stage(node, order, 0, 1, packed[:-9])
    assert settle_staged(node, order, 1, packed[:-9], 422)["error"] == "broken_gzip"
    assert counted(api.engine, Allocation) == {"executing": 1}


def test_a_node_can_not_fill_the_database_with_chunks_and_old_ones_go(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_remote(api)
    order = begun(api, node)
    monkeypatch.setattr("backend.store.staging.NODE_BYTES", 1000)
    stage(node, order, 0, 2, b"x" * 600)
    stage(node, order, 1, 2, b"x" * 600, 429)
    stage(node, order, 0, 2, b"x" * 600)
    change(api.engine, StagedChunk, created_at=now(-90_000))
    assert forget(api.engine)["sweep_old_chunks"] == 1


def test_an_outcome_may_come_as_gzip_and_must_be_of_the_work_that_it_is_sent_for(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    outcome, path = outcome_of(order), f"{node.child.prefix}/allocations/{order.allocation_id}/settle"
    other = SettleAsk(1, order.execution, replace(outcome, allocation_id=new_id()))
    assert data(node.call(lease_of(order), "settle", other), 422)["error"] == "outcome_of_another"
    body = wire.pack(wire.encode(SettleAsk(1, order.execution, outcome)))
    answer = node.child.client.post(path, data=body, headers={"Content-Encoding": "gzip"})
    assert data(answer)["standing"] == Standing.HELD


def test_a_checkpoint_of_tomorrow_is_refused_with_a_sentence_and_a_known_one_keeps_its_part(api: Api) -> None:
    node = make_remote(api)
    order = begun(api, node)
    strange = CheckpointAsk(1, order.execution, "draft", {"of_tomorrow": 1})
    assert data(node.call(lease_of(order), "checkpoint", strange), 422)["error"] == "unknown_checkpoint"
    part = wire.checkpoint_ask(lease_of(order), outcome_of(order))
    assert data(node.call(lease_of(order), "checkpoint", part))["standing"] == "held"
    assert counted(api.engine, WorkItem) == {"done": 1}


def test_a_parent_takes_every_checkpoint_that_its_own_release_sends() -> None:
    taken = CheckpointRequest.model_fields["kind"].annotation
    assert set(get_args(taken)) == set(wire.CHECKPOINTS)


def test_the_answer_to_a_beat_says_what_the_node_must_know(api: Api) -> None:
    heard = make_remote(api, capabilities=ABLE).beat()
    assert (heard.protocol, heard.name, heard.slug, heard.capacity) == (2, "far", "far", 100)
    assert (heard.lease_seconds, heard.renew_seconds, heard.draining) == (45.0, 15.0, False)
