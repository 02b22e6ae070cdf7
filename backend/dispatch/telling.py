"""Sends what is due about alerts, in threads of its own: no database connection is held meanwhile, and nobody waits for it.

Any number of processes may do so at once: each message is claimed by one of them. One that dies between sending and
its note of that sends twice, after two minutes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.domain.alarms import CRITICAL, receiver_label, tell_wait
from backend.domain.errors import InvalidInput, Unavailable, WorkError
from backend.domain.identifiers import digest, new_id
from backend.domain.messages import render
from backend.domain.orders import DeliveryOrder, FrozenMessage
from backend.domain.ports import HttpClient, Notifier
from backend.domain.receivers import receiver_of
from backend.domain.rendering import NOTICE
from backend.store import notices
from backend.store.notices import CLOSED, OPENED, REMINDER, Notice
from backend.store.session import read, transact

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
# More would not fit into what chat robots take.
TOGETHER = 10
TITLES = {OPENED: "alert_title", REMINDER: "alert_title_reminder", CLOSED: "alert_title_closed"}
SEVERITIES = {CRITICAL: "alert_critical", "warning": "alert_warning"}


@dataclass(frozen=True, slots=True)
class Sender:
    """How a message gets to an address. `notifiers` is asked for its plug-ins when the first message is there:
    they are large, and most processes never send one.
    """

    urls: Mapping[str, str]
    notifiers: Callable[[], Mapping[str, Notifier]]
    http: HttpClient

    def send(self, receiver: str, key: str, message: FrozenMessage) -> None:
        """Send it to the receiver of that label; `key` stays the same when it is repeated.

        Raises `WorkError`, which shows nothing of the address.
        """
        url = self.urls[receiver]
        try:
            notifier = self.notifiers()[receiver_of(url, NOTICE).notifier]
        except InvalidInput as error:
            detail = str(error.params.get("detail", ""))
            raise WorkError(error.code, permanent=True, detail=detail) from error
        notifier.send(_order(url, key), message, self.http)


def _order(url: str, key: str) -> DeliveryOrder:
    return DeliveryOrder(
        delivery_id=key,
        task_id="",
        task_name="Cascade",
        message_type=NOTICE,
        message_template="",
        web_hook_url=url,
        headers="",
        cookies="",
        feed_id="",
        feed_name="",
        feed_cover="",
        feed_intro="",
        articles=(),
        idempotency_key=key,
    )


def labelled(urls: Sequence[str]) -> dict[str, str]:
    """The addresses by what people may see of them."""
    return {receiver_label(url): url for url in urls}


@dataclass(slots=True)
class Telling:
    """One process's part in telling people."""

    engine: Engine
    sender: Sender
    language: str
    repeat_seconds: float
    busy: set[str] = field(default_factory=set)

    def plan(self) -> int:
        """Make the messages that are due. Raises `Unavailable`."""
        receivers = list(self.sender.urls)
        transact(self.engine, lambda session: notices.give_up_foreign(session, receivers))
        return transact(self.engine, lambda session: notices.plan(session, receivers, self.repeat_seconds))

    def keep_telling(self, stop: threading.Event) -> None:
        """Until told to stop. Receivers are told at the same time, so that a silent one keeps nobody waiting."""
        while not stop.wait(LOOK_SECONDS):
            try:
                self.start_due()
            except Unavailable as error:
                log.debug("the database is away; alerts are sent later: %s", error)

    def start_due(self) -> int:
        """Start sending what is due; to how many receivers. Raises `Unavailable`."""
        free = [one for one in self.sender.urls if one not in self.busy]
        waiting = read(self.engine, lambda session: notices.due(session, free)) if free else []
        groups: dict[str, list[Notice]] = {}
        for one in waiting:
            groups.setdefault(one.receiver, []).append(one)
        for receiver, group in groups.items():
            self.busy.add(receiver)
            # No pool: the end of a process waits for a pool's threads, and so for whoever does not answer.
            threading.Thread(
                target=self._tell, args=(receiver, group[:TOGETHER]), name=f"tell {receiver}", daemon=True
            ).start()
        return len(groups)

    def _tell(self, receiver: str, group: Sequence[Notice]) -> None:
        try:
            self.tell(receiver, group)
        except Unavailable as error:
            log.warning(
                "what became of messages about alerts could not be noted (%s); they may be sent again", error
            )
        finally:
            self.busy.discard(receiver)

    def tell(self, receiver: str, group: Sequence[Notice]) -> int:
        """Send those that nobody else sends, as one message; how many. Raises `Unavailable`."""
        mine = transact(self.engine, lambda session: notices.claim(session, group))
        if not mine:
            return 0
        key = digest(*(one.id for one in mine))[:32]
        error = self._attempt(receiver, key, message_of(mine, self.language))
        if error is None:
            transact(self.engine, lambda session: notices.note_sent(session, mine))
            return len(mine)
        log.error("alerts could not be sent to %s: %s", receiver, error)
        transact(self.engine, lambda session: _note_failures(session, mine, error))
        return 0

    def _attempt(self, receiver: str, key: str, message: FrozenMessage) -> WorkError | None:
        try:
            self.sender.send(receiver, key, message)
        except WorkError as error:
            return error
        except Exception:
            # A thread edge: whatever a plug-in raises, its message is tried again, and others are still sent.
            log.exception("alerts could not be sent to %s", receiver)
            return WorkError("alert_sender_broken")
        return None


def _note_failures(session: Session, mine: Sequence[Notice], error: WorkError) -> None:
    for one in mine:
        wait = None if error.permanent else tell_wait(one.attempt)
        if wait is not None:
            wait = max(wait, error.retry_after or 0.0)
        notices.note_failed(session, one, error.code, str(error), wait)


def message_of(group: Sequence[Notice], language: str) -> FrozenMessage:
    """One message about some alerts; the worst of them gives the title."""
    worst = min(group, key=lambda one: (one.kind == CLOSED, one.severity != CRITICAL))
    title = render(TITLES[worst.kind], language, {"severity": _word(worst.severity, language)})
    if len(group) > 1:
        title = f"{title} ({len(group)})"
    lines = [_line(one, language) for one in group]
    return FrozenMessage(title, lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines))


def _line(one: Notice, language: str) -> str:
    message = render(one.rule, language, one.params)
    if one.kind != CLOSED:
        return message
    reason = render(one.close_reason, language, {})
    return render("alert_resolved", language, {"reason": reason, "message": message})


def _word(severity: str, language: str) -> str:
    return render(SEVERITIES.get(severity, severity), language, {})


def try_receivers(sender: Sender, language: str) -> dict[str, WorkError | None]:
    """Send a test message to every receiver; by label, what went wrong."""
    return {receiver: _try(sender, receiver, language) for receiver in sender.urls}


def _try(sender: Sender, receiver: str, language: str) -> WorkError | None:
    title = render("alert_title", language, {"severity": render("alert_try", language, {})})
    try:
        sender.send(receiver, new_id(), FrozenMessage(title, render("alert_test", language, {})))
    except WorkError as error:
        return error
    return None
