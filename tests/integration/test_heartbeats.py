"""Group commit of beats: many threads, few transactions, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from backend.api.heartbeats import Heartbeats
from backend.domain.errors import Unavailable
from backend.store.beats import HeardBeat, SentBeat
from backend.store.session import create_engine_for
from backend.store.tables import Node
from tests.building import rows_of, together
from tests.integration.api.playing import make_child


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_many_beats_at_once_are_all_counted_in_fewer_transactions(engine: Engine) -> None:
    pairs = [make_child(engine, f"n{number}")[1] for number in range(16)]
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)
    heartbeats = Heartbeats(engine, 1800.0)

    def beat_often(number: int) -> Callable[[], list[HeardBeat]]:
        sent = SentBeat(pairs[number].api_key, pairs[number].api_secret)
        return lambda: [heartbeats.hear(sent) for _ in range(10)]

    heard = together(*[beat_often(number) for number in range(16)])
    assert [[one.node.name for one in part] for part in heard] == [
        [f"n{number}"] * 10 for number in range(16)
    ]
    assert [node.beat_count for node in rows_of(engine, Node)] == [10] * 16
    assert len(commits) < 160


def test_when_nothing_can_be_written_everybody_is_told(tmp_path: Path) -> None:
    heartbeats = Heartbeats(create_engine_for(f"sqlite:///{tmp_path}/missing/x.db", pooled=False), 1800.0)

    def beat() -> str:
        with pytest.raises((OperationalError, Unavailable)) as told:
            heartbeats.hear(SentBeat("CNx", "CSx"))
        return type(told.value).__name__

    assert set(together(*[beat] * 8)) <= {"OperationalError", "Unavailable"}
    assert beat()
