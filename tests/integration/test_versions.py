"""Nodes and parents that are a version apart work together over real HTTP, each with what both of them know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from backend.dispatch.pump import pump
from backend.domain import wire
from backend.domain.identifiers import new_id
from backend.domain.orders import WorkOrder
from backend.domain.ports import HttpRequest, HttpResponse, Standing
from backend.domain.protocol import Capabilities
from backend.domain.publish_admission import PublishLimits
from backend.outbound.trusted import TrustedHttpClient
from backend.store import recovery
from backend.store.scene import Asker, explain
from backend.store.session import read, transact
from backend.store.tables import Allocation, Node
from backend.workers.claimer import Claimer, Scope
from backend.workers.contact import Contact, HttpTeller
from backend.workers.http_ledger import HttpLedger
from backend.workers.journal import Journal, Who
from backend.workers.outbox import Outbox
from backend.workers.parent import Call, Pair, Parent
from tests import building
from tests.building import CIPHER, LIMITS, outcome_of, rows_of
from tests.contracts.http_ledgers import ServedParent, remote_pair, served_parent
from tests.publishing import make_account, make_tasks

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

KINDS = ("account", "publish", "update")
ABLE = Capabilities(KINDS, ("rss",), ("zhihu",))


class ParentOfYesterday:
    """The way to a real parent that speaks the first version only: it knows no field that came later, and says none.

    What it says besides is of a version that nobody knows.
    """

    NEVER_HEARD_OF = frozenset({"capabilities", "holds", "replaces", "outbox", "callback_url"})
    NEVER_SAID = frozenset({"draining", "stale", "renew_seconds", "alone"})

    def __init__(self) -> None:
        self.client = TrustedHttpClient(environ={})
        self.offered: set[str] = set()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Both ways, through its eyes."""
        told = json.loads(request.body or b"{}") if request.headers.get("Content-Encoding") is None else None
        if told is not None:
            self.offered |= set(told.get("capabilities", {}).get("kinds", ()))
            known = {name: value for name, value in told.items() if name not in self.NEVER_HEARD_OF}
            request = replace(request, body=json.dumps(known).encode())
        answer = self.client.send(request)
        said = json.loads(answer.body)
        said["data"] = self._said(said["data"])
        return replace(answer, body=json.dumps(said | {"of_yesterday": True}).encode())

    def _said(self, data: Any) -> Any:
        if isinstance(data, list):
            return [self._said(one) for one in data]
        if not isinstance(data, dict):
            return data
        found = {name: value for name, value in data.items() if name not in self.NEVER_SAID}
        return found | {"colour": "blue"} | ({"protocol": 1} if "protocol" in found else {})


@dataclass
class NewChild:
    """A child of this version: the parts that it really has."""

    folder: Path
    line: Parent
    instance: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder / "journal.db")
        self.outbox = Outbox(self.folder / "outbox", CIPHER)
        self.contact = Contact()

    def beat(self) -> None:
        """The full beat."""
        teller = HttpTeller(
            *(self.line, self.contact, self.journal, self.outbox, self.instance, "of today", ABLE),
            full_seconds=60.0,
        )
        teller.beat(2, self.outbox.report(), None)

    def claim(self) -> list[str]:
        """The kinds of all that it gets."""
        claimer = Claimer(
            *(self.line, self.contact, self.journal, self.outbox, self.instance, ABLE),
            Scope("everything", frozenset(KINDS), 20),
            offer=lambda _pieces: None,
        )
        return [piece.kind for piece in claimer.claim()]

    def work(self, queue: str) -> list[Standing]:
        """Begin and settle all update work that it has."""
        ledger, standings = HttpLedger(self.line, self.journal, Who(self.instance, "w")), []
        while (order := ledger.begin_next(queue, new_id(), 100)) is not None:
            standings.append(ledger.settle(outcome_of(order)))
        return standings


@dataclass
class OldChild:
    """A child that was built when there was update work only: the bodies of the first version, and no field more."""

    line: Parent
    instance: str = field(default_factory=new_id)

    def _post(self, path: str, body: dict[str, object]) -> Any:
        return self.line.call(Call("POST", path, body)).data

    def beat(self) -> Any:
        """The full beat."""
        said = {"instance": self.instance, "version": "of yesterday", "protocol": 1, "workers": 2}
        # Its words of today, in a version that had no such work: an upgrade that stopped half-way.
        return self._post("/heartbeat", said | {"capabilities": wire.plain(ABLE)})

    def work(self) -> list[str]:
        """Claim, begin and settle what it gets; the kinds of it."""
        claim = {"claim_id": new_id(), "instance": self.instance, "slots": 20, "protocol": 1}
        return [self._do(piece) for piece in self._post("/claim-task", claim) or ()]

    def _do(self, piece: dict[str, Any]) -> str:
        path, execution = f"/allocations/{piece['allocation_id']}", new_id()
        said = {"attempt": piece["attempt"], "execution": execution}
        begun = self._post(f"{path}/begin", said | {"instance": self.instance})
        order = wire.from_plain(WorkOrder, begun)
        outcome = wire.plain(outcome_of(order))
        assert self._post(f"{path}/settle", said | {"outcome": outcome})["standing"] == "held"
        return str(piece["kind"])


@pytest.fixture
def parent(engine: Engine, tmp_path: Path) -> Iterator[ServedParent]:
    """A parent of this version, with a beat."""
    transact(engine, lambda session: recovery.stamp_pulse(session, "a beat", 45))
    with served_parent(engine, tmp_path) as served:
        yield served


def line_of(parent: ServedParent, name: str, road: Any = None) -> Parent:
    """A remote node of that name, which has not beaten yet, and its line."""
    node_id = building.make_third_party(parent.api.engine, name, presence_at=None)
    pair: Pair = remote_pair(parent.api.engine, node_id, instance="")
    return Parent(parent.url, road or TrustedHttpClient(environ={}), lambda: pair, wait=lambda _seconds: True)


def work(engine: Engine, feeds: int) -> None:
    """Update work of that many feeds, dispatched."""
    building.dispatch(engine, building.make_task(engine, building.make_feeds(engine, feeds)))


def article(engine: Engine, **account: Any) -> str:
    """An article for Zhihu that waits."""
    owner = make_account(engine, platform="zhihu", **account)
    (task,) = make_tasks(engine, owner, platform="zhihu")
    return task


def by_node(engine: Engine) -> dict[str, set[str]]:
    """The kinds of work that each node was given."""
    names = {node.id: node.name for node in rows_of(engine, Node)}
    found: dict[str, set[str]] = {}
    for row in rows_of(engine, Allocation):
        found.setdefault(names[row.node_id], set()).add(row.kind)
    return found


def why(engine: Engine, task: str) -> str:
    """What is said to a person who asks why the article waits."""
    asker = Asker(PublishLimits(node_slots=4), None)
    return read(engine, lambda session: explain(session, task, asker)).why.sentence()


def test_beside_a_new_child_an_older_one_does_what_it_always_did_and_only_the_new_one_publishes(
    parent: ServedParent, engine: Engine, tmp_path: Path
) -> None:
    old, new = OldChild(line_of(parent, "old")), NewChild(tmp_path / "new", line_of(parent, "new"))
    assert old.beat()["slug"] == "old"
    new.beat()
    work(engine, 10)
    article(engine)
    pump(engine, None, LIMITS)
    assert by_node(engine) == {"old": {"update"}, "new": {"update", "publish"}}
    assert set(old.work()) == {"update"}
    assert set(new.claim()) == {"update", "publish"}
    assert set(new.work("node:new")) == {Standing.HELD}
    assert {row.state for row in rows_of(engine, Allocation) if row.kind == "update"} == {"completed"}


def test_where_only_an_older_child_could_publish_a_person_is_told_what_to_do(
    parent: ServedParent, engine: Engine
) -> None:
    old = OldChild(line_of(parent, "old"))
    old.beat()
    node_id = next(node.id for node in rows_of(engine, Node) if node.name == "old")
    lives_there, lives_nowhere = article(engine, node_id=node_id), article(engine, name="bob")
    pump(engine, None, LIMITS)
    assert (by_node(engine), old.work()) == ({}, [])
    assert "it speaks protocol 1, and publish work needs 2: install a newer release" in why(
        engine, lives_there
    )
    assert "zhihu" in why(engine, lives_nowhere)


def test_a_new_child_works_for_an_older_parent_and_offers_it_nothing_that_it_does_not_know(
    parent: ServedParent, engine: Engine, tmp_path: Path
) -> None:
    road = ParentOfYesterday()
    child = NewChild(tmp_path / "new", line_of(parent, "new", road))
    child.beat()
    assert child.contact.heard is not None
    assert (child.contact.heard.protocol, child.contact.heard.renew_seconds) == (1, 15.0)
    node = next(node for node in rows_of(engine, Node) if node.name == "new")
    assert (node.kinds, node.publishers or []) == (["update"], [])
    work(engine, 3)
    article(engine)
    pump(engine, None, LIMITS)
    assert set(child.claim()) == {"update"}
    assert set(child.work("node:new")) == {Standing.HELD}
    child.beat()
    # Before it had heard of the version, it could only say all.
    road.offered.clear()
    child.beat()
    assert child.claim() == []
    assert (road.offered, by_node(engine)) == ({"update"}, {"new": {"update"}})


def test_a_child_whose_parent_was_upgraded_offers_the_rest_once_it_has_heard_of_it(
    parent: ServedParent, engine: Engine, tmp_path: Path
) -> None:
    child = NewChild(tmp_path / "new", line_of(parent, "new", ParentOfYesterday()))
    child.beat()
    child.line = replace(child.line, http=TrustedHttpClient(environ={}))
    child.beat()
    assert child.contact.heard is not None
    assert child.contact.heard.protocol == 2
    child.beat()
    article(engine)
    pump(engine, None, LIMITS)
    assert child.claim() == ["publish"]
