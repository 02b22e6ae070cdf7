"""What `check` looks at: each look is one function that gives findings, and none changes anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine

from backend.bootstrap import PORTS, load_settings, try_plugins
from backend.cli.child_diagnosis import look_at_child
from backend.cli.findings import Finding
from backend.cli.language import language, say
from backend.cli.opening import address_of, reachable_engine
from backend.dispatch.broker import connect, redis_address
from backend.dispatch.health import queue_health
from backend.dispatch.queues import DEFAULT_QUEUE, PUBLISH_SUFFIX
from backend.domain.errors import CascadeError, ConfigurationError
from backend.store.node_views import NodeView
from backend.store.nodes import list_nodes
from backend.store.recovery import live_beats
from backend.store.schema import check_server, schema_state
from backend.store.session import read
from config import Settings

MINIMUM_REDIS = (6, 2)
SAFE_POLICY = "noeviction"


def diagnose(data_dir: Path | None) -> list[Finding]:
    """Every finding, in the order in which things depend on each other."""
    return _diagnose(data_dir, None, _look)


def diagnose_child(data_dir: Path | None, config: Path | None) -> list[Finding]:
    """Every finding on a machine that is to be a child, whatever its settings call it."""
    return _diagnose(data_dir, config, _look_at_child_machine)


def _diagnose(
    data_dir: Path | None, config: Path | None, look: Callable[[Settings], Iterator[Finding]]
) -> list[Finding]:
    try:
        settings = load_settings(data_dir=data_dir, config_file=config)
    except ConfigurationError as error:
        return [Finding("configuration", error.sentence(language()), say("fix_setting"))]
    return list(look(settings))


def _look_at_child_machine(settings: Settings) -> Iterator[Finding]:
    yield Finding("configuration", say("settings_read", file=settings.config_file or say("no_file")))
    yield look_at_directory(settings.data_dir)
    if (settings.data_dir / "secret.key").exists():
        # The first start makes it.
        yield look_at_key(settings)
    yield from look_at_plugins()
    yield from look_at_child(settings)


def _look(settings: Settings) -> Iterator[Finding]:
    if settings.node_type == "child":
        # The rest is the parent's.
        yield from _look_at_child_machine(settings)
        return
    yield Finding("configuration", say("settings_read", file=settings.config_file or say("no_file")))
    yield look_at_directory(settings.data_dir)
    yield look_at_key(settings)
    yield from look_at_plugins()
    redis, redis_findings = look_at_redis(settings.redis_url)
    engine, database_findings = look_at_database(settings)
    yield from database_findings
    yield from redis_findings
    if engine is not None:
        try:
            if schema_state(engine) == "current":
                yield from look_at_work(engine, redis)
        finally:
            engine.dispose()


def look_at_directory(path: Path) -> Finding:
    """Whether the data directory, or where it would be made, can be written."""
    existing = next(one for one in (path, *path.parents) if one.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Finding("data directory", say("directory_ok", path=path))
    sentence = ConfigurationError("directory_unwritable", path=existing, detail="-").sentence(language())
    return Finding("data directory", sentence, say("fix_directory"))


def look_at_key(settings: Settings) -> Finding:
    """Whether there is a secret key that only its owner can read."""
    path = settings.data_dir / "secret.key"
    if os.environ.get("CASCADE_SECRET_KEY") or (settings.secret_key and not path.exists()):
        return Finding("secret key", say("key_from_environment"))
    if not path.exists():
        return Finding("secret key", say("key_missing"), say("fix_key_missing"))
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding(
            "secret key", say("key_open", path=path, mode=f"{mode:o}"), say("fix_key_open", path=path)
        )
    return Finding("secret key", say("key_ok", path=path))


def look_at_plugins() -> Iterator[Finding]:
    """Which sources and notifiers there are, and which can't be loaded."""
    for group in PORTS:
        found, broken = try_plugins(group)
        subject = group.removeprefix("cascade.")
        yield Finding(subject, ", ".join(found))
        for one in broken:
            detail = say("plugin_broken", name=one.name, place=one.place, cause=one.cause)
            yield Finding(f"{subject}: {one.name}", detail, say("fix_plugin"))


def look_at_database(settings: Settings) -> tuple[Engine | None, list[Finding]]:
    """Whether the database answers, is new enough, and has this version's schema."""
    if settings.embedded_database and not Path(address_of(settings.database_url)).exists():
        sentence = say("nothing_here", data_dir=settings.data_dir)
        return None, [Finding("database", sentence, say("fix_up"))]
    try:
        engine = reachable_engine(settings)
    except CascadeError as error:
        return None, [Finding("database", error.sentence(language()), say("fix_database"))]
    return engine, [_server(engine, settings), _schema(engine)]


def _server(engine: Engine, settings: Settings) -> Finding:
    with engine.execution_options(reading=True).connect() as connection:
        try:
            check_server(connection)
        except ConfigurationError as error:
            return Finding("database", error.sentence(language()), say("fix_old_database"))
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        name = "MariaDB" if getattr(connection.dialect, "is_mariadb", False) else connection.dialect.name
    address = address_of(settings.database_url)
    return Finding("database", say("database_ok", version=f"{name} {version}".strip(), address=address))


def _schema(engine: Engine) -> Finding:
    state = schema_state(engine)
    fix = "" if state == "current" else say("fix_unknown_schema" if state == "unknown" else "fix_schema")
    return Finding("schema", say("schema_is", state=state), fix)


def look_at_redis(url: str) -> tuple[Redis | None, list[Finding]]:
    """Whether Redis answers, is new enough, keeps what it is given, and throws nothing away."""
    if not url:
        return None, [Finding("redis", say("redis_none"), say("fix_redis_away"))]
    try:
        client, address = connect(url, retries=1), redis_address(url)
    except ValueError as error:
        return None, [Finding("redis", str(error), say("fix_redis_away"))]
    try:
        info: dict[str, Any] = client.info("everything")
    except RedisError as error:
        detail = say("redis_away", address=address, detail=str(error))
        return None, [Finding("redis", detail, say("fix_redis_away"))]
    return client, [_version(info, address), _append_only(info), _eviction(info)]


def _version(info: dict[str, Any], address: str) -> Finding:
    version = str(info.get("valkey_version") or info["redis_version"])
    numbers = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if numbers < MINIMUM_REDIS:
        return Finding("redis", say("redis_old", version=version), say("fix_redis_old"))
    return Finding("redis", say("redis_ok", version=version, address=address))


def _append_only(info: dict[str, Any]) -> Finding:
    if info.get("aof_enabled"):
        return Finding("redis persistence", say("aof_on"))
    return Finding("redis persistence", say("aof_off"), say("fix_aof"))


def _eviction(info: dict[str, Any]) -> Finding:
    policy = str(info.get("maxmemory_policy", SAFE_POLICY))
    if policy == SAFE_POLICY:
        return Finding("redis memory", say("eviction_ok"))
    return Finding("redis memory", say("eviction_on", policy=policy), say("fix_eviction"))


def look_at_work(engine: Engine, redis: Redis | None) -> Iterator[Finding]:
    """Whether a beat plans, and whether every queue has workers."""
    if read(engine, live_beats):
        yield Finding("beat", say("beat_ok"))
    else:
        yield Finding("beat", say("beat_none"), say("fix_up"))
    nodes = {one.queue: one for one in read(engine, list_nodes)}
    for queue in queue_health(engine, redis):
        if queue.consumers:
            detail = say("queue_ok", consumers=queue.consumers, waiting=queue.waiting)
            yield Finding(f"queue {queue.name}", detail)
            continue
        if queue.name.endswith(PUBLISH_SUFFIX) and not queue.waiting:
            yield Finding(f"queue {queue.name}", say("queue_on_demand"))
            continue
        fix = (
            say("fix_default_queue")
            if queue.name == DEFAULT_QUEUE
            else say("fix_queue", node=nodes[queue.name.removesuffix(PUBLISH_SUFFIX)].name)
        )
        yield Finding(f"queue {queue.name}", say("queue_unserved", waiting=queue.waiting), fix)
    yield from look_at_remote_nodes(one for one in nodes.values() if one.transport == "remote")
    if not any(one.node_type == 1 for one in nodes.values()):
        yield Finding("nodes", say("no_nodes"), say("fix_up"))


def look_at_remote_nodes(found: Iterable[NodeView]) -> Iterator[Finding]:
    """Whether each node on another machine has credentials and beats."""
    for one in found:
        subject = f"node {one.name}"
        if not one.api_key:
            yield Finding(subject, say("remote_without_pair"), say("fix_remote_pair", name=one.name))
        elif one.is_active and not one.status:
            detail = say("remote_silent", reason=one.why.sentence(language()) if one.why else "")
            yield Finding(subject, detail, say("fix_remote_silent", name=one.name))
        else:
            yield Finding(subject, say("remote_ok", load=f"{one.current_tasks}/{one.max_capacity}"))
