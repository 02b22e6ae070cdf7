"""A parent and two children in processes of their own: separate data directories, no Redis and no database in common, HTTP alone."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import yaml

from backend.store.tables import Allocation, WorkItem
from tests import servers
from tests.building import rows_of
from tests.e2e.job import Job, with_feeds
from tests.e2e.leaks import Planted, Search
from tests.e2e.remote_child import RemoteChild
from tests.e2e.system import System, kill
from tests.standins.feeds import FeedServer
from tests.standins.receivers import ReceiverServer
from tests.standins.webhook_receiver import WebhookReceiver

LEASES = {"CASCADE_LEASE_SECONDS": "15", "CASCADE_RENEW_SECONDS": "5"}
NAMES = ("Lyon", "里昂")
CAPACITY = "15"
LOOK_SECONDS = 0.25


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for what costs a question to a database or to processes: four times a second is enough."""
    asked = float("-inf")

    def seldom() -> bool:
        nonlocal asked
        if time.monotonic() - asked < LOOK_SECONDS:
            return False
        asked = time.monotonic()
        return condition()

    servers.wait_until(seldom, seconds, what)


class World:
    """The parent and its children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parent = System(folder / "parent", "--nodes", "0", "--workers", "1", **LEASES)

    def children(self) -> list[RemoteChild]:
        """Two children that have joined; not yet started."""
        found = [
            RemoteChild(self.parent, self.folder / f"child-{number}", name)
            for number, name in enumerate(NAMES, 1)
        ]
        for name in NAMES:
            self.parent.last_line("node", "set", name, "--capacity", CAPACITY)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, list[RemoteChild]]]:
    """All three, ready."""
    made = World(tmp_path_factory.mktemp("remote"))
    with made.parent:
        one, other = made.children()
        with one, other:
            yield made.parent, [one, other]


@pytest.fixture
def receiver() -> Iterator[ReceiverServer]:
    """A web hook that keeps a journal."""
    with ReceiverServer() as server:
        yield server


def assert_right(job: Job, run_id: str) -> None:
    """Every feed is done, every article is there, and each was delivered once."""
    run = job.progress(run_id)
    assert (run.finished, run.failed) == (True, 0), job.failures(run)
    job.assert_counts_are_right()
    wait_until(lambda: job.receiver.articles_seen().total() >= len(job.stored()), 60, "all deliveries")
    job.assert_each_article_was_told_once()


def nodes_that_worked(job: Job) -> set[str]:
    """The nodes whose allocations of the job's task were completed."""
    return {
        row.node_id
        for row in rows_of(job.engine, Allocation)
        if row.task_id == job.task_id and row.kind == "update"
    }


def collected(job: Job) -> int:
    """How many feeds are done."""
    return job.count(WorkItem, "done")


def disturb(job: Job, run_id: str, one: RemoteChild, other: RemoteChild, feeds: int) -> None:
    """One after the other, while it works: a worker, a node process, a Redis, each by SIGKILL."""
    strokes: dict[float, Callable[[], psutil.Process]] = {
        0.1: lambda: one.worker_processes()[0],
        0.3: other.node_process,
        0.5: one.redis_process,
        0.7: lambda: other.worker_processes()[0],
    }
    for share, victim in strokes.items():
        await_share(job, share * feeds, (one, other))
        kill(victim().pid)
    wait_until(lambda: job.progress(run_id).finished, 180, "the end of the run")


def await_share(job: Job, feeds: float, children: Sequence[RemoteChild]) -> None:
    """Until so many feeds are done, and every child has its workers."""
    wait_until(lambda: collected(job) >= feeds, 120, f"{feeds:.0f} feeds")
    wait_until(
        lambda: all(len(one.worker_processes()) == 2 for one in children), 60, "the children's workers"
    )


def assert_keeps_its_secret(child: RemoteChild) -> None:
    """It stands in no log and in no command line of its processes."""
    secret = str(yaml.safe_load(child.config.read_text())["cascade"]["api_secret"])
    assert len(secret) > 20
    assert secret not in child.log + "".join(child.lines)
    assert not [one for one in child.processes() if secret in " ".join(one.cmdline())]


def bring(
    world: tuple[System, list[RemoteChild]], receiver: ReceiverServer, scratch: Path, server: FeedServer
) -> Job:
    """The feeds and a message task over them."""
    return Job(world[0], server, receiver, scratch)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("feeds", [60, pytest.param(300, marks=pytest.mark.soak)])
def test_two_children_collect_everything_once_although_their_processes_are_killed(
    world: tuple[System, list[RemoteChild]], receiver: ReceiverServer, tmp_path: Path, feeds: int
) -> None:
    one, other = world[1]
    with with_feeds(feeds, articles=2, delay=0.7, broken=0) as server:
        job = bring(world, receiver, tmp_path, server)
        run_id = job.start()
        disturb(job, run_id, one, other, feeds)
        assert_right(job, run_id)
        assert len(nodes_that_worked(job)) == 2
    for child in (one, other):
        wait_until(child.is_idle, 30, f"{child.name} without anything in hand")


# The normal run shows the same of one child, in `tests/integration/test_remote_work.py`: here most of the time is waiting.
@pytest.mark.soak
@pytest.mark.timeout(420)
@pytest.mark.parametrize("seconds", [20, 120])
def test_while_the_parent_is_down_the_children_finish_what_they_hold_and_tell_all_of_it_afterwards(
    world: tuple[System, list[RemoteChild]], receiver: ReceiverServer, tmp_path: Path, seconds: int
) -> None:
    parent, children = world
    with with_feeds(45, articles=2, delay=2.0, broken=0) as server:
        job = bring(world, receiver, tmp_path, server)
        run_id = job.start()
        for child in children:
            child.wait_working()
        held = sum(child.running() for child in children)
        parent.end(signal.SIGTERM)
        wait_until(lambda: sum(child.running() for child in children) == 0, 60, "the end of what they held")
        assert sum(child.kept() for child in children) > 0
        gone = server.journal()
        wait_until(
            lambda: all(child.away_seconds() >= seconds for child in children), seconds + 60, "the time away"
        )
        # Nothing is collected twice, and nothing that was not held.
        assert len(server.journal()) == len(gone)
        parent.__enter__()
        wait_until(lambda: job.progress(run_id).finished, 120, "the end of the run")
        assert_right(job, run_id)
    lost = [
        row.error_code
        for row in rows_of(job.engine, Allocation)
        if row.error_code == "lost" and row.task_id == job.task_id
    ]
    assert (lost, held > 0) == ([], True)
    assert {row.attempts for row in rows_of(job.engine, WorkItem) if row.run_id == run_id} == {1}


@pytest.mark.timeout(180)
def test_an_article_is_published_by_a_child_whose_disk_never_holds_the_credentials(
    world: tuple[System, list[RemoteChild]], tmp_path: Path
) -> None:
    parent, children = world
    child, planted = children[1], Planted("the account's secret", "planted-9f2c71d0a4-secret")
    with WebhookReceiver() as hook:
        hook.add_account("alice", secret=planted.value)
        fields, article = tmp_path / "fields.json", tmp_path / "hello.md"
        fields.write_text(json.dumps({"url": f"{hook.base}/articles", "secret": planted.value}))
        article.write_text("# Hello from afar\n\nSome text.\n")
        account = ("account", "add", "alice", "--platform", "webhook", "--node", child.name, "--fields")
        parent.last_line(*account, str(fields))
        parent.last_line("publish", str(article), "--platform", "webhook", "--account", "alice", "--wait")
        assert hook.articles() == Counter({("alice", "Hello from afar"): 1})
    assert {row.node_id for row in rows_of(parent.engine(), Allocation) if row.kind == "publish"} == {
        child.node_id
    }
    search = Search((planted,))
    for file in [*child.data_dir.rglob("*"), child.stdout, child.stderr]:
        if file.is_file():
            search.look("file", str(file), file.read_bytes())
    assert (search.found, search.looked_at["file"] > 5) == ([], True)


def test_a_second_machine_with_the_same_identity_is_refused_with_a_sentence(
    world: tuple[System, list[RemoteChild]], tmp_path: Path
) -> None:
    child = world[1][0]
    copied = tmp_path / "copy" / "config.yaml"
    copied.parent.mkdir()
    copied.write_text(child.config.read_text())
    done = child.run("child", "--once", "--data-dir", str(copied.parent))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert f"Another process runs as the node {child.name}" in done.stderr
    found = child.condition()
    assert found is not None
    assert found.connected


@pytest.mark.timeout(300)
def test_rotated_credentials_count_at_once_and_a_child_without_the_new_ones_says_what_to_do(
    world: tuple[System, list[RemoteChild]], receiver: ReceiverServer, tmp_path: Path
) -> None:
    parent, children = world
    child, refused = children[0], r"does not accept this child's credentials"
    with with_feeds(60, articles=2, delay=0.5, broken=0) as server:
        job = bring(world, receiver, tmp_path, server)
        run_id, before = job.start(), child.said(refused)
        child.wait_working()
        printed = parent.run("node", "credentials", child.name, "--grace", "1h").stdout
        used = child.said("are used from now on|is used from now on")
        child.take_pair(printed)
        wait_until(lambda: child.said("is used from now on") > used, 30, "the new pair in use")
        assert child.said(refused) == before
        printed = parent.run("node", "credentials", child.name, "--grace", "0").stdout
        wait_until(lambda: child.said(refused) > before, 60, "the sentence that says what to do")
        told = child.said(refused)
        child.take_pair(printed)
        wait_until(lambda: child.said("accepts this child's credentials again") > 0, 60, "its return")
        wait_until(lambda: job.progress(run_id).finished, 120, "the end of the run")
        assert_right(job, run_id)
    assert_keeps_its_secret(child)
    # Each of its processes says it once, and nobody repeats it.
    assert told - before <= 4
