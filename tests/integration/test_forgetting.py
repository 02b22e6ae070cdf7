"""History goes by its age, in small batches, and never what something unfinished still refers to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from backend.dispatch.forgetting import Forgetter
from backend.dispatch.pump import pump
from backend.dispatch.repairs import close_runs
from backend.domain.identifiers import new_id
from backend.domain.retention import Retention
from backend.store import retention
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import (
    Allocation,
    Article,
    Delivery,
    DeliveryArticle,
    History,
    PublishTask,
    Run,
    Tick,
    WorkItem,
)
from tests import building
from tests.building import World, row_of, rows_of

DAY = 86_400.0
KEYED = (Run, WorkItem, Allocation, Delivery)


def finished(engine: Engine, count: int = 2) -> World:
    """A run that has ended well, with its deliveries sent."""
    world = building.make_deliveries(engine, count)
    order = building.begin_deliveries(engine, new_id())
    building.change(engine, Delivery, state="delivered", ended_at=now())
    building.change(engine, Allocation, order.allocation_id, state="completed", ended_at=now())
    assert close_runs(engine) == 1
    return world


def make_old(engine: Engine, days: float = 31.0) -> None:
    """As if everything had happened so many days earlier: the ids say when their row was made."""

    def shift(session: Any) -> None:
        for table in KEYED:
            for row in session.query(table).all():
                values: dict[str, Any] = {"id": _older(row.id)}
                if row.ended_at is not None:
                    values["ended_at"] = now(-days * DAY)
                for name in ("run_id", "allocation_id"):
                    if getattr(row, name, None):
                        values[name] = _older(getattr(row, name))
                session.execute(update(table).where(table.id == row.id).values(**values))
        for row in session.query(History).all():
            moved = {"subject_id": _older(row.subject_id), "at": now(-days * DAY)}
            session.execute(update(History).where(History.id == row.id).values(**moved))
        for held in session.query(DeliveryArticle).all():
            of_article = DeliveryArticle.article_id == held.article_id
            session.execute(
                update(DeliveryArticle).where(of_article).values(delivery_id=_older(held.delivery_id))
            )

    transact(engine, shift)


def _older(identifier: str) -> str:
    return f"01000000{identifier[8:]}"


def counts(engine: Engine) -> dict[str, int]:
    """How many rows each table of a run's history has."""
    return {
        table.__tablename__: len(rows_of(engine, table))
        for table in (Run, WorkItem, Allocation, Delivery, History)
    }


def test_an_old_run_goes_with_all_that_belongs_to_it_and_what_was_sent_stays_known(engine: Engine) -> None:
    finished(engine)
    make_old(engine)
    assert set(building.forget(engine)) == {
        "sweep_old_runs", "sweep_old_deliveries", "sweep_old_allocations",
    }  # fmt: skip
    assert set(counts(engine).values()) == {0}
    assert (len(rows_of(engine, Article)), len(rows_of(engine, DeliveryArticle))) == (2, 2)
    assert building.forget(engine) == {}


def test_what_is_younger_or_kept_for_ever_stays(engine: Engine) -> None:
    finished(engine)
    make_old(engine, 29.0)
    before = counts(engine)
    assert building.forget(engine) == {}
    assert building.forget(engine, runs_days=0) == {}
    assert counts(engine) == before
    assert "sweep_old_runs" in building.forget(engine, runs_days=28)


@pytest.mark.parametrize(
    ("table", "state"),
    [
        (Run, "running"),
        (WorkItem, "waiting"),
        (WorkItem, "assigned"),
        (Delivery, "waiting"),
        (Delivery, "assigned"),
        (Allocation, "executing"),
        (Allocation, "pending"),
    ],
)
def test_a_run_of_which_something_is_unfinished_stays(engine: Engine, table: Any, state: str) -> None:
    finished(engine)
    make_old(engine)
    one = next(row for row in rows_of(engine, table) if table is not Allocation or row.kind == "update")
    building.change(engine, table, one.id, state=state)
    gone = building.forget(engine)
    assert "sweep_old_runs" not in gone
    assert (len(rows_of(engine, Run)), len(rows_of(engine, WorkItem))) == (1, 2)
    assert row_of(engine, table, one.id).state == state


def test_what_an_open_delivery_or_publish_task_names_stays(engine: Engine) -> None:
    finished(engine, 1)
    make_old(engine)
    (deliver,) = [row for row in rows_of(engine, Allocation) if row.kind == "deliver"]
    building.change(engine, Delivery, state="waiting")
    building.forget(engine)
    assert row_of(engine, Allocation, deliver.id)
    building.change(engine, Delivery, state="delivered", allocation_id=None)
    publish = {
        "id": new_id(),
        "user_id": "u",
        "account_id": "a",
        "state": "unconfirmed",
        "allocation_id": deliver.id,
    }
    transact(engine, lambda session: session.add(PublishTask(**publish)))
    building.forget(engine)
    assert row_of(engine, Allocation, deliver.id)
    building.change(engine, PublishTask, state="success")
    building.forget(engine)
    assert rows_of(engine, Allocation) == []


def test_a_run_that_is_tried_again_meanwhile_is_left_alone(engine: Engine) -> None:
    world = finished(engine)
    building.change(engine, Run, state="running")
    assert transact(engine, lambda session: retention.prune_run(session, world.run_id)) == 0
    assert len(rows_of(engine, WorkItem)) == 2


def test_old_history_goes_of_nodes_and_of_what_is_gone_and_stays_of_what_is_open(engine: Engine) -> None:
    world = building.make_world(engine)
    publish = {"id": "open", "user_id": "u", "account_id": "a", "state": "running"}
    transact(engine, lambda session: session.add(PublishTask(**publish)))
    for noun, subject in (
        ("node", world.node_id),
        ("run", "gone"),
        ("publish_task", "open"),
        ("publish_task", "gone"),
    ):
        row = {
            "noun": noun,
            "subject_id": subject,
            "actor": "a",
            "from_state": "",
            "to_state": "x",
            "reason": "",
        }
        transact(engine, lambda session, of=row: session.add(History(**of)))  # type: ignore[misc]
    building.change(engine, History, at=now(-31 * DAY))
    assert building.forget(engine)["sweep_old_history"] == 3
    left = Counter(row.subject_id for row in rows_of(engine, History))
    assert set(left) == {world.run_id, "open", building.allocation_ids(engine)[0]}


def test_the_text_of_old_articles_goes_only_when_it_is_asked_for_and_the_article_stays_known(
    engine: Engine,
) -> None:
    world = finished(engine)
    building.change(engine, Article, first_stored_at=now(-40 * DAY))
    assert building.forget(engine) == {}
    (first, second) = rows_of(engine, Article)
    held = next(row for row in rows_of(engine, DeliveryArticle) if row.article_id == first.id)
    building.change(engine, Delivery, held.delivery_id, state="waiting")
    assert building.forget(engine, articles_days=39) == {"sweep_old_articles": 1}
    assert row_of(engine, Article, first.id).content == "text"
    emptied = row_of(engine, Article, second.id)
    assert (emptied.content, emptied.summary, emptied.title) == ("", "", second.title)
    # The feed still lists it: it is not new, so it is not sent again.
    run_id = building.start_run(engine, world.task_id)
    pump(engine, None, building.LIMITS)
    for one in building.allocation_ids(engine):
        order = world.ledger.begin(one, 1, new_id())
        assert order is not None
        world.ledger.settle(building.outcome_of(order))
    assert run_id
    assert building.totals(engine) == (2, 2, 2)
    assert building.forget(engine, articles_days=39) == {}


def test_ticks_go_with_their_age(engine: Engine) -> None:
    for days in (29, 31):
        tick = {"id": new_id(), "task_id": "t", "state": "fired", "planned_at": now(-days * DAY)}
        transact(
            engine,
            lambda session, of=tick, at=days: session.add(  # type: ignore[misc]
                Tick(**of, last_planned_at=now(-at * DAY), decided_at=now(-at * DAY))
            ),
        )
    assert building.forget(engine, runs_days=0) == {}
    assert building.forget(engine) == {"sweep_old_ticks": 1}


@contextmanager
def largest_transaction(engine: Engine) -> Iterator[list[int]]:
    """The rows that each transaction changes meanwhile."""
    changed: list[int] = [0]

    def count(_connection: Any, cursor: Any, text: str, *_: Any) -> None:
        if text.startswith(("DELETE", "UPDATE")):
            changed[-1] += max(0, cursor.rowcount)

    def begin(_connection: Any) -> None:
        changed.append(0)

    event.listen(engine, "after_cursor_execute", count)
    event.listen(engine, "begin", begin)
    try:
        yield changed
    finally:
        event.remove(engine, "after_cursor_execute", count)
        event.remove(engine, "begin", begin)


def test_no_transaction_deletes_more_than_two_hundred_rows_and_a_pass_has_an_end(engine: Engine) -> None:
    building.make_node(engine, capacity=3000)
    feeds = building.make_feeds(engine, 450)
    building.start_run(engine, building.make_task(engine, feeds, url=""))
    building.change(engine, WorkItem, state="done", ended_at=now())
    close_runs(engine)
    make_old(engine)
    with largest_transaction(engine) as changed:
        building.forget(engine)
    assert 0 < max(changed) <= 200
    assert counts(engine) == {"runs": 0, "work_items": 0, "allocations": 0, "deliveries": 0, "history": 0}


def test_what_must_stay_does_not_keep_what_is_behind_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "WINDOW", 2)
    finished(engine, 5)
    make_old(engine)
    ids = sorted(building.states(engine, Delivery))
    for one in ids[:3]:
        building.change(engine, Delivery, one, state="waiting")
    forgetter = Forgetter(engine, Retention())
    for _ in range(3):
        for repair in forgetter.repairs:
            repair.run()
    assert sorted(building.states(engine, Delivery)) == ids[:3]
