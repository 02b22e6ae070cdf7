"""Feeds that move, break and vanish, and hosts that want to be left alone: on the real databases."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from backend.dispatch.pump import Limits, pump
from backend.dispatch.repairs import close_runs, give_up_held, release_due
from backend.domain.errors import Conflict
from backend.domain.feeds import draft_feed
from backend.domain.identifiers import new_id
from backend.domain.orders import Failure, FetchResult, ItemOutcome, Outcome, Postponement, WorkOrder
from backend.domain.politeness import HostLimits
from backend.store import alerts, feeds, hosts, recovery, runs
from backend.store.columns import now
from backend.store.feed_health import MOVES_KEPT
from backend.store.scene import explain
from backend.store.session import read, transact
from backend.store.tables import Alert, Feed, FeedMove, Host, WorkItem
from backend.store.waiting import waiting
from tests import building
from tests.building import GONE, drafts, outcome_of, row_of, rows_of

MOVED_TO = "https://example.org/new"
FEED_GONE = replace(GONE, code="feed_gone")
BUSY = Failure("http_status", "the server answered 429", retry_after=600.0, host_wait=600.0)


def limits(concurrency: int) -> Limits:
    return Limits(120.0, HostLimits(concurrency))


def collect(engine: Engine, result: FetchResult | Failure, **feed: Any) -> building.World:
    """One feed whose work ended like this."""
    world = building.make_world(engine, 1)
    if feed:
        building.change(engine, Feed, **feed)
    world.ledger.settle(outcome_of(building.begin(world), result))
    return world


def moved(**values: str) -> FetchResult:
    told = {"final_url": MOVED_TO, "asked_url": "https://example.com/0", **values}
    return FetchResult(drafts("a"), **told)  # type: ignore[arg-type]


def again(world: building.World, result: FetchResult | Failure) -> None:
    """The feed's next run, with its end."""
    run_id = building.start_run(world.engine, world.task_id)
    pump(world.engine, None, limits(0))
    order = world.ledger.begin_next(world.queue, run_id, 10)
    assert order is not None
    world.ledger.settle(outcome_of(order, result))


# --- moves


def test_a_permanent_redirect_changes_the_address_and_is_recorded(engine: Engine) -> None:
    collect(engine, moved())
    feed, move = row_of(engine, Feed), row_of(engine, FeedMove)
    assert feed.url == MOVED_TO
    assert (move.feed_id, move.from_url, move.to_url) == (feed.id, "https://example.com/0", MOVED_TO)
    assert feed.url_hash == draft_feed(MOVED_TO, kind="rss", known_kinds={"rss"}).url_hash


def test_a_feed_that_moves_with_each_visit_keeps_its_newest_moves_only(engine: Engine) -> None:
    world = building.make_world(engine, 1)
    asked = "https://example.com/0"
    ledger, order = world.ledger, building.begin(world)
    for visit in range(MOVES_KEPT + 2):
        target = f"https://example.org/{visit}"
        ledger.settle(outcome_of(order, FetchResult(final_url=target, asked_url=asked)))
        asked, run_id = target, building.start_run(engine, world.task_id)
        pump(engine, None, limits(0))
        begun = ledger.begin_next(world.queue, run_id, 10)
        assert begun is not None
        order = begun
    moves = rows_of(engine, FeedMove)
    assert [move.to_url for move in (moves[0], moves[-1])] == [
        "https://example.org/2",
        f"https://example.org/{MOVES_KEPT + 1}",
    ]


@pytest.mark.parametrize(
    ("result", "feed"),
    [
        (moved(final_url=""), {}),
        (moved(final_url="https://example.com/0"), {}),
        (moved(final_url="https://user:secret@example.org/new"), {}),
        (moved(final_url="ftp://example.org/new"), {}),
        (moved(), {"url": "https://example.com/changed-by-a-person"}),
    ],
    ids=["not moved", "same", "holds a secret", "no address of a feed", "changed meanwhile"],
)
def test_an_address_stays_when_there_is_no_good_reason_to_change_it(
    engine: Engine, result: FetchResult, feed: dict[str, object]
) -> None:
    collect(engine, result, **feed)
    assert row_of(engine, Feed).url == feed.get("url", "https://example.com/0")
    assert rows_of(engine, FeedMove) == []


def test_a_feed_that_moved_onto_another_one_keeps_its_address_and_a_person_is_told_once(
    engine: Engine,
) -> None:
    other = draft_feed(MOVED_TO, kind="rss", name="The other", known_kinds={"rss"})
    transact(engine, lambda session: feeds.create_feed(session, other))
    world = collect(engine, moved())
    again(world, moved())
    assert row_of(engine, Feed, world.feed_ids[0]).url == "https://example.com/0"
    alert = row_of(engine, Alert)
    assert (alert.rule, alert.subject) == ("alert_feed_duplicate", world.feed_ids[0])
    assert alert.params["other"] == "The other"


# --- broken feeds


def test_each_failed_run_in_a_row_puts_the_next_check_off_and_success_ends_that(engine: Engine) -> None:
    world = collect(engine, GONE)
    waits = []
    for failures in (1, 2, 3):
        feed = row_of(engine, Feed)
        assert feed.failure_count == failures
        waits.append((feed.next_check_at - datetime.now(UTC)).total_seconds())
        again(world, GONE)
    assert waits == [pytest.approx(900, abs=30), pytest.approx(1800, abs=30), pytest.approx(3600, abs=30)]
    again(world, FetchResult(drafts("a")))
    feed = row_of(engine, Feed)
    assert (feed.failure_count, feed.next_check_at, feed.error_code) == (0, None, "")


def test_an_attempt_that_will_be_repeated_is_no_failed_run(engine: Engine) -> None:
    collect(engine, building.BROKEN)
    feed = row_of(engine, Feed)
    assert (feed.failure_count, feed.next_check_at, feed.error_code) == (0, None, "http_status")


@pytest.mark.parametrize(("trigger", "items"), [("schedule", 1), ("manual", 2)])
def test_schedules_leave_a_broken_feed_out_until_its_next_check_and_people_do_not(
    engine: Engine, trigger: str, items: int
) -> None:
    broken, due = building.make_feeds(engine, 2)
    building.change(engine, Feed, broken, next_check_at=now(60))
    building.change(engine, Feed, due, next_check_at=now(-1))
    task_id = building.make_task(engine, "all")
    run = transact(engine, lambda session: runs.start_run(session, task_id, trigger=trigger, actor="x"))
    transact(engine, lambda session: runs.expand_chunk(session, run.run_id))
    found = [item.feed_id for item in building.items_of(engine)]
    assert (len(found), due in found) == (items, True)


def test_a_feed_that_is_gone_is_switched_off_and_a_person_is_told(engine: Engine) -> None:
    world = collect(engine, FEED_GONE)
    feed = row_of(engine, Feed)
    assert (feed.is_active, feed.paused_reason, feed.next_check_at) == (False, "feed_gone", None)
    [alert], total = read(engine, lambda session: alerts.list_alerts(session, only_open=True))
    assert (total, alert.rule, alert.subject) == (1, "alert_feed_gone", world.feed_ids[0])
    assert feed.name in alert.sentence("zh")
    assert "feed resume" in alert.sentence("en")


@pytest.mark.parametrize("way", ["resume", "move", "delete"])
def test_the_alert_closes_when_a_person_looks_after_the_feed(engine: Engine, way: str) -> None:
    [feed_id] = collect(engine, FEED_GONE).feed_ids
    address = draft_feed("https://example.net/x", kind="rss", known_kinds={"rss"})
    ways = {
        "resume": lambda session: feeds.update_feed(session, feed_id, is_active=True),
        "move": lambda session: feeds.update_feed(session, feed_id, address=address),
        "delete": lambda session: feeds.delete_feed(session, feed_id, actor="ana"),
    }
    transact(engine, ways[way])
    assert read(engine, lambda session: alerts.list_alerts(session, only_open=True)) == ([], 0)
    [closed], _ = read(engine, alerts.list_alerts)
    assert closed.closed_at is not None
    if way == "resume":
        feed = row_of(engine, Feed)
        assert (feed.is_active, feed.paused_reason, feed.failure_count) == (True, "", 0)


def test_alerts_are_forgotten_long_after_they_closed_and_never_while_they_are_open(engine: Engine) -> None:
    for subject in ("open", "old", "new"):
        transact(engine, lambda session, of=subject: alerts.open_alert(session, "alert_feed_gone", of))  # type: ignore[misc]
    for subject, days in (("old", -91), ("new", -89)):
        transact(engine, lambda session, of=subject: alerts.close_alerts(session, of, "alert_feed_gone"))  # type: ignore[misc]
        one = next(alert.id for alert in rows_of(engine, Alert) if alert.subject == subject)
        building.change(engine, Alert, one, closed_at=now(days * 86_400.0))
    assert [building.forget(engine) for _ in range(2)] == [{"sweep_old_alerts": 1}, {}]
    assert {alert.subject for alert in rows_of(engine, Alert)} == {"open", "new"}


def test_an_alert_that_was_closed_opens_anew_when_it_happens_again(engine: Engine) -> None:
    world = collect(engine, FEED_GONE)
    transact(engine, lambda session: feeds.update_feed(session, world.feed_ids[0], is_active=True))
    again(world, FEED_GONE)
    _, total = read(engine, alerts.list_alerts)
    _, still_open = read(engine, lambda session: alerts.list_alerts(session, only_open=True))
    assert (total, still_open) == (2, 1)


# --- hosts


def run_on_hosts(engine: Engine, *names: str, each: int) -> None:
    """A run over so many feeds of each host."""
    ids = [one for name in names for one in building.make_feeds(engine, each, name)]
    building.start_run(engine, building.make_task(engine, ids))


def busy(engine: Engine) -> Counter[str]:
    return Counter(item.host for item in building.items_of(engine) if item.state == "assigned")


def test_a_host_never_has_more_items_than_its_limit_and_hides_nobody(engine: Engine) -> None:
    building.make_node(engine, capacity=100)
    run_on_hosts(engine, "crowded.example", "quiet.example", each=5)
    pump(engine, None, limits(2))
    assert busy(engine) == {"crowded.example": 2, "quiet.example": 2}
    assert pump(engine, None, limits(2)) == 0
    assert pump(engine, None, limits(4)) > 0
    assert busy(engine) == {"crowded.example": 4, "quiet.example": 4}


def test_one_pump_places_what_stands_behind_the_items_of_a_full_host(engine: Engine) -> None:
    building.make_node(engine, capacity=5)
    run_on_hosts(engine, "crowded.example", each=9)
    run_on_hosts(engine, "quiet.example", each=2)
    pump(engine, None, limits(2))
    assert busy(engine) == {"crowded.example": 2, "quiet.example": 2}


def test_pumps_that_run_at_once_keep_a_host_within_its_limit(engine: Engine) -> None:
    building.make_node(engine, capacity=100)
    run_on_hosts(engine, "a.example", "b.example", each=20)
    building.together(*[lambda: pump(engine, None, limits(3))] * 4)
    assert busy(engine) == {"a.example": 3, "b.example": 3}


def test_a_429_holds_the_other_feeds_of_its_host_until_it_is_over(engine: Engine) -> None:
    node_id = building.make_node(engine, capacity=100)
    run_on_hosts(engine, "busy.example", "calm.example", each=3)
    pump(engine, None, limits(1))
    ledger = building.ledger_for(engine, node_id)
    while order := ledger.begin_next("node:n", new_id(), 100):
        ledger.settle(
            outcome_of(
                order,
                {feed.feed_id: BUSY if "busy" in feed.url else FetchResult() for feed in order.feeds},
            )
        )
    pump(engine, None, limits(1))
    assert busy(engine) == {"calm.example": 1}
    building.change(engine, Host, held_until=now(-1))
    pump(engine, None, limits(1))
    assert busy(engine) == {"calm.example": 1, "busy.example": 1}
    assert building.forget(engine) == {"sweep_old_holds": 1}
    assert rows_of(engine, Host) == []


def test_items_that_wait_for_their_host_say_so(engine: Engine) -> None:
    building.make_node(engine, capacity=100)
    run_on_hosts(engine, "crowded.example", "busy.example", each=3)
    transact(engine, lambda session: hosts.hold(session, {"busy.example": 600.0}))
    transact(engine, lambda session: recovery.stamp_pulse(session, "beat", 45.0))
    pump(engine, None, limits(1))
    groups = read(engine, waiting)
    assert {(group.why.code, group.count) for group in groups} == {("why_host_held", 3), ("why_host_busy", 2)}
    whys = {
        (item.host, read(engine, lambda session, one=item.id: explain(session, one)).why.code)  # type: ignore[misc]
        for item in building.items_of(engine)
        if item.state == "waiting"
    }
    assert whys == {("busy.example", "why_host_held"), ("crowded.example", "why_host_busy")}


def test_a_shorter_wish_does_not_shorten_a_longer_one(engine: Engine) -> None:
    transact(engine, lambda session: hosts.hold(session, {"a": 600.0, "b": 1.0}))
    transact(engine, lambda session: hosts.hold(session, {"a": 5.0, "b": 600.0}))
    left = {name: until - datetime.now(UTC) for name, until in read(engine, hosts.held).items()}
    assert all(wait > timedelta(seconds=500) for wait in left.values())
    assert left.keys() == {"a", "b"}


def postponed(order: WorkOrder, seconds: float) -> Outcome:
    items = tuple(
        ItemOutcome(feed.item_id, feed.feed_id, postponement=Postponement("example.com", seconds))
        for feed in order.feeds
    )
    return Outcome(order.allocation_id, order.attempt, order.execution, order.kind, items)


def test_a_postponed_item_waits_without_having_been_tried(engine: Engine) -> None:
    world = building.make_world(engine, 1)
    world.ledger.settle(postponed(building.begin(world), 30.0))
    [item] = building.items_of(engine)
    assert (item.state, item.attempts, item.node_id, item.errors) == ("waiting", 0, None, [])
    assert "example.com is left alone" in item.reason
    assert pump(engine, None, limits(0)) == 0
    building.change(engine, WorkItem, not_before=now(-1))
    building.change(engine, Host, held_until=now(-1))
    assert release_due(engine) == 1
    assert pump(engine, None, limits(0)) == 1


def test_a_host_without_a_turn_soon_is_passed_over_instead_of_asked_with_each_of_its_items(
    engine: Engine,
) -> None:
    node_id = building.make_node(engine, capacity=100)
    run_on_hosts(engine, "example.com", "calm.example", each=5)
    ledger = building.ledger_for(engine, node_id)
    pump(engine, None, limits(2))
    while order := ledger.begin_next("node:n", new_id(), 100):
        ledger.settle(postponed(order, 30.0) if "example.com" in order.feeds[0].url else outcome_of(order))
    pump(engine, None, limits(2))
    assert set(busy(engine)) == {"calm.example"}


def test_a_run_does_not_wait_for_a_host_that_wants_a_day_of_quiet_and_schedules_leave_it_out(
    engine: Engine,
) -> None:
    node_id = building.make_node(engine, capacity=100)
    run_on_hosts(engine, "example.com", each=3)
    day = replace(BUSY, retry_after=86_400.0, host_wait=86_400.0)
    ledger = building.ledger_for(engine, node_id)
    pump(engine, None, limits(1))
    order = ledger.begin_next("node:n", new_id(), 100)
    assert order is not None
    ledger.settle(outcome_of(order, day))
    assert building.counted(engine, WorkItem) == {"failed": 1, "waiting": 2}
    assert (give_up_held(engine), give_up_held(engine)) == (2, 0)
    assert close_runs(engine) == 1
    asked, *others = building.items_of(engine)
    assert (asked.error_code, asked.attempts) == ("http_status", 1)
    assert {(item.error_code, item.attempts) for item in others} == {("host_held", 0)}
    assert "example.com asked to be left alone until" in others[0].error_message
    for feed in rows_of(engine, Feed):
        assert feed.next_check_at - datetime.now(UTC) > timedelta(hours=23)


def test_waiting_items_of_a_host_that_wants_an_hour_of_quiet_at_most_go_on_waiting(engine: Engine) -> None:
    run_on_hosts(engine, "example.com", "quiet.example", each=1)
    transact(engine, lambda session: hosts.hold(session, {"example.com": 3590.0, "other.example": 86_400.0}))
    assert give_up_held(engine) == 0
    assert building.counted(engine, WorkItem) == {"waiting": 2}


def test_an_item_whose_feed_gets_another_address_does_not_wait_for_the_old_host(engine: Engine) -> None:
    building.make_node(engine)
    run_on_hosts(engine, "busy.example", each=1)
    transact(engine, lambda session: hosts.hold(session, {"busy.example": 86_400.0}))
    address = draft_feed("https://calm.example/", kind="rss", known_kinds={"rss"})
    [feed] = rows_of(engine, Feed)
    transact(engine, lambda session: feeds.update_feed(session, feed.id, address=address))
    assert (give_up_held(engine), pump(engine, None, limits(1))) == (0, 1)
    assert busy(engine) == {"calm.example": 1}


def test_where_redirects_led_to_a_busy_host_both_get_their_quiet(engine: Engine) -> None:
    collect(engine, replace(BUSY, host="behind.example"))
    assert read(engine, hosts.held).keys() == {"example.com", "behind.example"}


def test_two_feeds_can_not_get_one_address_by_hand_either(engine: Engine) -> None:
    first, second = building.make_feeds(engine, 2)
    taken = draft_feed("https://example.com/0", kind="rss", known_kinds={"rss"})
    with pytest.raises(Conflict):
        transact(engine, lambda session: feeds.update_feed(session, second, address=taken))
    assert first != second
