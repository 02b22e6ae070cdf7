"""Deleting a feed or a message task ends its work truly and leaves nothing that waits for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict
from backend.domain.feeds import draft_feed
from backend.domain.identifiers import new_id
from backend.domain.message_tasks import CheckedTask, TaskContent, check_task
from backend.store import feeds, message_tasks, runs, transitions
from backend.store.cipher import Cipher
from backend.store.session import read, transact
from backend.store.tables import Allocation, Delivery, Feed, History, Run, WorkItem
from backend.store.transitions import Change
from tests.building import rows_of
from tests.servers import MariaDb, wait_until

CIPHER = Cipher("a key for tests only")
URL = "https://hooks.example.com/x"


def make_feed(engine: Engine, url: str) -> str:
    draft = draft_feed(url, kind="rss", known_kinds={"rss"})
    return transact(engine, lambda session: feeds.create_feed(session, draft)).id


def make_task(engine: Engine, *feed_ids: str) -> str:
    checked = check_task(TaskContent("T", feed_ids, message_type=1, web_hook_url=URL))
    task_id = new_id()
    return transact(engine, lambda session: message_tasks.create_task(session, CIPHER, task_id, checked)).id


def start(engine: Engine, task_id: str) -> str:
    """A run whose items are all made."""
    run = transact(engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="test"))
    assert transact(engine, lambda session: runs.expand_chunk(session, run.run_id))
    return run.run_id


def make_delivery(engine: Engine, task_id: str, feed_id: str, *states: str, in_flight: bool = False) -> str:
    """A delivery, moved through the states."""
    row = {
        "id": new_id(),
        "task_id": task_id,
        "feed_id": feed_id,
        "receiver": "r",
        "receiver_kind": "webhook",
        "in_flight": in_flight,
    }
    transact(engine, lambda session: transitions.create(session, Delivery, [row], "test"))
    before = "waiting"
    for state in states:
        move(engine, Delivery, str(row["id"]), before, state)
        before = state
    return str(row["id"])


def assign(engine: Engine, run_id: str, *states: str) -> str:
    """An allocation with all of the run's items, moved through the states."""
    task_id, items = read(
        engine,
        lambda session: (
            session.scalar(select(Run.task_id).where(Run.id == run_id)),
            session.scalars(select(WorkItem.id).where(WorkItem.run_id == run_id)).all(),
        ),
    )
    row = {
        "id": new_id(),
        "kind": "update",
        "queue": "node:n",
        "node_id": "n",
        "run_id": run_id,
        "task_id": task_id,
    }
    transact(engine, lambda session: transitions.create(session, Allocation, [row], "test"))
    for item in items:
        move(engine, WorkItem, item, "waiting", "assigned", allocation_id=row["id"])
    before = "pending"
    for state in states:
        move(engine, Allocation, str(row["id"]), before, state)
        before = state
    return str(row["id"])


def move(
    engine: Engine, table: transitions.Noun, one: str, source: str, target: str, **values: object
) -> None:
    change = Change((source,), target, "test")
    assert transact(engine, lambda session: transitions.move(session, table, [one], change, **values)) == 1


def states(engine: Engine, table: transitions.Noun) -> dict[str, str]:
    query = select(table.id, table.state)
    return read(engine, lambda session: {row.id: row.state for row in session.execute(query)})


def reasons(engine: Engine, table: transitions.Noun) -> set[str]:
    return set(read(engine, lambda session: session.scalars(select(table.reason)).all()))


def delete_feed(engine: Engine, feed_id: str) -> None:
    transact(engine, lambda session: feeds.delete_feed(session, feed_id, actor="user ana"))


def delete_task(engine: Engine, task_id: str) -> None:
    transact(engine, lambda session: message_tasks.delete_task(session, task_id, actor="user ana"))


def history(engine: Engine, noun: str) -> Sequence[Any]:
    query = select(History.from_state, History.to_state, History.actor).where(History.noun == noun)
    return read(engine, lambda session: session.execute(query.order_by(History.id)).all())


def test_a_feed_that_waits_is_deleted_and_its_item_cancelled_and_the_run_closed(engine: Engine) -> None:
    feed_id = make_feed(engine, "https://example.com/1")
    run_id = start(engine, make_task(engine, feed_id))
    delete_feed(engine, feed_id)
    assert set(states(engine, WorkItem).values()) == {"cancelled"}
    assert reasons(engine, WorkItem) == {"its feed was deleted"}
    assert states(engine, Run) == {run_id: "completed"}


def test_a_run_with_other_feeds_goes_on(engine: Engine) -> None:
    doomed, kept = make_feed(engine, "https://example.com/1"), make_feed(engine, "https://example.com/2")
    run_id = start(engine, make_task(engine, doomed, kept))
    delete_feed(engine, doomed)
    assert sorted(states(engine, WorkItem).values()) == ["cancelled", "waiting"]
    assert states(engine, Run) == {run_id: "running"}


def test_a_feed_that_a_node_is_collecting_is_not_deleted(engine: Engine) -> None:
    feed_id = make_feed(engine, "https://example.com/1")
    waiting = make_delivery(engine, make_task(engine, feed_id), feed_id)
    assign(engine, start(engine, make_task(engine, feed_id)), "executing")
    with pytest.raises(Conflict) as refused:
        delete_feed(engine, feed_id)
    assert refused.value.code == "feed_busy"
    assert read(engine, lambda session: feeds.get_feed(session, feed_id)).id == feed_id
    assert states(engine, Delivery) == {waiting: "waiting"}


def test_what_is_being_sent_while_its_feed_goes_stays_unconfirmed_and_the_rest_is_cancelled(
    engine: Engine,
) -> None:
    feed_id = make_feed(engine, "https://example.com/1")
    task_id = make_task(engine, feed_id)
    waiting = make_delivery(engine, task_id, feed_id)
    assigned = make_delivery(engine, task_id, feed_id, "assigned")
    sending = make_delivery(engine, task_id, feed_id, "assigned", in_flight=True)
    done = make_delivery(engine, task_id, feed_id, "assigned", "delivered")
    delete_feed(engine, feed_id)
    assert states(engine, Delivery) == {
        waiting: "cancelled",
        assigned: "cancelled",
        sending: "unconfirmed",
        done: "delivered",
    }


def test_deleting_a_task_ends_its_runs_items_and_allocations(engine: Engine) -> None:
    feed_id = make_feed(engine, "https://example.com/1")
    task_id, other_task = make_task(engine, feed_id), make_task(engine, feed_id)
    pending = assign(engine, start(engine, task_id))
    executing = assign(engine, start(engine, task_id), "executing")
    other = assign(engine, start(engine, other_task), "executing")
    start(engine, task_id)
    waiting = make_delivery(engine, task_id, feed_id)
    delete_task(engine, task_id)
    assert states(engine, Allocation) == {pending: "cancelled", executing: "executing", other: "executing"}
    assert sorted(states(engine, Run).values()) == ["cancelled", "cancelled", "cancelled", "running"]
    assert sorted(states(engine, WorkItem).values()) == ["assigned", "cancelled", "cancelled", "cancelled"]
    assert states(engine, Delivery) == {waiting: "cancelled"}
    asked = select(Allocation.id).where(Allocation.cancel_requested)
    assert read(engine, lambda session: session.scalars(asked).all()) == [executing]
    assert ("running", "cancelled", "user ana") in [tuple(row) for row in history(engine, "run")]
    assert ("pending", "cancelled", "user ana") in [tuple(row) for row in history(engine, "allocation")]


def test_a_run_that_is_still_being_expanded_adds_nothing_after_its_task_is_gone(engine: Engine) -> None:
    task_id = make_task(engine, make_feed(engine, "https://example.com/1"))
    run = transact(engine, lambda session: runs.start_run(session, task_id, trigger="manual", actor="test"))
    delete_task(engine, task_id)
    assert transact(engine, lambda session: runs.expand_chunk(session, run.run_id))
    assert states(engine, WorkItem) == {}
    assert states(engine, Run) == {run.run_id: "cancelled"}


def test_a_message_whose_worker_died_while_it_sent_it_is_not_kept_waiting_for_a_deleted_task(
    engine: Engine,
) -> None:
    """Recovery lets it wait with its mark, so that whoever begins it next decides whether it may be repeated."""
    feed_id = make_feed(engine, "https://a.example/feed")
    task_id = make_task(engine, feed_id)
    delivery_id = make_delivery(engine, task_id, feed_id, "assigned", "waiting", in_flight=True)
    delete_task(engine, task_id)
    assert states(engine, Delivery) == {delivery_id: "cancelled"}


def test_a_task_that_loses_its_receiver_sends_nothing_more(engine: Engine) -> None:
    feed_id = make_feed(engine, "https://example.com/1")
    task_id = make_task(engine, feed_id)
    waiting = make_delivery(engine, task_id, feed_id)
    before = read(engine, lambda session: message_tasks.get_task(session, CIPHER, task_id)).content
    after = check_task(TaskContent("T", (feed_id,), message_type=1))
    transact(
        engine,
        lambda session: message_tasks.update_task(session, CIPHER, task_id, before, after, actor="user ana"),
    )
    assert states(engine, Delivery) == {waiting: "cancelled"}


def test_two_people_who_change_a_task_at_once_do_not_overwrite_each_other(engine: Engine) -> None:
    task_id = make_task(engine, make_feed(engine, "https://example.com/1"))
    seen = read(engine, lambda session: message_tasks.get_task(session, CIPHER, task_id)).content
    mine = check_task(TaskContent("Mine", seen.feed_ids, message_type=1, web_hook_url=URL))
    yours = check_task(TaskContent("Yours", seen.feed_ids, message_type=1, web_hook_url=URL))

    def change(wanted: CheckedTask) -> str:
        return transact(
            engine,
            lambda session: message_tasks.update_task(session, CIPHER, task_id, seen, wanted, actor="ana"),
        ).content.name

    assert change(mine) == "Mine"
    assert change(mine) == "Mine", "a repeated commit is not a conflict with itself"
    with pytest.raises(Conflict) as refused:
        change(yours)
    assert refused.value.code == "task_changed"


def test_adding_a_feed_twice_by_a_repeated_commit_is_no_conflict(engine: Engine) -> None:
    draft = draft_feed("https://example.com/1", kind="rss", known_kinds={"rss"})
    first = transact(engine, lambda session: feeds.create_feed(session, draft))
    assert transact(engine, lambda session: feeds.create_feed(session, draft)) == first


def test_a_feed_that_comes_back_keeps_nothing_of_its_old_state(engine: Engine) -> None:
    feed_id = make_feed(engine, "https://example.com/1")
    transact(
        engine,
        lambda session: session.execute(update(Feed).values(etag="old", error_code="old")),
    )
    moved = draft_feed("https://example.com/2", kind="rss", known_kinds={"rss"})
    view = transact(engine, lambda session: feeds.update_feed(session, feed_id, address=moved))
    assert (view.url, view.error_code) == ("https://example.com/2", "")
    etag = read(engine, lambda session: session.scalar(select(Feed.etag)))
    assert etag == ""


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
@pytest.mark.parametrize("change", ["delete", "move"])
def test_whoever_changes_a_feed_waits_for_its_items_before_the_feed_as_settles_do(
    engine: Engine, mariadb: MariaDb, change: str
) -> None:
    """The other way round, a settle that holds an item and wants its feed would deadlock."""
    feed_id = make_feed(engine, "https://a.example/1")
    start(engine, make_task(engine, feed_id))
    address = draft_feed("https://b.example/2", kind="rss", known_kinds={"rss"})
    works: dict[str, Callable[[Session], object]] = {
        "delete": lambda session: feeds.delete_feed(session, feed_id, actor="ana"),
        "move": lambda session: feeds.update_feed(session, feed_id, address=address),
    }
    waiting = "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"
    with ThreadPoolExecutor(1) as pool, Session(engine) as settle:
        settle.execute(select(WorkItem.id).where(WorkItem.feed_id == feed_id).with_for_update())
        changing = pool.submit(lambda: transact(engine, works[change]))
        wait_until(lambda: bool(mariadb.execute(waiting)), 20, "the change that waits for the item")
        settle.execute(select(Feed.id).where(Feed.id == feed_id).with_for_update(nowait=True))
        settle.commit()
        changing.result(20)
    left = {row.url for row in rows_of(engine, Feed)}
    assert left == (set() if change == "delete" else {"https://b.example/2"})
