"""One history on one database: every call is judged by what the database said before it, and by the promises."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, update

from backend.store.columns import now
from backend.store.recovery import Expired
from backend.store.session import transact
from backend.store.tables import Pulse
from tests.integration.protocol import invariants, sight
from tests.integration.protocol.articles import Told
from tests.integration.protocol.promises import Promises
from tests.integration.protocol.sight import HELD, Sight
from tests.integration.protocol.world import GAP_SECONDS, QUIET_SECONDS, World


@dataclass(frozen=True)
class Expected:
    """What a call may change and must: items as (state, attempts), allocations and deliveries by state."""

    items: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    allocations: Mapping[str, str] = field(default_factory=dict)
    deliveries: Mapping[str, str] = field(default_factory=dict)

    def check(self, before: Sight, after: Sight) -> None:
        """Exactly this has changed. Raises `AssertionError`."""
        states = {one: (row.state, row.attempts) for one, row in before.items.items()} | dict(self.items)
        found = {one: (row.state, row.attempts) for one, row in after.items.items()}
        assert states == found, f"items: {_differences(states, found)}"
        for name, wanted in (("allocations", self.allocations), ("deliveries", self.deliveries)):
            rows_before: dict[str, Any] = getattr(before, name)
            rows_after: dict[str, Any] = getattr(after, name)
            stood = {one: row.state for one, row in rows_before.items()} | dict(wanted)
            stands = {one: row.state for one, row in rows_after.items() if one in stood}
            assert stood == stands, f"{name}: {_differences(stood, stands)}"


NOTHING = Expected()


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    keys = [one for one in wanted if wanted[one] != found.get(one)]
    return ", ".join(f"{one} should be {wanted[one]} and is {found.get(one)}" for one in keys)


@dataclass
class Stage:
    """The world, what was promised, what was seen last, and the time that was made to pass.

    `looks`: what sweepers have read and not yet acted on. `dead`: executions whose end a supervisor saw. `quiet_until`: nothing is recovered before. `stamped`: when
    the pulse was last known to be fresh; `None` while the system is away.
    """

    world: World
    promises: Promises
    publishing: Told
    seen: Sight
    looks: list[Expired] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    passed: float = 0.0
    quiet_until: float = 0.0
    away: bool = False

    @property
    def engine(self) -> Engine:
        """The database."""
        return self.world.engine

    def clock(self) -> float:
        """Seconds by a clock that goes like the database's."""
        return self.passed + time.monotonic()

    def see_crowd(self) -> Sight:
        """Look at what many calls have left, and judge it as far as their order does not matter."""
        before, self.seen = self.seen, sight.look(self.engine)
        invariants.check(self.seen)
        invariants.check_between(before, self.seen, retried=True)
        self.promises.check(self.seen)
        return self.seen

    def see(self, expected: Expected | None = None, *, retried: bool = False) -> Sight:
        """Look at the database and judge what has changed; what it says now.

        `expected` is exactly what may have changed; without it, anything legal.
        """
        before, after = self.seen, sight.look(self.engine)
        self.seen = after
        invariants.check(after)
        invariants.check_between(before, after, retried=retried)
        invariants.check_room(before, after)
        self._check_recoveries(before, after)
        if expected is not None:
            expected.check(before, after)
        self.promises.check(after)
        return after

    def _check_recoveries(self, before: Sight, after: Sight) -> None:
        for move in after.history[len(before.history) :]:
            if move.actor != "sweeper" or move.from_state not in HELD:
                continue
            row = before.allocations[move.subject_id]
            if row.execution in self.dead:
                continue
            assert row.lease_until is not None, f"recovered without a lease: {move}"
            assert row.lease_until < after.at, f"recovered while its lease stood: {row}"
            assert not self.away, f"recovered while renewals could not arrive: {row}"
            assert self.clock() >= self.quiet_until, f"recovered right after the system was away: {row}"

    def recoverable(self, lease_until: Any) -> bool:
        """Whether an expired lease must be recovered now; the time around the end of the quiet is nobody's."""
        return (
            not self.away
            and self.clock() > self.quiet_until + 1.0
            and lease_until is not None
            and lease_until < self.seen.at
        )

    def pass_time(self, seconds: float) -> None:
        """Time passes while beats stamp and nodes beat; nobody renews a lease."""
        self.world.pass_time(seconds)
        self.passed += seconds
        self.keep_alive()

    def go_away(self, seconds: float) -> None:
        """Database or parents are away for so long: no stamp, no beat and no renewal can arrive."""
        self.world.pass_time(seconds, away=True)
        self.passed += seconds
        self.away = seconds > GAP_SECONDS

    def came_back(self) -> None:
        """The first stamp after a gap has arrived."""
        if self.away:
            self.away = False
            self.quiet_until = self.clock() + QUIET_SECONDS - 0.1

    def keep_alive(self) -> None:
        """As the beats do each five seconds: the machine that runs this may be slow."""
        if not self.away:
            transact(self.engine, lambda session: session.execute(update(Pulse).values(alive_at=now())))


def open_stage(world: World) -> Stage:
    """A new history on the world as it is at the start."""
    world.reset()
    return Stage(world, Promises(world.tasks), Told(), sight.look(world.engine))
