"""A running parent without nodes of its own, and remote children that ask it over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, update

from backend.store.columns import now
from backend.store.session import create_engine_for, transact
from backend.store.tables import Node
from benchmarks.harness import system
from benchmarks.harness.site import Site
from tests.e2e.system import System
from tests.integration.api.playing import make_child

PROCESSES = 2


@dataclass(frozen=True)
class Parent:
    """The system, its database beside it, and where it runs."""

    place: Site
    running: System
    engine: Engine

    @property
    def port(self) -> int:
        """Where it answers."""
        return self.running.port

    def children(self, count: int, capacity: int) -> list[dict[str, str]]:
        """So many new remote nodes; the headers that each sends. They count as online for the next hour."""
        made = [
            make_child(self.engine, f"child-{number}-{capacity}", capacity=capacity)
            for number in range(count)
        ]
        self.keep_online()
        return [{"Authorization": f"AK-SK {pair.api_key}:{pair.api_secret}"} for _, pair in made]

    def keep_online(self) -> None:
        """Let every child's last beat lie ahead, so that none falls silent while others are measured."""
        statement = update(Node).where(Node.transport == "remote").values(presence_at=now(3600))
        transact(self.engine, lambda session: session.execute(statement))

    def groups(self, clients: int) -> dict[str, Callable[[], Iterable[int]]]:
        """The parts whose CPU is counted."""
        parts = system.parts(self.running)
        return {
            "parent": lambda: parts["parent"],
            "beat": lambda: parts["beat"],
            "database": self.place.database_pids,
            "clients": lambda: [clients],
        }


@contextmanager
def parent(place: Site) -> Iterator[Parent]:
    """A parent with two HTTP processes."""
    with system.running(place, GUNICORN_WORKERS=str(PROCESSES)) as running:
        engine = create_engine_for(running.environment["DATABASE_URL"], pooled=True)
        try:
            yield Parent(place, running, engine)
        finally:
            engine.dispose()
