"""The whole system, broken in every way for the whole time, while independent journals count."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from backend.store.session import read
from tests.chaos import watch
from tests.chaos.checker import Evidence, check
from tests.chaos.facts import Leftovers, Tables, Visited, World, messages, read_tables
from tests.chaos.injectors import Injector
from tests.chaos.journals import Journals
from tests.chaos.load import ACCOUNTS, BROKEN, FEEDS, Load
from tests.chaos.plan import NODES, REMOTE_NODES, make_plan
from tests.chaos.recoveries import recoveries
from tests.chaos.report import report
from tests.chaos.settling import open_work
from tests.chaos.sources import Accounts, Feeds
from tests.chaos.system import Leases, System
from tests.conftest import CHAOS_REPORT
from tests.servers import wait_until
from tests.standins.receivers import ReceiverServer

READY_SECONDS = 90.0
REFUSED = "came too late"
# Production's values need their time to be seen; a minute shows the same with a third of it.
SHORT, REAL = Leases(15.0, 5.0, 20.0), Leases(45.0, 15.0, 60.0)
SHORT_RUN_SECONDS = 300.0
# A gap in the pulse, the time that is given after it, and what a look takes.
GAP_SECONDS = 20.0 + 30.0 + 20.0


def test_whatever_breaks_everything_ends_once_and_nothing_is_lost(
    tmp_path: Path,
    chaos_seed: int,
    chaos_seconds: float,
    chaos_leases: str,
    record_property: Callable[[str, object], None],
) -> None:
    short = chaos_leases == "short" or (chaos_leases == "auto" and chaos_seconds < SHORT_RUN_SECONDS)
    evidence, quiet = run(tmp_path, chaos_seed, chaos_seconds, SHORT if short else REAL)
    verdict = check(evidence)
    text = report(evidence, verdict, chaos_seed, chaos_seconds, quiet)
    (tmp_path / "report.txt").write_text(text, encoding="utf-8")
    record_property(CHAOS_REPORT, text)
    if verdict.violations:
        pytest.fail("promises were broken; the report says which", pytrace=False)


def run(folder: Path, seed: int, seconds: float, leases: Leases) -> tuple[Evidence, float]:
    """Break everything for so long, then wait until all has ended; what was seen, and how long that took."""
    journals = Journals()
    evidence = Evidence(journals=journals)
    feeds, accounts = Feeds(FEEDS, BROKEN, seed, journals), Accounts(ACCOUNTS, journals)
    with feeds, ReceiverServer() as receivers, System(folder / "system", leases) as system:
        load = _load(seed, system, journals, feeds, accounts, receivers)
        engine = system.engine()
        try:
            quiet, longest = _break(system, load, engine, seed, seconds)
            evidence.calm_at = time.time() - quiet
            evidence.tables = read_tables(engine)
            for name in idle_nodes(evidence.tables):
                journals.trouble(f"{name} has done nothing")
        finally:
            engine.dispose()
        evidence.messages = messages(receivers.requests())
        evidence.visits = [
            Visited(f"/feeds/{one.path.rpartition('/')[2]}", one.status, _wall(one.at))
            for one in feeds.journal()
        ]
        broken = frozenset(feed.path for feed in feeds.feeds.values() if feed.broken)
        evidence.world = World(load.tasks, load.feed_names, broken)
        evidence.recoveries = recoveries(evidence.tables, journals.injected, leases.least)
        seen = watch.connections(system)
        allowed = leases.of_children + leases.lease + GAP_SECONDS
        evidence.leftovers = Leftovers(system.stop(), seen, system.log_lines(REFUSED), longest, allowed)
    return evidence, quiet


def idle_nodes(tables: Tables) -> list[str]:
    """Nodes that ended no work well: what broke them broke nothing."""
    worked = {one.node for one in tables.allocations if one.state == "completed"}
    return [name for name in (*NODES, *REMOTE_NODES) if name not in worked]


def _load(
    seed: int,
    system: System,
    journals: Journals,
    feeds: Feeds,
    accounts: Accounts,
    receivers: ReceiverServer,
) -> Load:
    for name, url in (("feeds", feeds.url), ("receivers", receivers.url(""))):
        system.outside[name] = system.proxies.before(int(url.rpartition(":")[2]))
    outside = {name: f"http://127.0.0.1:{proxy.port}" for name, proxy in system.outside.items()}
    return Load(
        seed, [system.url(name) for name in system.ports], journals, feeds, accounts, receivers, outside
    )


def _break(system: System, load: Load, engine: Engine, seed: int, seconds: float) -> tuple[float, float]:
    system.start()
    wait_until(system.is_ready, READY_SECONDS, "a system that is ready")
    load.prepare()
    try:
        with watch.LeaseWatch(system) as leases:
            load.start()
            Injector(system, load.journals, load.children).run(
                make_plan(seed, seconds, system.leases.lease), seconds
            )
            system.wake_everything()
            began = time.monotonic()
            load.stop()
            _wait(lambda: not read(engine, open_work), system.quiet_seconds)
            return time.monotonic() - began, leases.longest
    finally:
        for child in load.children:
            child.stop()


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Bounded; what has not happened by then is the checker's to tell."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.5)


def _wall(monotonic: float) -> float:
    return time.time() - (time.monotonic() - monotonic)
