"""The composition root: builds logging, engine, Redis, cipher and plug-ins from the settings.

Nothing connects here; each process's main calls it, after its last fork.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import os
import secrets
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pymysql.err import InterfaceError, OperationalError
from redis import Redis
from sqlalchemy import Engine

import config
from backend.dispatch.broker import ANSWER_SECONDS, RETRIES, RedisPatience, connect
from backend.dispatch.pump import Limits
from backend.domain.errors import ConfigurationError, InvalidInput
from backend.domain.freshness import Freshness
from backend.domain.politeness import HostLimits
from backend.domain.ports import HttpClient
from backend.domain.publish_admission import PublishLimits
from backend.domain.publish_endings import PublishPolicy
from backend.domain.receivers import check_receiver
from backend.domain.retry import RetryPolicy
from backend.outbound.client import GuardedHttpClient
from backend.outbound.elsewhere import ElsewhereHttpClient
from backend.store.cipher import Cipher, SecretKeys
from backend.store.deliveries import DeliveryPolicy
from backend.store.phases import Terms
from backend.store.session import Patience, create_engine_for
from config import Settings
from config_values import SettingError

SOURCES = "cascade.sources"
NOTIFIERS = "cascade.notifiers"
PUBLISHERS = "cascade.publishers"
# By group: where a plug-in says its name, and the method that it must have.
PORTS = {SOURCES: ("kind", "fetch"), NOTIFIERS: ("name", "send"), PUBLISHERS: ("platform", "publish")}
# The database knows everything: nobody waits for Redis again and again.
REDIS_TRY_SECONDS = 3.0
REDIS_REST_SECONDS = 2.0
LOG_FORMAT = "%(asctime)s %(levelname)s {part}[%(process)d] %(name)s: %(message)s"

log = logging.getLogger(__name__)


def load_settings(*, data_dir: Path | None = None, config_file: Path | None = None) -> Settings:
    """The settings. Raises `ConfigurationError` naming the first one that can't be used."""
    try:
        settings = config.load(data_dir=data_dir, config_file=config_file)
    except SettingError as error:
        raise ConfigurationError(
            "bad_setting", name=f"{error.name} ({error.place})", detail=error.detail
        ) from error
    _check_alert_urls(settings.alert_urls)
    return settings


def _check_alert_urls(urls: tuple[str, ...]) -> None:
    # Else a mistake would show when the first alarm is to be sent, and nobody hears of it.
    for number, url in enumerate(urls, 1):
        try:
            check_receiver(url)
        except InvalidInput as error:
            detail = f"number {number}: {error.sentence()}"
            raise ConfigurationError("bad_setting", name="CASCADE_ALERT_URLS", detail=detail) from None


class LostConnectionFilter(logging.Filter):
    """One line instead of a traceback for a connection that died before it was given back: who used it tells what follows."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never refuses a line."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OperationalError | InterfaceError):
            record.msg, record.args = "a connection to the database was lost (%s)", (error,)
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def configure_logging(settings: Settings, part: str) -> None:
    """Log to stderr; every line says which part speaks."""
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT.format(part=part), force=True)
    logging.Formatter.default_msec_format = "%s.%03d"
    for pool in ("NullPool", "QueuePool"):
        logging.getLogger(f"sqlalchemy.pool.impl.{pool}").addFilter(LostConnectionFilter())
    for noisy in ("rq.worker", "alembic", "urllib3", "apprise"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))


def ensure_secret_key(settings: Settings) -> Settings:
    """The settings with a secret key: made once, readable by its owner only."""
    if settings.secret_key:
        return settings
    path = settings.data_dir / "secret.key"
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_text(encoding="utf-8").strip()
        return dataclasses.replace(settings, secret_key=key, secret_key_file=path)
    key = secrets.token_urlsafe(48)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    return dataclasses.replace(settings, secret_key=key, secret_key_file=path)


def build_engine(settings: Settings, *, pooled: bool, patience: Patience | None = None) -> Engine:
    """The database engine; workers use `pooled=False`."""
    return create_engine_for(settings.database_url, pooled=pooled, patience=patience)


def build_redis(
    settings: Settings,
    *,
    retries: int = RETRIES,
    answer_seconds: float = ANSWER_SECONDS,
    rest_seconds: float = REDIS_REST_SECONDS,
    says: bool = True,
) -> Redis:
    """The Redis client of those for whom Redis only makes things quicker: it gives up soon and then leaves Redis alone for a moment.

    Raises `ConfigurationError` when there is no address.
    """
    if not settings.redis_url:
        raise ConfigurationError("no_redis")
    patience = RedisPatience(retries, seconds=REDIS_TRY_SECONDS, rest_seconds=rest_seconds, says=says)
    return connect(settings.redis_url, answer_seconds=answer_seconds, patience=patience)


def build_cipher(settings: Settings) -> Cipher:
    """The cipher of secrets at rest. Raises `ConfigurationError` without a key."""
    return Cipher(build_secret_keys(settings))


def build_secret_keys(settings: Settings) -> SecretKeys:
    """The secret keys, followed in their file, if they stand in one. Raises `ConfigurationError` without a key."""
    return SecretKeys(settings.secret_key, settings.secret_key_file)


def build_terms(settings: Settings) -> Terms:
    """On what terms work is given out and taken back."""
    return Terms(
        cipher=build_cipher(settings),
        items=RetryPolicy(settings.item_attempts, settings.retry_base_seconds),
        deliveries=DeliveryPolicy(
            RetryPolicy(settings.delivery_attempts, settings.retry_base_seconds),
            settings.robot_repeat_unconfirmed,
        ),
        seconds={
            "update": settings.update_seconds,
            "deliver": settings.deliver_seconds,
            "publish": settings.publish_seconds,
            "account": settings.publish_seconds,
        },
        # The lease of a call begins with its checkpoint, and until it is over the call may still begin.
        publishing=PublishPolicy(call_seconds=settings.lease_seconds),
    )


def build_http(settings: Settings) -> HttpClient:
    """The guarded HTTP client, for rooms that know its port only; make it after the last fork."""
    return GuardedHttpClient(settings.egress_allow)


def build_publishing_http(settings: Settings) -> HttpClient:
    """The same for publishers, whose platforms may be told to be elsewhere; make it after the last fork."""
    http = build_http(settings)
    hosts = dict(one.split("=", 1) for one in settings.publish_hosts)
    return ElsewhereHttpClient(http, hosts) if hosts else http


def build_freshness(settings: Settings) -> Freshness:
    """The ages at which feeds stop being fresh, recent and stale."""
    return Freshness(settings.feed_fresh_seconds, settings.feed_recent_seconds, settings.feed_stale_seconds)


def build_limits(settings: Settings) -> Limits:
    """What the pump must know of the settings."""
    return Limits(
        work_seconds=max(settings.update_seconds, settings.deliver_seconds, settings.publish_seconds),
        hosts=build_host_limits(settings),
        publishing=build_publish_limits(settings),
    )


def build_publish_limits(settings: Settings) -> PublishLimits:
    """How much users and nodes may publish at a time."""
    # A node that publishes nothing names no platforms; others have one process at least.
    slots = max(1, settings.publish_workers)
    return PublishLimits(settings.publish_in_flight, settings.publish_per_minute, slots)


def build_host_limits(settings: Settings) -> HostLimits:
    """How each host of feeds is treated."""
    return HostLimits(settings.host_concurrency, settings.host_gap_seconds)


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plug-in that can't be used: its group, name and place, and why."""

    group: str
    name: str
    place: str
    cause: str


def load_plugins(group: str) -> dict[str, Any]:
    """Plug-ins of an entry point group by name; one that can't be used is named in the log and left out."""
    found, broken = try_plugins(group)
    for one in broken:
        log.error(
            "the plug-in %s (%s) of %s can't be loaded and is left out: %s",
            *(one.name, one.place, one.group, one.cause),
        )
    return found


def try_plugins(group: str) -> tuple[dict[str, Any], list[BrokenPlugin]]:
    """The plug-ins of the group that can be used, by name, and those that can't, with the cause."""
    found: dict[str, Any] = {}
    broken: list[BrokenPlugin] = []
    for entry in sorted(entry_points(group=group)):
        try:
            found[entry.name] = _checked(group, entry.name, entry.load()())
        except (Exception, SystemExit) as error:
            # Somebody else's code may fail in any way at import; the rest must go on working.
            log.debug("the plug-in %s could not be loaded", entry.name, exc_info=True)
            cause = f"{type(error).__name__}: {error}"
            broken.append(BrokenPlugin(group, entry.name, entry.value, cause))
    return found, broken


def _checked(group: str, name: str, plugin: Any) -> Any:
    told, verb = PORTS[group]
    if getattr(plugin, told, None) != name:
        raise TypeError(
            f"its {told} must be {name!r}, like its entry point, and is {getattr(plugin, told, None)!r}"
        )
    if not callable(getattr(plugin, verb, None)):
        raise TypeError(f"it has no method {verb}()")
    return plugin


def guard_requests(egress_allow: tuple[str, ...]) -> None:
    """Put the guard beneath `requests`, which only delivering processes load: it would keep 5 MB in each of the others."""
    importlib.import_module("backend.outbound.adapter").install(egress_allow)
