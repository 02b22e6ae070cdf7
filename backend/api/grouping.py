"""Group commit: while one request writes, the others gather, and one of them writes for all of those next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError

from backend.domain.errors import CascadeError, Unavailable

LARGEST_GROUP = 100

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Asked, Answer]):
    """A request with its answer. `turn` comes with the answer, or without one: then its thread writes for all."""

    asked: Asked
    answer: Answer | CascadeError | None = None
    turn: threading.Event = field(default_factory=threading.Event)


class Groups(Generic[Asked, Answer]):
    """Takes requests from many threads; `write` commits for several and answers each, a refusal being a value.

    A request is answered after the commit that holds it; nothing is cached.
    """

    def __init__(self, write: Callable[[Sequence[Asked]], Sequence[Answer | CascadeError]]) -> None:
        self._write = write
        self._gathered: list[_Waiting[Asked, Answer]] = []
        self._lock = threading.Lock()
        self._writing = False

    def ask(self, asked: Asked) -> Answer:
        """The answer. Raises what `write` refused it with, and `Unavailable`."""
        mine: _Waiting[Asked, Answer] = _Waiting(asked)
        with self._lock:
            self._gathered.append(mine)
            if not self._writing:
                self._writing = True
                mine.turn.set()
        mine.turn.wait()
        if mine.answer is None:
            self._write_gathered()
        if mine.answer is None:
            raise Unavailable(part="The database")
        if isinstance(mine.answer, CascadeError):
            raise mine.answer
        return mine.answer

    def _write_gathered(self) -> None:
        with self._lock:
            group = self._gathered[:LARGEST_GROUP]
            del self._gathered[:LARGEST_GROUP]
        answers: Sequence[Answer | CascadeError] = ()
        try:
            answers = self._answers([one.asked for one in group])
        finally:
            self._hand_over()
            # Whatever happened, nobody may wait for ever: who got no answer gets this one.
            missing = [Unavailable(part="The database") for _ in group[len(answers) :]]
            for one, answer in zip(group, [*answers, *missing], strict=True):
                one.answer = answer
                one.turn.set()

    def _answers(self, group: Sequence[Asked]) -> Sequence[Answer | CascadeError]:
        try:
            return self._write(group)
        except Unavailable as error:
            return [Unavailable(error.code, **error.params) for _ in group]
        except DBAPIError:
            if len(group) == 1:
                raise
            # What the database refuses of one must not take the others along.
            return [answer for one in group for answer in self._alone(one)]

    def _alone(self, asked: Asked) -> Sequence[Answer | CascadeError]:
        try:
            return self._write([asked])
        except Unavailable as error:
            return [error]
        except DBAPIError:
            return [Unavailable(part="The database")]

    def _hand_over(self) -> None:
        with self._lock:
            self._writing = bool(self._gathered)
            if self._gathered:
                self._gathered[0].turn.set()
