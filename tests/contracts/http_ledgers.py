"""`HttpLedger` over a real parent application that listens on loopback, as the suite of all ledgers wants it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from backend.domain.identifiers import new_id
from backend.domain.orders import WorkOrder
from backend.domain.protocol import Capabilities
from backend.outbound.trusted import TrustedHttpClient
from backend.store import credentials
from backend.store.credentials import Pair as DrawnPair
from backend.store.session import transact
from backend.store.tables import Node
from backend.workers.claimer import Claimer, Scope
from backend.workers.contact import Contact
from backend.workers.http_ledger import HttpLedger
from backend.workers.journal import Journal, Who
from backend.workers.outbox import Outbox
from backend.workers.parent import Pair, Parent
from tests.building import CIPHER, change
from tests.integration.api.harness import Api, build

INSTANCE = "instance"
UPDATE = Scope("update", frozenset({"update"}), 1000)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Nothing."""


@dataclass(frozen=True)
class ServedParent:
    """A parent's application on a database, listening."""

    api: Api
    server: BaseWSGIServer

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def served_parent(engine: Engine, folder: Path, redis_url: str = "") -> Iterator[ServedParent]:
    """The application on the engine's database, until the block ends."""
    api = build(engine.url.render_as_string(hide_password=False), folder, redis_url)
    server = make_server("127.0.0.1", 0, api.app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield ServedParent(api, server)
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
        api.close()


def remote_pair(engine: Engine, node_id: str, *, instance: str = INSTANCE) -> Pair:
    """Credentials for the node, which is a remote one of our own from now on."""
    change(engine, Node, node_id, transport="remote", instance=instance)
    drawn: DrawnPair = credentials.new_pair()
    transact(engine, lambda session: credentials.rotate(session, node_id, drawn, grace_seconds=600))
    return Pair(drawn.api_key, drawn.api_secret)


def line_to(parent: ServedParent, pair: Pair) -> Parent:
    """A child's line."""
    return Parent(parent.url, TrustedHttpClient(environ={}), lambda: pair)


def claimer_for(line: Parent, journal: Journal, folder: Path, scope: Scope = UPDATE) -> Claimer:
    """What claims for the node."""
    return Claimer(
        parent=line,
        contact=Contact(),
        journal=journal,
        outbox=Outbox(folder / "outbox", CIPHER),
        instance=INSTANCE,
        capabilities=Capabilities(("update", "publish", "account"), None, ()),
        scope=scope,
        offer=lambda _pieces: None,
    )


@dataclass(frozen=True, slots=True)
class ClaimingLedger(HttpLedger):
    """What a node's claimer does beside its workers happens here right before each look."""

    claimer: Claimer = field(kw_only=True)

    def begin_next(self, queue: str, execution: str, max_size: int, *, idle: bool = True) -> WorkOrder | None:
        """Claim, then take what fits."""
        self.claimer.claim()
        return HttpLedger.begin_next(self, queue, execution, max_size, idle=idle)


@contextmanager
def http_ledgers(folder: Path) -> Iterator[Callable[[Engine, str], HttpLedger]]:
    """A factory of ledgers; each belongs to a machine of its own, and all to parents on the engines' databases."""
    parents: dict[str, ServedParent] = {}
    lock = threading.Lock()
    with ExitStack() as stack:

        def make(engine: Engine, node_id: str) -> HttpLedger:
            with lock:
                url = str(engine.url)
                if url not in parents:
                    parents[url] = stack.enter_context(served_parent(engine, folder))
                pair = remote_pair(engine, node_id)
            machine = folder / new_id()
            line, journal = line_to(parents[url], pair), Journal(machine / "journal.db")
            claimer = claimer_for(line, journal, machine)
            return ClaimingLedger(line, journal, Who(INSTANCE, machine.name), claimer=claimer)

        yield make
