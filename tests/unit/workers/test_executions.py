"""One execution: every failure ends in an outcome, in the outbox, or in a lease that runs out; slots come back."""

from __future__ import annotations

import errno
import logging
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import WorkError
from backend.domain.orders import DeliveryOrder, Freeze, Outcome, WorkOrder
from backend.domain.ports import Checkpoint, Standing
from backend.workers.kit import Stop
from backend.workers.outbox import Outbox
from tests.servers import wait_until
from tests.unit.workers.fakes import Bench, FakeLedger, deliver_order, delivery, update_order

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
ROBOT_URL = "https://oapi.dingtalk.com/robot/send?access_token=abcdef"


def items(outcome: Outcome) -> dict[str, str]:
    """By item, the code of its failure; empty when it went well."""
    return {one.item_id: one.failure.code if one.failure else "" for one in outcome.items}


def receipts(outcome: Outcome) -> dict[str, str]:
    """The same by delivery."""
    return {one.delivery_id: one.failure.code if one.failure else "" for one in outcome.receipts}


# update


def test_each_feed_ends_by_itself(bench: Bench) -> None:
    bench.source.errors = {
        "known": WorkError("http_status", permanent=True, status=404, host="x"),
        "surprise": ZeroDivisionError("token=secret"),
        "exit": SystemExit(3),
    }
    assert bench.execute(update_order("good", "known", "surprise", "exit")) is Standing.HELD
    [outcome] = bench.ledger.settled
    assert items(outcome) == {
        "i-good": "",
        "i-known": "http_status",
        "i-surprise": "unexpected_error",
        "i-exit": "unexpected_error",
    }
    assert {one.item_id for one in outcome.items if one.failure and one.failure.permanent} == {"i-known"}
    assert outcome.handed_back == ()
    assert not [one for one in outcome.items if one.failure and "secret" in one.failure.message]


def test_a_host_that_answered_429_is_not_asked_again_meanwhile(bench: Bench) -> None:
    bench.source.errors = {"busy": WorkError("http_status", status=429, host="x", host_wait=60.0)}
    bench.execute(update_order("busy"))
    bench.execute(update_order("busy"))
    first, second = bench.ledger.settled
    assert items(first) == {"i-busy": "http_status"}
    assert [one.failure.host_wait for one in first.items if one.failure] == [60.0]
    [put_off] = second.items
    assert (put_off.result, put_off.failure) == (None, None)
    assert put_off.postponement is not None
    assert put_off.postponement.seconds == pytest.approx(60.0, abs=5.0)
    assert bench.source.started == ["busy"]


def test_a_host_behind_redirects_that_is_busy_is_held_too_and_a_mad_wish_stops_nobody(bench: Bench) -> None:
    bench.source.errors = {
        "busy": WorkError("http_status", status=429, host="x", host_wait=60.0, busy_host="behind.example"),
        "mad": WorkError("http_status", status=429, host="x", host_wait=float("inf"), retry_after=1e300),
    }
    bench.execute(update_order("busy", "mad", "fine"))
    [outcome] = bench.ledger.settled
    found = {one.item_id: one for one in outcome.items}
    assert found["i-fine"].result is not None
    mad, busy = found["i-mad"].failure, found["i-busy"].failure
    assert mad is not None
    assert busy is not None
    assert (mad.host_wait, mad.retry_after, busy.host) == (None, 86_400.0, "behind.example")
    assert bench.kit.hosts.enter("behind.example") is not None


def test_a_feed_of_a_kind_that_nobody_reads_fails_with_the_kinds_that_are_there(bench: Bench) -> None:
    strange = update_order("a")
    order = WorkOrder(
        "x",
        1,
        "e",
        "update",
        "node:n",
        5.0,
        feeds=tuple(
            type(one)(one.item_id, one.feed_id, "gopher", one.name, one.url) for one in strange.feeds
        ),
    )
    bench.execute(order)
    [failure] = [one.failure for one in bench.ledger.settled[0].items]
    assert failure is not None
    assert (failure.code, failure.permanent) == ("no_such_source", True)
    assert "rss" in failure.message


def test_a_feed_that_takes_too_long_fails_and_the_others_do_not(bench: Bench) -> None:
    bench.source.hold("slow")
    # On a busy machine half a second was too short for the good one.
    bench.execute(update_order("good", "slow", seconds=1.5))
    told = [one for one in (*bench.ledger.checkpoints, *bench.ledger.settled) if isinstance(one, Outcome)]
    assert [items(one) for one in told if one.items][-1]["i-slow"] == "deadline_exceeded"
    assert [one.item_id for outcome in told for one in outcome.items] == ["i-good", "i-slow"]


def test_early_feeds_are_checkpointed_while_a_slow_one_runs(bench: Bench) -> None:
    bench.source.hold("slow")
    order = update_order("quick", "slow")
    runner = threading.Thread(target=bench.execute, args=(order,))
    runner.start()
    wait_until(lambda: bool(bench.ledger.checkpoints), 10, "a checkpoint")
    bench.source.release()
    runner.join(10)
    [early] = bench.ledger.checkpoints
    assert isinstance(early, Outcome)
    assert (items(early), items(bench.ledger.settled[0])) == ({"i-quick": ""}, {"i-slow": ""})


def test_results_of_a_checkpoint_that_failed_come_with_the_settle(bench: Bench) -> None:
    bench.ledger.away = {"checkpoint"}
    bench.source.hold("slow")
    runner = threading.Thread(target=bench.execute, args=(update_order("quick", "slow"),))
    runner.start()
    wait_until(lambda: len(bench.source.started) == 2, 10, "the start")
    bench.source.gates["slow"].wait(0.5)
    bench.source.release()
    runner.join(10)
    assert items(bench.ledger.settled[0]) == {"i-quick": "", "i-slow": ""}
    assert bench.outbox.entries() == []


def test_a_warm_stop_hands_back_what_has_not_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slots=1, grace=0.0)
    bench.source.hold("runs")
    runner = threading.Thread(target=bench.execute, args=(update_order("runs", "waits"),))
    runner.start()
    bench.source.wait_started(1)
    bench.kit.stop.set()
    [outcome] = bench.ledger.wait_settled(1)
    runner.join(10)
    assert (items(outcome), sorted(outcome.handed_back)) == ({}, ["i-runs", "i-waits"])
    bench.close()
    assert bench.kit.slots.free == 1


def test_cancelled_work_is_given_up_when_a_renewal_says_so(bench: Bench) -> None:
    bench.source.hold("slow")
    runner = threading.Thread(target=bench.execute, args=(update_order("slow"),))
    runner.start()
    bench.source.wait_started(1)
    bench.ledger.standing = Standing.CANCELLED
    bench.executor.leases.renew_now()
    [outcome] = bench.ledger.wait_settled(1)
    runner.join(10)
    assert (items(outcome), outcome.handed_back) == ({}, ("i-slow",))


# settle and outbox


def test_an_outcome_that_can_t_be_settled_waits_in_the_outbox(bench: Bench) -> None:
    bench.ledger.away = {"settle"}
    assert bench.execute(update_order("a")) is Standing.HELD
    assert len(bench.outbox.entries()) == 1
    bench.ledger.away = set()
    assert bench.outbox.drain(bench.ledger) == 1
    assert items(bench.ledger.settled[0]) == {"i-a": ""}


def test_an_outcome_that_came_too_late_is_told_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.ledger.standing = Standing.SUPERSEDED
    assert bench.execute(update_order("a")) is Standing.SUPERSEDED
    assert "came too late" in caplog.text


def test_an_unknown_kind_of_work_ends_as_a_failure_and_gives_its_slots_back(bench: Bench) -> None:
    bench.execute(update_order("a", "b", kind="teleport"))
    assert set(items(bench.ledger.settled[0]).values()) == {"unexpected_error"}
    assert bench.kit.slots.free == 4


def test_a_bug_in_the_ledger_s_checkpoint_ends_as_a_failure_of_what_is_not_recorded(bench: Bench) -> None:
    bench.ledger.errors = {"freeze": ZeroDivisionError()}
    bench.execute(deliver_order(delivery("a"), delivery("b")))
    assert receipts(bench.ledger.settled[0]) == {"a": "unexpected_error", "b": "unexpected_error"}
    assert bench.hook.sent == {}
    assert bench.kit.slots.free == 4


class NoRoom(Outbox):
    """An outbox on a full disk."""

    def put(self, outcome: Outcome, *, final: bool) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def full(bench: Bench) -> Bench:
    """Neither the database nor the outbox can take anything."""
    bench.ledger.away = {"settle"}
    bench.executor = replace(bench.executor, outbox=NoRoom(bench.outbox.directory, bench.outbox.cipher))
    return bench


def test_an_outcome_that_neither_database_nor_outbox_can_take_is_held_until_one_can(
    full: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    order = update_order("a")
    thread = threading.Thread(target=full.execute, args=(order,))
    thread.start()
    wait_until(lambda: "ALARM" in caplog.text, 10, "the alarm")
    assert thread.is_alive()
    full.ledger.away = set()
    thread.join(20)
    assert [one.allocation_id for one in full.ledger.settled] == [order.allocation_id]


def test_a_stop_does_not_wait_for_room_for_ever(full: Bench) -> None:
    full.executor = replace(full.executor, kit=replace(full.kit, stop=Stop(0.0)))
    full.executor.kit.stop.set()
    with pytest.raises(OSError, match="No space"):
        full.execute(update_order("a"))


@dataclass
class HangingLedger(FakeLedger):
    """A database that takes connections and answers nothing, until it does."""

    hangs: threading.Event = field(default_factory=threading.Event)

    def settle(self, outcome: Outcome) -> Standing:
        assert self.hangs.wait(20)
        return super().settle(outcome)

    def checkpoint(self, order: WorkOrder, progress: Checkpoint) -> Standing:
        assert isinstance(progress, Freeze) or self.hangs.wait(20)
        return super().checkpoint(order, progress)


def test_what_ends_during_a_stop_is_safe_before_a_database_that_hangs_is_waited_for(bench: Bench) -> None:
    """A stop is over long before the database is given up; what the process then still had would be lost."""
    ledger = HangingLedger()
    bench.executor = replace(bench.executor, ledger=ledger)
    bench.kit.stop.set()
    runner = threading.Thread(target=bench.execute, args=(update_order("a"),))
    runner.start()
    wait_until(lambda: bool(bench.outbox.entries()), 10, "its copy")
    ledger.hangs.set()
    runner.join(20)
    assert (len(ledger.settled), bench.outbox.entries()) == (1, [])


def test_an_acknowledgement_during_a_stop_is_safe_before_a_database_that_hangs_is_waited_for(
    bench: Bench,
) -> None:
    ledger = HangingLedger()
    bench.executor = replace(bench.executor, ledger=ledger)
    for name in ("quick", "slow"):
        bench.hook.gates[name] = threading.Event()
    order = deliver_order(delivery("quick"), delivery("slow"))
    runner = threading.Thread(target=bench.execute, args=(order,))
    runner.start()
    wait_until(lambda: len(bench.hook.sent) == 2, 10, "both messages on their way")
    bench.kit.stop.set()
    bench.hook.gates["quick"].set()
    wait_until(lambda: bool(bench.outbox.entries()), 10, "what was acknowledged")
    ledger.hangs.set()
    bench.hook.gates["slow"].set()
    runner.join(20)
    assert [receipts(one) for one in ledger.settled] == [{"slow": ""}]
    bench.outbox.drain(ledger)
    assert receipts(ledger.checkpoints[-1]) == {"quick": ""}  # type: ignore[arg-type]


def test_beats_are_woken_after_each_settle(bench: Bench) -> None:
    bench.execute(update_order("a"))
    assert bench.settled == 1


# deliver


def test_each_delivery_ends_by_itself(bench: Bench) -> None:
    bench.hook.errors = {
        "refused": WorkError("http_status", permanent=True, response_status=404, status=404, host="x"),
        "surprise": ZeroDivisionError("token=secret"),
    }
    bench.execute(deliver_order(*map(delivery, ("good", "refused", "surprise"))))
    told = {key: code for one in (*bench.ledger.checkpoints, *bench.ledger.settled) if isinstance(one, Outcome)
            for key, code in receipts(one).items()}  # fmt: skip
    assert told == {"good": "", "refused": "http_status", "surprise": "unexpected_error"}


def test_an_unexpected_error_while_sending_counts_as_possibly_sent(bench: Bench) -> None:
    bench.hook.errors = {"a": ZeroDivisionError()}
    bench.execute(deliver_order(delivery("a")))
    [failure] = [one.failure for one in bench.ledger.settled[0].receipts]
    assert failure is not None
    assert failure.ambiguous


def test_a_template_that_can_t_be_rendered_fails_its_delivery_before_anything_is_sent(bench: Bench) -> None:
    bench.execute(deliver_order(delivery("bad", message_template="{{ 1 / 0 }}"), delivery("good")))
    [outcome] = bench.ledger.settled
    bad = next(one.failure for one in outcome.receipts if one.delivery_id == "bad")
    assert bad is not None
    assert bad.permanent
    assert set(bench.hook.sent) == {"good"}
    assert bench.kit.slots.free == 4


def test_a_notifier_that_is_not_installed_fails_its_delivery_by_name(bench: Bench) -> None:
    bench.kit.notifiers.pop("robot")  # type: ignore[attr-defined]
    bench.execute(deliver_order(delivery("a", web_hook_url=ROBOT_URL)))
    [failure] = [one.failure for one in bench.ledger.settled[0].receipts]
    assert failure is not None
    assert (failure.code, failure.permanent) == ("no_such_notifier", True)
    assert "robot" in failure.message


def test_bodies_are_fixed_before_anything_is_sent(bench: Bench) -> None:
    bench.execute(deliver_order(delivery("a"), delivery("b")))
    first = bench.ledger.checkpoints[0]
    assert isinstance(first, Freeze)
    assert first.messages == bench.hook.sent
    assert set(first.messages) == {"a", "b"}


def test_a_body_that_was_fixed_before_is_sent_again_unchanged(bench: Bench) -> None:
    bench.execute(deliver_order(delivery("a")))
    before = bench.hook.sent["a"]
    bench.execute(deliver_order(delivery("a", message_template="something else", frozen=before)))
    assert bench.hook.sent["a"] is before


@pytest.mark.parametrize("url", ["https://hooks.example.com/x", ROBOT_URL])
def test_nothing_is_sent_when_its_body_can_t_be_fixed(bench: Bench, url: str) -> None:
    bench.ledger.away = {"freeze"}
    bench.execute(deliver_order(delivery("a", web_hook_url=url), delivery("b", web_hook_url=url)))
    assert (bench.hook.sent, bench.robot.sent) == ({}, {})
    [outcome] = bench.ledger.settled
    assert (receipts(outcome), sorted(outcome.handed_back)) == ({}, ["a", "b"])
    assert bench.kit.slots.free == 4


def test_a_robot_s_message_is_fixed_alone_right_before_it_is_sent(bench: Bench) -> None:
    bench.execute(deliver_order(*(delivery(name, web_hook_url=ROBOT_URL) for name in "ab")))
    fixed = [set(one.messages) for one in bench.ledger.checkpoints if isinstance(one, Freeze)]
    assert sorted(map(sorted, fixed)) == [["a"], ["b"]]


def test_a_message_without_an_answer_at_the_deadline_is_marked_as_such(bench: Bench) -> None:
    bench.hook.gates["slow"] = threading.Event()
    bench.execute(deliver_order(delivery("slow"), seconds=0.05))
    [failure] = [one.failure for one in bench.ledger.settled[0].receipts]
    assert failure is not None
    assert (failure.code, failure.ambiguous) == ("answer_lost", True)


def test_acknowledgements_survive_while_the_database_is_away_and_come_with_the_settle_too(
    bench: Bench,
) -> None:
    bench.hook.gates["slow"] = threading.Event()
    bench.ledger.away = {"checkpoint"}
    runner = threading.Thread(
        target=bench.execute, args=(deliver_order(delivery("quick"), delivery("slow")),)
    )
    runner.start()
    wait_until(lambda: bool(bench.outbox.entries()), 10, "an entry in the outbox")
    bench.hook.gates["slow"].set()
    runner.join(10)
    [outcome] = bench.ledger.settled
    # Were it in the outbox alone, this settle would let it go to be sent again before the outbox is drained.
    assert receipts(outcome) == {"quick": "", "slow": ""}
    bench.ledger.away = set()
    bench.outbox.drain(bench.ledger)
    kept = [one for one in bench.ledger.checkpoints if isinstance(one, Outcome)]
    assert [receipts(one) for one in kept] == [{"quick": ""}]


def test_a_bug_after_sending_leaves_no_message_that_is_repeated_blindly(bench: Bench) -> None:
    bench.hook.gates["slow"] = threading.Event()
    bench.ledger.errors = {"checkpoint": ZeroDivisionError()}
    order = deliver_order(delivery("quick"), delivery("slow"), seconds=0.3)
    bench.execute(order)
    [outcome] = bench.ledger.settled
    ends = {one.delivery_id: one.failure for one in outcome.receipts}
    assert ends.keys() == {"quick", "slow"}
    assert ends["quick"] is None
    assert ends["slow"] is not None
    assert ends["slow"].ambiguous


# slots


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["update", "deliver", "teleport"]),
            st.lists(
                st.sampled_from(["good", "error", "exit", "template", "nobody"]), min_size=1, max_size=6
            ),
            st.sets(st.sampled_from(["checkpoint", "freeze", "settle"])),
            st.booleans(),
            st.sampled_from(list(Standing)),
        ),
        max_size=4,
    )
)
def test_slots_always_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    orders: list[tuple[str, list[str], set[str], bool, Standing]],
) -> None:
    logging.disable(logging.CRITICAL)
    bench = Bench(tmp_path_factory.mktemp("bench"), slots=3)
    try:
        for kind, behaviours, trouble, is_bug, standing in orders:
            bench.ledger.standing = standing
            bench.ledger.away = set() if is_bug else trouble
            bench.ledger.errors = dict.fromkeys(trouble, ValueError()) if is_bug else {}
            run_quietly(bench, _order(bench, kind, behaviours))
        bench.close()
        assert bench.kit.slots.free == 3
        assert bench.kit.slots._running == 0
    finally:
        logging.disable(logging.NOTSET)


def run_quietly(bench: Bench, order: WorkOrder) -> None:
    """As the lane does: a settle that raises ends its order only."""
    thread = threading.Thread(target=bench.execute, args=(order,))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def _order(bench: Bench, kind: str, behaviours: list[str]) -> WorkOrder:
    names = [f"{number}-{behaviour}" for number, behaviour in enumerate(behaviours)]
    troubles: dict[str, BaseException] = {}
    for name in names:
        if name.endswith("error"):
            troubles[name] = ValueError()
        if name.endswith("exit"):
            troubles[name] = SystemExit()
    bench.source.errors = bench.hook.errors = troubles
    if kind == "deliver":
        return deliver_order(*(_delivery(name) for name in names))
    return update_order(*names, kind=kind)


def _delivery(name: str) -> DeliveryOrder:
    template = "{{ 1 / 0 }}" if name.endswith("template") else "hello"
    return delivery(name, message_template=template)
