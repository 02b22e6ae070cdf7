"""Two children behind slow lines that break, in networks of their own; then one of them is cut off while it works."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from backend.store.session import read
from backend.store.tables import Allocation, Article, History, Node, SyncLog, WorkItem
from tests.building import rows_of
from tests.e2e.job import Job, with_feeds
from tests.e2e.networks import Network, is_inside, run_inside
from tests.e2e.remote_child import RemoteChild
from tests.e2e.running import LAUNCH
from tests.e2e.system import System, Visitor
from tests.servers import wait_until
from tests.standins.feeds import FeedServer
from tests.standins.receivers import ReceiverServer
from tests.standins.tcp_proxy import Proxies, TcpProxy

LEASE_SECONDS = 6.0
LEASES = {"CASCADE_LEASE_SECONDS": f"{LEASE_SECONDS:g}", "CASCADE_RENEW_SECONDS": "2"}
DELAY_SECONDS = 0.1
FEEDS, FEED_SECONDS, CAPACITY = 24, 4.0, 6
SEED = 20261126


class FarChild(RemoteChild):
    """A child in a network of its own: its parent is at the other end of a line, the feeds are on its own loopback."""

    def __init__(self, parent: System, folder: Path, network: Network, proxy: TcpProxy) -> None:
        self.launch = (*network.entrance, *LAUNCH)
        self.network, self.proxy = network, proxy
        super().__init__(parent, folder / f"far-{network.number}", f"far-{network.number}")
        nodes = rows_of(parent.engine(), Node)
        self.path = f"/api/v1/cascade/nodes/{next(node.id for node in nodes if node.name == self.name)}"

    def command(self) -> list[str]:
        """One worker holds as much as it may have in work."""
        return ["child", "--workers", "1"]

    def way_to(self, parent: System) -> str:
        """By the line."""
        return f"http://{self.network.address}:{self.proxy.port}"


@contextmanager
def far_children(folder: Path, parent: System, admin: Visitor, feeds: FeedServer) -> Iterator[list[FarChild]]:
    """Two, each with its network and its line."""
    feed_port = int(feeds.url.rpartition(":")[2])
    with ExitStack() as stack:
        proxies, children = stack.enter_context(Proxies()), []
        for number in (1, 2):
            network = stack.enter_context(Network(number))
            proxies.before(feed_port, at=network.listen_there(feed_port))
            line = proxies.before(parent.port, at=socket.create_server((network.address, 0)))
            line.slow_down(DELAY_SECONDS)
            children.append(FarChild(parent, folder, network, line))
        for child in children:
            admin.ask("PUT", child.path, json={"sync_config": {"max_capacity": CAPACITY}})
            stack.enter_context(child)
        yield children


@contextmanager
def breaking_lines(lines: Sequence[TcpProxy]) -> Iterator[Counter[int]]:
    """All connections of one of the lines are reset at random moments; how many there were, by line."""
    stop, cut, chance = threading.Event(), Counter[int](), random.Random(SEED)  # noqa: S311

    def run() -> None:
        while not stop.wait(chance.uniform(1.0, 4.0)):
            number = chance.randrange(len(lines))
            cut[number] += lines[number].cut()

    thread = threading.Thread(target=run, name="cuts")
    thread.start()
    try:
        yield cut
    finally:
        stop.set()
        thread.join()


def held_items(job: Job, node_id: str) -> set[str]:
    """The items that the node has in work now."""
    query = (
        select(WorkItem.id)
        .join(Allocation, Allocation.id == WorkItem.allocation_id)
        .where(WorkItem.state == "assigned", Allocation.state == "executing", Allocation.node_id == node_id)
    )
    return set(read(job.engine, lambda session: session.scalars(query).all()))


def begun_by(job: Job, node_id: str) -> set[str]:
    """The items that the node has begun last, whether they have ended or not."""
    query = (
        select(WorkItem.id)
        .join(Allocation, Allocation.id == WorkItem.allocation_id)
        .where(Allocation.state.in_(("executing", "completed")), Allocation.node_id == node_id)
    )
    return set(read(job.engine, lambda session: session.scalars(query).all()))


def refusals(job: Job, node_id: str) -> int:
    """How many results of the node the parent has refused, by its own record."""
    return sum(
        row.node_id == node_id and row.operation == "settle" and row.extra_data.get("status") == 409
        for row in rows_of(job.engine, SyncLog)
    )


def assert_everything_ended_once(job: Job, run_id: str) -> None:
    """Every item is done and ended once, every article exists once and was told once."""
    run = job.progress(run_id)
    assert (run.finished, run.failed) == (True, 0), job.failures(run)
    job.assert_counts_are_right()
    addresses = read(job.engine, lambda session: session.scalars(select(Article.url)).all())
    assert len(addresses) == len(set(addresses))
    ends = select(History.subject_id, func.count()).where(
        History.noun == "allocation", History.to_state.in_(("completed", "failed", "cancelled"))
    )
    counted = read(job.engine, lambda session: session.execute(ends.group_by(History.subject_id)).all())
    assert {count for _, count in counted} == {1}
    wait_until(lambda: job.receiver.articles_seen().total() >= len(job.stored()), 30, "all deliveries")
    job.assert_each_article_was_told_once()


def cut_off_while_it_works(
    job: Job, admin: Visitor, late: FarChild, other: FarChild, *, drained: bool
) -> set[str]:
    """Until the other has begun what the late one has lost, and that one has results that it can't tell; what it lost."""
    wait_until(lambda: len(held_items(job, late.node_id)) > 2, 60, f"work at {late.name}")
    if drained:
        admin.ask("PUT", late.path, json={"draining": True})
    late.network.cut_off()
    held = held_items(job, late.node_id)
    wait_until(lambda: late.kept() > 0, 60, "results that can't be told")
    wait_until(lambda: not held_items(job, late.node_id), 60, "the end of its leases")
    # What was on its way when the link went down has ended well.
    lost = {one for one in held if one in unended(job) | begun_by(job, other.node_id)}
    assert lost
    wait_until(lambda: lost <= begun_by(job, other.node_id), 90, "all of its work in the other's hands")
    assert not late.is_idle()
    assert refusals(job, late.node_id) == 0
    return lost


def unended(job: Job) -> set[str]:
    """The items that somebody still has to do."""
    query = select(WorkItem.id).where(WorkItem.state.in_(("waiting", "assigned")))
    return set(read(job.engine, lambda session: session.scalars(query).all()))


# Two minutes, most of them for starting and waiting: the normal run cuts children off one part at a time.
@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("drained", [True, False])
def test_a_child_that_is_cut_off_loses_its_work_to_the_other_is_refused_when_it_is_late_and_goes_on_by_itself(
    tmp_path: Path, request: pytest.FixtureRequest, drained: bool
) -> None:
    """Drained, the late child is given nothing new meanwhile; else its silence has to be noticed, which takes 45 s."""
    if not is_inside():
        run_inside(request.node.nodeid, tmp_path, seconds=290)
        return
    with (
        System(tmp_path / "parent", "--nodes", "0", **LEASES) as parent,
        with_feeds(FEEDS, articles=2, delay=FEED_SECONDS, broken=0) as feeds,
        ReceiverServer() as receiver,
        Visitor(parent.url) as admin,
        far_children(tmp_path, parent, admin.log_in(), feeds) as (late, other),
    ):
        job = Job(parent, feeds, receiver, tmp_path)
        with breaking_lines([late.proxy, other.proxy]) as cut:
            run_id = job.start()
            held = cut_off_while_it_works(job, admin, late, other, drained=drained)
            late.network.connect()
            admin.ask("PUT", late.path, json={"draining": False})
            wait_until(lambda: refusals(job, late.node_id) > 0, 60, "the refusal of what came late")
            wait_until(lambda: job.progress(run_id).finished, 90, "the end of the run")
        assert_everything_ended_once(job, run_id)
        assert min(cut[0], cut[1]) > 0
        assert held <= begun_by(job, other.node_id)
        for child in (late, other):
            wait_until(child.is_idle, 30, f"{child.name} without anything in hand")
        assert late.refused() > 0
        assert_goes_on(job, late)


def assert_goes_on(job: Job, child: FarChild) -> None:
    """Nobody has touched it, and it takes its part of the next run."""
    before = begun_by(job, child.node_id)
    run_id = job.start()
    wait_until(lambda: job.progress(run_id).finished, 60, "the end of the next run")
    assert begun_by(job, child.node_id) - before
    assert job.progress(run_id).failed == 0
