"""Group commit of heartbeats: while one request writes, the others gather, and the next one writes for all of them."""

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


@dataclass(slots=True)
class _Waiting:
    beat: SentBeat
    answer: HeardBeat | CascadeError | None = None


@dataclass(slots=True)
class Heartbeats:
    """Takes beats from many threads. A beat is answered after the commit that holds it; nothing is cached."""

    engine: Engine
    lease_seconds: float
    _gathered: list[_Waiting] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, beat: SentBeat) -> HeardBeat:
        """Write the beat. Raises `Unauthenticated`, `Forbidden` and `Unavailable`."""
        mine = _Waiting(beat)
        self._gathered.append(mine)
        while mine.answer is None:
            with self._turn:
                if mine.answer is None:
                    self._write_gathered()
        if isinstance(mine.answer, CascadeError):
            raise mine.answer
        return mine.answer

    def _write_gathered(self) -> None:
        # The size is fixed first: others append at this very moment.
        size = min(len(self._gathered), LARGEST_GROUP)
        group = self._gathered[:size]
        del self._gathered[:size]
        sent = [one.beat for one in group]
        answers: Sequence[HeardBeat | CascadeError] = [Unavailable(part="The database")] * size
        try:
            answers = transact(self.engine, lambda session: beats.hear(session, sent, self.lease_seconds))
        except Unavailable:
            pass
        finally:
            # Whatever happened, nobody may wait for ever.
            for one, answer in zip(group, answers, strict=True):
                one.answer = answer
