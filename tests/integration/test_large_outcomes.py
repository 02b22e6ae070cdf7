"""What the database can't take because of its size does not stop what waits behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from backend.domain.errors import Unavailable
from backend.domain.identifiers import new_id
from backend.domain.orders import FetchResult, Outcome
from backend.store.session import create_engine_for
from backend.store.tables import Allocation
from backend.workers.outbox import Outbox
from tests import building
from tests.building import World
from tests.servers import MariaDb

SMALL_PACKET = 1_048_576


@pytest.fixture
def backend() -> str:
    """Only a server has such a limit."""
    return "mariadb"


def begun(world: World, size: int) -> Outcome:
    """An outcome whose article has so many characters."""
    order = world.ledger.begin(building.allocation_ids(world.engine)[0], 1, new_id())
    assert order is not None
    return building.outcome_of(order, FetchResult(building.drafts("a", content="x" * size)))


@pytest.mark.parametrize("size", [3_000_000, 20_000_000])
def test_an_entry_too_large_for_the_database_goes_to_the_dead_letters_and_the_others_are_settled(
    engine: Engine, mariadb: MariaDb, tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = building.make_world(engine, 2)
    outbox = Outbox(tmp_path, building.CIPHER)
    mariadb.set_global("max_allowed_packet", SMALL_PACKET)
    engine.dispose()
    outbox.put(begun(world, size), final=True)
    outbox.put(begun(world, 10), final=True)
    assert outbox.drain(world.ledger) == 2
    assert (outbox.report().entries, outbox.report().dead) == (0, 1)
    assert building.counted(engine, Allocation) == {"executing": 1, "completed": 1}
    assert "ALARM" in caplog.text


def test_a_large_statement_that_a_stopped_server_did_not_take_is_tried_again(
    migrated_url: str, mariadb: MariaDb, tmp_path: Path
) -> None:
    """The difference matters: that one is settled when the server is back."""
    engine = create_engine_for(migrated_url, pooled=True)
    world = building.make_world(engine)
    outbox = Outbox(tmp_path, building.CIPHER)
    outbox.put(begun(world, 200_000), final=True)
    mariadb.stop()
    assert outbox.drain(world.ledger) == 0
    assert (outbox.report().entries, outbox.report().dead) == (1, 0)
    mariadb.start()
    assert outbox.drain(world.ledger) == 1
    assert building.counted(engine, Allocation) == {"completed": 1}
    engine.dispose()


def test_who_settles_hears_that_the_size_is_the_trouble(engine: Engine, mariadb: MariaDb) -> None:
    world = building.make_world(engine)
    mariadb.set_global("max_allowed_packet", SMALL_PACKET)
    engine.dispose()
    outcome = begun(world, 20_000_000)
    with pytest.raises(OperationalError) as caught:
        world.ledger.settle(outcome)
    assert not isinstance(caught.value, Unavailable)
    assert "max_allowed_packet" in str(caught.value)
