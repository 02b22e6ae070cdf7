"""What a receiver's answer means: accepted, to be repeated, or refused for good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from backend.domain.orders import Failure
from backend.domain.receivers import Kind

TOO_FAST_SECONDS = 60.0
MAX_RETRY_AFTER = 86400.0
MAX_WORDS = 300

# The codes of each robot that pass by themselves (wire 4.2); every other one is a fault in its settings.
BUSY = frozenset({-1})
TOO_FAST: dict[Kind, frozenset[int]] = {
    Kind.DINGTALK: frozenset({130101, 410100}),
    Kind.FEISHU: frozenset({11232}),
    Kind.WECOM: frozenset({45009}),
}
ROBOTS = frozenset({Kind.DINGTALK, Kind.FEISHU, Kind.WECOM, Kind.BARK})


def classify_status(status: int, headers: Mapping[str, str], now: datetime) -> Failure | None:
    """The failure that an HTTP status means, `None` for 2xx. `headers` has lower-case names.

    `Failure.message` holds what to show behind the sentence of its code.
    """
    if 200 <= status < 300:
        return None
    wait = retry_after(headers.get("retry-after", ""), now)
    words = f"HTTP {status}"
    if status == 429:
        return Failure("receiver_busy", words, retry_after=wait)
    if status in {408, 425} or status >= 500:
        return Failure("receiver_failed", words, retry_after=wait)
    return Failure("receiver_moved" if 300 <= status < 400 else "receiver_refused", words, permanent=True)


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for, given as seconds or as a date; `None` when it says nothing."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), MAX_RETRY_AFTER)


def classify_robot_answer(kind: Kind, status: int, body_text: str) -> Failure | None:
    """The failure that a robot's answer means, also one that comes with HTTP 200; `None` when it was accepted.

    A robot that answers 200 without its own code has not said that it accepted anything.
    """
    if status >= 500:
        return Failure("receiver_failed", _words(status, "", body_text))
    if status == 429:
        return Failure("receiver_busy", _words(status, "", body_text), retry_after=TOO_FAST_SECONDS)
    answer = _object(body_text)
    code, said = _code(kind, answer), _said(answer)
    if code in TOO_FAST.get(kind, frozenset()):
        return Failure("receiver_busy", _words(status, code, said), retry_after=TOO_FAST_SECONDS)
    if code in BUSY or status in {408, 425}:
        return Failure("receiver_failed", _words(status, code, said))
    if 200 <= status < 300 and code == (200 if kind is Kind.BARK else 0):
        return None
    return Failure("robot_refused", _words(status, code, said or body_text), permanent=True)


def _object(body_text: str) -> dict[str, object]:
    try:
        answer = json.loads(body_text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _code(kind: Kind, answer: Mapping[str, object]) -> int | None:
    names = ("code", "StatusCode") if kind in {Kind.FEISHU, Kind.BARK} else ("errcode",)
    for name in names:
        code = answer.get(name)
        if isinstance(code, int) and not isinstance(code, bool):
            return code
        if isinstance(code, str) and code.lstrip("-").isdecimal() and len(code) < 12:
            return int(code)
    return None


def _said(answer: Mapping[str, object]) -> str:
    for name in ("errmsg", "msg", "StatusMessage", "message"):
        if isinstance(answer.get(name), str):
            return str(answer[name])
    return ""


def _words(status: int, code: object, said: str) -> str:
    head = f"HTTP {status}" if code in {None, "", 200} else f"{code}"
    return f"{head}: {' '.join(said.split())[:MAX_WORDS]}".rstrip(": ")
