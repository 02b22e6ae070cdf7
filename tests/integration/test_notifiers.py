"""Web hooks and robots against stand-ins that speak the real wire, through the real client and the real guard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from backend.domain.errors import WorkError
from backend.domain.orders import DeliveryArticle, DeliveryOrder, FrozenMessage, Receipt
from backend.domain.rendering import mock_order, render_message
from backend.notify.robot import RobotNotifier
from backend.notify.webhook import WebhookNotifier
from backend.outbound.adapter import install
from backend.outbound.client import GuardedHttpClient
from tests.standins.receivers import Behaviour, ReceiverServer

ROOT = Path(__file__).resolve().parents[2]

LOOPBACK = ("127.0.0.0/8",)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ROBOTS = {
    "https://oapi.dingtalk.com/robot/send?access_token=Token123": "/robot/send",
    "https://open.feishu.cn/open-apis/bot/v2/hook/Token123": "/open-apis/bot/v2/hook/Token123",
    "https://open.larksuite.com/open-apis/bot/v2/hook/Token123": "/open-apis/bot/v2/hook/Token123",
    "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=Token123": "/cgi-bin/webhook/send",
    "https://api.day.app/Token123": "/push",
}
DING, FEISHU, LARK, WECOM, BARK = ROBOTS


@pytest.fixture
def server() -> Iterator[ReceiverServer]:
    """The receivers."""
    with ReceiverServer() as running:
        yield running


@pytest.fixture
def http() -> GuardedHttpClient:
    """The real client; it may reach loopback."""
    return GuardedHttpClient(LOOPBACK, environ={})


@pytest.fixture
def guarded() -> Iterator[None]:
    """`requests`, and so Apprise, goes through the guard, which lets it reach loopback."""
    undo = install(LOOPBACK)
    yield
    undo()


def notice(
    url: str, body: str = "### News\n- [**A**](https://example.com/1)", **changes: Any
) -> tuple[DeliveryOrder, FrozenMessage]:
    """A delivery and its rendered notice."""
    order = replace(mock_order("", 0, web_hook_url=url), **changes)
    return order, FrozenMessage("晨报", body)


def raw(url: str, **changes: Any) -> tuple[DeliveryOrder, FrozenMessage]:
    """A delivery and its rendered raw message, as the default template gives it."""
    order = replace(mock_order("", 1, web_hook_url=url), **changes)
    return order, render_message(order, NOW, UTC)


def test_a_raw_message_arrives_exactly_as_rendered(server: ReceiverServer, http: GuardedHttpClient) -> None:
    order, message = raw(
        server.url(), headers='{"X-Token": "abc"}', cookies="sid=1;lang=zh", idempotency_key="key-1"
    )
    receipt = WebhookNotifier().send(order, message, http)
    (arrived,) = server.requests()
    assert arrived.body == message.body.encode()
    assert arrived.headers["content-type"] == "application/json"
    assert (arrived.headers["x-token"], arrived.headers["cookie"]) == ("abc", "sid=1; lang=zh")
    assert arrived.idempotency_key == "key-1"
    assert receipt == Receipt(order.delivery_id, 200, '{"ok": true}')
    assert server.articles_seen() == {"test-article-001": 1, "test-article-002": 1}


def test_the_tasks_own_content_type_wins(server: ReceiverServer, http: GuardedHttpClient) -> None:
    order, message = raw(server.url(), headers='{"content-type": "text/plain"}')
    WebhookNotifier().send(order, replace(message, body="文本", warning="not_json: no"), http)
    (arrived,) = server.requests()
    assert arrived.headers["content-type"] == "text/plain"
    assert arrived.body == "文本".encode()


def test_a_warning_reaches_the_receipt(server: ReceiverServer, http: GuardedHttpClient) -> None:
    order, message = raw(server.url())
    assert (
        WebhookNotifier().send(order, replace(message, warning="not_json: no"), http).warning
        == "not_json: no"
    )


def test_a_notice_to_a_web_hook_is_title_and_content(server: ReceiverServer, http: GuardedHttpClient) -> None:
    order, message = notice(server.url(f"/{'A' * 40}"))
    WebhookNotifier().send(order, message, http)
    (arrived,) = server.requests()
    assert arrived.json == {"title": "晨报", "content": message.body}
    assert "晨报".encode() in arrived.body
    assert server.articles_seen() == {"https://example.com/1": 1}


def test_a_redirect_is_not_followed(server: ReceiverServer, http: GuardedHttpClient) -> None:
    server.tell("/hook", Behaviour(302, headers={"Location": server.url("/elsewhere")}))
    with pytest.raises(WorkError) as failed:
        WebhookNotifier().send(*raw(server.url()), http)
    assert (failed.value.code, failed.value.permanent) == ("receiver_moved", True)
    assert [each.path for each in server.requests()] == ["/hook"]


@pytest.mark.parametrize(
    ("headers", "cookies"), [("no json", ""), ("", "a=b\r\nEvil: 1"), ('{"A": "x\\ny"}', "")]
)
def test_nothing_is_sent_with_headers_that_would_break_the_request(
    server: ReceiverServer, http: GuardedHttpClient, headers: str, cookies: str
) -> None:
    with pytest.raises(WorkError) as failed:
        WebhookNotifier().send(*raw(server.url(), headers=headers, cookies=cookies), http)
    assert (failed.value.code, failed.value.permanent) == ("bad_headers" if headers else "bad_cookies", True)
    assert server.requests() == []


def test_a_web_hook_may_not_reach_loopback_unless_it_is_allowed(server: ReceiverServer) -> None:
    with pytest.raises(WorkError) as failed:
        WebhookNotifier().send(*raw(server.url()), GuardedHttpClient(environ={}))
    assert (failed.value.code, failed.value.permanent) == ("egress_refused", True)
    assert server.requests() == []


def test_raw_messages_to_a_robot_are_refused_with_http_200(
    server: ReceiverServer, http: GuardedHttpClient
) -> None:
    # On the robot's own host the notifier knows that HTTP 200 is no yes; bark:// has no raw messages.
    order, message = raw(DING)
    redirected = _Redirecting(http, server.url("/robot/send?access_token=x"))
    with pytest.raises(WorkError, match="unsupported message type") as failed:
        WebhookNotifier().send(order, message, redirected)
    assert (failed.value.code, failed.value.permanent) == ("robot_refused", True)


class _Redirecting:
    """The real client, sent to a stand-in."""

    def __init__(self, http: GuardedHttpClient, url: str) -> None:
        self.http, self.url = http, url

    def send(self, request: Any) -> Any:
        """Send it there."""
        return self.http.send(replace(request, url=self.url))


# Apprise loads all its plug-ins for a scheme that is not ours, and the one for mail imports it.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
@pytest.mark.usefixtures("guarded")
class TestRobots:
    """Each robot's real wire."""

    @pytest.mark.parametrize("url", ROBOTS)
    def test_a_notice_arrives_as_markdown(
        self, server: ReceiverServer, http: GuardedHttpClient, url: str
    ) -> None:
        order, message = notice(url)
        receipt = RobotNotifier(server.robot_hosts()).send(order, message, http)
        (arrived,) = server.requests()
        assert arrived.path == ROBOTS[url]
        assert "Token123" in arrived.path + arrived.query + arrived.body.decode()
        assert (receipt.status_code, receipt.warning) == (200, "")
        assert server.articles_seen() == {"https://example.com/1": 1}

    def test_dingtalk_gets_title_and_text(self, server: ReceiverServer, http: GuardedHttpClient) -> None:
        order, message = notice(DING)
        RobotNotifier(server.robot_hosts()).send(order, message, http)
        content = server.requests()[0].json
        assert content["msgtype"] == "markdown"
        assert content["markdown"] == {"title": "晨报", "text": f"# 晨报\n{message.body}"}

    def test_feishu_gets_a_card(self, server: ReceiverServer, http: GuardedHttpClient) -> None:
        order, message = notice(FEISHU)
        RobotNotifier(server.robot_hosts()).send(order, message, http)
        card = server.requests()[0].json["card"]
        assert card["header"]["title"]["content"] == "晨报"
        assert card["elements"] == [{"tag": "div", "text": {"content": message.body, "tag": "lark_md"}}]

    def test_bark_gets_its_options_from_the_address(
        self, server: ReceiverServer, http: GuardedHttpClient
    ) -> None:
        url = f"bark://{server.netloc}/Token123?sound=alarm&group=news&level=timeSensitive&url=https://example.com"
        order, message = notice(url)
        RobotNotifier().send(order, message, http)
        content = server.requests()[0].json
        assert content == {
            "device_key": "Token123",
            "title": "晨报",
            "markdown": message.body,
            "sound": "alarm.caf",
            "group": "news",
            "level": "timeSensitive",
            "url": "https://example.com",
        }

    @pytest.mark.parametrize(
        "url",
        [
            f"{DING}&secret=SECabc",
            "dingtalk://SECabc@Token123",
            f"{FEISHU}?secret=SECabc",
            "lark://SECabc@Token123",
        ],
    )
    def test_messages_are_signed_with_the_robots_secret(
        self, server: ReceiverServer, http: GuardedHttpClient, url: str
    ) -> None:
        server.secrets["Token123"] = "SECabc"
        assert RobotNotifier(server.robot_hosts()).send(*notice(url), http).status_code == 200
        with pytest.raises(WorkError, match="sign") as failed:
            RobotNotifier(server.robot_hosts()).send(*notice(url.replace("SECabc", "SECxyz")), http)
        assert (failed.value.code, failed.value.permanent) == ("robot_refused", True)

    @pytest.mark.parametrize("url", ROBOTS)
    @pytest.mark.parametrize("letter", ["a", "文", "😀", '"', "\n-"])
    def test_a_message_that_is_too_long_arrives_cut_with_a_warning(
        self, server: ReceiverServer, http: GuardedHttpClient, url: str, letter: str
    ) -> None:
        order, message = notice(url, body="x" + letter * 30_000)
        receipt = RobotNotifier(server.robot_hosts()).send(order, message, http)
        assert receipt.warning.startswith("truncated: ")
        (arrived,) = server.requests()
        assert arrived.acknowledged
        assert "…" in json.dumps(arrived.json, ensure_ascii=False)

    def test_a_robot_that_asks_for_patience_is_tried_again(
        self, server: ReceiverServer, http: GuardedHttpClient
    ) -> None:
        server.tell("/robot/send", Behaviour(answer={"errcode": 130101, "errmsg": "send too fast"}, times=1))
        notifier = RobotNotifier(server.robot_hosts())
        with pytest.raises(WorkError) as failed:
            notifier.send(*notice(DING), http)
        assert (failed.value.code, failed.value.permanent, failed.value.retry_after) == (
            "receiver_busy",
            False,
            60.0,
        )
        assert notifier.send(*notice(DING), http).status_code == 200

    def test_other_services_of_apprise_are_told_in_one_request(
        self, server: ReceiverServer, http: GuardedHttpClient
    ) -> None:
        order, message = notice(
            f"gotify://{server.netloc}/Token12345?retry=3&redirect=yes", body="- line\n" * 20_000
        )
        assert RobotNotifier().send(order, message, http).status_code == 200
        (arrived,) = server.requests()
        assert (arrived.path, arrived.json["title"]) == ("/message", "晨报")
        server.tell("/message", Behaviour(401))
        with pytest.raises(WorkError) as failed:
            RobotNotifier().send(order, message, http)
        assert (failed.value.code, failed.value.permanent) == ("receiver_refused", True)
        assert len(server.requests()) == 2

    def test_nothing_is_sent_when_there_is_nothing_to_say(
        self, server: ReceiverServer, http: GuardedHttpClient
    ) -> None:
        with pytest.raises(WorkError, match="empty") as failed:
            RobotNotifier(server.robot_hosts()).send(*notice(DING, body=" \n"), http)
        assert (failed.value.code, failed.value.permanent) == ("robot_unsent", True)
        assert server.requests() == []

    @pytest.mark.parametrize(
        ("url", "message_type", "code"),
        [
            (DING, 1, "bad_message_type"),
            ("https://oapi.dingtalk.com/robot/send", 0, "bad_receiver"),
            ("https://oapi.dingtalk.com/robot/send?access_token=a-b", 0, "robot_unsent"),
            ("gotify://host", 0, "robot_unsent"),
        ],
    )
    def test_what_cannot_be_sent_fails_for_good(
        self,
        http: GuardedHttpClient,
        caplog: pytest.LogCaptureFixture,
        url: str,
        message_type: int,
        code: str,
    ) -> None:
        order, message = notice(url, message_type=message_type)
        with pytest.raises(WorkError) as failed:
            RobotNotifier().send(order, message, http)
        assert (failed.value.code, failed.value.permanent) == (code, True)
        assert "a-b" not in caplog.text

    def test_many_messages_at_once_keep_their_own_answers(
        self, server: ReceiverServer, http: GuardedHttpClient
    ) -> None:
        server.tell(
            "/open-apis/bot/v2/hook/Token123", Behaviour(answer={"code": 19024, "msg": "Key Words Not Found"})
        )
        notifier = RobotNotifier(server.robot_hosts())

        def outcome(url: str) -> str:
            try:
                return str(notifier.send(*notice(url), http).status_code)
            except WorkError as error:
                return error.code

        with ThreadPoolExecutor(16) as pool:
            outcomes = list(pool.map(outcome, [DING, FEISHU] * 40))
        assert outcomes == ["200", "robot_refused"] * 40


def test_a_robot_may_not_reach_loopback_unless_it_is_allowed(
    server: ReceiverServer, http: GuardedHttpClient
) -> None:
    undo = install()
    try:
        with pytest.raises(WorkError) as failed:
            RobotNotifier(server.robot_hosts()).send(*notice(DING), http)
    finally:
        undo()
    assert (failed.value.code, failed.value.permanent) == ("egress_refused", True)
    assert server.requests() == []


def test_robots_refuse_to_work_in_a_process_without_the_guard(http: GuardedHttpClient) -> None:
    with pytest.raises(RuntimeError, match="egress guard"):
        RobotNotifier().send(*notice(DING), http)


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("url", [None, DING, FEISHU, WECOM, BARK])
def test_a_time_out_after_sending_is_ambiguous(
    server: ReceiverServer, http: GuardedHttpClient, url: str | None
) -> None:
    for path in (*ROBOTS.values(), "/hook"):
        server.tell(path, Behaviour(seconds=30))
    notifier = RobotNotifier(server.robot_hosts(), seconds=0.4) if url else WebhookNotifier(seconds=0.4)
    with pytest.raises(WorkError) as failed:
        notifier.send(*notice(url or server.url()), http)
    assert (failed.value.code, failed.value.permanent, failed.value.ambiguous) == ("timed_out", False, True)


def test_the_message_of_real_articles_survives_the_whole_way(
    server: ReceiverServer, http: GuardedHttpClient
) -> None:
    odd = DeliveryArticle(
        "id-1", 'A "quoted" \\ 标题\n', "https://example.com/?a=1&b=2", "s", "c", "", "", None, NOW
    )
    order = replace(mock_order("", 1, web_hook_url=server.url()), articles=(odd,))
    message = render_message(order, NOW, ZoneInfo("Asia/Shanghai"))
    WebhookNotifier().send(order, message, http)
    (arrived,) = server.requests()
    assert arrived.json["articles"][0]["title"] == odd.title
    assert arrived.json["now"] == "2026-11-22 08:00:00"


def test_two_hundred_receivers_at_once_are_served(server: ReceiverServer, http: GuardedHttpClient) -> None:
    server.tell("/slow", Behaviour(seconds=0.3))

    def post(number: int) -> int:
        order, message = raw(server.url("/slow"), idempotency_key=f"key-{number}")
        return WebhookNotifier().send(order, message, http).status_code

    with ThreadPoolExecutor(200) as pool:
        assert list(pool.map(post, range(200))) == [200] * 200
    assert len({each.idempotency_key for each in server.requests()}) == 200
    assert server.articles_seen()["test-article-001"] == 200


def test_the_stand_in_runs_by_itself_and_keeps_a_journal(tmp_path: Path, http: GuardedHttpClient) -> None:
    journal = tmp_path / "received.jsonl"
    command = [sys.executable, "-m", "tests.standins.receivers", "--port", "0", "--journal", str(journal)]
    # As a person runs it: from the checkout, whose folder `./cascade test` itself keeps off the path.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        WebhookNotifier().send(*raw(f"{url}hook"), http)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=10)
    assert rest == "1 requests, 2 articles, 0 of them more than once\n"
    (line,) = journal.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["articles"] == ["test-article-001", "test-article-002"]
