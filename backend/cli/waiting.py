"""Waiting for runs: how far they are, and when waiting longer makes no sense."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backend.cli.language import say
from backend.cli.output import note
from backend.domain.errors import Unavailable
from backend.store.nodes import list_nodes
from backend.store.recovery import live_beats
from backend.store.runs import RunProgress, progress
from backend.store.session import read

POLL_SECONDS = 0.5
LOOK_SECONDS = 2.0
PLAIN_SECONDS = 2.0
BEATLESS_SECONDS = 20.0
NODELESS_SECONDS = 60.0
NO_BEAT = "no beat runs; start ./cascade up"
NO_NODE = "no node is online; start one with ./cascade up or ./start_workers.sh --node NAME"

Show = Callable[["Total"], None]


@dataclass(frozen=True, slots=True)
class Total:
    """Items and deliveries of all awaited runs together."""

    ended: int
    known: int
    failed: int


def total_of(runs: Iterable[RunProgress]) -> Total:
    """The runs' sum."""
    runs = list(runs)
    known = sum(sum(one.items.values()) + sum(one.deliveries.values()) for one in runs)
    return Total(known - sum(one.open for one in runs), known, sum(one.failed for one in runs))


@dataclass(slots=True)
class Patience:
    """Says when waiting makes no sense any more: what would do the work has been away for too long."""

    clock: Callable[[], float] = time.monotonic
    away_since: dict[str, float] = field(default_factory=dict)

    def spent(self, *, beat: bool, node: bool) -> str:
        """Why to give up, or nothing. `beat` and `node`: whether there is a live one right now."""
        for reason, there, limit in ((NO_BEAT, beat, BEATLESS_SECONDS), (NO_NODE, node, NODELESS_SECONDS)):
            if there:
                self.away_since.pop(reason, None)
            elif self.clock() - self.away_since.setdefault(reason, self.clock()) >= limit:
                return reason
        return ""


def await_runs(engine: Engine, run_ids: Sequence[str], show: Show) -> list[RunProgress]:
    """Wait until the runs' items and deliveries have ended. Raises `Unavailable` when that can't happen."""
    patience, looked_at = Patience(), time.monotonic()
    while True:
        runs = read(engine, lambda session: [progress(session, one) for one in run_ids])
        show(total_of(runs))
        if all(one.finished for one in runs):
            return runs
        if time.monotonic() - looked_at >= LOOK_SECONDS:
            looked_at = time.monotonic()
            waits = any(one.items.get("waiting", 0) for one in runs)
            beat, node = read(engine, alive)
            reason = patience.spent(beat=beat, node=node or not waits)
            if reason:
                raise Unavailable("wait_given_up", reason=reason)
        time.sleep(POLL_SECONDS)


def alive(session: Session) -> tuple[bool, bool]:
    """Whether a beat is alive, and whether a node that collects is online."""
    nodes = [one for one in list_nodes(session) if one.node_type == 1 and one.status]
    return bool(live_beats(session)), bool(nodes)


@contextmanager
def shown() -> Iterator[Show]:
    """A live bar on a terminal, else a line whenever something changed; on stderr, as stdout is for results."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainLines().show
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def show(total: Total) -> None:
            text = say("progress", ended=total.ended, total=total.known, failed=total.failed)
            bar.update(task, completed=total.ended, total=total.known or None, description=text)

        yield show


@dataclass(slots=True)
class PlainLines:
    """Progress as lines of text, no more than one in two seconds."""

    write: Callable[[str], None] = note
    clock: Callable[[], float] = time.monotonic
    last: Total | None = None
    written_at: float = float("-inf")

    def show(self, total: Total) -> None:
        """A line, when it says something new and the last one is old enough or all has ended."""
        over = total.ended == total.known
        if total == self.last or (self.clock() - self.written_at < PLAIN_SECONDS and not over):
            return
        self.last, self.written_at = total, self.clock()
        self.write(say("progress", ended=total.ended, total=total.known, failed=total.failed))
