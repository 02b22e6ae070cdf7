"""Group commit of heartbeats: while one request writes, the others gather, and one of them writes for all of those next."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine

from backend.domain.errors import CascadeError, Unavailable
from backend.store import beats
from backend.store.beats import HeardBeat, SentBeat
from backend.store.session import transact

LARGEST_GROUP = 100


@dataclass(slots=True, eq=False)
class _Waiting:
    """A beat with its answer. `turn` comes with the answer, or without one: then its thread writes for all."""

    beat: SentBeat
    answer: HeardBeat | CascadeError | None = None
    turn: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Heartbeats:
    """Takes beats from many threads. A beat is answered after the commit that holds it; nothing is cached."""

    engine: Engine
    lease_seconds: float
    _gathered: list[_Waiting] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writing: bool = False

    def hear(self, beat: SentBeat) -> HeardBeat:
        """Write the beat. Raises `Unauthenticated`, `Forbidden` and `Unavailable`."""
        mine = _Waiting(beat)
        with self._lock:
            self._gathered.append(mine)
            if not self._writing:
                self._writing = True
                mine.turn.set()
        mine.turn.wait()
        if mine.answer is None:
            self._write_gathered()
        if isinstance(mine.answer, HeardBeat):
            return mine.answer
        raise mine.answer or Unavailable(part="The database")

    def _write_gathered(self) -> None:
        with self._lock:
            group = self._gathered[:LARGEST_GROUP]
            del self._gathered[:LARGEST_GROUP]
        # Whatever happens, nobody may wait for ever: who gets no answer of the store gets this one.
        answers: Sequence[HeardBeat | CascadeError] = [Unavailable(part="The database")] * len(group)
        try:
            sent = [one.beat for one in group]
            answers = transact(self.engine, lambda session: beats.hear(session, sent, self.lease_seconds))
        except Unavailable:
            pass
        finally:
            self._hand_over()
            for one, answer in zip(group, answers, strict=True):
                one.answer = answer
                one.turn.set()

    def _hand_over(self) -> None:
        with self._lock:
            self._writing = bool(self._gathered)
            if self._gathered:
                self._gathered[0].turn.set()
