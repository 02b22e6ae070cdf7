"""Nothing is published twice and nothing is lost, whatever happens to the workers and to their database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from threading import Event

import pytest
from sqlalchemy import Engine

from backend.store.tables import PublishTask
from tests.building import rows_of
from tests.e2e import harm as scenery
from tests.e2e.harm import OPEN, Harm
from tests.e2e.system import System
from tests.servers import MariaDb, RedisServer
from tests.standins.webhook_receiver import WebhookReceiver
from tests.standins.zhihu import ZhihuServer

SPARED = 6


@dataclass
class Scene:
    """A system on a real MariaDB, with the platforms beside it."""

    system: System
    engine: Engine
    mariadb: MariaDb
    zhihu: ZhihuServer
    hooks: WebhookReceiver


@pytest.fixture
def scene(
    tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDb, redis_server: RedisServer
) -> Iterator[Scene]:
    """Up, with nothing to do."""
    folder, name = tmp_path_factory.mktemp("publish"), mariadb.create_database()
    with ZhihuServer() as zhihu, WebhookReceiver() as hooks:
        told = scenery.settings(zhihu, hooks) | {
            "DATABASE_URL": mariadb.url(name),
            "REDIS_URL": redis_server.url,
        }
        with (
            System(folder / "var", "--nodes", "0", **told) as system,
            scenery.nodes(system, folder, "node-1", "node-2"),
        ):
            yield Scene(system, system.engine(), mariadb, zhihu, hooks)
    mariadb.drop_database(name)


def submit_all(scene: Scene, users: int, articles: int, hidden: str) -> None:
    """Each user's articles, half for Zhihu and half for a web hook."""
    for number in range(users):
        user = f"u{number}"
        for platform, account_id in (
            ("z", scenery.zhihu_account(scene.engine, scene.zhihu, user)),
            ("w", scenery.hook_account(scene.engine, scene.hooks, user)),
        ):
            titles = [f"{platform} {user} article {count}" for count in range(articles // users // 2)]
            scenery.submit(scene.engine, user, account_id, titles)
    for call in ("read", "list", "members", "page"):
        scene.zhihu.tell("hide", account=hidden, call=call)


def slow_down(scene: Scene) -> None:
    """Calls last long enough to be hit in their middle; some answers are lost after their work was done."""
    for server in (scene.zhihu, scene.hooks):
        server.tell("slow", call="publish", seconds=0.4)
        server.tell("do_and_break", call="publish", times=3)
    scene.zhihu.tell("slow", call="draft", seconds=0.2)


def do_harm(scene: Scene, harm: Harm, *, every: float, restarts: int, limit: float) -> None:
    """Until all tasks have ended: kill again and again, freeze once, restart the database so often.

    The last few are spared: each kill would hit the same one.
    """
    began, pause, turn = time.monotonic(), Event(), 0
    thawed_at = 0.0
    while left := open_tasks(scene):
        assert time.monotonic() - began < limit, "\n".join(scenery.unended(scene.engine)[:20])
        pause.wait(every)
        turn += 1
        if not harm.frozen_at and turn >= 2 and harm.freeze_one():
            # A lease and a half, and then what others need to take it over.
            thawed_at = time.monotonic() + 10.0
        if harm.frozen and time.monotonic() >= thawed_at:
            harm.wake()
        if turn % 4 == 3 and restarts:
            restarts -= 1
            scene.mariadb.restart()
        if left > SPARED:
            harm.kill_one()
    harm.wake()


def open_tasks(scene: Scene) -> int:
    """How many have not ended."""
    return sum(count for state, count in scenery.states(scene.engine).items() if state in OPEN)


def check(scene: Scene, articles: int, hidden: str) -> dict[str, int]:
    """Once and only once, and every ending is true; the figures."""
    tasks = rows_of(scene.engine, PublishTask)
    there = scene.zhihu.articles() + scene.hooks.articles()
    assert len(tasks) == articles
    assert max(there.values()) == 1, [one for one, count in there.items() if count > 1]
    titles = {title for _, title in there}
    for task in tasks:
        assert task.state in {"success", "unconfirmed"}, (task.title, task.state, task.error_message)
        if task.state == "success":
            assert task.title in titles
            assert task.result_url
        else:
            assert task.reason
            assert task.platform == "zhihu"
            assert task.user_id == hidden
    return {
        "success": sum(task.state == "success" for task in tasks),
        "unconfirmed": sum(task.state == "unconfirmed" for task in tasks),
        "articles": len(there),
        "publishing calls": len(scene.zhihu.journal()) + len(scene.hooks.journal()),
        "executions": sum(task.attempts for task in tasks),
    }


def run(
    scene: Scene,
    record: pytest.FixtureRequest,
    *,
    users: int,
    articles: int,
    every: float,
    restarts: int,
    limit: float,
) -> Harm:
    """The whole story, told in the report of the session."""
    seed = time.time_ns() % 1_000_000
    hidden = f"u{users - 1}"
    harm = Harm(scene.system, Random(seed))  # noqa: S311  (what is hit, not what is secret)
    began = time.monotonic()
    submit_all(scene, users, articles, hidden)
    slow_down(scene)
    do_harm(scene, harm, every=every, restarts=restarts, limit=limit)
    figures = check(scene, articles, hidden)
    took = time.monotonic() - began
    text = f"{articles} publishes, seed {seed}, {took:.0f} s: {figures}, killed {dict(harm.kills)}"
    record.node.user_properties.append(("chaos report", text))
    return harm


@pytest.mark.timeout(180)
def test_no_article_is_published_twice_while_workers_are_killed(
    scene: Scene, request: pytest.FixtureRequest
) -> None:
    harm = run(scene, request, users=4, articles=24, every=1.0, restarts=1, limit=150)
    assert harm.kills["horse"] >= 3
    assert harm.frozen_at


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_200_publishes_by_10_users_each_appear_once_while_a_worker_is_killed_every_3_seconds(
    scene: Scene, request: pytest.FixtureRequest
) -> None:
    harm = run(scene, request, users=10, articles=200, every=3.0, restarts=2, limit=600)
    assert sum(harm.kills.values()) >= 5
    assert harm.frozen_at
