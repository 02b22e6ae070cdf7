"""The repairs of accounts: those whose cooling is over publish again, and their tasks follow their health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backend.dispatch.repairs import Repair
from backend.store import account_health
from backend.store.session import read, transact

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

SWEEPER = "sweeper"


def cooled_accounts(engine: Engine) -> Repair[str]:
    """Accounts that the platform had asked to slow down, and the time is over."""

    def mend(found: Sequence[str]) -> int:
        return sum(
            transact(engine, lambda session, one=one: account_health.go_on(session, one, SWEEPER))  # type: ignore[misc]
            for one in found
        )

    return Repair("sweep_cooled", lambda: read(engine, account_health.cooled), mend)


def unfollowed_accounts(engine: Engine) -> Repair[str]:
    """Tasks that are held although their account may publish, or wait although it may not: more than one transaction takes along."""

    def follow(session: Session, account_id: str) -> int:
        return account_health.follow_health(session, account_id, SWEEPER)

    def mend(found: Sequence[str]) -> int:
        return sum(transact(engine, lambda session, one=one: follow(session, one)) for one in found)  # type: ignore[misc]

    return Repair("sweep_held_publishes", lambda: read(engine, account_health.unfollowed), mend)
