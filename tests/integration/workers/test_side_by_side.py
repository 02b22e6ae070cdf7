"""Workers beside each other: what one has locked, no other waits for."""

from __future__ import annotations

from contextlib import ExitStack

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from backend.domain.identifiers import new_id
from backend.domain.orders import FetchResult
from backend.store.allocations import begin_next
from backend.store.session import create_engine_for
from backend.store.settlement import settle_update
from backend.store.tables import Allocation, WorkItem
from tests.building import ITEMS, allocation_ids, counted, drafts, make_world, outcome_of
from tests.databases import MariaDbTemplate
from tests.servers import MariaDb


def test_settles_of_different_allocations_do_not_wait_for_each_other(
    mariadb_template: MariaDbTemplate, mariadb: MariaDb
) -> None:
    engine = create_engine_for(mariadb_template.fresh(), pooled=False)
    world = make_world(engine, 40, capacity=40)
    orders = [world.ledger.begin(one, 1, new_id()) for one in allocation_ids(engine)]
    assert len(orders) == 10
    with ExitStack() as stack:
        for number, order in enumerate(orders):
            assert order is not None
            session = stack.enter_context(Session(engine))
            session.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
            # Articles of its own: two inserts into one gap of an index may wait for good reasons.
            found = FetchResult(drafts(f"a{number}"))
            settle_update(session, outcome_of(order, found), ITEMS)
            stack.callback(session.commit)
    assert counted(engine, Allocation) == {"completed": 10}
    assert counted(engine, WorkItem) == {"done": 40}


def test_begins_of_different_allocations_do_not_wait_for_each_other(
    mariadb_template: MariaDbTemplate, mariadb: MariaDb
) -> None:
    engine = create_engine_for(mariadb_template.fresh(), pooled=False)
    world = make_world(engine, 40, capacity=40)
    taker = world.ledger.taker
    with ExitStack() as stack:
        for _ in range(10):
            session = stack.enter_context(Session(engine))
            session.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
            assert begin_next(session, world.queue, new_id(), 100, taker) is not None
            stack.callback(session.commit)
    assert counted(engine, Allocation) == {"executing": 10}
    executions = select(WorkItem.execution).distinct()
    with Session(engine) as session:
        assert len(session.scalars(executions).all()) == 10
