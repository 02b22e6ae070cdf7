"""`/metrics` of a whole running system: several parents, a beat, nodes and their workers count as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.job import Job, with_feeds
from tests.e2e.system import System, kill
from tests.servers import wait_until
from tests.standins.receivers import ReceiverServer

FEEDS, BROKEN = 30, 5
ASKED = 12


def total(system: System, metric: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    answer = requests.get(f"{system.url}/metrics", timeout=10)
    assert answer.status_code == 200
    return sum(
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )


@pytest.mark.timeout(120)
def test_all_processes_count_as_one_and_killed_ones_are_not_forgotten(tmp_path: Path) -> None:
    with (
        ReceiverServer() as receiver,
        with_feeds(FEEDS, broken=BROKEN) as feeds,
        System(tmp_path / "var", GUNICORN_WORKERS="2") as system,
    ):
        job = Job(system, feeds, receiver, tmp_path)
        job.dispatch(expect=1)
        done = FEEDS - BROKEN

        assert total(system, "cascade_attempts_total", kind="update", outcome="done") == done
        assert total(system, "cascade_attempts_total", kind="update", outcome="failed") >= BROKEN
        assert total(system, "cascade_attempts_total", kind="update", code="feed_gone") == 1
        assert total(system, "cascade_moves_total", noun="work_item", state="done") == done
        for phase in ("begin", "work", "settle"):
            assert total(system, "cascade_phase_seconds_count", phase=phase, kind="update") >= 1
        told = len(job.acknowledged())
        wait_until(
            lambda: total(system, "cascade_attempts_total", kind="deliver", outcome="done") == told,
            30,
            "deliveries counted",
        )

        for _ in range(ASKED):
            requests.get(f"{system.url}/livez", timeout=10)
        # Both processes answered some of them, whichever is asked now.
        shown = {total(system, "cascade_http_requests_total", route="/livez", status="200") for _ in range(4)}
        assert len(shown) == 1
        assert shown.pop() >= ASKED

        for worker in system.workers():
            kill(worker.pid)
        assert total(system, "cascade_attempts_total", kind="update", outcome="done") == done
        wait_until(lambda: total(system, "cascade_node_workers") > 0, 30, "workers again")
        wait_until(lambda: total(system, "rq_workers", state="idle") > 0, 40, "idle workers")
