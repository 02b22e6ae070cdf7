"""The beat: it never falls over its database or Redis, wakes up once for many, and says that it lives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch import queues
from backend.dispatch.beat import Beat, Timer, serve
from backend.dispatch.broker import connect
from backend.store import alerts, hosts, recovery
from backend.store.columns import now
from backend.store.session import create_engine_for, read, transact
from backend.store.tables import Alert, Allocation, Host, MessageTask, Node, Pulse, Run, Tick, WorkItem
from backend.store.tables import Beat as BeatRow
from tests import building
from tests.building import LIMITS, row_of, rows_of
from tests.databases import MariaDbTemplate
from tests.servers import MariaDb, RedisServer, wait_until


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    """The product's own client, without its patience."""
    client = connect(redis_server.url, retries=0, answer_seconds=2)
    yield client
    client.close()


def beat_of(engine: Engine, client: Redis) -> Beat:
    """A beat whose timers are always due."""
    return Beat(
        engine=engine,
        redis=client,
        limits=LIMITS,
        lease_seconds=45.0,
        delivery_attempts=6,
        pulse=Timer(0),
        repair=Timer(0),
        lost=Timer(0),
    )


def test_a_tick_stamps_the_pulse_and_says_who_lives(engine: Engine, client: Redis) -> None:
    beat = beat_of(engine, client)
    beat.tick()
    assert [row.instance for row in rows_of(engine, BeatRow)] == [beat.instance]
    assert read(engine, recovery.live_beats) == 1
    before = row_of(engine, Pulse).alive_at
    beat.tick()
    assert row_of(engine, Pulse).alive_at > before
    beat.farewell()
    assert read(engine, recovery.live_beats) == 0


def test_wishes_of_hosts_that_are_over_are_forgotten(engine: Engine, client: Redis) -> None:
    transact(engine, lambda session: hosts.hold(session, {"over.example": -1.0, "busy.example": 60.0}))
    beat_of(engine, client).tick()
    assert [host.name for host in rows_of(engine, Host)] == ["busy.example"]


def test_a_tick_ends_what_must_be_left_alone_for_a_day_and_forgets_old_alerts(
    engine: Engine, client: Redis
) -> None:
    building.start_run(engine, building.make_task(engine, building.make_feeds(engine, 1)))
    transact(engine, lambda session: hosts.hold(session, {"example.com": 86_400.0}))
    transact(engine, lambda session: alerts.open_alert(session, "alert_feed_gone", "a"))
    building.change(engine, Alert, closed_at=now(-91 * 86_400.0))
    beat_of(engine, client).tick()
    assert (row_of(engine, WorkItem).state, row_of(engine, Run).state) == ("failed", "completed")
    assert rows_of(engine, Alert) == []


def test_a_tick_brings_everything_forward_that_waits(engine: Engine, client: Redis) -> None:
    """One tick plans what waits, lets go on what may, recovers what was lost and enqueues it all."""
    world = building.make_world(engine, 2)
    lost = world.ledger.begin(building.allocation_ids(engine)[0], 1, "x")
    assert lost is not None
    building.expire(engine)
    building.start_run(engine, world.task_id)
    beat = beat_of(engine, client)
    beat.tick()
    assert row_of(engine, Allocation, lost.allocation_id).state == "failed"
    assert building.counted(engine, WorkItem) == {"assigned": 4}
    assert queues.length(client, "node:n") == 3


def test_a_tick_fires_a_schedule_that_is_due_and_places_its_items_at_once(
    engine: Engine, client: Redis
) -> None:
    building.make_node(engine)
    building.make_task(engine, building.make_feeds(engine, 2), cron_exp="0 0 1 1 *")
    building.change(engine, MessageTask, next_fire_at=now(-1))
    for _ in range(2):
        beat_of(engine, client).tick()
    assert building.counted(engine, WorkItem) == {"assigned": 2}
    assert queues.length(client, "node:n") == 2
    assert row_of(engine, Tick).state == "fired"


def test_a_run_that_waits_for_another_starts_when_a_beat_sees_its_end(engine: Engine, client: Redis) -> None:
    building.make_node(engine)
    task_id = building.make_task(engine, building.make_feeds(engine, 1))
    for _ in range(2):
        building.dispatch(engine, task_id)
    building.change(engine, WorkItem, state="done")
    for _ in range(2):
        beat_of(engine, client).tick()
    assert building.counted(engine, WorkItem) == {"done": 1, "assigned": 1}


def test_a_beat_whose_database_is_away_goes_on_when_it_is_back(
    mariadb: MariaDb, mariadb_template: MariaDbTemplate, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine_for(mariadb_template.fresh(), pooled=True)
    building.make_node(engine)
    building.start_run(engine, building.make_task(engine, building.make_feeds(engine, 1)))
    beat = beat_of(engine, client)
    mariadb.stop()
    with caplog.at_level(logging.WARNING, "backend.dispatch.beat"):
        beat.tick()
        beat.tick()
        assert "database" in beat.away
        mariadb.start()
        beat.tick()
    assert beat.away == set()
    assert building.counted(engine, WorkItem) == {"assigned": 1}
    said = [record.getMessage() for record in caplog.records if "database" in record.getMessage()]
    assert len(said) == 2
    assert "does not answer" in said[0]
    assert "answers again" in said[1]
    engine.dispose()


def test_a_database_that_was_restarted_between_two_ticks_is_not_even_noticed(
    mariadb: MariaDb, mariadb_template: MariaDbTemplate, client: Redis
) -> None:
    engine = create_engine_for(mariadb_template.fresh(), pooled=True)
    beat = beat_of(engine, client)
    beat.tick()
    mariadb.restart()
    beat.tick()
    assert beat.away == set()
    engine.dispose()


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_a_database_that_freezes_during_a_tick_only_delays_it(
    engine: Engine, mariadb: MariaDb, client: Redis
) -> None:
    beat = beat_of(engine, client)
    beat.tick()
    with ThreadPoolExecutor(1) as pool:
        with mariadb.frozen():
            ticking = pool.submit(beat.tick)
            with pytest.raises(TimeoutError):
                ticking.result(0.5)
        ticking.result(20)
    assert beat.away == set()


def test_a_beat_without_redis_still_plans_and_enqueues_when_it_is_back(
    engine: Engine, redis_server: RedisServer, client: Redis
) -> None:
    building.make_node(engine)
    building.start_run(engine, building.make_task(engine, building.make_feeds(engine, 1)))
    redis_server.stop()
    beat = beat_of(engine, client)
    beat.sweeper.finder.seconds = -1
    beat.tick()
    assert building.counted(engine, Allocation) == {"pending": 1}
    redis_server.start()
    for _ in range(2):
        beat.tick()
    assert beat.away == set()
    assert queues.length(client, "node:n") == 1


def test_many_wake_ups_are_one(client: Redis, engine: Engine) -> None:
    beat = beat_of(engine, client)
    for _ in range(20):
        queues.wake(client)
    beat.wait(5)
    assert client.llen(queues.WAKE_KEY) == 0


def test_a_timer_is_due_at_once_and_then_after_its_time() -> None:
    time = [100.0]
    timer = Timer(5.0, clock=lambda: time[0])
    assert (timer.due(), timer.due()) == (True, False)
    time[0] += 4.9
    assert not timer.due()
    time[0] += 0.2
    assert (timer.due(), timer.due()) == (True, False)


def test_a_beat_serves_until_it_is_told_to_stop_and_reacts_to_a_wake_up(
    engine: Engine, client: Redis
) -> None:
    building.make_node(engine)
    task_id = building.make_task(engine, building.make_feeds(engine, 1))
    beat, stop = beat_of(engine, client), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve, beat, stop)
        wait_until(lambda: read(engine, recovery.live_beats) == 1, 10, "the beat's first tick")
        building.start_run(engine, task_id)
        queues.wake(client)
        wait_until(lambda: queues.length(client, "node:n") == 1, 10, "the placing")
        stop.set()
        queues.wake(client)
        serving.result(10)
    assert read(engine, recovery.live_beats) == 0
    assert [row.node_type for row in rows_of(engine, Node)].count(0) == 1


def test_a_beat_that_vanished_is_forgotten_after_an_hour(engine: Engine, client: Redis) -> None:
    beat_of(engine, client).tick()
    building.change(engine, BeatRow, alive_at=now(-3601))
    beat = beat_of(engine, client)
    beat.tick()
    beat.farewell()
    assert rows_of(engine, BeatRow) == []


def test_a_step_that_a_bad_row_breaks_does_not_stop_the_others(engine: Engine, client: Redis) -> None:
    world = building.make_world(engine)
    building.begin(world)
    building.expire(engine)
    with engine.begin() as connection:
        connection.execute(Node.__table__.update().values(feed_quota={"feed": "many"}))  # type: ignore[attr-defined]
    beat_of(engine, client).tick()
    assert building.states(engine, Allocation) != {}
    assert "executing" not in building.states(engine, Allocation).values()
