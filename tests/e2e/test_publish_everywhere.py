"""On a mix of all platforms nothing is published twice and nothing is lost while the workers are killed."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from threading import Event

import pytest

from backend.store.tables import PublishTask
from tests.building import rows_of
from tests.e2e import harm as scenery
from tests.e2e.harm import OPEN, Harm
from tests.e2e.platforms import OPTIONS, PLATFORMS, standins
from tests.e2e.system import System
from tests.standins.platform import PlatformServer


def submit_all(system: System, servers: dict[str, PlatformServer], articles: int) -> None:
    """So many articles for one account on each platform, and calls that can be hit in their middle."""
    for name, platform in PLATFORMS.items():
        user, server = f"author of {name}".replace(" ", "-"), servers[name]
        server.add_account(user, secret=f"secret-of-{user}")
        credentials = platform.credentials(user, f"secret-of-{user}")
        account_id = scenery.account(system.engine(), platform.platform, user, credentials)
        titles = [f"{name} article {number}" for number in range(articles)]
        scenery.submit(system.engine(), user, account_id, titles)
        server.tell("slow", call="publish", seconds=0.5)
        server.tell("do_and_break", call="publish", times=1)


def check(system: System, servers: dict[str, PlatformServer], articles: int) -> Counter[str]:
    """Once and only once, and every ending is true."""
    tasks = rows_of(system.engine(), PublishTask)
    assert len(tasks) == articles * len(PLATFORMS)
    for name, platform in PLATFORMS.items():
        there = servers[name].articles()
        assert max(there.values()) == 1, [one for one, count in there.items() if count > 1]
        titles = {title for _, title in there}
        for task in (one for one in tasks if one.title.startswith(f"{name} article")):
            if task.state == "success":
                assert task.title in titles
                assert task.result_url.startswith("https://") or name == "webhook"
            else:
                assert task.state == "unconfirmed", (task.title, task.state, task.reason, task.error_message)
                assert task.reason
                assert not platform.certain, (task.title, task.reason)
    return Counter(task.state for task in tasks)


def run(system: System, servers: dict[str, PlatformServer], articles: int, every: float, limit: float) -> str:
    """The whole story; what became of it."""
    seed = time.time_ns() % 1_000_000
    harm = Harm(system, Random(seed))  # noqa: S311  (what is hit, not what is secret)
    submit_all(system, servers, articles)
    began, pause = time.monotonic(), Event()
    engine = system.engine()
    while left := sum(count for state, count in scenery.states(engine).items() if state in OPEN):
        assert time.monotonic() - began < limit, "\n".join(scenery.unended(engine)[:20])
        pause.wait(every)
        # The last few are spared: each kill would hit the same one.
        if left > len(PLATFORMS):
            harm.kill_one()
    figures = check(system, servers, articles)
    assert harm.kills["horse"] >= 2
    took = time.monotonic() - began
    return f"{articles} on each of {len(PLATFORMS)} platforms, seed {seed}, {took:.0f} s: {dict(figures)}, killed {dict(harm.kills)}"


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_on_every_platform_an_article_appears_once_while_workers_are_killed(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path_factory.mktemp("everywhere")
    with standins() as servers:
        told = scenery.settings(*servers.values()) | OPTIONS
        with (
            System(folder / "var", "--nodes", "0", **told) as system,
            scenery.nodes(system, folder, "node-1"),
        ):
            text = run(system, servers, 12, 1.0, 300.0)
    request.node.user_properties.append(("chaos report", text))
