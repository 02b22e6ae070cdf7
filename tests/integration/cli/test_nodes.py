"""`cascade node` and `cascade init`: what the seeds' cascade_init.py did, and what it left to the operator's memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

import config
from backend.bootstrap import build_engine, load_settings
from backend.store import credentials, nodes
from backend.store.session import read, transact
from backend.store.tables import Node
from tests import building
from tests.integration.cli.conftest import Cascade
from tests.integration.cli.test_check import findings
from tests.servers import free_port
from tests.standins.odd_http import Exchange, OddServer


def snippet(cli: Cascade, *words: str) -> dict[str, Any]:
    """The `cascade` section that a command prints as a config.yaml."""
    result = cli.run("node", *words)
    assert result.exit_code == 0, result.output
    section: dict[str, Any] = yaml.safe_load(result.stdout)["cascade"]
    assert section["api_secret"] not in result.stderr
    return section


def knows(cli: Cascade, pair: dict[str, Any]) -> bool:
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    found = read(
        engine, lambda session: credentials.authenticate(session, pair["api_key"], pair["api_secret"])
    )
    return found is not None


def row(cli: Cascade, name: str) -> dict[str, Any]:
    [found] = [one for one in cli.rows("node", "list") if one["name"] == name]
    return found


# --- init


def test_init_makes_what_is_missing_and_says_what_to_do_next(cli: Cascade) -> None:
    first = cli.run("init")
    assert first.exit_code == 0
    assert "Made the database" in first.stderr
    assert "./cascade node add NAME" in first.stderr
    assert "./cascade up" in first.stderr
    assert "Its password, shown this once: " in first.stdout
    [parent] = cli.rows("node", "list")
    assert (first.stdout.splitlines()[-1], parent["node_type"]) == (parent["id"], 0)
    again = cli.run("init")
    assert again.exit_code == 0
    assert "is there already" in again.stderr
    assert again.stdout.splitlines() == [parent["id"]]
    assert [user["name"] for user in cli.rows("user", "list")] == ["admin"]


# --- add and credentials


def test_add_prints_the_config_of_the_seeds_guide_which_is_one_that_a_child_reads(cli: Cascade) -> None:
    section = snippet(
        cli,
        "add",
        "子节点1",
        "--desc",
        "用于扩展采集",
        "--api-url",
        "http://child-node1:8001",
        "--parent-url",
        "http://parent-server:8001",
    )
    pair = {name: section.pop(name) for name in ("api_key", "api_secret")}
    assert section == {
        "enabled": True,
        "node_type": "child",
        "parent_api_url": "http://parent-server:8001",
        "sync_interval": 300,
        "heartbeat_interval": 60,
    }
    assert knows(cli, pair)
    added = row(cli, "子节点1")
    assert (added["api_key"], added["description"]) == (pair["api_key"], "用于扩展采集")
    assert (added["api_url"], added["online"], added["load"]) == ("http://child-node1:8001", False, "0/10")
    assert (added["queue"], added["transport"], added["reason"]) == (None, "remote", "not running")
    assert pair["api_secret"] not in cli.run("node", "list", "--json").stdout


def test_the_printed_config_is_read_as_a_child_s(cli: Cascade) -> None:
    printed = cli.run("node", "add", "a: 'b' # c", "--parent-url", "https://p.example").stdout
    child = cli.data_dir.parent / "child"
    child.mkdir()
    (child / "config.yaml").write_text(printed, encoding="utf-8")
    settings = config.load({}, data_dir=child)
    assert (settings.node_type, settings.parent_url) == ("child", "https://p.example")
    assert knows(cli, {"api_key": settings.api_key, "api_secret": settings.api_secret})


def test_a_parent_that_listens_on_loopback_only_is_pointed_out(cli: Cascade) -> None:
    assert "127.0.0.1 only" in cli.run("node", "add", "a").stderr
    assert "only" not in cli.run("node", "add", "b", "--parent-url", "https://p.example").stderr
    cli.environment["CASCADE_HOST"] = "0.0.0.0"
    result = cli.run("node", "add", "c")
    assert "only" not in result.stderr
    assert "0.0.0.0" not in result.stdout


def test_what_can_t_be_a_node_is_refused_in_one_sentence(cli: Cascade) -> None:
    cli.ok("node", "add", "北京")
    assert "北京" in cli.refusal("node", "add", "北京")
    assert "capacity of 0" in cli.refusal("node", "add", "zero", "--capacity", "0")
    assert "address" in cli.refusal("node", "add", "x", "--api-url", "nowhere")
    assert [one["name"] for one in cli.rows("node", "list")] == ["北京"]


@pytest.mark.parametrize(("grace", "old_lives"), [("0", False), ("1h", True), ("30m", True)])
def test_credentials_are_rotated_with_the_grace_that_is_asked_for(
    cli: Cascade, grace: str, old_lives: bool
) -> None:
    old = snippet(cli, "add", "far")
    new = snippet(cli, "credentials", "far", "--grace", grace)
    assert (knows(cli, old), knows(cli, new)) == (old_lives, True)
    told = json.loads(cli.run("node", "credentials", row(cli, "far")["id"], "--json").stdout)
    assert knows(cli, told)
    assert row(cli, "far")["api_key"] == told["api_key"]


@pytest.mark.parametrize("grace", ["soon", "-1", "31d", "1w", ""])
def test_a_grace_that_is_none_is_refused(cli: Cascade, grace: str) -> None:
    cli.ok("node", "add", "far")
    assert cli.run("node", "credentials", "far", "--grace", grace).exit_code == 2


# --- set and remove


def test_set_changes_what_is_named_and_keeps_the_rest(cli: Cascade) -> None:
    cli.ok("node", "add", "far", "--desc", "d")
    node_id = cli.ok("node", "set", "far", "--capacity", "30", "--quota", "a=5", "--quota", "b=1", "--drain")
    changed = row(cli, "far")
    assert (changed["id"], changed["max_capacity"], changed["description"]) == (node_id, 30, "d")
    assert (changed["feed_quota"], changed["draining"]) == ({"a": 5, "b": 1}, True)
    cli.ok("node", "set", node_id, "--quota", "a=0", "--quota", "c=2", "--no-drain", "--rename", "near")
    changed = row(cli, "near")
    assert (changed["feed_quota"], changed["draining"], changed["slug"]) == ({"b": 1, "c": 2}, False, "far")
    assert "what to change" in cli.refusal("node", "set", "near")
    assert "no node other" in cli.refusal("node", "set", "other", "--on")
    assert cli.run("node", "set", "near", "--quota", "nonsense").exit_code == 2


def test_a_node_with_work_is_removed_by_force_only(cli: Cascade) -> None:
    cli.ok("db", "upgrade")
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    world = building.make_world(engine)
    transact(engine, lambda session: nodes.sign_off(session, world.node_id, "instance"))
    building.begin(world)
    assert "Work is running on n (1 allocations)" in cli.refusal("node", "remove", "n")
    cli.ok("node", "remove", "n", "--force")
    assert cli.rows("node", "list") == []
    [item] = building.items_of(engine)
    assert (item.state, item.reason) == ("waiting", "its node was deleted")


# --- check


def test_check_names_remote_nodes_without_credentials_and_silent_ones(cli: Cascade) -> None:
    cli.ok("node", "add", "far")
    assert "parent_api_url" in findings(cli)["node far"]["fix"]
    engine = build_engine(load_settings(data_dir=cli.data_dir), pooled=False)
    beats = building.make_third_party(engine, "werss")
    assert "./cascade node credentials werss" in findings(cli)["node werss"]["fix"]
    cli.ok("node", "credentials", "werss")
    assert findings(cli)["node werss"]["detail"] == "online, 0/10 in work"
    building.change(engine, Node, beats, presence_at=None)
    assert findings(cli)["node werss"]["problem"]


def test_check_on_a_child_names_what_its_config_lacks(cli: Cascade) -> None:
    cli.environment |= {"CASCADE_NODE_TYPE": "child", "CASCADE_PARENT_URL": "http://p.example"}
    result = cli.run("check", "--json")
    [found] = [one for one in json.loads(result.stdout) if one["subject"] == "child"]
    lines = [line.strip() for line in found["detail"].strip().splitlines()]
    assert [line.split(" (")[0] for line in lines] == [
        "cascade.enabled: must be true",
        "cascade.api_key: is missing",
        "cascade.api_secret: is missing",
    ]
    assert all(str(cli.data_dir / "config.yaml") in line for line in lines)


def test_check_on_a_child_tells_what_is_wrong_with_its_parent(cli: Cascade) -> None:
    def parent(exchange: Exchange) -> None:
        known = exchange.header("Authorization") == "AK-SK CNgood:CSgood" or "/livez" in exchange.head
        body = (
            b'{"code": 0, "message": "ok", "data": null}'
            if known
            else b'{"code": 401, "message": "no", "data": {}}'
        )
        exchange.answer(200 if known else 401, body)

    cli.environment |= {"CASCADE_ENABLED": "true", "CASCADE_NODE_TYPE": "child", "CASCADE_API_KEY": "CNgood"}
    with OddServer({"*": parent}) as server:
        cli.environment |= {"CASCADE_PARENT_URL": server.url, "CASCADE_API_SECRET": "CSgood"}
        assert findings(cli)["credentials"]["detail"] == "the parent knows CNgood"
        cli.environment["CASCADE_API_SECRET"] = "CSbad"
        assert "./cascade node credentials NAME" in findings(cli)["credentials"]["fix"]
        assert "CSbad" not in cli.run("check").output
    cli.environment["CASCADE_PARENT_URL"] = f"http://127.0.0.1:{free_port()}"
    assert "refuses the connection" in findings(cli)["connection"]["detail"]


def test_a_token_is_shown_once_with_the_command_that_uses_it(cli: Cascade) -> None:
    result = cli.run("node", "token", "far", "--ttl", "30m", "--parent-url", "https://p.example")
    assert result.exit_code == 0
    *words, token = result.stdout.split()
    assert words == ["./cascade", "child", "join", "https://p.example"]
    assert token not in result.stderr
    assert "once" in result.stderr
    assert row(cli, "far")["transport"] == "remote"
    short = cli.run("node", "token", "far", "--ttl", "10s")
    assert (short.exit_code, "a minute" in short.stderr) == (2, True)
