"""One worker process of node `n` with sources of this test: `python -m … MODE`; its node must exist.

`block` never returns; `connect` opens a database connection in phase 2 and keeps it.
"""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass

from backend import bootstrap
from backend.domain.identifiers import new_id
from backend.domain.orders import FeedOrder, FetchResult
from backend.domain.ports import HttpClient
from backend.store.session import create_engine_for
from backend.workers import node
from backend.workers.attached import Attached
from backend.workers.building import WorkerPlan
from backend.workers.transport import Plugins
from backend.workers.vitals import Start


@dataclass
class Blocking:
    """A source that is stuck."""

    kind: str = "rss"

    def fetch(self, feed: FeedOrder, http: HttpClient) -> FetchResult:
        threading.Event().wait()
        raise AssertionError("unreachable")


@dataclass
class Connecting:
    """A source that breaks the first rule of phase 2."""

    kind: str = "rss"

    def fetch(self, feed: FeedOrder, http: HttpClient) -> FetchResult:
        create_engine_for(os.environ["DATABASE_URL"], pooled=False).connect()
        return FetchResult()


def main() -> int:
    """Serve the node's queue until told to stop."""
    settings = bootstrap.load_settings()
    bootstrap.configure_logging(settings, "worker")
    attached = Attached(settings, "n")
    place = attached.look_around()
    source = {"block": Blocking, "connect": Connecting}[sys.argv[1]]()
    plugins = Plugins(sources={"rss": source}, notifiers={})
    plan = WorkerPlan(settings, attached, place, place.queues[0], 4, plugins)
    return node.work(plan, Start(new_id(), new_id()))


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # As a forked worker ends: a source that is stuck must not keep the process.
    os._exit(code)
