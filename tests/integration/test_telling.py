"""People hear of each alert once, of its end, and again while nobody acknowledges it; what fails is tried again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

from backend.bootstrap import NOTIFIERS, load_plugins
from backend.dispatch.telling import Sender, Telling, labelled, try_receivers
from backend.domain.alarms import receiver_label
from backend.outbound.adapter import install
from backend.outbound.client import GuardedHttpClient
from backend.store import alerts, notices
from backend.store.columns import now
from backend.store.session import read, transact
from backend.store.tables import Alert, AlertNotice
from tests.building import change, row_of, rows_of
from tests.servers import wait_until
from tests.standins.receivers import Behaviour, ReceiverServer

SECRET = "s3cr3tTokenOfTheReceiver"
LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
def server() -> Iterator[ReceiverServer]:
    """Receivers that keep a journal; `requests` goes through the egress guard meanwhile."""
    undo = install(LOOPBACK)
    with ReceiverServer() as server:
        yield server
    undo()


def urls_of(server: ReceiverServer) -> tuple[str, str]:
    return (f"bark://{server.netloc}/{SECRET}", server.url(f"/hook?token={SECRET}"))


def sender_of(*urls: str, allow: tuple[str, ...] = LOOPBACK) -> Sender:
    plugins = load_plugins(NOTIFIERS)
    return Sender(labelled(urls), lambda: plugins, GuardedHttpClient(allow, environ={}))


def telling_of(
    engine: Engine, *urls: str, repeat: float = 3600.0, language: str = "en", **more: Any
) -> Telling:
    return Telling(engine, sender_of(*urls, **more), language, repeat)


def opened(engine: Engine, subject: str = "f", name: str = "News") -> None:
    transact(
        engine,
        lambda session: alerts.open_alert(session, "alert_feed_gone", subject, name=name, feed_id=subject),
    )


def closed(engine: Engine, subject: str = "f") -> None:
    transact(engine, lambda session: alerts.close_alerts(session, subject, "alert_feed_gone"))


def tell(telling: Telling) -> int:
    """Plan and send what is due now, here; how many messages about alerts went out."""
    telling.plan()
    due = read(telling.engine, lambda session: notices.due(session, list(telling.sender.urls)))
    groups = {one.receiver: [other for other in due if other.receiver == one.receiver] for one in due}
    return sum(telling.tell(receiver, group) for receiver, group in groups.items())


def bodies(server: ReceiverServer) -> list[Any]:
    return [one.json for one in server.requests()]


def test_an_alert_is_told_once_to_each_receiver_and_so_is_its_end(
    engine: Engine, server: ReceiverServer
) -> None:
    telling = telling_of(engine, *urls_of(server))
    opened(engine)
    assert [tell(telling) for _ in range(3)] == [2, 0, 0]
    closed(engine)
    assert [tell(telling) for _ in range(3)] == [2, 0, 0]
    hook = [one.json for one in server.requests("/hook")]
    assert [one["title"] for one in hook] == ["[warning] Cascade", "[resolved] Cascade"]
    assert "News says that it is gone" in hook[0]["content"]
    assert hook[1]["content"].startswith("Resolved (no longer true): News says")
    assert len(server.requests("/push")) == 2


def test_three_beats_that_tell_at_once_tell_each_receiver_once(
    engine: Engine, server: ReceiverServer
) -> None:
    beats = [telling_of(engine, *urls_of(server)) for _ in range(3)]
    opened(engine)
    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(tell, beats)) == 2
    assert sorted(one.path for one in server.requests()) == ["/hook", "/push"]


def test_what_fails_is_tried_again_later_and_shows_why(engine: Engine, server: ReceiverServer) -> None:
    [url] = urls_of(server)[1:]
    telling = telling_of(engine, url)
    server.tell("/hook", Behaviour(503, times=1))
    opened(engine)
    assert tell(telling) == 0
    view, [notice] = read(engine, lambda session: alerts.get_alert(session, row_of(engine, Alert).id))
    assert (view.failed_notices, notice.attempts, notice.sent_at) == (1, 1, None)
    assert "503" in notice.error_message
    assert notice.next_attempt_at is not None
    assert SECRET not in repr(notice)
    assert tell(telling) == 0, "not before its time"
    change(engine, AlertNotice, not_before=now(-1))
    assert tell(telling) == 1
    view, [notice] = read(engine, lambda session: alerts.get_alert(session, row_of(engine, Alert).id))
    assert (view.failed_notices, notice.attempts, notice.error_message) == (0, 2, "")


def test_what_its_receiver_refuses_for_good_is_not_repeated(engine: Engine, server: ReceiverServer) -> None:
    telling = telling_of(engine, urls_of(server)[1])
    server.tell("/hook", Behaviour(404))
    opened(engine)
    tell(telling)
    assert (row_of(engine, AlertNotice).not_before, row_of(engine, AlertNotice).sent_at) == (None, None)


def test_what_a_dead_process_had_taken_is_sent_by_another(engine: Engine, server: ReceiverServer) -> None:
    telling = telling_of(engine, urls_of(server)[1])
    opened(engine)
    telling.plan()
    due = read(engine, lambda session: notices.due(session, list(telling.sender.urls)))
    assert len(transact(engine, lambda session: notices.claim(session, due))) == 1
    assert tell(telling) == 0
    change(engine, AlertNotice, not_before=now(-1))
    assert tell(telling) == 1
    # The dead one wakes up: its note changes nothing any more.
    transact(engine, lambda session: notices.note_failed(session, due[0], "late", "late", 1.0))
    assert row_of(engine, AlertNotice).error_code == ""


def test_an_open_alert_is_told_again_until_somebody_acknowledges_it(
    engine: Engine, server: ReceiverServer
) -> None:
    telling = telling_of(engine, urls_of(server)[1])
    opened(engine)
    tell(telling)
    change(engine, Alert, told_at=now(-3601))
    assert tell(telling) == 1
    assert bodies(server)[1]["title"] == "[still warning] Cascade"
    alert_id = row_of(engine, Alert).id
    transact(engine, lambda session: alerts.acknowledge(session, alert_id, "ana", ""))
    change(engine, Alert, told_at=now(-3601))
    assert tell(telling) == 0
    closed(engine)
    assert tell(telling) == 1


def test_without_reminders_an_alert_is_told_once(engine: Engine, server: ReceiverServer) -> None:
    telling = telling_of(engine, urls_of(server)[1], repeat=0.0)
    opened(engine)
    tell(telling)
    change(engine, Alert, told_at=now(-1e6))
    assert tell(telling) == 0


def test_what_is_over_before_anybody_heard_of_it_is_not_told(engine: Engine, server: ReceiverServer) -> None:
    telling = telling_of(engine, urls_of(server)[1])
    opened(engine)
    telling.plan()
    closed(engine)
    assert tell(telling) == 0
    assert server.requests() == []
    assert row_of(engine, AlertNotice).error_code == "alert_over_before"


def test_what_was_on_its_way_when_its_alert_ended_is_shown_as_sent(
    engine: Engine, server: ReceiverServer
) -> None:
    telling = telling_of(engine, urls_of(server)[1])
    opened(engine)
    telling.plan()
    due = read(engine, lambda session: notices.due(session, list(telling.sender.urls)))
    on_its_way = transact(engine, lambda session: notices.claim(session, due))
    closed(engine)
    telling.plan()
    transact(engine, lambda session: notices.note_sent(session, on_its_way))
    sent, end = sorted(rows_of(engine, AlertNotice), key=lambda one: one.round)
    assert (sent.sent_at is not None, sent.error_code, sent.not_before) == (True, "", None)
    assert (end.kind, end.attempts) == (notices.CLOSED, 0)


def test_many_alerts_go_out_together(engine: Engine, server: ReceiverServer) -> None:
    telling = telling_of(engine, urls_of(server)[1], language="zh")
    for number in range(3):
        opened(engine, f"f-{number}", f"订阅 {number}")
    assert tell(telling) == 3
    [one] = bodies(server)
    assert one["title"] == "[警告] Cascade 告警 (3)"
    assert [line[:2] for line in one["content"].splitlines()] == ["- "] * 3


def test_a_silent_receiver_keeps_no_other_waiting(engine: Engine, server: ReceiverServer) -> None:
    bark, hook = urls_of(server)
    server.tell("/push", Behaviour(seconds=30))
    telling = telling_of(engine, bark, hook)
    opened(engine)
    telling.plan()
    assert telling.start_due() == 2
    [arrived] = server.wait_for(1)
    assert arrived.path == "/hook"
    wait_until(
        lambda: any(one.sent_at for one in rows_of(engine, AlertNotice)), 10, "the note of the sending"
    )
    assert telling.busy <= {receiver_label(bark)}
    # Nor does the end of the process wait for it.
    silent = [one for one in threading.enumerate() if one.name.startswith("tell")]
    assert silent
    assert all(one.daemon for one in silent)


def test_private_addresses_are_refused_and_nothing_secret_is_logged(
    engine: Engine, server: ReceiverServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    telling = telling_of(engine, urls_of(server)[1], allow=())
    opened(engine)
    assert tell(telling) == 0
    assert row_of(engine, AlertNotice).error_code == "egress_refused"
    assert server.requests() == []
    assert SECRET not in caplog.text


def test_a_test_message_says_for_each_receiver_how_it_went(server: ReceiverServer) -> None:
    bark, hook = urls_of(server)
    server.tell("/hook", Behaviour(500))
    outcomes = try_receivers(sender_of(bark, hook, "json://127.0.0.1/x"), "en")
    assert outcomes[receiver_label(bark)] is None
    codes = [error.code for error in outcomes.values() if error]
    assert codes[1:] == ["bad_receiver"]
    assert "This is a test" in str(server.requests("/push")[0].json)
