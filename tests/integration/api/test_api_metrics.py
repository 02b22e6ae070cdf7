"""`/metrics`: what is open, on both databases; parts that are away; RQ's names; who may read."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from backend import metrics
from backend.api.app import create_app
from backend.dispatch import queues
from backend.dispatch.pump import pump
from backend.domain.states import PUBLISH_TASK
from backend.store import flow
from backend.store.alerts import open_alert
from backend.store.columns import now
from backend.store.session import transact
from backend.store.tables import Node, PublishTask, QueueHealth
from config import ROOT
from tests.building import LIMITS, change, make_feeds, make_node, make_task, make_third_party, start_run
from tests.integration.api.harness import Api, settings_for
from tests.publishing import make_account, make_tasks

ITEMS = 7
PROMETHEUS = ROOT / "docs" / "prometheus"
NAME = re.compile(r"\b(?:cascade|rq)_[a-z_]+[a-z]\b")


def scrape(client: FlaskClient, **headers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == metrics.CONTENT_TYPE
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def sample(metric: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A sample's name and labels."""
    return metric, tuple(sorted(labels.items()))


@pytest.fixture
def loaded(api_with_redis: Api, redis_client: Redis) -> Iterator[Api]:
    """A node with a batch in its queue, work that found no room, an open alert, and a worker that RQ knows."""
    make_node(api_with_redis.engine, "n", capacity=5)
    start_run(
        api_with_redis.engine, make_task(api_with_redis.engine, make_feeds(api_with_redis.engine, ITEMS))
    )
    pump(api_with_redis.engine, redis_client, LIMITS)
    transact(api_with_redis.engine, lambda session: flow.note_served(session, flow.served_queues(session)))
    transact(api_with_redis.engine, lambda session: flow.note_settle(session, "node:n"))
    transact(
        api_with_redis.engine,
        lambda session: open_alert(session, "alert_feed_gone", "f", name="f", feed_id="f"),
    )
    worker = SimpleWorker(
        [queues.queue(redis_client, "node:n")],
        name="watched",
        connection=redis_client,
        serializer=JSONSerializer,
    )
    worker.register_birth()  # type: ignore[no-untyped-call]
    yield api_with_redis


def test_what_is_open_is_shown_by_kind_and_state(loaded: Api) -> None:
    found = scrape(loaded.client())
    assert found[sample("cascade_items", kind="rss", state="assigned")] == 5
    assert found[sample("cascade_items", kind="rss", state="waiting")] == ITEMS - 5
    assert found[sample("cascade_allocations", kind="update", state="pending")] >= 1
    assert found[sample("cascade_runs", state="running")] == 1
    assert found[sample("cascade_deliveries", state="waiting")] == 0
    assert found[sample("cascade_alerts_open", rule="alert_feed_gone")] == 1
    assert found[sample("cascade_node_items_in_flight", node="n")] == 5
    assert found[sample("cascade_node_capacity", node="n")] == 5
    assert found[sample("cascade_nodes_online")] == 1
    assert found[sample("cascade_queue_latency_seconds", queue="node:n")] >= 0
    assert 0 <= found[sample("cascade_queue_flow_seconds", queue="node:n")] < 60
    assert found[sample("cascade_up", part="database")] == found[sample("cascade_up", part="redis")] == 1


def test_publish_tasks_that_wait_for_somebody_are_shown_and_the_ended_ones_are_counted_as_they_end(
    loaded: Api,
) -> None:
    account = make_account(loaded.engine, platform="zhihu", health="expired")
    for state, count in (("pending", 3), ("held", 2), ("unconfirmed", 1), ("success", 5)):
        for task in make_tasks(loaded.engine, account, count):
            change(loaded.engine, PublishTask, task, state=state)
    found = scrape(loaded.client())
    shown = {state: found.get(sample("cascade_publish_tasks", state=state)) for state in PUBLISH_TASK.states}
    expected = {"pending": 3, "held": 2, "unconfirmed": 1, "queued": 0, "running": 0}
    assert shown == dict.fromkeys(PUBLISH_TASK.finals | {"failed"}) | expected
    assert found[sample("cascade_publish_accounts", platform="zhihu", health="expired")] == 1


def test_only_queues_with_live_workers_are_asked_for_flow_and_from_when_on_they_have_them(
    loaded: Api,
) -> None:
    flow_of_n = sample("cascade_queue_flow_seconds", queue="node:n")
    change(loaded.engine, QueueHealth, settled_at=now(-9000), served_since=now(-500))
    assert scrape(loaded.client())[flow_of_n] == pytest.approx(500, abs=30)
    change(loaded.engine, QueueHealth, settled_at=None)
    assert scrape(loaded.client())[flow_of_n] == pytest.approx(500, abs=30), "it never settled anything"
    for gone in ({"is_active": False}, {"is_active": True, "presence_at": None}):
        change(loaded.engine, Node, **gone)
        assert flow_of_n not in scrape(loaded.client())


def test_a_node_that_was_switched_off_is_told_from_one_that_is_silent(loaded: Api) -> None:
    switched_on, online = (sample(f"cascade_node_{name}", node="n") for name in ("active", "online"))
    change(loaded.engine, Node, presence_at=now(-900))
    found = scrape(loaded.client())
    assert (found[switched_on], found[online]) == (1, 0)
    change(loaded.engine, Node, is_active=False)
    found = scrape(loaded.client())
    assert (found[switched_on], found[online]) == (0, 0)


def test_nothing_is_said_of_the_workers_of_nodes_elsewhere(loaded: Api) -> None:
    make_third_party(loaded.engine, "werss")
    found = scrape(loaded.client())
    assert found[sample("cascade_node_online", node="werss")] == 1
    assert {dict(labels)["node"] for name, labels in found if name == "cascade_node_workers"} == {"n"}


def test_jobs_and_workers_have_the_names_that_rq_exporter_gives_them(loaded: Api) -> None:
    found = scrape(loaded.client())
    depth = found[sample("cascade_queue_depth", queue="node:n")]
    assert depth == found[sample("rq_jobs", queue="node:n", status="queued")] >= 1
    statuses = {dict(labels)["status"] for name, labels in found if name == "rq_jobs"}
    assert statuses >= {"queued", "started", "finished", "failed", "deferred", "scheduled"}
    assert found[sample("rq_workers", name="watched", state="?", queues="node:n")] == 1


def test_a_database_and_a_redis_that_are_away_are_shown_and_the_answer_still_comes(tmp_path: Path) -> None:
    nowhere = settings_for("mysql+pymysql://u@127.0.0.1:9/none", tmp_path, "redis://127.0.0.1:9/0")
    api = Api(create_app(nowhere))
    found = scrape(api.client())
    api.close()
    assert found == {
        sample("cascade_up", part="database"): 0,
        sample("cascade_up", part="redis"): 0,
    }


def test_with_a_token_nobody_reads_without_it(migrated_url: str, tmp_path: Path) -> None:
    settings = dataclasses.replace(settings_for(migrated_url, tmp_path), metrics_token="só secret")
    api = Api(create_app(settings))
    client = api.client()
    refused = [
        client.get("/metrics", headers={"Authorization": given}).status_code
        for given in ("", "Bearer wrong", "Basic só secret")
    ]
    assert refused == [401, 401, 401]
    assert "CASCADE_METRICS_TOKEN" in client.get("/metrics").get_json()["message"]
    assert sample("cascade_up", part="database") in scrape(client, Authorization="Bearer só secret")
    api.close()


def expressions() -> Iterator[str]:
    """Every query of the alert rules and of the dashboard."""
    rules: Any = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])
    dashboard: Any = json.loads((PROMETHEUS / "grafana.json").read_text(encoding="utf-8"))
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def test_rules_and_dashboard_ask_only_for_metrics_that_exist(loaded: Api) -> None:
    shown = {name for name, _ in scrape(loaded.client())}
    counted = {meter.name for meter in metrics.METERS}
    counted |= {f"{meter.name}_bucket" for meter in metrics.METERS if meter.buckets}
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 15
    assert asked - shown - counted == set()


def test_the_page_about_metrics_names_every_one(loaded: Api) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    shown = {name for name, _ in scrape(loaded.client())} | {meter.name for meter in metrics.METERS}
    unnamed = [name for name in shown if name not in page and f"…_{name.split('_', 2)[2]}" not in page]
    assert unnamed == []
