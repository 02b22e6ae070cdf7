"""The pump's part of publishing: whose turn it is, then one transaction that gives accounts' slots away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from backend.domain.publish_admission import Admission, Places, PublishLimits, admit, admit_errands
from backend.store import account_errands, publish_admission
from backend.store.columns import now
from backend.store.planning import Placed, take_pump_lock

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from backend.domain.publish_admission import AccountFacts, PublishNode
    from backend.store.account_errands import Visit


@dataclass(frozen=True, slots=True)
class Plan:
    """Who gets a slot now: accounts to be visited, then tasks."""

    visits: tuple[Visit, ...] = ()
    errands: tuple[Admission, ...] = ()
    tasks: tuple[Admission, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.errands or self.tasks)


def has_work(session: Session, limits: PublishLimits) -> bool:
    """Whether anything can be placed now; nothing is locked, however much waits for its time."""
    return publish_admission.anything_waits(session) and bool(plan(session, limits))


def place(session: Session, limits: PublishLimits) -> list[Placed]:
    """Place what has its turn, under the pump's lock."""
    take_pump_lock(session)
    made = plan(session, limits)
    if not made:
        return []
    reasons = {one.account_id: one.errand for one in made.visits}
    under_way = {one.account_id for one in made.errands}
    account_errands.note_visits(session, [one for one in made.visits if one.account_id in under_way])
    return publish_admission.place(session, [*made.errands, *made.tasks], reasons)


def plan(session: Session, limits: PublishLimits) -> Plan:
    """Who may begin now."""
    taken = publish_admission.occupants(session)
    waiting = _open_accounts(session, taken)
    if not waiting and not session.scalar(select(account_errands.any_wanted())):
        return Plan()
    places = publish_admission.publish_nodes(session, taken.values(), limits.node_slots)
    if all(node.in_flight >= node.capacity for node in places):
        return Plan()
    return _decide(session, waiting, places, limits)


def _open_accounts(session: Session, taken: dict[str, str]) -> dict[str, AccountFacts]:
    """The accounts with pending tasks of which one might begin."""
    found: dict[str, AccountFacts] = {}
    for ids in publish_admission.waiting_accounts(session, "pending"):
        free = [one for one in ids if one not in taken]
        known = publish_admission.account_facts(session, free, taken)
        found |= {one: facts for one, facts in known.items() if facts.is_active and facts.health.may_publish}
    return found


def _decide(
    session: Session, waiting: dict[str, AccountFacts], nodes: list[PublishNode], limits: PublishLimits
) -> Plan:
    visits = account_errands.wanted(session, [node.id for node in nodes])
    visited = publish_admission.account_facts(session, [one.account_id for one in visits], ())
    # A check goes before the account's next task: what it finds out may save that one.
    places = Places({**waiting, **visited}, nodes)
    errands = admit_errands([(one.account_id, one.account_id) for one in visits], places)
    tasks = publish_admission.candidates(session, waiting)
    users = publish_admission.user_loads(session, {one.user_id for one in tasks})
    current = session.execute(select(now())).scalar_one()
    return Plan(tuple(visits), tuple(errands), tuple(admit(tasks, users, places, limits, current)))
