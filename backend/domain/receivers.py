"""Who serves a receiver: decided from its address and the message type, with the limits that it sets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from backend.domain.errors import InvalidInput
from backend.domain.identifiers import digest
from backend.domain.rendering import NOTICE, RAW, check_message_type

MAX_URL = 2048
WEBHOOK = "webhook"
ROBOT = "robot"


class Kind(StrEnum):
    """What a receiver is; `APPRISE` stands for everything that Apprise alone knows."""

    DINGTALK = "dingtalk"
    FEISHU = "feishu"
    WECOM = "wecom"
    BARK = "bark"
    APPRISE = "apprise"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a message goes. `key` is the same for the same receiver and tells nothing about its token.

    `per_minute` is the receiver's own rate limit.
    """

    key: str
    notifier: str
    kind: Kind
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class RobotAddress:
    """A robot's address taken apart. `host` is empty for the service's own; `secret` signs messages."""

    kind: Kind
    token: str
    host: str = ""
    secret: str = ""


HOSTS = {
    "oapi.dingtalk.com": Kind.DINGTALK,
    "open.feishu.cn": Kind.FEISHU,
    "open.larksuite.com": Kind.FEISHU,
    "qyapi.weixin.qq.com": Kind.WECOM,
}
BARK_HOST = "api.day.app"
SCHEMES = {
    "dingtalk": Kind.DINGTALK,
    "feishu": Kind.FEISHU,
    "lark": Kind.FEISHU,
    "wecombot": Kind.WECOM,
    "bark": Kind.BARK,
    "barks": Kind.BARK,
}
APPRISE_SCHEMES = frozenset(
    [
        "chanify",
        "discord",
        "gchat",
        "gotify",
        "gotifys",
        "ifttt",
        "kook",
        "line",
        "matrix",
        "matrixs",
        "mmost",
        "mmosts",
        "ntfy",
        "ntfys",
        "pbul",
        "pover",
        "pushdeer",
        "pushdeers",
        "pushme",
        "pushplus",
        "rocket",
        "rockets",
        "schan",
        "signal",
        "signals",
        "slack",
        "spugpush",
        "tgram",
        "workflows",
        "wpush",
        "wxpusher",
        "wxteams",
        "zulip",
    ]
)
"""Other schemes of Apprise that speak HTTP only; a test holds that against Apprise, because mail, MQTT or the
desktop's own notifications would pass by the egress guard."""

FORMS = {
    Kind.DINGTALK: "https://oapi.dingtalk.com/robot/send?access_token=…",
    Kind.FEISHU: "https://open.feishu.cn/open-apis/bot/v2/hook/…",
    Kind.WECOM: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…",
    Kind.BARK: "https://api.day.app/<key> or barks://<own server>/<key>",
}

# Messages per minute that the services accept (wire 4.2).
PER_MINUTE: dict[str, int] = {Kind.DINGTALK: 20, Kind.FEISHU: 100, Kind.WECOM: 20}


def receiver_of(url: str, message_type: int) -> Receiver:
    """Who serves this address. Raises `InvalidInput` when nobody can.

    Raw messages (type 1) always go out as web hooks; a robot's host keeps its own rate limits there too.
    """
    check_message_type(message_type)
    parts = _checked(url)
    kind = kind_of(parts)
    if message_type == RAW:
        if parts.scheme not in {"http", "https"}:
            raise _unusable("raw messages (message_type 1) need an http:// or https:// address")
        return replace(_receiver(parts, kind if _is_robot(url) else Kind.WEBHOOK), notifier=WEBHOOK)
    return _receiver(parts, kind)


def check_receiver(url: str, message_type: int = NOTICE) -> Receiver:
    """The same for people who enter an address: the error says which form is expected. Raises `InvalidInput`."""
    return receiver_of(url, message_type)


def kind_of(parts: SplitResult) -> Kind:
    """What answers at the address: by scheme, else by the exact host and never by a part of the text."""
    if parts.scheme in SCHEMES:
        return SCHEMES[parts.scheme]
    if parts.scheme not in {"http", "https"}:
        return Kind.APPRISE
    host = parts.hostname or ""
    if host == "day.app" or host.endswith(".day.app"):
        return Kind.BARK
    return HOSTS.get(host, Kind.WEBHOOK)


def robot_address(url: str) -> RobotAddress:
    """The parts of a DingTalk, Feishu, WeCom or Bark address. Raises `InvalidInput`."""
    parts = _checked(url)
    kind = kind_of(parts)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    native = parts.scheme in {"http", "https"}
    token, host, secret = (_native if native else _by_scheme)(parts, kind, query)
    if (
        kind not in FORMS
        or not re.fullmatch(r"[A-Za-z0-9_-]+", token)
        or not re.fullmatch(r"[A-Za-z0-9_-]*", secret)
    ):
        raise _unusable(f"a {kind} robot's address has the form {FORMS.get(kind, '')}")
    return RobotAddress(kind, token, host, secret)


def _is_robot(url: str) -> bool:
    try:
        robot_address(url)
    except InvalidInput:
        return False
    return True


def _native(parts: SplitResult, kind: Kind, query: dict[str, str]) -> tuple[str, str, str]:
    path = unquote(parts.path).strip("/")
    secret = query.get("secret", "")
    if kind is Kind.DINGTALK and path == "robot/send":
        return query.get("access_token", ""), "", secret
    if kind is Kind.WECOM and path == "cgi-bin/webhook/send":
        return query.get("key", ""), "", ""
    if kind is Kind.FEISHU and path.startswith("open-apis/bot/v2/hook/"):
        return path.removeprefix("open-apis/bot/v2/hook/"), parts.hostname or "", secret
    if kind is Kind.BARK:
        return path.partition("/")[0], parts.netloc, ""
    return "", "", ""


def _by_scheme(parts: SplitResult, kind: Kind, query: dict[str, str]) -> tuple[str, str, str]:
    # Tokens are case-sensitive, and `hostname` would fold them.
    user, _, host = parts.netloc.rpartition("@")
    if kind is Kind.BARK:
        return unquote(parts.path).strip("/").partition("/")[0], parts.netloc, ""
    larksuite = "open.larksuite.com" if parts.scheme == "lark" else ""
    return host, larksuite, query.get("secret", unquote(user))


def _receiver(parts: SplitResult, kind: Kind) -> Receiver:
    per_minute = PER_MINUTE.get(kind)
    if kind is Kind.WEBHOOK:
        key = digest(parts.scheme, parts.netloc.casefold(), parts.path, parts.query)
        return Receiver(key[:32], WEBHOOK, kind, per_minute)
    if kind is Kind.APPRISE:
        return Receiver(digest(parts.geturl())[:32], ROBOT, kind, per_minute)
    robot = robot_address(parts.geturl())
    host = robot.host if kind is Kind.BARK else ""
    return Receiver(digest(kind, host.casefold(), robot.token)[:32], ROBOT, kind, per_minute)


def _checked(url: str) -> SplitResult:
    text = url.strip()
    if not text or len(text) > MAX_URL:
        raise _unusable(f"it must have 1 to {MAX_URL} characters")
    if re.search(r"[\x00-\x20\x7f]", text):
        raise _unusable("it holds spaces or control characters")
    try:
        parts = urlsplit(text)
        # Telegram's tokens hold a colon where other addresses have a port.
        port = None if parts.scheme in APPRISE_SCHEMES else parts.port
    except ValueError:
        raise _unusable("it is not a URL") from None
    if parts.scheme not in {"http", "https", *SCHEMES, *APPRISE_SCHEMES}:
        raise _unusable("it must begin with https://, http:// or a robot's scheme such as barks://")
    if not parts.hostname or port == 0:
        raise _unusable("it names no host")
    return parts


def _unusable(detail: str) -> InvalidInput:
    return InvalidInput("bad_receiver", detail=detail)


def parse_headers(text: str) -> dict[str, str]:
    """A task's headers (a JSON object of texts) as names and values. Raises `InvalidInput`."""
    if not text.strip():
        return {}
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput("bad_headers", detail="it is not JSON") from None
    if not isinstance(headers, dict):
        raise InvalidInput("bad_headers", detail="it is not an object")
    return {name: _header(name, value) for name, value in headers.items()}


def _header(name: str, value: object) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        raise InvalidInput("bad_headers", detail=f"{name[:40]!r} is no header name")
    if name.casefold() in {"host", "content-length", "transfer-encoding", "connection", "idempotency-key"}:
        raise InvalidInput("bad_headers", detail=f"{name} is set by Cascade itself")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidInput("bad_headers", detail=f"the value of {name} is no text")
    text = str(value).strip()
    if not _is_header_value(text):
        raise InvalidInput(
            "bad_headers", detail=f"the value of {name} holds line breaks or other control characters"
        )
    return text


def parse_cookies(text: str) -> str:
    """A task's cookies (`k=v; k2=v2`) as the value of one `Cookie` header. Raises `InvalidInput`."""
    pairs = [pair.strip() for pair in text.strip().split(";") if pair.strip()]
    if not all(_is_header_value(pair) and re.match(r"[^\s=,;]+=", pair) for pair in pairs):
        raise InvalidInput("bad_cookies")
    return "; ".join(pairs)


def _is_header_value(text: str) -> bool:
    """One line, and nothing that HTTP can't carry: a line break would start a header of its own."""
    return re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text) is None and _fits_latin(text)


def _fits_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True
