"""On the running system: frozen workers are named by their queue while the parent stays ready, and a lost beat is told of."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.system import System
from tests.servers import wait_until
from tests.standins.receivers import ReceiverServer

SOON = {
    "CASCADE_WATCH_SECONDS": "0.5",
    # On a busy machine a canary needs its time: the next one makes it late.
    "CASCADE_CANARY_SECONDS": "4",
    "CASCADE_ALERT_CLEAR_SECONDS": "1",
    "CASCADE_ALARM_FLOW_SECONDS": "6",
    "CASCADE_ALARM_BEAT_SECONDS": "5",
    # The machine of the tests may be full, and busy.
    "CASCADE_ALARM_DISK_PERCENT": "0",
    "CASCADE_ALARM_UNSERVED_SECONDS": "0",
}
SECONDS = 60
QUEUE = "node:node-1"


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverServer]:
    """Where alerts are sent to."""
    with ReceiverServer() as server:
        yield server


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, receiver: ReceiverServer) -> Iterator[System]:
    """A system that soon finds something wrong, and tells the receiver."""
    url = receiver.url("/alerts")
    folder = tmp_path_factory.mktemp("alarms") / "var"
    with System(folder, "--nodes", "1", CASCADE_ALERT_URLS=url, **SOON) as system:
        yield system


def told(receiver: ReceiverServer, *words: str) -> bool:
    """Whether some message holds all of the words."""
    texts = [f"{one.json['title']} {one.json['content']}" for one in receiver.requests("/alerts")]
    return any(all(word in text for word in words) for text in texts)


def stopped(system: System) -> set[str]:
    """The queues through which nothing flows, as `/readyz?verbose` tells."""
    _, body = system.get("/readyz?verbose")
    return {one["name"] for one in body["data"]["queues"] if one["stopped"]}


def test_frozen_workers_are_named_by_their_queue_and_the_parent_stays_ready(
    system: System, receiver: ReceiverServer
) -> None:
    frozen = [one.pid for one in system.workers() if one.queue == QUEUE]
    assert frozen
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: told(receiver, "[critical]", QUEUE), SECONDS, "the alarm")
        assert stopped(system) == {QUEUE}
        assert system.get("/readyz")[0] == 200
        assert QUEUE in system.run("alerts").stdout
    finally:
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    # In the text, not in the title: another alarm in the same message gives it another one.
    wait_until(lambda: told(receiver, "Resolved (", QUEUE), SECONDS, "the end of the alarm")
    assert stopped(system) == set()


def test_the_parent_tells_that_no_beat_is_left(system: System, receiver: ReceiverServer) -> None:
    beat = system.part(r"dispatch\.beat")
    assert beat is not None
    beat.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: told(receiver, "[critical]", "No beat was seen"), SECONDS, "the alarm")
    finally:
        beat.send_signal(signal.SIGCONT)
    wait_until(lambda: told(receiver, "Resolved (", "No beat was seen"), SECONDS, "the end of the alarm")
