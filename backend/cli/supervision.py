"""The supervisor: keeps parts running, starts again what dies, and stops everything in order, in one thread."""

from __future__ import annotations

import logging
import os
import random
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from backend.cli.parts import Part, Recipe
from backend.domain.retry import restart_wait

STABLE_SECONDS = 30.0
LONGEST_SLEEP_SECONDS = 1.0

log = logging.getLogger(__name__)


class StopRequested(Exception):
    """A signal asked to stop while something was being waited for."""


@dataclass(slots=True)
class _Watched:
    recipe: Recipe
    part: Part | None = None
    failures: int = 0
    started_at: float = 0.0
    due_at: float = 0.0


class Supervisor:
    """Use inside `listening_to_signals()`. Nothing here runs in a thread, so parts may be forked safely."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._chance = clock, chance
        self._watched: list[_Watched] = []
        self._selector = selectors.DefaultSelector()
        self.stop_requested = False

    @contextmanager
    def listening_to_signals(self) -> Iterator[None]:
        """Inside, SIGINT, SIGTERM and SIGHUP request the stop, and the end of a part wakes the supervisor."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else: started by nohup
            before[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)
        for number in before:
            signal.signal(number, self._request_stop)
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _only_wake)
        earlier = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(earlier)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            os.close(reader)
            os.close(writer)

    def _request_stop(self, number: int, _frame: FrameType | None) -> None:
        if not self.stop_requested:
            log.info("%s: stopping", signal.Signals(number).name)
        self.stop_requested = True

    def start(self, recipe: Recipe) -> None:
        """Start a part and keep it running."""
        watched = _Watched(recipe)
        self._watched.append(watched)
        self._launch(watched)

    def failures(self, name: str) -> int:
        """How often in a row the part has died."""
        return sum(watched.failures for watched in self._watched if watched.recipe.name == name)

    def wait_until(self, condition: Callable[[], bool], seconds: float, *, every: float = 0.1) -> bool:
        """Keep the parts running until the condition holds; `False` after `seconds`. Raises `StopRequested`."""
        deadline = self._clock() + seconds
        while not condition():
            if self.stop_requested:
                raise StopRequested
            left = deadline - self._clock()
            if left <= 0:
                return False
            self._rest(min(left, every))
        return True

    def _rest(self, seconds: float) -> None:
        until = self._clock() + seconds
        while not self.stop_requested and self._clock() < until:
            self._step(until - self._clock())

    def run(self) -> None:
        """Keep the parts running until a signal asks to stop."""
        while not self.stop_requested:
            self._step(LONGEST_SLEEP_SECONDS)

    def stop(self, limits: Sequence[float]) -> None:
        """Stop stage after stage; what is left of stage n is killed `limits[n]` seconds from now."""
        began = self._clock()
        for stage, limit in enumerate(limits):
            parts = [w.part for w in self._watched if w.part and w.recipe.stage == stage]
            for part in parts:
                part.ask_to_stop()
            while any(not part.has_ended() for part in parts) and self._clock() < began + limit:
                self._listen(min(0.1, began + limit - self._clock()))
            for part in parts:
                self._end(part)

    def _end(self, part: Part) -> None:
        if not part.has_ended():
            log.warning("%s did not stop in time and was killed", part.recipe.name)
        self._forget(part)
        part.clear()

    def _step(self, seconds: float) -> None:
        due = [w.due_at for w in self._watched if w.part is None]
        self._listen(max(0.0, min([seconds, *(at - self._clock() for at in due)])))
        for watched in self._watched:
            if watched.part is not None and watched.part.has_ended():
                self._note_end(watched, watched.part)
            elif watched.part is None and self._clock() >= watched.due_at:
                self._launch(watched)

    def _listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(max(0.0, seconds)):
            if isinstance(key.data, Part):
                key.data.read()
            else:
                os.read(key.fd, 4096)

    def _launch(self, watched: _Watched) -> None:
        if self.stop_requested:
            return
        watched.started_at = self._clock()
        try:
            watched.part = Part(watched.recipe)
        except OSError as error:
            self._start_later(watched, f"can't be started: {error}")
            return
        if watched.part.process.stdout:
            self._selector.register(watched.part.process.stdout, selectors.EVENT_READ, watched.part)

    def _note_end(self, watched: _Watched, part: Part) -> None:
        self._forget(part)
        watched.part = None
        self._start_later(watched, f"ended ({describe_exit(part.clear())})")

    def _start_later(self, watched: _Watched, what_happened: str) -> None:
        up_for = self._clock() - watched.started_at
        watched.failures = 1 if up_for >= STABLE_SECONDS else watched.failures + 1
        wait = restart_wait(watched.failures, self._chance())
        watched.due_at = self._clock() + wait
        log.warning(
            "%s %s after %.1f s; it starts again in %.1f s", watched.recipe.name, what_happened, up_for, wait
        )

    def _forget(self, part: Part) -> None:
        stream = part.process.stdout
        if stream is not None and not stream.closed:
            self._selector.unregister(stream)


def describe_exit(code: int) -> str:
    """An exit code as people say it: `exit code 1`, `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD needs a handler, or the wake-up pipe stays silent."""
