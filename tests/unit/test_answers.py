"""What receivers' answers mean, as tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.answers import ROBOTS, classify_robot_answer, classify_status, retry_after
from backend.domain.receivers import Kind

NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "headers", "code", "permanent", "wait"),
    [
        (301, {}, "receiver_moved", True, None),
        (304, {}, "receiver_moved", True, None),
        (400, {}, "receiver_refused", True, None),
        (401, {"retry-after": "5"}, "receiver_refused", True, None),
        (404, {}, "receiver_refused", True, None),
        (408, {}, "receiver_failed", False, None),
        (410, {}, "receiver_refused", True, None),
        (425, {}, "receiver_failed", False, None),
        (429, {}, "receiver_busy", False, None),
        (429, {"retry-after": "17"}, "receiver_busy", False, 17.0),
        (500, {}, "receiver_failed", False, None),
        (503, {"retry-after": "Sun, 22 Nov 2026 08:02:00 GMT"}, "receiver_failed", False, 120.0),
    ],
)
def test_a_status_decides_whether_to_try_again(
    status: int, headers: dict[str, str], code: str, permanent: bool, wait: float | None
) -> None:
    failure = classify_status(status, headers, NOW)
    assert failure is not None
    assert (failure.code, failure.permanent, failure.retry_after) == (code, permanent, wait)
    assert (failure.message, failure.ambiguous) == (f"HTTP {status}", False)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_an_acknowledgement(status: int) -> None:
    assert classify_status(status, {"retry-after": "9"}, NOW) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("0", 0.0),
        (" 30 ", 30.0),
        ("999999999999999999999", 86400.0),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Sun, 22 Nov 2026 08:00:10 GMT", 10.0),
        ("Sun, 22 Nov 2026 08:00:10 -0000", 10.0),
        ("Sun, 22 Nov 2026 07:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2099 07:00:00 GMT", 86400.0),
        ("Sun, 99 Nov 2026 07:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_survived(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 86400


OK = {
    Kind.DINGTALK: '{"errcode":0,"errmsg":"ok"}',
    Kind.FEISHU: '{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}',
    Kind.WECOM: '{"errcode":0,"errmsg":"ok"}',
    Kind.BARK: '{"code":200,"message":"success","timestamp":1}',
}


@pytest.mark.parametrize("kind", sorted(ROBOTS))
def test_a_robots_own_yes_is_an_acknowledgement(kind: Kind) -> None:
    assert classify_robot_answer(kind, 200, OK[kind]) is None


@pytest.mark.parametrize(
    ("kind", "status", "body", "code", "wait", "words"),
    [
        # DingTalk
        (Kind.DINGTALK, 200, '{"errcode":310000,"errmsg":"keywords not in content"}', "robot_refused", None,
         "310000: keywords not in content"),
        (Kind.DINGTALK, 200, '{"errcode":"310000","errmsg":"sign not match"}', "robot_refused", None,
         "310000: sign not match"),
        (Kind.DINGTALK, 200, '{"errcode":300005,"errmsg":"token is not exist"}', "robot_refused", None,
         "300005: token is not exist"),
        (Kind.DINGTALK, 200, '{"errcode":130101,"errmsg":"send too fast"}', "receiver_busy", 60.0,
         "130101: send too fast"),
        (Kind.DINGTALK, 200, '{"errcode":410100,"errmsg":"send too fast"}', "receiver_busy", 60.0,
         "410100: send too fast"),
        (Kind.DINGTALK, 200, '{"errcode":-1,"errmsg":"系统繁忙"}', "receiver_failed", None, "-1: 系统繁忙"),
        # Feishu: errors come without StatusCode
        (Kind.FEISHU, 200, '{"code":19024,"msg":"Key Words Not Found","data":{}}', "robot_refused", None,
         "19024: Key Words Not Found"),
        (Kind.FEISHU, 400, '{"code":9499,"msg":"Bad Request","data":{}}', "robot_refused", None,
         "9499: Bad Request"),
        (Kind.FEISHU, 200, '{"code":11232,"msg":"frequency limited"}', "receiver_busy", 60.0,
         "11232: frequency limited"),
        (Kind.FEISHU, 429, '{"code":11232,"msg":"frequency limited"}', "receiver_busy", 60.0, "HTTP 429"),
        (Kind.FEISHU, 200, '{"StatusCode":19021,"StatusMessage":"sign"}', "robot_refused", None, "19021: sign"),
        # WeCom
        (Kind.WECOM, 200, '{"errcode":93000,"errmsg":"invalid webhook url"}', "robot_refused", None,
         "93000: invalid webhook url"),
        (Kind.WECOM, 200, '{"errcode":45009,"errmsg":"api freq out of limit"}', "receiver_busy", 60.0,
         "45009: api freq"),
        (Kind.WECOM, 200, '{"errcode":-1,"errmsg":"system busy"}', "receiver_failed", None, "-1: system busy"),
        # One service's busy code means nothing at another's
        (Kind.WECOM, 200, '{"errcode":11232,"errmsg":"x"}', "robot_refused", None, "11232: x"),
        # Bark
        (Kind.BARK, 400, '{"code":400,"message":"device key is empty"}', "robot_refused", None,
         "400: device key is empty"),
        (Kind.BARK, 200, '{"code":400,"message":"request bind failed"}', "robot_refused", None, "400: request"),
        (Kind.BARK, 500, '{"code":500,"message":"push failed: x"}', "receiver_failed", None, "HTTP 500"),
        # Anybody
        (Kind.DINGTALK, 502, "<html>bad gateway</html>", "receiver_failed", None, "HTTP 502: <html>bad gateway"),
        (Kind.DINGTALK, 404, "", "robot_refused", None, "HTTP 404"),
        (Kind.DINGTALK, 302, "", "robot_refused", None, "HTTP 302"),
        (Kind.DINGTALK, 200, "", "robot_refused", None, "HTTP 200"),
        (Kind.DINGTALK, 200, "<html>login</html>", "robot_refused", None, "HTTP 200: <html>login</html>"),
        (Kind.FEISHU, 200, '{"errcode":0}', "robot_refused", None, "HTTP 200"),
        (Kind.WECOM, 200, '{"errcode":false}', "robot_refused", None, "HTTP 200"),
        (Kind.WECOM, 200, "[" * 100_000, "robot_refused", None, "HTTP 200"),
    ],
)  # fmt: skip
def test_a_robots_answer_decides_and_keeps_its_own_words(
    kind: Kind, status: int, body: str, code: str, wait: float | None, words: str
) -> None:
    failure = classify_robot_answer(kind, status, body)
    assert failure is not None
    assert (failure.code, failure.retry_after) == (code, wait)
    assert failure.permanent is (code == "robot_refused")
    assert failure.message.startswith(words)


@given(st.sampled_from(sorted(ROBOTS)), st.integers(100, 599), st.text())
def test_what_is_not_a_robots_own_yes_is_never_taken_for_one(kind: Kind, status: int, body: str) -> None:
    failure = classify_robot_answer(kind, status, body)
    assert failure is not None
    assert len(failure.message) < 400
