"""A lane: a job is a wake-up, a slow item holds one slot, and nothing begins after a stop or a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from backend.domain.errors import Unavailable
from backend.domain.ports import Standing
from backend.workers.lane import WAKE_UP_SECONDS
from tests.servers import wait_until
from tests.unit.workers.fakes import Bench, update_order


@contextmanager
def serving(bench: Bench, allocation_id: str | None = None) -> Iterator[list[int]]:
    """A lane at work in a thread of its own; how many it began, once it has returned."""
    begun: list[int] = []
    thread = threading.Thread(target=lambda: begun.append(bench.lane.serve(allocation_id)))
    thread.start()
    try:
        yield begun
    finally:
        bench.source.release()
        thread.join(20)
    assert not thread.is_alive()


def test_a_wake_up_runs_its_own_allocation_and_whatever_else_waits(bench: Bench) -> None:
    orders = [update_order(name) for name in "abc"]
    bench.ledger.pending = list(orders)
    assert bench.lane.serve(orders[1].allocation_id) == 3
    assert {one.allocation_id for one in bench.ledger.settled} == {one.allocation_id for one in orders}


def test_the_wake_ups_of_what_was_begun_without_them_are_withdrawn(bench: Bench) -> None:
    orders = [update_order(name) for name in "abc"]
    bench.ledger.pending = list(orders)
    bench.lane.serve(orders[0].allocation_id)
    assert bench.withdrawn == [one.allocation_id for one in orders[1:]]


def test_a_wake_up_for_work_that_somebody_else_has_ends_quietly(bench: Bench) -> None:
    assert bench.lane.serve("gone") == 0
    assert bench.ledger.settled == []


def test_a_slow_feed_holds_one_slot_and_not_its_batch_s_worth(bench: Bench) -> None:
    bench.source.hold("slow")
    first = update_order("slow", "x", "y", "z")
    bench.ledger.pending = [first, *(update_order(f"{name}1", f"{name}2", f"{name}3") for name in "bcde")]
    with serving(bench, first.allocation_id):
        settled = bench.ledger.wait_settled(4)
        assert first.allocation_id not in {one.allocation_id for one in settled}
        assert bench.kit.slots.free == 3


def test_two_items_at_once_and_no_more_than_the_slots(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slots=2)
    bench.source.hold("a", "b", "c")
    bench.ledger.pending = [update_order(name) for name in "abc"]
    with serving(bench):
        bench.source.wait_started(2)
        assert bench.kit.slots.free == 0
        assert sorted(bench.source.started) == ["a", "b"]
        bench.source.release("a")
        bench.source.wait_started(3)
    bench.close()


def test_an_order_that_does_not_fit_waits_and_smaller_ones_go_first(bench: Bench) -> None:
    bench.source.hold("slow")
    slow, large, small = update_order("slow"), update_order(*"abcd"), update_order("e")
    bench.ledger.pending = [slow, large, small]
    with serving(bench, slow.allocation_id):
        [first] = bench.ledger.wait_settled(1)
        assert first.allocation_id == small.allocation_id
        bench.source.release()
        assert bench.ledger.wait_settled(3)[-1].allocation_id == large.allocation_id


def test_nothing_is_begun_after_a_stop(bench: Bench) -> None:
    bench.source.hold("slow")
    bench.ledger.pending = [update_order("slow")]
    with serving(bench) as begun:
        bench.source.wait_started(1)
        bench.kit.stop.set()
        # A look that was under way may still begin something; one that comes after the stop may not.
        looks = len(bench.ledger.looks)
        bench.source.gates["slow"].wait(0.1)
        assert len(bench.ledger.looks) - looks <= 1
        bench.ledger.pending.append(update_order("late"))
        bench.source.release()
    assert begun == [1]
    assert bench.source.started == ["slow"]


def test_nothing_is_begun_after_a_minute_and_what_runs_is_waited_for(bench: Bench) -> None:
    moment = [0.0]
    bench.lane.clock = lambda: moment[0]
    bench.source.hold("slow")
    bench.ledger.pending = [update_order("slow")]
    with serving(bench) as begun:
        bench.source.wait_started(1)
        moment[0] = WAKE_UP_SECONDS
        bench.ledger.pending.append(update_order("late"))
        bench.source.gates["slow"].wait(0.1)
        assert begun == []
    assert begun == [1]
    assert bench.source.started == ["slow"]
    assert bench.lane.serve() == 1


def test_a_database_that_is_away_at_the_first_begin_is_waited_for(bench: Bench) -> None:
    order = update_order("a")
    bench.ledger.pending, bench.ledger.away = [order], {"begin", "begin_next"}
    with serving(bench, order.allocation_id) as begun:
        wait_until(lambda: bench.ledger.begins == 2, 10, "a second try")
        bench.ledger.away = set()
        bench.ledger.wait_settled(1)
    assert begun == [1]


@pytest.mark.parametrize("end", ["a minute is over", "a stop"])
def test_a_begin_that_is_given_up_fails_the_wake_up(bench: Bench, end: str) -> None:
    bench.ledger.away = {"begin"}
    if end == "a stop":
        bench.kit.stop.set()
    else:
        moments = iter([0.0, WAKE_UP_SECONDS])
        bench.lane.clock = lambda: next(moments)
    with pytest.raises(Unavailable):
        bench.lane.serve("a")


def test_a_database_that_is_away_at_the_next_begin_harms_nothing(bench: Bench) -> None:
    order = update_order("a")
    bench.ledger.pending, bench.ledger.away = [order], {"begin_next"}
    assert bench.lane.serve(order.allocation_id) == 1
    assert len(bench.ledger.settled) == 1


def test_it_looks_again_when_the_database_is_back(bench: Bench) -> None:
    bench.source.hold("slow")
    slow = update_order("slow")
    bench.ledger.pending, bench.ledger.away = [slow, update_order("b")], {"begin_next"}
    with serving(bench, slow.allocation_id):
        wait_until(lambda: len(bench.ledger.looks) > 0, 10, "a look in vain")
        bench.ledger.away = set()
        bench.ledger.wait_settled(1)


def test_work_that_redis_forgot_is_found_while_other_work_runs(bench: Bench) -> None:
    bench.waiting = 0
    bench.source.hold("slow")
    slow = update_order("slow")
    bench.ledger.pending = [slow]
    with serving(bench, slow.allocation_id):
        bench.source.wait_started(1)
        bench.ledger.pending.append(update_order("b"))
        assert [one.items[0].feed_id for one in bench.ledger.wait_settled(1)] == ["b"]


def test_an_idle_slot_does_not_ask_the_database_all_the_time(bench: Bench) -> None:
    bench.source.hold("slow")
    bench.waiting = 3
    bench.ledger.pending = [update_order("slow")]
    with serving(bench):
        bench.source.wait_started(1)
        bench.source.gates["slow"].wait(0.5)
        assert len(bench.ledger.looks) <= 4


def test_an_order_whose_settle_breaks_ends_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.ledger.errors = {"settle": ZeroDivisionError()}
    bench.ledger.pending = [update_order("a"), update_order("b")]
    assert bench.lane.serve() == 2
    assert caplog.text.count("could not be settled") == 2
    assert bench.kit.slots.free == 4


def test_leases_are_renewed_while_the_work_lasts_and_not_longer(bench: Bench) -> None:
    bench.source.hold("slow")
    order = update_order("slow")
    bench.ledger.pending = [order]
    leases = bench.executor.leases
    with serving(bench):
        bench.source.wait_started(1)
        assert set(leases.renew_now()) == {order.execution}
    assert leases.renew_now() == {}
    assert bench.ledger.renewals == [{order.execution}]


def test_suspects_have_the_process_for_themselves(bench: Bench) -> None:
    """When it dies, it is known of what; and nothing innocent dies with it."""
    bench.source.hold("before", "suspect", "after")
    suspect = replace(update_order("suspect"), alone=True)
    first, last = update_order("before"), update_order("after")
    bench.ledger.pending = [first, suspect, last]
    with serving(bench, first.allocation_id):
        bench.source.wait_started(2)
        # It waits until nothing else runs, and holds up nobody meanwhile.
        assert sorted(bench.source.started) == ["after", "before"]
        bench.source.release("before", "after")
        bench.source.wait_started(3)
        bench.ledger.pending = [update_order("neighbour")]
        looks, began = len(bench.ledger.looks), time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.3, 5, "the time in which it would have company")
        assert bench.source.started[2:] == ["suspect"]
        bench.source.release("suspect")
        bench.ledger.wait_settled(4)
    assert bench.source.started[2:] == ["suspect", "neighbour"]
    assert len(bench.ledger.looks) > looks


def test_nothing_begins_beside_an_item_that_never_ended(bench: Bench) -> None:
    bench.source.hold("hangs")
    first = update_order("hangs", seconds=0.3)
    bench.ledger.pending = [first]
    bench.lane.serve(first.allocation_id)
    assert bench.kit.slots.abandoned == 1
    bench.ledger.pending = [update_order("next")]
    assert bench.lane.serve() == 0
    bench.source.release()
    wait_until(lambda: bench.kit.slots.abandoned == 0, 10, "its end after all")
    assert bench.lane.serve() == 1


@pytest.mark.parametrize(("alone", "left"), [(False, 0), (True, 1)])
def test_a_slow_item_that_was_cancelled_keeps_the_process_unless_it_is_a_suspect(
    bench: Bench, alone: bool, left: int
) -> None:
    bench.source.hold("slow")
    order = replace(update_order("slow"), alone=alone)
    bench.ledger.pending = [order]
    with serving(bench, order.allocation_id) as begun:
        bench.source.wait_started(1)
        bench.ledger.standing = Standing.CANCELLED
        bench.executor.leases.renew_now()
        wait_until(lambda: begun == [1], 20, "the end of the wake-up")
        assert (bench.kit.slots.free, bench.kit.slots.abandoned) == (3, left)
        bench.ledger.pending = [update_order("next")]
        assert bench.lane.serve() == 1 - left


def test_work_that_is_larger_than_all_slots_is_begun_without_its_wake_up_too(bench: Bench) -> None:
    """Or it would wait for Redis, however long that is away."""
    bench.waiting = 0
    bench.ledger.pending = [update_order(*"abcdefgh")]
    assert bench.lane.serve() == 1
    assert [len(one.items) for one in bench.ledger.settled] == [8]


def test_what_redis_does_not_know_is_begun_at_once_and_not_one_a_second(bench: Bench) -> None:
    bench.waiting = 0
    now = [0.0]
    bench.lane.clock = lambda: now[0]
    for name in "abcd":
        bench.source.hold(name)
    bench.ledger.pending = [update_order(name) for name in "abcd"]
    with serving(bench):
        wait_until(
            lambda: bench.kit.slots.free == 0, 10, "the begin of all four on a clock that stands still"
        )
