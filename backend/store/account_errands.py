"""Which accounts are to be visited: for a check that is due, or for what a person asked for."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, or_, select, update
from sqlalchemy.orm import Session

from backend.domain.account_checks import check_interval
from backend.domain.publishing import Errand
from backend.store.columns import now
from backend.store.tables import Allocation, PublishAccount, core

ACCOUNTS, ALLOCATIONS = core(PublishAccount), core(Allocation)
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Visit:
    """One account and what it is to be visited for."""

    account_id: str
    platform: str
    errand: str


@dataclass(frozen=True, slots=True)
class ErrandView:
    """One work of an account: a check, a login, a publish task's; how far it is, and why it failed."""

    allocation_id: str
    kind: str
    errand: Errand | None
    state: str
    reason: str
    error_code: str
    error_message: str
    created_at: datetime
    ended_at: datetime | None


def any_wanted() -> ColumnElement[bool]:
    """Whether any account is to be visited: a seek in each of two indexes."""
    return or_(*(_visits(condition).exists() for condition in _reasons()))


def wanted(session: Session, node_ids: Collection[str]) -> list[Visit]:
    """Accounts that are to be visited now and can be, from one of these nodes: who asked first, then the longest due."""
    reachable = or_(ACCOUNTS.c.node_id.is_(None), ACCOUNTS.c.node_id.in_(sorted(node_ids)))
    free = ~exists().where(Allocation.active_account_id == ACCOUNTS.c.id)
    found: dict[str, Visit] = {}
    for condition in _reasons():
        query = _visits(condition).where(reachable, free).order_by(ACCOUNTS.c.check_due_at).limit(AT_ONCE)
        for row in session.execute(query):
            found.setdefault(row.id, Visit(row.id, row.platform, row.errand_wanted or Errand.CHECK.value))
    return list(found.values())


def _reasons() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return ACCOUNTS.c.errand_wanted.is_not(None), ACCOUNTS.c.check_due_at <= now()


def _visits(condition: ColumnElement[bool]) -> Select[str, str, str | None]:
    columns = (ACCOUNTS.c.id, ACCOUNTS.c.platform, ACCOUNTS.c.errand_wanted)
    return select(*columns).where(condition, ACCOUNTS.c.is_active)


def note_visits(session: Session, visits: Sequence[Visit]) -> None:
    """They are under way: what was asked for is no longer wanted, and the next check counts from now, should this one tell nothing."""
    for one in visits:
        due = now(check_interval(one.platform, random.random()))  # noqa: S311  # it spreads load, it keeps no secret
        mine = ACCOUNTS.c.id == one.account_id
        session.execute(update(ACCOUNTS).where(mine).values(check_due_at=due))
        # A login that was asked for while its check was being planned stays wanted.
        done = (mine, ACCOUNTS.c.errand_wanted == one.errand)
        session.execute(update(ACCOUNTS).where(*done).values(errand_wanted=None))


def errands_of(session: Session, account_id: str, limit: int = 20) -> list[ErrandView]:
    """The account's newest works, newest first."""
    names = (
        "id",
        "kind",
        "errand",
        "state",
        "reason",
        "error_code",
        "error_message",
        "created_at",
        "ended_at",
    )
    columns = [ALLOCATIONS.c[name] for name in names]
    query = select(*columns).where(ALLOCATIONS.c.account_id == account_id).order_by(ALLOCATIONS.c.id.desc())
    return [
        ErrandView(row[0], row[1], Errand(row[2]) if row[2] else None, *row[3:])
        for row in session.execute(query.limit(limit))
    ]
