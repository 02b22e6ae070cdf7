"""`cascade alerts`: list, show, acknowledge; a test message; addresses stay secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from sqlalchemy.orm import Session

from backend.outbound.adapter import install
from backend.store import alerts
from backend.store.session import create_engine_for, transact
from tests.integration.cli.conftest import Cascade
from tests.standins.receivers import Behaviour, ReceiverServer

T = TypeVar("T")
SECRET = "s3cr3tTokenOfTheReceiver"


@pytest.fixture
def server() -> Iterator[ReceiverServer]:
    """A receiver; what the command puts beneath `requests` goes with the test."""
    undo = install(("127.0.0.0/8",))
    with ReceiverServer() as server:
        yield server
    undo()


def write(cli: Cascade, work: Callable[[Session], T]) -> T:
    engine = create_engine_for(f"sqlite:///{cli.data_dir / 'cascade.db'}", pooled=False)
    try:
        return transact(engine, work)
    finally:
        engine.dispose()


def test_alerts_are_listed_shown_and_acknowledged(cli: Cascade) -> None:
    assert cli.rows("alerts", "list") == []
    write(
        cli,
        lambda session: alerts.open_alert(
            session, "alert_disk_low", "m", machine="m", percent=3, megabytes=9
        ),
    )
    [row] = cli.rows("alerts", "list")
    assert (row["state"], row["severity"]) == ("open", "warning")
    assert "3 % (9 MB) left" in cli.run("alerts").stdout
    assert cli.ok("alerts", "ack", row["id"], "--note", "cleaning") == row["id"]
    shown = cli.run("alerts", "show", row["id"]).stdout
    assert "cleaning" in shown
    assert "acknowledged" in shown
    assert "3 % (9 MB) left" in cli.run("status").stdout


def test_a_test_message_is_sent_to_every_address(cli: Cascade, server: ReceiverServer) -> None:
    assert "CASCADE_ALERT_URLS" in cli.refusal("alerts", "test")
    urls = f"{server.url('/a')}?token={SECRET}, {server.url('/b')}?token={SECRET}"
    cli.environment = {"CASCADE_ALERT_URLS": urls, "CASCADE_EGRESS_ALLOW": "127.0.0.0/8", "CASCADE_ALERT_LANGUAGE": "zh"}  # fmt: skip
    assert cli.ok("alerts", "test") == "2/2"
    assert [one.json["title"] for one in server.requests()] == ["[测试] Cascade 告警"] * 2
    server.tell("/b", Behaviour(401))
    failed = cli.run("alerts", "test")
    assert (failed.exit_code, failed.stdout.splitlines()[-1]) == (1, "1/2")
    assert "401" in failed.stderr
    assert SECRET not in failed.output + cli.run("settings").output


@pytest.mark.parametrize(
    "urls", [SECRET, f"mailto://{SECRET}@example.com", f"https://example.com/x,json://example.com/{SECRET}"]
)
def test_addresses_that_nobody_serves_are_refused_at_once_without_being_shown(
    cli: Cascade, urls: str
) -> None:
    cli.environment = {"CASCADE_ALERT_URLS": urls}
    said = cli.refusal("alerts")
    assert "CASCADE_ALERT_URLS" in said
    assert f"number {urls.count(',') + 1}" in said
    assert SECRET not in said
