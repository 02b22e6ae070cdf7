"""The main job: generated feeds, a message task over them, a receiver, and what must be true afterwards."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from sqlalchemy import Engine, func, select

from backend.store import runs
from backend.store.runs import RunFailure, RunProgress
from backend.store.session import read
from backend.store.tables import Allocation, Article, Delivery, Run, WorkItem
from tests.e2e.system import System
from tests.standins.feeds import FeedServer
from tests.standins.receivers import Received, ReceiverServer

# The stand-in ends its hanging answer before the source's own limit of 30 s, three attempts of which no test can wait for.
HANG_SECONDS = 0.4
HANG_ENDS_AS = "broken_answer"


class Job:
    """One message task on a running system, added as a person does: OPML, then a task, by the command line."""

    def __init__(self, system: System, feeds: FeedServer, receiver: ReceiverServer, scratch: Path) -> None:
        self.system, self.feeds, self.receiver = system, feeds, receiver
        self.engine: Engine = system.engine()
        file = scratch / "feeds.opml"
        file.write_text(feeds.opml(), encoding="utf-8")
        assert system.last_line("feed", "import", str(file)) == str(len(feeds.feeds))
        self.feed_ids = self._feed_ids()
        chosen = [word for one in self.feed_ids.values() for word in ("--feed", one)]
        hook = ("--message-type", "1", "--web-hook-url", receiver.url())
        self.task_id = system.last_line("task", "add", "--name", "Everything", *chosen, *hook)

    def _feed_ids(self) -> dict[str, str]:
        listed = json.loads(self.system.last_line("feed", "list", "--json"))
        own = {one["url"]: one["id"] for one in listed}
        return {f"/feeds/{number}": own[self.feeds.feed_url(number)] for number in self.feeds.feeds}

    def dispatch(self, *, expect: int) -> RunProgress:
        """`dispatch --wait`; the run, which has ended."""
        run_id = self.system.last_line("dispatch", "--task", self.task_id, "--wait", expect=expect)
        run = self.progress(run_id)
        assert run.finished, run
        return run

    def start(self) -> str:
        """`dispatch` without waiting; the run's id."""
        return self.system.last_line("dispatch", "--task", self.task_id)

    def progress(self, run_id: str) -> RunProgress:
        """How far the run is."""
        return read(self.engine, lambda session: runs.progress(session, run_id))

    def failures(self, run: RunProgress) -> list[RunFailure]:
        """What ended badly in the run."""
        return read(self.engine, lambda session: runs.failures(session, run.run_id))

    def expected_failures(self) -> dict[str, str]:
        """By URL, the code that each broken feed ends with."""
        codes = {
            path: HANG_ENDS_AS if code == "timed_out" else code
            for path, code in self.feeds.expected_failures().items()
        }
        return {self.feeds.url + path: code for path, code in codes.items()}

    def stored(self) -> dict[str, str]:
        """The ids of the feeds' articles, each with its feed's path."""
        paths = {feed_id: path for path, feed_id in self.feed_ids.items()}
        query = select(Article.id, Article.feed_id).where(Article.feed_id.in_(list(paths)))
        return read(
            self.engine, lambda session: {row.id: paths[row.feed_id] for row in session.execute(query)}
        )

    def assert_counts_are_right(self) -> None:
        """Every feed has as many articles as the server says it brings."""
        found = Counter(self.stored().values())
        assert {path: found.get(path, 0) for path in self.feed_ids} == self.feeds.expected_articles()

    def assert_each_article_was_told_once(self) -> None:
        """The receiver acknowledged each stored article in exactly one message."""
        assert self.receiver.articles_seen() == Counter(dict.fromkeys(self.stored(), 1))

    def assert_each_article_was_kept_once(self) -> None:
        """The same, when workers die between the receiver's answer and its record.

        What has no recorded answer is sent again, under the same key and with the same body, so that a receiver
        which drops repeats keeps each article once. Two different messages never tell the same article.
        """
        assert self.receiver.articles_kept() == Counter(dict.fromkeys(self.stored(), 1))
        bodies: dict[str, set[bytes]] = {}
        for one in self.acknowledged():
            bodies.setdefault(one.idempotency_key, set()).add(one.body)
        assert "" not in bodies
        assert [key for key, different in bodies.items() if len(different) > 1] == []

    def acknowledged(self) -> list[Received]:
        """What the receiver acknowledged."""
        return [one for one in self.receiver.requests() if one.acknowledged]

    def count(self, table: type[Allocation | WorkItem | Delivery], state: str) -> int:
        """How many rows of the task are in the state."""
        if table is WorkItem:
            where = [WorkItem.run_id == Run.id, Run.task_id == self.task_id]
        else:
            where = [table.task_id == self.task_id]
        query = select(func.count()).select_from(table).where(table.state == state, *where)
        return read(self.engine, lambda session: session.scalar(query) or 0)


def with_feeds(count: int, *, articles: int = 3, delay: float = 0.0, broken: int = 10) -> FeedServer:
    """A server of generated feeds whose hanging one gives up soon."""
    return FeedServer(count, articles=articles, delay=delay, broken=broken, hang_seconds=HANG_SECONDS)
