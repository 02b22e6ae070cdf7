"""A source is one file and one entry-point line; one that can't be loaded says why and stops nobody."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import Engine

from backend.dispatch.pump import pump
from backend.domain.feeds import draft_feed
from backend.store import feeds
from backend.store.session import transact
from backend.store.tables import Article
from tests.building import LIMITS, make_node, make_task, rows_of, start_run
from tests.integration.workers.running import NODE, ROOT, NodeProcess, wait_items
from tests.plugins.installing import install
from tests.servers import RedisServer
from tests.standins.feeds import FeedServer

BROKEN = {
    "broken": ("broken:Source", "import a_library_that_nobody_installed\n"),
    "leaving": ("leaving:Source", "raise SystemExit(3)\n"),
    "misnamed": (
        "misnamed:Source",
        "class Source:\n    kind = 'other'\n    def fetch(self, feed, http): ...\n",
    ),
    "unable": ("unable:Source", "class Source:\n    kind = 'unable'\n"),
    "absent": ("absent:NoSuchClass", "\n"),
}
CAUSES = {
    "broken": "a_library_that_nobody_installed",
    "leaving": "SystemExit",
    "misnamed": "its kind must be 'misnamed'",
    "unable": "it has no method fetch()",
    "absent": "NoSuchClass",
}


class Quotes(BaseHTTPRequestHandler):
    """Two quotations."""

    def do_GET(self) -> None:
        """See `BaseHTTPRequestHandler`."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write("Festina lente.\n\n学而时习之\n".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def quotes_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Quotes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/quotes.txt"
        server.shutdown()
        thread.join()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where somebody else's package is installed: one good source and five that can't be used."""
    entries = {"quotes": "quotes:QuotesSource"} | {name: entry for name, (entry, _) in BROKEN.items()}
    return install(tmp_path / "site", entries, **{name: text for name, (_, text) in BROKEN.items()})


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_source_from_outside_collects_beside_ours_and_broken_ones_name_themselves(
    tmp_path: Path,
    place: Path,
    quotes_url: str,
    migrated_url: str,
    engine: Engine,
    redis_client: Redis,
    redis_server: RedisServer,
) -> None:
    node = NodeProcess(tmp_path / "var", migrated_url, redis_server.url, PYTHONPATH=f"{ROOT}:{place}")
    with FeedServer(1, broken=0, articles=3) as server, node:
        node.wait_workers(2)
        make_node(engine, NODE)
        kinds = {"rss": server.feed_url(0), "quotes": quotes_url}
        drafts = [draft_feed(url, kind=kind, known_kinds=kinds) for kind, url in kinds.items()]
        ids = transact(engine, lambda session: [feeds.create_feed(session, one).id for one in drafts])
        start_run(engine, make_task(engine, ids))
        pump(engine, redis_client, LIMITS)
        wait_items(engine, "done", 2)
        titles = [article.title for article in rows_of(engine, Article)]
        assert node.stop() == 0
    assert {"Festina lente.", "学而时习之"} < set(titles)
    assert len(titles) == 5
    for name, cause in CAUSES.items():
        [line] = [one for one in node.log.splitlines() if f"the plug-in {name} (" in one]
        assert cause in line


def test_check_shows_which_plug_ins_there_are_and_why_one_is_left_out(tmp_path: Path, place: Path) -> None:
    told = {
        "PYTHONPATH": f"{ROOT}:{place}",
        "PATH": "/usr/bin:/bin",
        "CASCADE_DATA_DIR": str(tmp_path / "var"),
    }
    shown = subprocess.run(
        [sys.executable, "-m", "backend.cli.main", "check", "--json"],
        cwd=ROOT,
        env=told,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    ).stdout
    found = {one["subject"]: one for one in json.loads(shown)}
    assert found["sources"]["detail"] == "quotes, rss"
    for name, cause in CAUSES.items():
        assert cause in found[f"sources: {name}"]["detail"]
        assert found[f"sources: {name}"]["fix"]
