"""Moving from WeRSS, on the whole system: import, a child with its old credentials, the example, the page's Python."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from backend.store.session import read
from backend.store.tables import Run
from config import ROOT
from tests.e2e.running import environment
from tests.e2e.system import System, Visitor
from tests.servers import wait_until
from tests.standins.receivers import ReceiverServer
from tests.standins.werss import BIZ, FEED, KEY, SECRET, WerssStandin, article, feed, node, task, user

WX = "/api/v1/wx/cascade"
CHILD = f"AK-SK {KEY}:{SECRET}"


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverServer]:
    """Who is told."""
    with ReceiverServer() as server:
        yield server


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, receiver: ReceiverServer) -> Iterator[System]:
    """A parent that a WeRSS database has moved into."""
    folder = tmp_path_factory.mktemp("moving")
    werss = WerssStandin.in_file(folder / "db.db")
    werss.add("feeds", feed(), feed(1))
    werss.add("articles", *(article(number) for number in range(3)))
    werss.add("users", user("ana", role="admin"))
    werss.add("cascade_nodes", node())
    werss.add(
        "message_tasks",
        task(
            "news",
            mps_id=json.dumps([{"id": FEED}]),
            message_type=1,
            web_hook_url=receiver.url(),
            cron_exp="",
        ),
    )
    werss.close()
    with System(folder / "var", "--nodes", "1", "--workers", "1") as system:
        assert system.last_line("import-werss", werss.url, "--apply") == str(2 + 3 + 1 + 1 + 1)
        yield system


@pytest.fixture(scope="module")
def key(system: System) -> str:
    """A script's access key."""
    return system.last_line("key", "add", "admin", "--name", "scripts")


@pytest.fixture(autouse=True)
def _rested(system: System) -> None:
    """Each test finds the child online and no run open, whatever the one before it left."""
    with Visitor(system.url, Authorization=CHILD) as child:
        child.ask("POST", f"{WX}/heartbeat")
        wait_until(lambda: _ends_all(system, child), 20, "the end of every run")


def _ends_all(system: System, child: Visitor) -> bool:
    while package := child.ask("POST", f"{WX}/claim-task"):
        results = [{"mp_id": one["id"], "status": "success"} for one in package["feeds"]]
        said = {"allocation_id": package["allocation_id"], "task_id": package["task_id"], "results": results}
        child.ask("POST", f"{WX}/report-completion", json=said)
    engine = system.engine()
    try:
        opened = select(func.count()).select_from(Run).where(Run.ended_at.is_(None))
        return read(engine, lambda session: session.scalar(opened)) == 0
    finally:
        engine.dispose()


def test_somebody_from_werss_logs_in_with_the_old_password(system: System) -> None:
    with Visitor(system.url) as ana:
        said = ana.ask("POST", "/api/v1/auth/login", json={"username": "ana", "password": "a good password"})
        ana.session.headers["Authorization"] = f"Bearer {said['access_token']}"
        assert ana.ask("GET", "/api/v1/users/me")["role"] == "admin"


def test_a_child_works_with_its_old_credentials_and_only_what_is_new_is_told(
    system: System, receiver: ReceiverServer, key: str
) -> None:
    with (
        Visitor(system.url, Authorization=CHILD) as child,
        Visitor(system.url, Authorization=f"AK-SK {key}") as operator,
    ):
        assert child.ask("POST", f"{WX}/heartbeat")["status"] == "alive"
        assert [one["id"] for one in child.ask("GET", f"{WX}/feeds")] == [FEED, f"MP_WXS_{BIZ + 1}"]
        [one] = child.ask("GET", f"{WX}/message-tasks")
        assert (one["id"], one["status"], json.loads(one["mps_id"])) == ("news", 1, [{"id": FEED}])

        operator.ask("POST", "/api/v1/cascade/dispatch-task?task_id=news")
        package = child.ask("POST", f"{WX}/claim-task")
        assert [one["id"] for one in package["feeds"]] == [FEED]
        said = {"allocation_id": package["allocation_id"]}
        child.ask("PUT", f"{WX}/task-status", json={**said, "status": "executing", "error_message": None})
        # As WeRSS lists an account: what it knew before, and one that is new.
        listed = [_uploaded(number) for number in (0, 1, 2, 7)]
        uploaded = child.ask("POST", f"{WX}/upload-articles", json={**said, "articles": listed})
        assert (uploaded["received"], uploaded["new_count"]) == (4, 1)
        results = [{"mp_id": FEED, "mp_name": "公众号 0", "status": "success", "article_count": 4}]
        child.ask("POST", f"{WX}/report-completion", json={**said, "task_id": "news", "results": results})

        ended = operator.ask("GET", f"/api/v1/cascade/allocations/{package['allocation_id']}")
        assert (ended["status"], ended["node_name"]) == ("completed", "子节点1")
    wait_until(lambda: "标题 7" in told_titles(receiver), 20, "the news")
    # What moved in with the import was listed again, and nobody was told of it.
    assert [title for title in told_titles(receiver) if title.startswith("标题")] == ["标题 7"]


def told_titles(receiver: ReceiverServer) -> list[str]:
    """The titles of all articles that the receiver was told of."""
    return [one["title"] for request in receiver.requests() for one in request.json["articles"]]


def _uploaded(number: int) -> dict[str, object]:
    known = article(number)
    return {name: known[name] for name in ("id", "mp_id", "title", "pic_url", "url", "description", "content", "publish_time")}  # fmt: skip


def run_example(system: System, *words: str, **told: str) -> list[str]:
    """The example as a program of its own; what it says."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "cascade_example.py"), *words],
        env=environment(CASCADE_PARENT_URL=system.url, **told),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_example_dispatches_works_and_shows(system: System, key: str) -> None:
    pair = {"CASCADE_API_KEY": KEY, "CASCADE_API_SECRET": SECRET}
    assert run_example(system, "child", "--once", **pair)[-1] == "nothing to do"
    said = run_example(system, "parent", "--task", "news", CASCADE_ACCESS_KEY=key)
    assert re.match(r"dispatched 1 tasks to \d online nodes: 1 allocations, 0 feeds wait", said[0])
    assert any(re.match(r"allocation \S+: pending, 1 feeds on 子节点1", line) for line in said)

    worked = run_example(system, "child", "--once", CASCADE_EXAMPLE_ARTICLES="2", **pair)
    assert "  公众号 0: 2 articles, 2 new" in worked
    assert worked[-1] == "nothing to do"
    checked = run_example(system, "check", CASCADE_ACCESS_KEY=key)
    assert any(line.startswith("node 子节点1: online, 0/20") for line in checked)
    assert not [line for line in checked if line.startswith("allocation") and "completed" not in line]


def test_the_example_says_what_is_missing_or_refused(system: System) -> None:
    for told, sentence in (
        ({}, "Set CASCADE_API_KEY first"),
        ({"CASCADE_API_KEY": KEY, "CASCADE_API_SECRET": "CS" + "x" * 32}, "401"),
    ):
        with pytest.raises(AssertionError, match=sentence):
            run_example(system, "child", "--once", **told)


def test_the_page_s_python_dispatches_all_and_one(system: System, key: str) -> None:
    page = (ROOT / "docs" / "moving-from-werss.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    told = {"CASCADE_PARENT_URL": system.url, "CASCADE_ACCESS_KEY": key, "TASK_ID": "news"}
    done = subprocess.run(
        [sys.executable, "-c", block],
        env=environment(**told),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *nodes, everything, one = done.stdout.splitlines()
    assert any(line.startswith("子节点1 True True") for line in nodes)
    assert re.match(r"1 tasks, \S", everything)
    assert re.match(r"1 tasks, \S", one)
