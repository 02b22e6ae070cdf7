"""Hosts of feeds: which have all the work they may have, and which asked to be left alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.orm import Session

from backend.domain.orders import ItemOutcome
from backend.domain.waiting import HostFacts
from backend.store.columns import now
from backend.store.tables import Host, WorkItem


def wishes(items: Iterable[ItemOutcome], of_items: Mapping[str, str]) -> dict[str, float]:
    """By host, for how many seconds it is to be left alone; `of_items` names the host of each item that counts.

    A host that has no turn soon is passed over too: each of its items would go to a node only to come back.
    """
    found: dict[str, float] = {}
    for one in items:
        if one.item_id not in of_items:
            continue
        names, seconds = {of_items[one.item_id]}, 0.0
        if one.failure is not None and one.failure.host_wait:
            names, seconds = names | {one.failure.host}, one.failure.host_wait
        elif one.postponement is not None:
            names, seconds = {one.postponement.host}, one.postponement.seconds
        found |= {name: max(found.get(name, 0.0), seconds) for name in names if name and seconds}
    return found


def hold(session: Session, seconds: Mapping[str, float]) -> None:
    """Leave these hosts alone for so many seconds; a longer wish that stands already stays."""
    # One order for everybody: settles that hold the same hosts wait for each other instead of deadlocking.
    for name in sorted(seconds):
        until = now(seconds[name])
        if session.get_bind().dialect.name == "sqlite":
            lite = sqlite.insert(Host).values(name=name, held_until=until)
            longer = case(
                (Host.held_until > lite.excluded.held_until, Host.held_until), else_=lite.excluded.held_until
            )
            session.execute(lite.on_conflict_do_update(index_elements=["name"], set_={"held_until": longer}))
            continue
        server = mysql.insert(Host).values(name=name, held_until=until)
        greatest = func.greatest(Host.__table__.c.held_until, server.inserted.held_until)
        session.execute(server.on_duplicate_key_update(held_until=greatest))


def held(session: Session) -> dict[str, datetime]:
    """The hosts that want to be left alone, and until when."""
    query = select(Host.name, Host.held_until).where(Host.held_until > now())
    return {row.name: row.held_until for row in session.execute(query)}


def in_flight(session: Session) -> dict[str, int]:
    """By host, how many items of assigned, unsettled work there are."""
    query = (
        select(WorkItem.host, func.count())
        .where(WorkItem.state == "assigned", WorkItem.host != "")
        .group_by(WorkItem.host)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def facts(session: Session, name: str) -> HostFacts:
    """What one host allows; an empty name is nobody's."""
    if not name:
        return HostFacts()
    until = session.scalar(select(Host.held_until).where(Host.name == name))
    busy = select(func.count()).where(WorkItem.state == "assigned", WorkItem.host == name)
    return HostFacts(name, until, session.scalar(busy) or 0)
