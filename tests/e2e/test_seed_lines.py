"""A client that knows nothing but WeRSS's three cascade documents works with a running parent, line by line."""

from __future__ import annotations

import http.client
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e import seed_lines as seeds
from tests.e2e.seed_lines import Line
from tests.e2e.system import System, Visitor
from tests.servers import wait_until

SEEDS_PREFIX = "/api/v1/cascade"
HOSTS = re.compile(r"http://(?:parent-server|localhost|parent):8001")
# The documents write a time like this, and nothing else.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(frozen=True)
class Sent:
    """A request as it goes through the wire."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass
class SeedClient:
    """Sends the documents' lines, with real values in place of their placeholders."""

    system: System
    prefix: str
    values: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, line: Line) -> dict[str, Any]:
        """The envelope of the answer, which must be a success and look as the document shows it."""
        sent = self.parse(line)
        address = urlsplit(self.system.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            connection.request(sent.method, sent.path, sent.body, {**sent.headers, **self.headers})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, f"{line.section}: {answer.status} {text}"
        envelope: dict[str, Any] = json.loads(text)
        assert set(envelope) == {"code", "message", "data"}, line.section
        shown = json.loads(line.answer) if line.answer else {"code": 0, "message": "", "data": None}
        assert_looks_like(shown, envelope, line.section)
        assert envelope["code"] == shown["code"], line.section
        return envelope

    def parse(self, line: Line) -> Sent:
        """The request of a line."""
        text = line.request
        for placeholder, value in self.values.items():
            text = text.replace(placeholder, value)
        text = HOSTS.sub("", text)
        if text.startswith("curl"):
            return self._curl(text)
        head, _, body = text.partition("\n\n")
        first, *rest = head.splitlines()
        method, path = first.split()
        headers = dict(one.split(": ", 1) for one in rest)
        return Sent(method, self._path(path), headers, body.encode() if body else None)

    def _curl(self, text: str) -> Sent:
        # As curl reads them: -d makes a POST of the type of a form, -X overrules the method.
        words = shlex.split(text.replace("\\\n", " "))[1:]
        method, path, body = "", "", None
        headers = {"User-Agent": "curl/8.0", "Accept": "*/*"}
        while words:
            word = words.pop(0)
            if word == "-X":
                method = words.pop(0)
            elif word == "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            elif word == "-d":
                body = words.pop(0).encode()
                headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
            else:
                path = word
        return Sent(method or ("POST" if body else "GET"), self._path(path), headers, body)

    def _path(self, path: str) -> str:
        assert path.startswith(SEEDS_PREFIX)
        return self.prefix + path.removeprefix(SEEDS_PREFIX)


def assert_looks_like(shown: object, found: object, where: str) -> None:
    """Every field that is shown is there, of the same type; where nothing is shown there may be more."""
    if shown is None:
        return
    if isinstance(shown, dict):
        assert isinstance(found, dict), where
        for name, value in shown.items():
            assert name in found, f"{where}: no {name}"
            assert_looks_like(value, found[name], f"{where}, {name}")
    elif isinstance(shown, list):
        assert isinstance(found, list), where
        for one in found:
            assert_looks_like(shown[0], one, where)
    else:
        assert type(found) is type(shown), f"{where}: {found!r} beside {shown!r}"
        if isinstance(shown, str) and TIME.fullmatch(shown):
            datetime.fromisoformat(str(found))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A parent as it comes."""
    with System(tmp_path_factory.mktemp("seeds") / "var", "--nodes", "1", "--workers", "1") as system:
        yield system


@pytest.fixture
def admin(system: System) -> Iterator[Visitor]:
    """Who prepares what the documents take for granted: an account and a message task."""
    with Visitor(system.url) as admin:
        yield admin.log_in()


def prepare(admin: Visitor, number: int) -> tuple[str, str, str]:
    """An account and a task for it; the ids of both, and the token."""
    feed_id = f"MP_WXS_{3_100_000_000 + number}"
    account = {"kind": "wechat", "id": feed_id, "name": f"公众号 {number}"}
    admin.ask("POST", "/api/v1/feeds", json=account)
    task = {"name": f"任务 {number}", "feed_ids": [feed_id], "cron_exp": "0 9 1 1 *"}
    task_id = admin.ask("POST", "/api/v1/message-tasks", json=task)["id"]
    token = str(admin.session.headers["Authorization"]).removeprefix("Bearer ")
    return feed_id, task_id, token


@pytest.mark.parametrize(
    ("number", "prefix", "language"),
    [(1, SEEDS_PREFIX, ""), (2, "/api/v1/wx/cascade", "zh-CN")],
    ids=["seeds", "werss"],
)
def test_every_line_of_the_documents_does_what_they_say(
    system: System, admin: Visitor, number: int, prefix: str, language: str
) -> None:
    feed_id, task_id, token = prepare(admin, number)
    client = SeedClient(system, prefix, headers={"Accept-Language": language} if language else {})
    told = dict.fromkeys(("{token}", "YOUR_JWT_TOKEN", "YOUR_TOKEN", "<JWT_TOKEN>"), token)
    # The child that is tried is one that answers heartbeats: here, the parent itself.
    told |= dict.fromkeys(("http://child-server:8001", "http://child:8001"), system.url)
    told |= {"子节点1": f"子节点{number}", "task_id=xxx": f"task_id={task_id}", "task-uuid": task_id}
    told |= {"mp-uuid": feed_id, "mp_id_1": feed_id}
    client.values = told

    made = client.send(seeds.CREATE_NODE)
    node_id = made["data"]["node_id"]
    assert (made["data"]["name"], made["data"]["node_type"], made["data"]["is_active"]) == (
        f"子节点{number}",
        1,
        True,
    )
    told |= {"{node_id}": node_id, "NODE_ID": node_id}
    pair = client.send(seeds.MAKE_CREDENTIALS)
    key, secret = pair["data"]["api_key"], pair["data"]["api_secret"]
    assert re.fullmatch(r"CN\w{32}:CS\w{32}", f"{key}:{secret}")
    if language:
        assert (made["message"], pair["message"]) == ("节点创建成功", "凭证生成成功")
    pairs = (
        "{api_key}:{api_secret}",
        "<API_KEY>:<API_SECRET>",
        "YOUR_API_KEY:YOUR_API_SECRET",
        "CNxxx:CSxxx",
    )
    told |= dict.fromkeys(pairs, f"{key}:{secret}")
    told |= {
        '"CNxxxxx"': f'"{key}"',
        '"CSxxxxx"': f'"{secret}"',
        '"CNxxx"': f'"{key}"',
        '"CSxxx"': f'"{secret}"',
    }

    assert node_id in [one["id"] for one in client.send(seeds.LIST_CHILDREN)["data"]]
    for beat in (seeds.HEARTBEAT, seeds.CURL_HEARTBEAT):
        assert client.send(beat)["data"]["status"] == "alive"
    assert feed_id in [one["id"] for one in client.send(seeds.PULL_FEEDS)["data"]]
    pulled = {one["id"]: one for one in client.send(seeds.PULL_TASKS)["data"]}
    assert [one["id"] for one in json.loads(pulled[task_id]["mps_id"])] == [feed_id]
    config = client.send(seeds.SET_CAPACITY)["data"]["sync_config"]
    assert config == {"max_capacity": 20, "feed_quota": {feed_id: 5, "mp_id_2": 10}}

    collect_and_report(client, seeds.DISPATCH_ALL, seeds.PENDING_TASKS, feed_id)
    collect_and_report(client, seeds.DISPATCH_ONE, seeds.CURL_PENDING_TASKS, feed_id)
    collect_and_report(client, seeds.DISPATCH_BY_HTTP, seeds.PENDING_TASKS, feed_id)
    nothing = client.send(Line(seeds.PENDING_TASKS.section, seeds.PENDING_TASKS.request, '{"code": 200}'))
    assert (nothing["data"], nothing["message"]) == (None, "暂无待处理任务")

    for line in (seeds.TEST_CONNECTION, seeds.CURL_TEST_CONNECTION):
        assert client.send(line)["data"]["connected"] is True
    for line in (seeds.SYNC_LOGS_OF_NODE, seeds.CURL_SYNC_LOGS, seeds.CURL_SYNC_LOGS_LIMITED):
        assert client.send(line)["data"]["list"]
    [seen] = [one for one in client.send(seeds.CURL_NODES)["data"] if one["id"] == node_id]
    assert (seen["status"], seen["is_active"], seen["current_tasks"], seen["max_capacity"]) == (
        1,
        True,
        0,
        20,
    )


def collect_and_report(client: SeedClient, dispatch: Line, poll: Line, feed_id: str) -> None:
    """Dispatch, take the work as an old child does, see it in the lists, report it, and see it completed."""
    said = client.send(dispatch)
    if client.headers:
        assert said["message"] == "任务分发完成"
    package = take(client, poll)
    assert [one["id"] for one in package["feeds"]] == [feed_id]
    # The documents' list of states has no "claimed", which is what WeRSS itself writes until a child says more.
    assert statuses(client, seeds.CURL_ALLOCATIONS)[package["allocation_id"]] == "claimed"
    assert statuses(client, seeds.ALLOCATIONS_FILTERED) == {}
    # Reports of two runs differ by their times; one that repeats another settles nothing.
    client.values["2024-01-01T00:00:00"] = datetime.now(UTC).replace(tzinfo=None).isoformat()
    assert client.send(seeds.REPORT_RESULT)["data"]["received"] == 1
    assert statuses(client, seeds.ALLOCATIONS)[package["allocation_id"]] == "completed"
    completed = seeds.ALLOCATIONS_FILTERED.request.replace("executing", "completed")
    assert package["allocation_id"] in statuses(
        client, replace(seeds.ALLOCATIONS_FILTERED, request=completed)
    )


def take(client: SeedClient, poll: Line) -> dict[str, Any]:
    """Poll until there is work: a dispatch that meets the end of a run lets its own begin a moment later."""
    asked = replace(poll, answer='{"code": 200}')
    found: dict[str, Any] = {}
    wait_until(lambda: bool(found.update(client.send(asked)) or found["data"]), 20, "work for the child")
    assert_looks_like(json.loads(poll.answer), found, poll.section)
    taken: dict[str, Any] = found["data"]
    return taken


def statuses(client: SeedClient, line: Line) -> dict[str, str]:
    """By allocation, its status, as a list of the documents shows it."""
    found = client.send(line)["data"]
    assert found["total"] >= len(found["list"])
    return {one["allocation_id"]: one["status"] for one in found["list"]}


def test_every_line_is_used() -> None:
    lines = {name for name, value in vars(seeds).items() if isinstance(value, Line)}
    text = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in lines if f"seeds.{name}" not in text} == set()
