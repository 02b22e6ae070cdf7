"""How one value of the settings is read: where it may stand, parsers that say what is allowed, and the error that names a bad value.

The settings of the alarms and of who may publish how much stand here too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://\S+$")
ALERT_LANGUAGES = ("en", "zh")
ORIGIN = re.compile(r"^https?://[a-z0-9.\-\[\]:]+$")

NAMED_VALUE = re.compile(r"[a-z][a-z0-9_]*\.[a-z_]+=\S+")
RELAY = re.compile(r"^[A-Za-z0-9.-]+(:[0-9]+)?=https?://[^\s/?#=]+[^\s?#]*$")


class SettingError(ValueError):
    """A setting that can't be used; its text names the setting, its place and what is allowed."""

    def __init__(self, name: str, place: str, detail: str) -> None:
        self.name, self.place, self.detail = name, place, detail
        super().__init__(f"{name} ({place}): {detail}")


def yaml_trouble(error: Exception) -> str:
    """What is wrong with a YAML file, and where. Never what stands there, as YAML's own text says it: that may be a secret."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    # Behind a quotation mark, the file speaks.
    problem = str(getattr(error, "problem", "") or "").partition("'")[0].strip()
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


@dataclass(frozen=True, slots=True)
class Parser:
    """Turns what stood in the environment or the file into a value; `allowed` says what may stand there."""

    convert: Callable[[object], Any]
    allowed: str

    def __call__(self, value: object) -> Any:
        """The value. Raises `ValueError` with what is wrong."""
        return self.convert(value)


def _clean(value: object) -> str:
    return str(value).strip()


text = Parser(_clean, "text")


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    try:
        return float(str(value))
    except ValueError:
        raise ValueError(f"must be a number, not {value!r}") from None


def seconds(low: float, high: float) -> Parser:
    """A duration in seconds."""

    def convert(value: object) -> float:
        number = _number(value)
        if not low <= number <= high:
            raise ValueError(f"must be between {low:g} and {high:g} seconds, not {number:g}")
        return number

    return Parser(convert, f"{low:g} to {high:.0f} s")


def count(low: int, high: int) -> Parser:
    """A whole number."""

    def convert(value: object) -> int:
        number = _number(value)
        if number != int(number) or not low <= number <= high:
            raise ValueError(f"must be a whole number between {low} and {high}, not {value}")
        return int(number)

    return Parser(convert, f"{low} to {high}")


def choice(*allowed: str) -> Parser:
    """One of the words, whatever their case."""
    by_folded = {name.casefold(): name for name in allowed}

    def convert(value: object) -> str:
        found = by_folded.get(_clean(value).casefold())
        if found is None:
            raise ValueError(f"must be one of {', '.join(allowed)}, not {value!r}")
        return found

    return Parser(convert, ", ".join(allowed))


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    folded = _clean(value).casefold()
    if folded in {"true", "yes", "on", "1"}:
        return True
    if folded in {"false", "no", "off", "0"}:
        return False
    raise ValueError(f"must be true or false, not {value!r}")


flag = Parser(_switch, "true, false")


def _parts(value: object) -> list[str]:
    return [
        _clean(part)
        for part in (value if isinstance(value, list) else _clean(value).replace(",", " ").split())
    ]


def _to_networks(value: object) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(part, strict=False)) for part in _parts(value))
    except ValueError as error:
        raise ValueError(f"must be a list of networks such as 127.0.0.0/8,10.1.0.0/16 ({error})") from None


networks = Parser(_to_networks, "networks, comma-separated")


def _to_origins(value: object) -> tuple[str, ...]:
    origins = tuple(part.rstrip("/").casefold() for part in _parts(value))
    for origin in origins:
        if origin != "*" and not ORIGIN.match(origin):
            raise ValueError("must be a list of origins such as https://admin.example.com, or *")
    return origins


origins = Parser(_to_origins, "origins, comma-separated, or *")


def _to_hosts(value: object) -> tuple[str, ...]:
    moved = tuple(part.rstrip("/") for part in _parts(value))
    for part in moved:
        if not RELAY.match(part):
            raise ValueError("must be a list such as www.zhihu.com=https://relay.example.com")
    return moved


hosts = Parser(_to_hosts, "host=address, comma-separated")


def _to_named_values(value: object) -> tuple[str, ...]:
    parts = _parts(value)
    for part in parts:
        if not NAMED_VALUE.fullmatch(part):
            raise ValueError("must be a list such as csdn.app_secret=…,juejin.category=…")
    return tuple(parts)


named_values = Parser(_to_named_values, "platform.name=value, comma-separated")


def numbers(low: float, high: float) -> Parser:
    """A number, or 0, which switches off what it limits."""

    def convert(value: object) -> float:
        number = _number(value)
        if number != 0 and not low <= number <= high:
            raise ValueError(f"must be 0 (off) or between {low:g} and {high:g}, not {number:g}")
        return number

    return Parser(convert, f"{low:g} to {high:.0f}; 0: off")


def _to_addresses(value: object) -> tuple[str, ...]:
    # Apprise's addresses may hold commas: only one before the next scheme separates. What is wrong is told without the value: it is a secret.
    told = (
        value
        if isinstance(value, list)
        else re.split(r"[\s,;]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", _clean(value))
    )
    found = tuple(filter(None, (_clean(one).rstrip(",;") for one in told)))
    for number, one in enumerate(found, 1):
        if not ADDRESS.match(one):
            raise ValueError(
                f"must be a list of Apprise addresses such as tgram://…; number {number} is none"
            )
    return found


addresses = Parser(_to_addresses, "Apprise addresses, comma-separated")


@dataclass(frozen=True, slots=True)
class Setting:
    """Where one setting comes from: its environment variable, its path in `config.yaml`, its parser."""

    environment: str
    path: str
    parse: Parser
    default: object
    help: str

    def told(self, environ: Mapping[str, str], content: Mapping[str, object]) -> tuple[str, object | None]:
        """Where a value stands, `environment`, `file` or `default`, and what stands there."""
        value: object | None = environ.get(self.environment) or None
        if value is not None:
            return "environment", value
        value = look_up(content, self.path)
        return ("default", None) if value is None else ("file", value)


def setting(environment: str, path: str, parse: Parser, default: object, explanation: str) -> Any:
    """A field of a settings class that is read like that."""
    return field(metadata={"setting": Setting(environment, path, parse, default, explanation)})


def look_up(content: Mapping[str, object], path: str) -> object | None:
    """What stands at a path of `config.yaml`."""
    value: object = content
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """When something is an alarm, and who hears of it. 0 switches a rule off."""

    alert_urls: tuple[str, ...] = setting(
        "CASCADE_ALERT_URLS",
        "alarms.urls",
        addresses,
        (),
        "Apprise addresses that alerts are sent to; secret",
    )
    alert_language: str = setting(
        "CASCADE_ALERT_LANGUAGE",
        "alarms.language",
        choice(*ALERT_LANGUAGES),
        "en",
        "language of what is sent",
    )
    alert_repeat_hours: float = setting(
        "CASCADE_ALERT_REPEAT_HOURS",
        "alarms.repeat_hours",
        numbers(0.001, 8760),
        6.0,
        "after so many hours an alert that is open and not acknowledged is sent again",
    )
    alert_clear_seconds: float = setting(
        "CASCADE_ALERT_CLEAR_SECONDS",
        "alarms.clear_seconds",
        seconds(0, 3600),
        30.0,
        "an alert closes when it has not been true for so long",
    )
    watch_seconds: float = setting(
        "CASCADE_WATCH_SECONDS",
        "alarms.watch_seconds",
        seconds(0.1, 30),
        10.0,
        "how often somebody looks whether alarms are due, over all processes",
    )
    canary_seconds: float = setting(
        "CASCADE_CANARY_SECONDS",
        "alarms.canary_seconds",
        seconds(0.5, 3600),
        60.0,
        "a queue with live workers that was idle for so long gets a canary",
    )
    alarm_flow_seconds: float = setting(
        "CASCADE_ALARM_FLOW_SECONDS",
        "alarms.flow_seconds",
        numbers(1, 86400),
        300.0,
        "alarm: a queue with live workers whose canary is not back for so long; more than a batch may take",
    )
    alarm_work_seconds: float = setting(
        "CASCADE_ALARM_WORK_SECONDS",
        "alarms.work_seconds",
        numbers(1, 86400),
        300.0,
        "alarm: work runs for longer",
    )
    alarm_slow_factor: float = setting(
        "CASCADE_ALARM_SLOW_FACTOR",
        "alarms.slow_factor",
        numbers(1, 1000),
        3.0,
        "alarm: work runs longer than so many times the 99th percentile of its kind (and 30 s)",
    )
    alarm_offline_seconds: float = setting(
        "CASCADE_ALARM_OFFLINE_SECONDS",
        "alarms.offline_seconds",
        numbers(1, 86400),
        180.0,
        "alarm: a node is silent for so long",
    )
    alarm_unserved_seconds: float = setting(
        "CASCADE_ALARM_UNSERVED_SECONDS",
        "alarms.unserved_seconds",
        numbers(1, 86400),
        60.0,
        "alarm: work waits in a queue that had no live worker for so long; `default` even without work",
    )
    alarm_latency_seconds: float = setting(
        "CASCADE_ALARM_LATENCY_SECONDS",
        "alarms.latency_seconds",
        numbers(1, 86400),
        300.0,
        "alarm: the oldest pending work of a queue waits for so long",
    )
    alarm_outbox_seconds: float = setting(
        "CASCADE_ALARM_OUTBOX_SECONDS",
        "alarms.outbox_seconds",
        numbers(1, 86400),
        300.0,
        "alarm: an outcome waits in a node's outbox for so long",
    )
    alarm_outbox_dead: int = setting(
        "CASCADE_ALARM_OUTBOX_DEAD",
        "alarms.outbox_dead",
        count(0, 1000000),
        1,
        "alarm: so many outcomes of a node can't be used; 0: off",
    )
    alarm_pool_percent: float = setting(
        "CASCADE_ALARM_POOL_PERCENT",
        "alarms.pool_percent",
        numbers(1, 100),
        80.0,
        "alarm: a process uses more of its database connections",
    )
    alarm_failed_percent: float = setting(
        "CASCADE_ALARM_FAILED_PERCENT",
        "alarms.failed_percent",
        numbers(1, 100),
        50.0,
        "alarm: so many of the feeds of a task's newest run failed",
    )
    alarm_failed_items: int = setting(
        "CASCADE_ALARM_FAILED_ITEMS",
        "alarms.failed_items",
        count(1, 1000000),
        10,
        "of how many feeds at least, for that alarm",
    )
    alarm_beat_seconds: float = setting(
        "CASCADE_ALARM_BEAT_SECONDS",
        "alarms.beat_seconds",
        numbers(1, 86400),
        60.0,
        "alarm: no beat, or no sweep, was seen for so long",
    )
    alarm_disk_percent: float = setting(
        "CASCADE_ALARM_DISK_PERCENT",
        "alarms.disk_percent",
        numbers(0.1, 99),
        10.0,
        "alarm: less of a data directory's disk is free",
    )
    alarm_account_login: bool = setting(
        "CASCADE_ALARM_ACCOUNT_LOGIN",
        "alarms.account_login",
        flag,
        True,
        "alarm: an account that publishes must be logged in again, or must soon",
    )
    alarm_unconfirmed_hours: float = setting(
        "CASCADE_ALARM_UNCONFIRMED_HOURS",
        "alarms.unconfirmed_hours",
        numbers(0.001, 8760),
        1.0,
        "alarm: for so long nobody has said whether a submitted article is on its platform",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSettings(AlarmSettings):
    """How much users may publish at a time; the rest waits."""

    publish_in_flight: int = setting(
        "CASCADE_PUBLISH_IN_FLIGHT",
        "publish.in_flight",
        count(1, 1000),
        10,
        "publish tasks that a user has in flight at a time; the others wait their turn",
    )
    publish_per_minute: int = setting(
        "CASCADE_PUBLISH_PER_MINUTE",
        "publish.per_minute",
        count(1, 10000),
        20,
        "publish tasks that a user may begin within a minute; the others wait their turn",
    )
