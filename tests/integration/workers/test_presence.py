"""What a node tells of its outbox with its beats."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from backend.domain.identifiers import first_id_of
from backend.store import nodes
from backend.store.node_views import NodeView
from backend.store.session import read
from backend.store.tables import Node
from backend.workers.instances import Instances
from backend.workers.outbox import Outbox
from backend.workers.presence import Presence, SharedCount, SqlTeller
from tests import building
from tests.unit.workers.fakes import FakeLedger


def tell(engine: Engine, outbox: Outbox, node_id: str) -> NodeView:
    """One beat of the node's presence; the node as people then see it."""
    teller = SqlTeller(engine, node_id, "i", "test")
    Presence(teller, FakeLedger(away={"settle"}), outbox, SharedCount()).tick()
    return read(engine, lambda session: nodes.get_node(session, node_id))


def test_a_beat_tells_how_much_waits_in_the_outbox_since_when_and_what_is_dead(
    engine: Engine, tmp_path: Path
) -> None:
    outbox, node_id = Outbox(tmp_path / "outbox", building.CIPHER), building.make_node(engine)
    empty = tell(engine, outbox, node_id)
    assert (empty.outbox_entries, empty.outbox_oldest_at, empty.outbox_dead) == (0, None, 0)
    order = building.begin(building.make_world(engine))
    for _ in range(2):
        outbox.put(building.outcome_of(order), final=True)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    newest = outbox.entries()[0]
    newest.rename(newest.with_name(f"{first_id_of(hour_ago)}.{newest.name.split('.', 1)[1]}"))
    (outbox.directory / "dead").mkdir()
    (outbox.directory / "dead" / "letter").touch()
    told = tell(engine, outbox, node_id)
    assert (told.outbox_entries, told.outbox_dead) == (2, 1)
    assert told.outbox_oldest_at is not None
    assert abs((told.outbox_oldest_at - hour_ago).total_seconds()) < 30


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_an_entry_that_was_put_there_by_hand_is_as_old_as_its_file(engine: Engine, tmp_path: Path) -> None:
    outbox, node_id = Outbox(tmp_path, building.CIPHER), building.make_node(engine)
    (tmp_path / "copied.outcome").write_text("x")
    told = tell(engine, outbox, node_id)
    assert told.outbox_entries == 1
    assert told.outbox_oldest_at is not None


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("deployed", [True, False])
def test_a_start_that_stops_does_not_sign_off_the_node_while_the_next_one_lives(
    engine: Engine, tmp_path: Path, deployed: bool
) -> None:
    node_id = building.make_node(engine)
    old, new = (Instances(tmp_path / "instances", name) for name in ("old", "new"))
    locks = [one.arrive() for one in ((old, new) if deployed else (old,))]
    presence = Presence(
        SqlTeller(engine, node_id, "old", "test"),
        FakeLedger(),
        Outbox(tmp_path / "outbox", building.CIPHER),
        SharedCount(),
        others_live=old.others_live,
    )
    presence.tick()
    presence._sign_off()
    assert (building.row_of(engine, Node, node_id).presence_at is not None) == deployed
    for lock in locks:
        os.close(lock)
    assert new.departed() == ["old"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "error",
    [OSError(errno.EROFS, "Read-only file system"), OperationalError("SELECT secret", None, Exception("?"))],
)
def test_a_step_that_fails_again_and_again_keeps_no_node_from_beating_and_floods_no_log(
    engine: Engine, tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    node_id = building.make_node(engine)

    def fail() -> None:
        raise error

    outbox = Outbox(tmp_path / "outbox", building.CIPHER)
    teller = SqlTeller(engine, node_id, "i", "test")
    presence = Presence(teller, FakeLedger(), outbox, SharedCount(), inherit=fail)
    for _ in range(3):
        presence.tick()
    assert building.row_of(engine, Node, node_id).presence_at is not None
    assert caplog.text.count("could not do one of its steps") == 1
    assert "secret" not in caplog.text
