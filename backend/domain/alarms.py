"""Which alarms are due: facts in, what is true now out. Pure; every rule has a threshold, and 0 switches it off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backend.domain.identifiers import digest
from backend.domain.signs import DEFAULT_QUEUE, AccountSign, DiskSign, Facts, PublishSign, RunningWork

WARNING, CRITICAL = "warning", "critical"
SUBJECT_LENGTH = 64
# What takes moments may take three times as long without anybody caring.
SHORTEST_SLOW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When each rule holds. Seconds, per cent, or counts; 0 switches the rule off."""

    work_seconds: float = 300.0
    slow_factor: float = 3.0
    offline_seconds: float = 180.0
    unserved_seconds: float = 60.0
    latency_seconds: float = 300.0
    flow_seconds: float = 300.0
    outbox_seconds: float = 300.0
    outbox_dead: int = 1
    pool_percent: float = 80.0
    failed_percent: float = 50.0
    failed_items: int = 10
    beat_seconds: float = 60.0
    disk_percent: float = 10.0
    account_login: int = 1
    unconfirmed_hours: float = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that holds for a subject. The rule's name is the code of its sentence."""

    rule: str
    subject: str
    severity: str
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What holds now, and the rules that could be judged: only alerts of those may be closed."""

    findings: tuple[Finding, ...]
    judged: frozenset[str]


def work_long(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Work that runs longer than any should, one finding for each queue."""
    late = [one for one in facts.running or () if one.seconds > limits.work_seconds]
    for queue, group in _by_queue(late).items():
        yield _about_work("alert_work_long", queue, group, {"limit": _round(limits.work_seconds)})


def work_slow(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Work that runs several times as long as nearly all of its kind did lately."""
    late = [
        one
        for one in facts.running or ()
        if one.kind in facts.usual_seconds
        and one.seconds > max(SHORTEST_SLOW_SECONDS, facts.usual_seconds[one.kind] * limits.slow_factor)
    ]
    for queue, group in _by_queue(late).items():
        usual = {"usual": _round(facts.usual_seconds[max(group, key=_age).kind])}
        yield _about_work("alert_work_slow", queue, group, usual)


def _by_queue(found: Iterable[RunningWork]) -> dict[str, list[RunningWork]]:
    groups: dict[str, list[RunningWork]] = {}
    for one in found:
        groups.setdefault(one.queue, []).append(one)
    return groups


def _age(one: RunningWork) -> float:
    return one.seconds


def _about_work(rule: str, queue: str, group: Sequence[RunningWork], more: Mapping[str, object]) -> Finding:
    oldest = max(group, key=_age)
    params: dict[str, object] = {
        "queue": queue,
        "count": len(group),
        "allocation_id": oldest.allocation_id,
        "kind": oldest.kind,
    }
    return Finding(rule, queue, WARNING, params | {"seconds": _round(oldest.seconds), **more})


def node_offline(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Active nodes whose beats stopped without a farewell."""
    for node in facts.nodes or ():
        if node.silent_seconds is not None and node.silent_seconds >= limits.offline_seconds:
            params = {"name": node.name, "seconds": _round(node.silent_seconds)}
            yield Finding("alert_node_offline", node.slug, CRITICAL, params)


def queue_unserved(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Queues in which work waits for workers that are not there; `default` must always have some."""
    for queue in facts.queues or ():
        wanted = queue.name == DEFAULT_QUEUE or queue.oldest_pending_seconds is not None
        if wanted and not queue.consumers and queue.unserved_seconds >= limits.unserved_seconds:
            params = {"queue": queue.name, "seconds": _round(queue.unserved_seconds)}
            yield Finding("alert_queue_unserved", queue.name, CRITICAL, params)


def queue_late(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Queues whose oldest pending work waits too long."""
    for queue in facts.queues or ():
        waited = queue.oldest_pending_seconds
        if waited is not None and waited >= limits.latency_seconds:
            yield Finding(
                "alert_queue_late", queue.name, WARNING, {"queue": queue.name, "seconds": _round(waited)}
            )


def queue_stopped(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Queues with live workers through which nothing flows, not even a canary."""
    for queue in facts.flows or ():
        if queue.is_stopped(limits.flow_seconds):
            params = {"queue": queue.name, "seconds": _round(queue.awaited_seconds or 0.0)}
            yield Finding("alert_queue_stopped", queue.name, CRITICAL, params)


def outbox_stuck(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Nodes whose oldest outcome waits too long for its database."""
    for node in facts.nodes or ():
        age = node.outbox_oldest_seconds
        if node.outbox_entries and age is not None and age >= limits.outbox_seconds:
            params = {"name": node.name, "count": node.outbox_entries, "seconds": _round(age)}
            yield Finding("alert_outbox_stuck", node.slug, CRITICAL, params)


def outbox_dead(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Nodes with outcomes that nobody could apply."""
    for node in facts.nodes or ():
        if node.outbox_dead >= limits.outbox_dead:
            params = {"name": node.name, "count": node.outbox_dead}
            yield Finding("alert_outbox_dead", node.slug, CRITICAL, params)


def pool_full(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Processes that use nearly all of their database connections."""
    for pool in facts.pools or ():
        if pool.size and pool.used * 100 > pool.size * limits.pool_percent:
            params = {"process": pool.process, "used": pool.used, "size": pool.size}
            yield Finding("alert_pool_full", _subject(pool.process), WARNING, params)


def run_failing(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Message tasks whose newest run failed for too many feeds."""
    for run in facts.runs or ():
        if run.ended >= max(1, limits.failed_items) and run.failed * 100 >= run.ended * limits.failed_percent:
            params = {
                "name": run.task_name,
                "run_id": run.run_id,
                "failed": run.failed,
                "ended": run.ended,
                "percent": run.failed * 100 // run.ended,
            }
            yield Finding("alert_run_failing", run.task_id, WARNING, params)


def beat_missing(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """No beat process lives."""
    yield from _missing("alert_beat_missing", "beat", facts.beat_silent_seconds, limits)


def sweeper_missing(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Nobody repairs, whether or not beats live."""
    yield from _missing("alert_sweeper_missing", "sweeper", facts.sweep_silent_seconds, limits)


def _missing(rule: str, subject: str, silent: float | None, limits: Thresholds) -> Iterator[Finding]:
    if silent is not None and silent >= limits.beat_seconds:
        yield Finding(rule, subject, CRITICAL, {"seconds": _round(silent)})


def disk_low(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Machines whose data directory has little room left; of several on one machine, the fullest counts."""
    fullest: dict[str, DiskSign] = {}
    for disk in facts.disks or ():
        known = fullest.get(disk.machine)
        if disk.total > 0 and (known is None or disk.free * known.total < known.free * disk.total):
            fullest[disk.machine] = disk
    for disk in fullest.values():
        if disk.free * 100 < disk.total * limits.disk_percent:
            params = {
                "machine": disk.machine,
                "percent": disk.free * 100 // disk.total,
                "megabytes": disk.free // 1_000_000,
            }
            yield Finding("alert_disk_low", _subject(disk.machine), CRITICAL, params)


EXPIRING = "expiring"


def account_login(facts: Facts, _: Thresholds) -> Iterator[Finding]:
    """Accounts that only a person can log in again; their tasks are held."""
    for one in _accounts(facts):
        if one.health != EXPIRING:
            params = {"reason": one.reason or one.health, "held": one.held}
            yield Finding("alert_account_login", one.account_id, CRITICAL, _names(one) | params)


def account_expiring(facts: Facts, _: Thresholds) -> Iterator[Finding]:
    """Accounts whose login ends within days: to be renewed before anything has to wait."""
    for one in _accounts(facts):
        if one.health == EXPIRING:
            yield Finding("alert_account_expiring", one.account_id, WARNING, _names(one))


def _accounts(facts: Facts) -> Sequence[AccountSign]:
    return facts.publishing.accounts if facts.publishing else ()


def _names(one: AccountSign) -> dict[str, object]:
    return {"name": one.name, "platform": one.platform}


def publish_unconfirmed(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Submitted articles of which nobody has said for long whether they are there."""
    sign = facts.publishing or PublishSign()
    if sign.unconfirmed and sign.oldest_seconds >= limits.unconfirmed_hours * 3600:
        params = {
            "count": sign.unconfirmed,
            "task_id": sign.oldest_task_id,
            "hours": f"{sign.oldest_seconds / 3600:.1f}",
        }
        yield Finding("alert_publish_unconfirmed", "publishing", WARNING, params)


def _subject(name: str) -> str:
    """The name as a key: ASCII, and short enough for its column."""
    return name if name.isascii() and len(name) <= SUBJECT_LENGTH else digest(name)


def _round(seconds: float) -> int:
    return round(seconds)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its code, the threshold that switches it off, what it must know, and how it judges."""

    code: str
    threshold: str
    needs: str
    judge: Callable[[Facts, Thresholds], Iterator[Finding]]


RULES = (
    Rule("alert_work_long", "work_seconds", "running", work_long),
    Rule("alert_work_slow", "slow_factor", "running", work_slow),
    Rule("alert_node_offline", "offline_seconds", "nodes", node_offline),
    Rule("alert_queue_unserved", "unserved_seconds", "queues", queue_unserved),
    Rule("alert_queue_late", "latency_seconds", "queues", queue_late),
    Rule("alert_queue_stopped", "flow_seconds", "flows", queue_stopped),
    Rule("alert_outbox_stuck", "outbox_seconds", "nodes", outbox_stuck),
    Rule("alert_outbox_dead", "outbox_dead", "nodes", outbox_dead),
    Rule("alert_pool_full", "pool_percent", "pools", pool_full),
    Rule("alert_run_failing", "failed_percent", "runs", run_failing),
    Rule("alert_beat_missing", "beat_seconds", "beat_silent_seconds", beat_missing),
    Rule("alert_sweeper_missing", "beat_seconds", "sweep_silent_seconds", sweeper_missing),
    Rule("alert_disk_low", "disk_percent", "disks", disk_low),
    Rule("alert_account_login", "account_login", "publishing", account_login),
    Rule("alert_account_expiring", "account_login", "publishing", account_expiring),
    Rule("alert_publish_unconfirmed", "unconfirmed_hours", "publishing", publish_unconfirmed),
)


def judge(facts: Facts, limits: Thresholds, rules: Sequence[Rule] = RULES) -> Verdict:
    """Everything that holds now. A rule that is switched off is judged too: nothing holds by it."""
    findings: list[Finding] = []
    judged: set[str] = set()
    for rule in rules:
        if not getattr(limits, rule.threshold):
            judged.add(rule.code)
        elif getattr(facts, rule.needs) is not None:
            judged.add(rule.code)
            findings += rule.judge(facts, limits)
    return Verdict(tuple(findings), frozenset(judged))


TELL_ATTEMPTS = 12


def tell_wait(attempt: int) -> float | None:
    """Seconds until a notice that failed `attempt` times is tried again; `None` when that was enough."""
    return None if attempt >= TELL_ATTEMPTS else min(600.0, 10.0 * 2.0 ** (attempt - 1))


def receiver_label(url: str) -> str:
    """How a secret address is called where people see it: its scheme, and enough of its digest to tell it apart."""
    scheme = url.partition("://")[0].casefold()
    return f"{scheme[:20]}:{digest(url.strip())[:12]}"
