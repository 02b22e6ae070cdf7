"""How accounts are: verdicts about their credentials, and the tasks that an account holds and lets go on.

Lock order: allocation, account, its tasks by id.
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any, cast

from pydantic import TypeAdapter
from sqlalchemy import CursorResult, exists, select, update
from sqlalchemy.orm import Session

from backend.domain.account_checks import check_interval, logs_in_next
from backend.domain.publish_endings import AccountState, PublishPolicy, account_after
from backend.domain.publish_waiting import hold_reason
from backend.domain.publishing import AccountVerdict, Credentials, Errand, Health
from backend.domain.why import Why
from backend.store import login_screenshots, transitions
from backend.store.cipher import Cipher
from backend.store.columns import now
from backend.store.tables import PublishAccount, PublishTask, core
from backend.store.transitions import Change

ACCOUNTS, TASKS = core(PublishAccount), core(PublishTask)
AT_ONCE = 200
SICK = tuple(one.value for one in Health if not one.may_publish)
WELL = tuple(one.value for one in Health if one.may_publish)
LOGGED_OUT = (Health.EXPIRED.value, Health.NEEDS_LOGIN.value)
PLAIN = {"synchronize_session": False}


def sealed(cipher: Cipher, credentials: Credentials) -> str:
    """Credentials as they are stored."""
    return cipher.encrypt(_credentials().dump_json(credentials).decode())


def unsealed(cipher: Cipher, stored: str) -> Credentials:
    """The credentials again. Raises `ConfigurationError` when none of the keys fits."""
    text = cipher.decrypt(stored)
    return _credentials().validate_json(text) if text else Credentials()


def _credentials() -> TypeAdapter[Credentials]:
    return TypeAdapter(Credentials)


def lock_account(session: Session, account_id: str) -> Any:
    """The account's row with a lock, or `None` when it was deleted."""
    query = select(ACCOUNTS).where(ACCOUNTS.c.id == account_id)
    return session.execute(query.with_for_update()).first()


def clock(session: Session) -> datetime:
    """The database's clock."""
    return session.scalars(select(now())).one()


def may_publish(account: Any) -> bool:
    """Whether work of the account may begin."""
    return bool(account.is_active) and Health(account.health).may_publish


def why_held(account: Any) -> Why:
    """Why the account, which may not publish, holds its tasks."""
    if not account.is_active:
        return Why("why_account_off", {"account": account.name})
    return hold_reason(
        Health(account.health),
        account.name,
        account.cooling_until,
        (account.health_reason or "").rstrip(". "),
    )


def apply_verdict(
    session: Session, cipher: Cipher, policy: PublishPolicy, verdict: AccountVerdict, actor: str
) -> bool:
    """Store what was learnt about an account and what follows for its tasks; `False` for a stale verdict, which changes nothing.

    A refreshed credential makes a new version, so that a verdict about the old one is stale from then on.
    """
    account = lock_account(session, verdict.account_id)
    if account is None or account.credential_version != verdict.credential_version:
        return False
    at = clock(session)
    interval = check_interval(account.platform, random.random())  # noqa: S311
    state = account_after(policy, verdict, at, interval)
    values = _columns(state) | {"checked_at": at, "updated_at": at}
    if verdict.profile:
        values["profile"] = verdict.profile[:255]
    if verdict.refreshed is not None:
        values |= {
            "credentials": sealed(cipher, verdict.refreshed),
            "credential_version": account.credential_version + 1,
        }
    if state.health.may_publish:
        login_screenshots.forget(session, account.id)
    elif logs_in_next(account.platform, verdict, unsealed(cipher, account.credentials)):
        values["errand_wanted"] = Errand.LOGIN.value
    _write(session, account.id, values)
    follow_health(session, account.id, actor)
    return True


def want_person(session: Session, allocation: Any, code: str, reason: str) -> None:
    """Leave an account whose login came to nothing to a person, unless it works or was given other credentials meanwhile."""
    unchanged = ACCOUNTS.c.credential_version == allocation.credential_version
    values = {"health": Health.NEEDS_LOGIN.value, "health_code": code, "health_reason": reason[:500]}
    session.execute(
        update(ACCOUNTS)
        .where(ACCOUNTS.c.id == allocation.account_id, unchanged, ACCOUNTS.c.health.in_(LOGGED_OUT))
        .values(**values, check_due_at=None, updated_at=now())
    )


def _columns(state: AccountState) -> dict[str, Any]:
    return {
        "health": state.health.value,
        "health_code": state.code,
        "health_reason": state.reason[:500],
        "cooling_until": state.cooling_until,
        "check_due_at": state.check_due_at,
        "expires_at": state.expires_at,
    }


def _write(session: Session, account_id: str, values: dict[str, Any]) -> None:
    session.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == account_id).values(**values))


def follow_health(session: Session, account_id: str, actor: str) -> int:
    """Hold the account's waiting tasks, or let its held ones go on, as its health says; how many, at most 200.

    The rest comes with the next look: `unfollowed` names the accounts.
    """
    account = lock_account(session, account_id)
    if account is None:
        return 0
    if may_publish(account):
        return _move_tasks(
            session, account_id, Change(("held",), "pending", actor, "its account is healthy again"), ""
        )
    why = why_held(account)
    return _move_tasks(session, account_id, Change(("pending",), "held", actor, why.sentence()), why.code)


def _move_tasks(session: Session, account_id: str, change: Change, code: str) -> int:
    (source,) = change.sources
    ids = session.scalars(
        select(TASKS.c.id)
        .where(TASKS.c.state == source, TASKS.c.account_id == account_id)
        .order_by(TASKS.c.id)
        .limit(AT_ONCE)
        .with_for_update()
    ).all()
    transitions.move_locked(session, PublishTask, dict.fromkeys(ids, change), reason_code=code)
    return len(ids)


def unfollowed(session: Session) -> list[str]:
    """Accounts that may publish and hold tasks, or may not and have pending ones."""
    found: set[str] = set()
    for state, fitting in (
        ("held", (ACCOUNTS.c.is_active, ACCOUNTS.c.health.in_(WELL))),
        ("pending", (~ACCOUNTS.c.is_active | ACCOUNTS.c.health.in_(SICK),)),
    ):
        waiting = exists().where(TASKS.c.state == state, TASKS.c.account_id == ACCOUNTS.c.id)
        found.update(session.scalars(select(ACCOUNTS.c.id).where(waiting, *fitting).limit(AT_ONCE)))
    return sorted(found)


def cooled(session: Session) -> list[str]:
    """Accounts whose cooling is over."""
    query = select(ACCOUNTS.c.id).where(
        ACCOUNTS.c.health == Health.COOLING.value, ACCOUNTS.c.cooling_until <= now()
    )
    return list(session.scalars(query.limit(AT_ONCE)))


def go_on(session: Session, account_id: str, actor: str) -> bool:
    """Let an account whose cooling is over publish again; nobody has looked at it since, so its health is unknown."""
    cooling = (
        ACCOUNTS.c.id == account_id,
        ACCOUNTS.c.health == Health.COOLING.value,
        ACCOUNTS.c.cooling_until <= now(),
    )
    values = {
        "health": Health.UNKNOWN.value,
        "health_code": "",
        "health_reason": "",
        "cooling_until": None,
        "check_due_at": now(),
        "updated_at": now(),
    }
    result = session.execute(update(ACCOUNTS).where(*cooling).values(**values))
    if not cast("CursorResult[Any]", result).rowcount:
        return False
    follow_health(session, account_id, actor)
    return True
