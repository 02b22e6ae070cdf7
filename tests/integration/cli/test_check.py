"""`cascade check`: each thing that can be wrong is found, named, and has a remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.bootstrap import build_engine, load_settings
from backend.cli.check import report
from backend.cli.diagnosis import look_at_redis
from backend.cli.findings import Finding
from backend.store.nodes import ensure_attached, ensure_parent
from backend.store.session import transact
from tests.integration.cli.conftest import Cascade
from tests.servers import RedisServer, free_port


def findings(cli: Cascade) -> dict[str, dict[str, Any]]:
    """By subject, what `check --json` found; its exit code must fit."""
    result = cli.run("check", "--json")
    found = {row["subject"]: row for row in json.loads(result.stdout.splitlines()[-1])}
    assert result.exit_code == (1 if any(row["problem"] for row in found.values()) else 0)
    assert all(row["fix"] for row in found.values() if row["problem"])
    return found


def test_a_bad_setting_is_named_with_its_place(cli: Cascade) -> None:
    cli.data_dir.mkdir()
    (cli.data_dir / "config.yaml").write_text("port: eighty\n")
    [finding] = findings(cli).values()
    assert "port" in finding["detail"]
    assert "config.yaml" in finding["detail"]


def test_a_secret_key_that_others_can_read_is_found(cli: Cascade) -> None:
    cli.ok("db", "upgrade")
    cli.ok("feed", "list")
    assert not findings(cli)["secret key"]["problem"]
    (cli.data_dir / "secret.key").chmod(0o644)
    finding = findings(cli)["secret key"]
    assert finding["problem"]
    assert "644" in finding["detail"]
    assert f"chmod 600 {cli.data_dir / 'secret.key'}" in finding["fix"]


def test_a_redis_that_forgets_is_found(cli: Cascade, redis_server: RedisServer) -> None:
    cli.ok("db", "upgrade")
    cli.environment["REDIS_URL"] = redis_server.url
    before = findings(cli)
    assert not any(before[one]["problem"] for one in ("redis", "redis persistence", "redis memory"))
    with redis_server.client() as client:
        client.config_set("appendonly", "no")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            after = findings(cli)
        finally:
            client.config_set("appendonly", "yes")
            client.config_set("maxmemory-policy", "noeviction")
    assert after["redis persistence"]["problem"]
    assert "allkeys-lru" in after["redis memory"]["detail"]


def test_a_redis_that_does_not_answer_is_found_without_its_password(cli: Cascade) -> None:
    cli.environment["REDIS_URL"] = f"redis://:the-secret@127.0.0.1:{free_port()}/0"
    result = cli.run("check")
    assert result.exit_code == 1
    assert "does not answer" in result.stdout
    assert "the-secret" not in result.output


def test_queues_without_workers_are_found_by_name(cli: Cascade, redis_server: RedisServer) -> None:
    cli.ok("db", "upgrade")
    cli.environment["REDIS_URL"] = redis_server.url
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    transact(engine, lambda session: (ensure_parent(session), ensure_attached(session, "Beijing 1")))
    found = findings(cli)
    assert found["queue node:beijing-1"]["problem"]
    assert "./start_workers.sh --node Beijing 1" in found["queue node:beijing-1"]["fix"]
    assert found["queue default"]["problem"]
    # Its workers start when there is work.
    assert not found["queue node:beijing-1:publish"]["problem"]
    with redis_server.client() as redis:
        redis.rpush("rq:queue:node:beijing-1:publish", "a-job")
        redis.sadd("rq:queues", "rq:queue:node:beijing-1:publish")
        unserved = findings(cli)["queue node:beijing-1:publish"]
        redis.delete("rq:queue:node:beijing-1:publish")
    assert "./start_workers.sh --node Beijing 1" in unserved["fix"]


def test_a_schema_that_is_behind_is_found(cli: Cascade) -> None:
    cli.ok("db", "upgrade")
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert findings(cli)["schema"]["problem"]


@pytest.mark.parametrize("url", ["", "http://redis", "nonsense"])
def test_an_address_that_is_none_is_found(url: str) -> None:
    client, [finding] = look_at_redis(url)
    assert client is None
    assert finding.problem


def test_the_last_line_counts_the_problems(cli: Cascade) -> None:
    last = cli.run("check").stdout.splitlines()[-1]
    count = sum(row["problem"] for row in findings(cli).values())
    assert last == f"{count} problems"


def test_what_would_only_be_better_is_a_warning_and_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    warning = Finding("tls", "plain", "put TLS before it", warns=True)
    assert report([Finding("a", "well"), warning]) == 0
    assert report([warning, Finding("b", "bad", "mend it")]) == 1
    said = capsys.readouterr().out
    assert "WARN  tls: plain" in said
    assert "put TLS before it" in said
    assert "FAIL  b: bad" in said
