"""Heartbeats, written in groups."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from backend.api.grouping import Groups
from backend.domain.errors import CascadeError
from backend.store import beats
from backend.store.beats import HeardBeat, SentBeat
from backend.store.session import transact


class Heartbeats:
    """Takes beats from many threads."""

    def __init__(self, engine: Engine, lease_seconds: float) -> None:
        self._engine = engine
        self._lease_seconds = lease_seconds
        self._groups: Groups[SentBeat, HeardBeat] = Groups(self._write)

    def hear(self, beat: SentBeat) -> HeardBeat:
        """Write the beat. Raises `Unauthenticated`, `Forbidden` and `Unavailable`."""
        return self._groups.ask(beat)

    def _write(self, group: Sequence[SentBeat]) -> Sequence[HeardBeat | CascadeError]:
        return transact(self._engine, lambda session: beats.hear(session, group, self._lease_seconds))
