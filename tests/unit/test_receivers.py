"""Who serves an address, with which limits; and headers and cookies that can't smuggle anything."""

from __future__ import annotations

from typing import Any

import pytest
from apprise.manager_plugins import NotificationManager
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidInput
from backend.domain.receivers import (
    APPRISE_SCHEMES,
    FORMS,
    Kind,
    check_receiver,
    parse_cookies,
    parse_headers,
    receiver_of,
    robot_address,
)

DING = "https://oapi.dingtalk.com/robot/send?access_token=abc123"
FEISHU = "https://open.feishu.cn/open-apis/bot/v2/hook/0f3a-11"
LARK = "https://open.larksuite.com/open-apis/bot/v2/hook/0f3a-11"
WECOM = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k-1"
BARK = "https://api.day.app/DeviceKey"
LONG = "A" * 40


@pytest.mark.parametrize(
    ("url", "notifier", "kind", "per_minute"),
    [
        (DING, "robot", Kind.DINGTALK, 20),
        (DING.replace("oapi.dingtalk.com", "OAPI.DingTalk.com"), "robot", Kind.DINGTALK, 20),
        ("dingtalk://abc123", "robot", Kind.DINGTALK, 20),
        (FEISHU, "robot", Kind.FEISHU, 100),
        (LARK, "robot", Kind.FEISHU, 100),
        ("lark://0f3a-11", "robot", Kind.FEISHU, 100),
        (WECOM, "robot", Kind.WECOM, 20),
        ("wecombot://k-1", "robot", Kind.WECOM, 20),
        (BARK, "robot", Kind.BARK, None),
        ("https://bark.day.app/DeviceKey", "robot", Kind.BARK, None),
        ("bark://192.168.1.9:8080/DeviceKey", "robot", Kind.BARK, None),
        ("barks://push.example.com/DeviceKey", "robot", Kind.BARK, None),
        ("tgram://123456:AAbb/42", "robot", Kind.APPRISE, None),
        ("https://hooks.example.com/x", "webhook", Kind.WEBHOOK, None),
        ("http://127.0.0.1:9000/hook", "webhook", Kind.WEBHOOK, None),
        # What WeRSS takes for a robot because of a part of the text:
        (f"https://hooks.example.com/{LONG}", "webhook", Kind.WEBHOOK, None),
        ("https://hooks.example.com/?next=oapi.dingtalk.com", "webhook", Kind.WEBHOOK, None),
        ("https://open.feishu.cn.evil.example/open-apis/bot/v2/hook/x", "webhook", Kind.WEBHOOK, None),
        ("https://notday.app/DeviceKey", "webhook", Kind.WEBHOOK, None),
    ],
)
def test_the_address_decides_who_serves_a_notice(
    url: str, notifier: str, kind: Kind, per_minute: int | None
) -> None:
    receiver = receiver_of(url, 0)
    assert (receiver.notifier, receiver.kind, receiver.per_minute) == (notifier, kind, per_minute)
    assert check_receiver(url) == receiver


@pytest.mark.parametrize(
    ("url", "per_minute"), [(DING, 20), (WECOM, 20), (FEISHU, 100), ("https://x.example", None)]
)
def test_raw_messages_are_web_hooks_that_keep_a_robots_limits(url: str, per_minute: int | None) -> None:
    receiver = receiver_of(url, 1)
    assert (receiver.notifier, receiver.per_minute) == ("webhook", per_minute)
    assert receiver.key == receiver_of(url, 0).key


def test_raw_messages_may_go_to_another_path_of_a_robots_host() -> None:
    assert receiver_of("https://open.feishu.cn/anycross/trigger/x", 1).kind is Kind.WEBHOOK


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (DING, "dingtalk://abc123", True),
        (DING, DING + "&secret=SEC1", True),
        (FEISHU, LARK, True),
        (DING, DING + "4", False),
        (BARK, "barks://push.example.com/DeviceKey", False),
        ("https://x.example/a", "https://X.example/a", True),
        ("https://x.example/a", "https://x.example/A", False),
        ("https://x.example/a?b", "https://x.example/a?c", False),
    ],
)
def test_the_key_tells_receivers_apart_and_not_their_spellings(one: str, other: str, same: bool) -> None:
    assert (receiver_of(one, 0).key == receiver_of(other, 0).key) is same


@given(st.from_regex(r"[A-Za-z0-9]{8,40}", fullmatch=True))
def test_the_key_does_not_reveal_the_token(token: str) -> None:
    for url in (f"https://oapi.dingtalk.com/robot/send?access_token={token}", f"https://x.example/{token}"):
        key = receiver_of(url, 0).key
        assert len(key) == 32
        assert token not in key


@pytest.mark.parametrize(
    ("url", "message_type", "hint"),
    [
        ("", 0, "1 to 2048"),
        ("https://x.example/" + "a" * 3000, 0, "1 to 2048"),
        ("hooks.example.com/x", 0, "must begin with"),
        ("ftp://x.example/", 0, "must begin with"),
        ("file:///etc/passwd", 0, "must begin with"),
        ("mailto://user:pass@example.com", 0, "must begin with"),
        ("javascript:alert(1)", 0, "must begin with"),
        ("https:///x", 0, "no host"),
        ("https://x.example:0/", 0, "no host"),
        ("https://x.example:99999/", 0, "not a URL"),
        ("https://[::1/x", 0, "not a URL"),
        ("https://x.example/a b", 0, "spaces"),
        ("https://x.example/a\r\nHost: y", 0, "spaces"),
        ("https://oapi.dingtalk.com/robot/send", 0, FORMS[Kind.DINGTALK]),
        ("https://oapi.dingtalk.com/robot/send?access_token=a/b", 0, FORMS[Kind.DINGTALK]),
        ("https://qyapi.weixin.qq.com/cgi-bin/message/send?key=x", 0, FORMS[Kind.WECOM]),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/", 0, FORMS[Kind.FEISHU]),
        ("https://api.day.app/", 0, "api.day.app"),
        ("bark://host:port/key", 0, "not a URL"),
        ("barks://push.example.com/key", 1, "need an http"),
    ],
)
def test_an_unusable_address_is_refused_with_what_to_write(url: str, message_type: int, hint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_receiver(url, message_type)
    assert refused.value.code == "bad_receiver"
    assert hint in str(refused.value)


def test_a_robots_secret_and_host_are_read_from_its_address() -> None:
    assert robot_address(DING + "&secret=SECabc").secret == "SECabc"
    assert robot_address("dingtalk://SECabc@Token123").secret == "SECabc"
    assert robot_address("dingtalk://SECabc@Token123").token == "Token123"
    assert (robot_address(LARK).host, robot_address(LARK + "?secret=s1").secret) == (
        "open.larksuite.com",
        "s1",
    )
    assert robot_address("lark://x1").host == "open.larksuite.com"
    bark = robot_address("bark://me:pw@192.168.1.9:8080/DeviceKey/")
    assert (bark.host, bark.token) == ("me:pw@192.168.1.9:8080", "DeviceKey")


@given(st.text())
def test_any_text_is_either_a_receiver_or_refused(url: str) -> None:
    for message_type in (0, 1):
        try:
            receiver = receiver_of(url, message_type)
        except InvalidInput as refused:
            assert refused.code == "bad_receiver"
        else:
            assert receiver.notifier in {"webhook", "robot"}


# Apprise's mail plug-in, loaded along with the others, imports it.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_every_scheme_left_to_apprise_speaks_http_only() -> None:
    # Mail, MQTT, sockets or the desktop would go past the egress guard, which watches `requests`.
    manager: Any = NotificationManager
    manager = manager()
    manager.load_modules()
    for scheme in sorted(APPRISE_SCHEMES):
        plugin = manager[scheme]
        module = vars(__import__(plugin.__module__, fromlist=["x"]))
        assert "requests" in module, scheme
        assert not {"socket", "smtplib", "subprocess", "ssl"} & module.keys(), scheme
        assert plugin.enabled, scheme


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("  ", {}),
        ("{}", {}),
        ('{"X-Token": " abc ", "X-Number": 7}', {"X-Token": "abc", "X-Number": "7"}),
        ('{"Content-Type": "text/plain; charset=utf-8"}', {"Content-Type": "text/plain; charset=utf-8"}),
    ],
)
def test_headers_are_a_json_object_of_texts(text: str, expected: dict[str, str]) -> None:
    assert parse_headers(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "X-Token: abc",
        "[]",
        "[" * 100_000,
        '{"X": null}',
        '{"X": ["a"]}',
        '{"X": true}',
        '{"X": "a\\r\\nEvil: 1"}',
        '{"X": "a\\u0000"}',
        '{"X": "文"}',
        '{"X\\n": "a"}',
        '{"": "a"}',
        '{"X Y": "a"}',
        '{"Host": "evil.example"}',
        '{"content-length": "1"}',
        '{"Idempotency-Key": "mine"}',
    ],
)
def test_headers_that_would_break_a_request_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_headers(text)
    assert refused.value.code == "bad_headers"


@pytest.mark.parametrize(
    ("text", "expected"), [("", ""), ("a=b", "a=b"), (" a=b ;c=d==; ", "a=b; c=d=="), ("a=", "a=")]
)
def test_cookies_become_one_header(text: str, expected: str) -> None:
    assert parse_cookies(text) == expected


@pytest.mark.parametrize("text", ["a", "=b", "a=b\r\nEvil: 1", "a=b\nc=d", "a=文", "a=\x00", "a b=c"])
def test_cookies_that_would_break_a_request_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_cookies(text)
    assert refused.value.code == "bad_cookies"


@given(st.text())
def test_no_cookie_or_header_can_start_another_line(text: str) -> None:
    for parse in (parse_cookies, lambda value: "".join(f"{k}{v}" for k, v in parse_headers(value).items())):
        try:
            line = parse(text)
        except InvalidInput:
            continue
        assert not {"\r", "\n", "\x00"} & set(line)
