"""Requests that must take effect once: reserved before the work, marked in its transaction, answered again later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, select, update
from sqlalchemy.orm import Session

from backend.domain.errors import Conflict
from backend.store.columns import now
from backend.store.inserting import insert_missing
from backend.store.tables import IdempotentRequest

KEEP_SECONDS = 24 * 3600.0
# Whoever was not heard of for so long counts as dead: callers wait that long for a parent that died. One that was only
# slow loses its try and nothing else: its next commit finds that the request is not its own any more.
IN_HAND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Reservation:
    """One try of a request: which, what it asks (hashed), and a random name of the try."""

    id: str
    fingerprint: str
    execution: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands under a request's id. `ours`: this try may do the work. `answer` is encrypted.

    `answer_lost`: it took effect, and whoever had it in hand is dead.
    """

    ours: bool
    same_content: bool
    answer_lost: bool
    answer: str | None


def reserve(session: Session, reservation: Reservation) -> Standing:
    """Take the request in hand unless somebody has it, or had; what a dead process left undone is taken over."""
    session.execute(delete(IdempotentRequest).where(_is(reservation), _older_than(KEEP_SECONDS)))
    row = {"id": reservation.id, "fingerprint": reservation.fingerprint, "execution": reservation.execution}
    insert_missing(session, IdempotentRequest, [row])
    dead = IdempotentRequest.taken_at < now(-IN_HAND_SECONDS)
    same = IdempotentRequest.fingerprint == reservation.fingerprint
    undone = IdempotentRequest.took_effect.is_(False)
    _change(session, reservation, dead, same, undone, execution=reservation.execution, taken_at=now())
    found, is_dead = session.execute(select(IdempotentRequest, dead).where(_is(reservation))).one()
    return Standing(
        ours=found.execution == reservation.execution,
        same_content=found.fingerprint == reservation.fingerprint,
        answer_lost=found.took_effect and found.answer is None and bool(is_dead),
        answer=found.answer,
    )


def mark_effect(session: Session, reservation: Reservation) -> None:
    """Say, in the transaction that creates, that it did, and that whoever has the request in hand lives.

    Raises `Conflict` when another try took the request over.
    """
    if not _change(session, reservation, _held(reservation), took_effect=True, taken_at=now()):
        raise Conflict("request_in_hand")


def keep_answer(session: Session, reservation: Reservation, answer: str) -> None:
    """Keep the encrypted answer for those who ask again."""
    _change(session, reservation, _held(reservation), took_effect=True, answer=answer)


def release(session: Session, reservation: Reservation) -> None:
    """Forget a try that did not take effect, so that the same request may be tried again."""
    undone = IdempotentRequest.took_effect.is_(False)
    session.execute(delete(IdempotentRequest).where(_is(reservation), _held(reservation), undone))


def _is(reservation: Reservation) -> ColumnElement[bool]:
    return IdempotentRequest.id == reservation.id


def _held(reservation: Reservation) -> ColumnElement[bool]:
    return IdempotentRequest.execution == reservation.execution


def _older_than(seconds: float) -> ColumnElement[bool]:
    return IdempotentRequest.created_at < now(-seconds)


def _change(session: Session, reservation: Reservation, *guards: ColumnElement[bool], **values: Any) -> int:
    statement = update(IdempotentRequest).where(_is(reservation), *guards).values(**values)
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount
