"""Settings: environment over `config.yaml` over defaults, one frozen typed object.

A bad value stops the start and names itself, where it stood and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from config_values import (
    AlarmSettings,
    PublishSettings,
    Setting,
    SettingError,
    choice,
    count,
    flag,
    hosts,
    named_values,
    networks,
    origins,
    seconds,
    text,
    yaml_trouble,
)
from config_values import setting as _setting

ROOT = Path(__file__).resolve().parent
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
NODE_TYPES = ("parent", "child")


@dataclass(frozen=True, slots=True)
class Settings(PublishSettings):
    """Every setting, parsed. Paths are absolute; durations are seconds."""

    data_dir: Path
    config_file: Path | None
    # Where the secret key was read, when it was not told by a setting.
    secret_key_file: Path | None
    database_url: str = _setting(
        "DATABASE_URL", "database_url", text, "", "SQLAlchemy URL; empty: SQLite in the data directory"
    )
    redis_url: str = _setting(
        "REDIS_URL", "redis_url", text, "", "Redis URL; empty: the embedded server of the data directory"
    )
    log_level: str = _setting("LOG_LEVEL", "log_level", choice(*LOG_LEVELS), "INFO", "level of every process")
    host: str = _setting(
        "CASCADE_HOST",
        "host",
        text,
        "127.0.0.1",
        "address that the parent, or a child's HTTP server, listens on",
    )
    port: int = _setting("CASCADE_PORT", "port", count(0, 65535), 8001, "port that the parent listens on")
    gunicorn_workers: int = _setting(
        "GUNICORN_WORKERS", "gunicorn.workers", count(1, 64), 2, "processes of the parent's HTTP server"
    )
    gunicorn_threads: int = _setting(
        "GUNICORN_THREADS", "gunicorn.threads", count(1, 256), 8, "threads of each such process"
    )
    database_seconds: float = _setting(
        "CASCADE_DATABASE_SECONDS",
        "http.database_seconds",
        seconds(1, 60),
        10.0,
        "how long a request waits for the database before it is told to come again",
    )
    cors_origins: tuple[str, ...] = _setting(
        "CASCADE_CORS_ORIGINS",
        "http.cors_origins",
        origins,
        (),
        "origins whose pages may use the API, comma-separated; empty: none but our own",
    )
    secret_key: str = _setting(
        "CASCADE_SECRET_KEY",
        "secret_key",
        text,
        "",
        "signs tokens and encrypts; empty: `secret.key` in the data directory",
    )
    token_seconds: float = _setting(
        "CASCADE_TOKEN_SECONDS",
        "auth.token_seconds",
        seconds(60, 2592000),
        259200.0,
        "life of a login token",
    )
    login_lock_seconds: float = _setting(
        "CASCADE_LOGIN_LOCK_SECONDS",
        "auth.lock_seconds",
        seconds(1, 86400),
        900.0,
        "how long five wrong passwords lock a name from an address",
    )
    trusted_proxies: tuple[str, ...] = _setting(
        "CASCADE_TRUSTED_PROXIES",
        "http.trusted_proxies",
        networks,
        (),
        "networks of the proxies whose X-Forwarded-For is believed, as CIDR list",
    )
    egress_allow: tuple[str, ...] = _setting(
        "CASCADE_EGRESS_ALLOW",
        "egress.allow",
        networks,
        (),
        "private networks that work may reach, as CIDR list",
    )
    publish_hosts: tuple[str, ...] = _setting(
        "CASCADE_PUBLISH_HOSTS",
        "publish.hosts",
        hosts,
        (),
        "relays of platforms: what publishers send to the host goes to the address instead",
    )
    publish_options: tuple[str, ...] = _setting(
        "CASCADE_PUBLISH_OPTIONS",
        "publish.options",
        named_values,
        (),
        "what a platform needs besides an account, such as `csdn.app_secret` and `juejin.category`",
    )
    cascade_enabled: bool = _setting(
        "CASCADE_ENABLED", "cascade.enabled", flag, False, "the seeds' switch for child mode"
    )
    node_type: str = _setting(
        "CASCADE_NODE_TYPE", "cascade.node_type", choice(*NODE_TYPES), "parent", "what this machine is"
    )
    parent_url: str = _setting(
        "CASCADE_PARENT_URL", "cascade.parent_api_url", text, "", "of a child: where its parent answers"
    )
    api_key: str = _setting(
        "CASCADE_API_KEY", "cascade.api_key", text, "", "of a child: the key that its parent made for it"
    )
    api_secret: str = _setting(
        "CASCADE_API_SECRET",
        "cascade.api_secret",
        text,
        "",
        "of a child: the secret that its parent showed once",
    )
    api_secret_file: str = _setting(
        "CASCADE_API_SECRET_FILE",
        "cascade.api_secret_file",
        text,
        "",
        "of a child: a file that holds the secret, instead of `cascade.api_secret`",
    )
    ca_file: str = _setting(
        "CASCADE_CA_FILE",
        "cascade.ca_file",
        text,
        "",
        "of a child: certificates (PEM) that its parent's is checked against; empty: the usual ones",
    )
    sync_seconds: float = _setting(
        "CASCADE_SYNC_INTERVAL",
        "cascade.sync_interval",
        seconds(1, 86400),
        300.0,
        "of a child: how often it pulls feeds and message tasks",
    )
    heartbeat_seconds: float = _setting(
        "CASCADE_HEARTBEAT_INTERVAL",
        "cascade.heartbeat_interval",
        seconds(1, 150),
        60.0,
        "of a child: how often it sends a full heartbeat; after 180 s without one it counts as offline",
    )
    callback_url: str = _setting(
        "CASCADE_CALLBACK_URL",
        "cascade.callback_url",
        text,
        "",
        "of a child: where its parent reaches it, if it can; then a small HTTP server runs",
    )
    child_port: int = _setting(
        "CASCADE_CHILD_PORT",
        "cascade.port",
        count(0, 65535),
        0,
        "of a child: port of its small HTTP server; 0: CASCADE_PORT when it has a callback_url, else no server",
    )
    autonomous: bool = _setting(
        "CASCADE_AUTONOMOUS",
        "cascade.autonomous",
        flag,
        False,
        "of a child: run the message tasks that name it, on their cron, while its parent is away",
    )
    autonomous_after_seconds: float = _setting(
        "CASCADE_AUTONOMOUS_AFTER",
        "cascade.autonomous_after",
        seconds(1, 86400),
        600.0,
        "of an autonomous child: how long its parent must be away first",
    )
    metrics_token: str = _setting(
        "CASCADE_METRICS_TOKEN",
        "http.metrics_token",
        text,
        "",
        "bearer token that Prometheus must send for /metrics; empty: everybody may read it",
    )
    lease_seconds: float = _setting(
        "CASCADE_LEASE_SECONDS",
        "work.lease_seconds",
        seconds(3, 3600),
        45.0,
        "how long work is held without a renewal",
    )
    child_lease_seconds: float = _setting(
        "CASCADE_CHILD_LEASE_SECONDS",
        "work.child_lease_seconds",
        seconds(10, 86400),
        1800.0,
        "how long a WeRSS child's work is held without a call that names it",
    )
    sync_log_days: int = _setting(
        "CASCADE_SYNC_LOG_DAYS",
        "retention.sync_log_days",
        count(0, 3650),
        7,
        "how long sync logs and children's results are kept, in days; 0: for ever",
    )
    runs_days: int = _setting(
        "CASCADE_RUNS_DAYS",
        "retention.runs_days",
        count(0, 3650),
        30,
        "how long ended runs are kept, with all that belongs to them, in days; 0: for ever",
    )
    articles_days: int = _setting(
        "CASCADE_ARTICLES_DAYS",
        "retention.articles_days",
        count(0, 3650),
        0,
        "how long the text of articles is kept (title and address stay), in days; 0: for ever",
    )
    alert_days: int = _setting(
        "CASCADE_ALERT_DAYS",
        "retention.alert_days",
        count(0, 3650),
        90,
        "how long closed alerts are kept, in days; 0: for ever",
    )
    renew_seconds: float = _setting(
        "CASCADE_RENEW_SECONDS",
        "work.renew_seconds",
        seconds(1, 1200),
        15.0,
        "how often leases are renewed; below half the lease",
    )
    update_seconds: float = _setting(
        "CASCADE_UPDATE_SECONDS",
        "work.update_seconds",
        seconds(5, 3600),
        120.0,
        "overall limit of one batch of updates",
    )
    deliver_seconds: float = _setting(
        "CASCADE_DELIVER_SECONDS",
        "work.deliver_seconds",
        seconds(5, 3600),
        120.0,
        "overall limit of one batch of deliveries",
    )
    publish_seconds: float = _setting(
        "CASCADE_PUBLISH_SECONDS",
        "publish.seconds",
        seconds(10, 3600),
        300.0,
        "overall limit of one publish, up to the call that publishes, and of one check or login",
    )
    publish_workers: int = _setting(
        "CASCADE_PUBLISH_WORKERS",
        "publish.workers",
        count(0, 64),
        4,
        "publishes that a node has in work at once, each in a process of its own; 0: it publishes nothing",
    )
    worker_megabytes: int = _setting(
        "CASCADE_WORKER_MEGABYTES",
        "work.worker_megabytes",
        count(64, 1_048_576),
        512,
        "a worker process that uses more memory is replaced when it has ended what it holds",
    )
    item_attempts: int = _setting(
        "CASCADE_ITEM_ATTEMPTS", "work.item_attempts", count(1, 20), 3, "attempts at one feed within a run"
    )
    delivery_attempts: int = _setting(
        "CASCADE_DELIVERY_ATTEMPTS", "deliver.attempts", count(1, 20), 6, "attempts at one delivery"
    )
    host_concurrency: int = _setting(
        "CASCADE_HOST_CONCURRENCY",
        "work.host_concurrency",
        count(0, 10000),
        8,
        "feeds of one host that are collected at a time, over all nodes; 0: any number",
    )
    host_gap_seconds: float = _setting(
        "CASCADE_HOST_GAP_SECONDS",
        "work.host_gap_seconds",
        seconds(0, 600),
        0.1,
        "least time between two requests to one host, over all nodes that share Redis",
    )
    retry_base_seconds: float = _setting(
        "CASCADE_RETRY_BASE_SECONDS",
        "work.retry_base_seconds",
        seconds(0.1, 3600),
        5.0,
        "first wait before a retry; doubles",
    )
    feed_fresh_seconds: float = _setting(
        "CASCADE_FEED_FRESH_SECONDS",
        "feed_status.fresh_seconds",
        seconds(60, 31536000),
        3600.0,
        "a feed collected since is fresh",
    )
    feed_recent_seconds: float = _setting(
        "CASCADE_FEED_RECENT_SECONDS",
        "feed_status.recent_seconds",
        seconds(60, 31536000),
        86400.0,
        "a feed collected since is recent",
    )
    feed_stale_seconds: float = _setting(
        "CASCADE_FEED_STALE_SECONDS",
        "feed_status.stale_seconds",
        seconds(60, 31536000),
        259200.0,
        "a feed collected since is stale, one not collected since is outdated",
    )
    robot_repeat_unconfirmed: bool = _setting(
        "CASCADE_ROBOT_REPEAT_UNCONFIRMED",
        "deliver.robot_repeat_unconfirmed",
        flag,
        False,
        "repeat a chat robot's message whose answer never came (it may arrive twice)",
    )
    stop_seconds: float = _setting(
        "CASCADE_STOP_SECONDS", "stop_seconds", seconds(1, 600), 8.0, "how long a warm stop may take"
    )

    @property
    def listens_on(self) -> int:
        """The port of this machine's HTTP server; 0 on a child that has none, and on a parent that takes a free one."""
        if self.node_type == "parent":
            return self.port
        return self.child_port or (self.port if self.callback_url else 0)

    @property
    def embedded_database(self) -> bool:
        """Whether the database is the data directory's own SQLite file."""
        return self.database_url.startswith("sqlite")

    @property
    def metrics_dir(self) -> Path:
        """Where the processes of this data directory count for Prometheus."""
        return self.data_dir / "prometheus"

    @property
    def outbox_dir(self) -> Path:
        """Where outcomes wait for their database."""
        return self.data_dir / "outbox"


# What everybody needs stands before the alarms.
ALARMS, INHERITED = ({one.name for one in fields(part)} for part in (AlarmSettings, PublishSettings))
SETTINGS: dict[str, Setting] = {
    one.name: one.metadata["setting"]
    for one in sorted(fields(Settings), key=lambda one: (one.name in ALARMS, one.name in INHERITED))
    if "setting" in one.metadata
}


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """`CASCADE_DATA_DIR`, else `var` beside `./cascade`."""
    return Path(environ.get("CASCADE_DATA_DIR") or ROOT / "var").expanduser().absolute()


def find_config_file(environ: Mapping[str, str], data_dir: Path, named: Path | None) -> Path | None:
    """The first of: the named file, `CASCADE_CONFIG`, the data directory's, the one beside `./cascade`.

    Raises `SettingError` when a named file does not exist.
    """
    chosen = named or (Path(environ["CASCADE_CONFIG"]) if environ.get("CASCADE_CONFIG") else None)
    if chosen is not None:
        if not chosen.is_file():
            raise SettingError("config", str(chosen), "there is no such file")
        return chosen.absolute()
    for candidate in (data_dir / "config.yaml", ROOT / "config.yaml"):
        if candidate.is_file():
            return candidate
    return None


def read_file(path: Path | None) -> Mapping[str, object]:
    """What `config.yaml` says. Raises `SettingError` when it can't be read."""
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise SettingError("config", str(path), f"can't be read: {yaml_trouble(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingError("config", str(path), "must be a mapping of names to values")
    return content


def _resolve(
    setting: Setting, environ: Mapping[str, str], content: Mapping[str, object], file: Path | None
) -> object:
    source, raw = setting.told(environ, content)
    if source == "default":
        return setting.default
    name, place = (setting.path, str(file)) if source == "file" else (setting.environment, source)
    try:
        return setting.parse(raw)
    except ValueError as error:
        raise SettingError(name, place, str(error)) from None


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(path.name, str(path), f"can't be read: {error}") from error


def _api_secret(
    environ: Mapping[str, str], content: Mapping[str, object], file: Path | None, values: Mapping[str, Any]
) -> str:
    """A child's secret, itself or out of its file; the environment counts before `config.yaml`."""
    own, of_file = (SETTINGS[name].told(environ, content)[0] for name in ("api_secret", "api_secret_file"))
    secret, path = values["api_secret"], values["api_secret_file"]
    if not path or (secret and own == "environment" and of_file == "file"):
        return str(secret)
    name, place = "cascade.api_secret_file", str(file or "environment")
    if secret and own == of_file:
        raise SettingError(name, place, "cascade.api_secret is set too; keep one of the two")
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(name, place, f"{path} can't be read: {error}") from error


def load(
    environ: Mapping[str, str] | None = None,
    *,
    data_dir: Path | None = None,
    config_file: Path | None = None,
) -> Settings:
    """Read the settings. Raises `SettingError` on the first one that can't be used."""
    environ = os.environ if environ is None else environ
    directory = (data_dir or default_data_dir(environ)).expanduser().absolute()
    file = find_config_file(environ, directory, config_file)
    content = read_file(file)
    values: dict[str, Any] = {
        name: _resolve(setting, environ, content, file) for name, setting in SETTINGS.items()
    }
    values["database_url"] = values["database_url"] or f"sqlite:///{directory / 'cascade.db'}"
    values["redis_url"] = values["redis_url"] or _first_line(directory / "redis.url")
    key_file = None if values["secret_key"] else directory / "secret.key"
    values["secret_key"] = values["secret_key"] or _first_line(directory / "secret.key")
    values["api_secret"] = _api_secret(environ, content, file, values)
    if values["renew_seconds"] * 2 > values["lease_seconds"]:
        raise SettingError(
            "work.renew_seconds", str(file or "environment"), "must be at most half of work.lease_seconds"
        )
    ages = [values[f"feed_{name}_seconds"] for name in ("fresh", "recent", "stale")]
    if not ages[0] < ages[1] < ages[2]:
        raise SettingError(
            "feed_status",
            str(file or "environment"),
            "fresh_seconds < recent_seconds < stale_seconds must hold",
        )
    return Settings(data_dir=directory, config_file=file, secret_key_file=key_file, **values)
