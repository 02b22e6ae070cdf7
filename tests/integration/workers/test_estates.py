"""What dead workers held goes back exactly once, even while the database is away, and never what others hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from backend.dispatch.pump import pump
from backend.domain.errors import Unavailable
from backend.domain.orders import WorkOrder
from backend.domain.ports import Standing
from backend.store.allocations import Taker
from backend.store.planning import Placed
from backend.store.tables import Allocation, Delivery, WorkItem
from backend.workers.deaths import Death
from backend.workers.estates import Heir, SqlKeeper
from backend.workers.instances import Instances
from backend.workers.ledger import SqlLedger
from backend.workers.outbox import Outbox
from tests import building
from tests.building import CIPHER, outcome_of, row_of
from tests.databases import MariaDbTemplate
from tests.servers import MariaDb


class Estate:
    """The presence's side over a database, with deaths that a test tells."""

    def __init__(self, folder: Path, engine: Engine, ledger: SqlLedger) -> None:
        self.told: list[Death] = []
        self.offered: list[Placed] = []
        self.outbox = Outbox(folder / "outbox", CIPHER)
        self.keeper = SqlKeeper(engine, ledger.taker.node_id, 6, self.offered.extend)
        self.heir = Heir(
            keeper=self.keeper,
            outbox=self.outbox,
            ledger=ledger,
            listen=self._heard,
            instances=Instances(folder / "instances", "own"),
        )

    def _heard(self) -> list[Death]:
        heard, self.told[:] = list(self.told), []
        return heard

    def die(self, worker: str, *, blames: bool = True) -> None:
        """The supervisor says so, and the presence looks."""
        self.told.append(Death(worker, "signal 9", blames))
        self.heir.settle_estates()


def worker(ledger: SqlLedger, name: str) -> SqlLedger:
    """The ledger of one worker process."""
    return replace(ledger, taker=Taker(ledger.taker.node_id, "instance", 45.0, name))


def begin(ledger: SqlLedger, execution: str) -> WorkOrder:
    """Begin the oldest pending allocation."""
    order = ledger.begin_next("node:n", execution, 100)
    assert order is not None
    return order


def test_only_what_the_dead_worker_held_is_given_back(engine: Engine, tmp_path: Path) -> None:
    world = building.make_world(engine, 2)
    estate = Estate(tmp_path, engine, world.ledger)
    dead, living = begin(worker(world.ledger, "w1"), "x1"), begin(worker(world.ledger, "w2"), "x2")
    estate.die("w1")
    assert row_of(engine, Allocation, dead.allocation_id).state == "failed"
    assert row_of(engine, Allocation, living.allocation_id).state == "executing"
    assert building.counted(engine, WorkItem) == {"waiting": 1, "assigned": 1}
    assert worker(world.ledger, "w2").settle(outcome_of(living)) is Standing.HELD
    # Hearing of it again changes nothing.
    estate.die("w1")
    assert building.counted(engine, WorkItem) == {"waiting": 1, "done": 1}
    assert estate.offered == []


def test_what_a_worker_finished_before_it_died_is_done_and_not_lost(engine: Engine, tmp_path: Path) -> None:
    world = building.make_world(engine)
    estate = Estate(tmp_path, engine, world.ledger)
    order = begin(worker(world.ledger, "w1"), "x1")
    estate.outbox.put(outcome_of(order), final=True)
    estate.die("w1")
    assert row_of(engine, Allocation).state == "completed"
    assert (row_of(engine, WorkItem).state, row_of(engine, WorkItem).deaths) == ("done", 0)


def test_a_delivery_s_next_attempt_is_enqueued_at_once(engine: Engine, tmp_path: Path) -> None:
    building.make_deliveries(engine)
    pump(engine, None, building.LIMITS)
    ledger = building.deliver_ledger(engine)
    estate = Estate(tmp_path, engine, ledger)
    order = worker(ledger, "w1").begin_next("default", "d1", 100)
    assert order is not None
    estate.die("w1")
    allocation = row_of(engine, Allocation, order.allocation_id)
    assert (allocation.state, allocation.attempt) == ("pending", 2)
    assert [(one.queue, one.attempt, one.kind) for one in estate.offered] == [("default", 2, "deliver")]
    assert row_of(engine, Delivery).state == "assigned"


def test_cancelled_work_of_a_dead_worker_ends_cancelled(engine: Engine, tmp_path: Path) -> None:
    world = building.make_world(engine)
    estate = Estate(tmp_path, engine, world.ledger)
    order = begin(worker(world.ledger, "w1"), "x1")
    building.change(engine, Allocation, order.allocation_id, cancel_requested=True)
    estate.die("w1")
    assert row_of(engine, Allocation).state == "cancelled"


def test_what_another_execution_has_meanwhile_stays_with_it(engine: Engine, tmp_path: Path) -> None:
    """The look and the recovery are two transactions: what changed in between is somebody else's."""
    world = building.make_world(engine)
    estate = Estate(tmp_path, engine, world.ledger)
    begin(worker(world.ledger, "w1"), "x1")
    orphans = estate.keeper._held_by(Death("w1", "signal 9", blames=True))
    building.change(engine, Allocation, execution="x2")
    estate.keeper.give_back(orphans)
    assert (len(orphans), row_of(engine, Allocation).state) == (1, "executing")


@pytest.mark.parametrize("backend", ["mariadb"])
def test_while_the_database_is_away_it_is_kept_in_mind(
    engine: Engine, tmp_path: Path, mariadb: MariaDb, mariadb_template: MariaDbTemplate
) -> None:
    world = building.make_world(engine)
    estate = Estate(tmp_path, engine, world.ledger)
    begin(worker(world.ledger, "w1"), "x1")
    mariadb.kill()
    with pytest.raises(Unavailable):
        estate.die("w1")
    mariadb.start()
    engine.dispose()
    estate.heir.settle_estates()
    assert row_of(engine, Allocation).error_code == "lost"
