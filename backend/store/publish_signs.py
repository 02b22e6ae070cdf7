"""What alarms about publishing are decided from: accounts that need people, and submitted articles that nobody confirmed."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.domain.publishing import Health
from backend.domain.signs import AccountSign, PublishSign
from backend.store.columns import now
from backend.store.tables import PublishAccount, PublishTask

AT_ONCE = 500
WANTING = (Health.EXPIRED.value, Health.NEEDS_LOGIN.value, Health.EXPIRING.value)


def publish_sign(session: Session) -> PublishSign:
    """Reads what has not ended, over indexes."""
    count = session.scalar(select(func.count()).where(PublishTask.state == "unconfirmed")) or 0
    oldest = session.execute(
        select(PublishTask.id, func.coalesce(PublishTask.completed_at, PublishTask.created_at), now())
        .where(PublishTask.state == "unconfirmed")
        .order_by(func.coalesce(PublishTask.completed_at, PublishTask.created_at))
        .limit(1)
    ).first()
    if oldest is None:
        return PublishSign(_accounts(session))
    age = (oldest[2] - oldest[1]).total_seconds()
    return PublishSign(_accounts(session), count, oldest[0], age)


def _accounts(session: Session) -> list[AccountSign]:
    query = (
        select(PublishAccount)
        .where(PublishAccount.health.in_(WANTING), PublishAccount.is_active)
        .order_by(PublishAccount.id)
        .limit(AT_ONCE)
    )
    rows = session.scalars(query).all()
    held = _held(session, [row.id for row in rows])
    return [
        AccountSign(row.id, row.name, row.platform, row.health, row.health_reason, held.get(row.id, 0))
        for row in rows
    ]


def _held(session: Session, ids: list[str]) -> dict[str, int]:
    query = (
        select(PublishTask.account_id, func.count())
        .where(PublishTask.state == "held", PublishTask.account_id.in_(ids))
        .group_by(PublishTask.account_id)
    )
    return {row[0]: row[1] for row in session.execute(query)} if ids else {}
