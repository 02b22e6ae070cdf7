"""Each alarm rule holds exactly beyond its threshold, says nothing of what is not known, and can be switched off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.alarms import RULES, Thresholds, judge, receiver_label, tell_wait
from backend.domain.messages import LANGUAGES, render
from backend.domain.signs import (
    AccountSign,
    DiskSign,
    Facts,
    NodeSign,
    PoolSign,
    PublishSign,
    QueueSign,
    RunningWork,
    RunSign,
    percentile,
)

LIMITS = Thresholds()
WORK = RunningWork("a-1", "update", "node:n", 100.0)


def node(**values: Any) -> Facts:
    return Facts(nodes=[NodeSign("N", "n", **values)])


def queue(name: str = "node:n", consumers: int = 0, **values: Any) -> Facts:
    return Facts(queues=[QueueSign(name, consumers, **values)])


def flow(awaited: float, consumers: int = 1) -> Facts:
    return Facts(flows=[QueueSign("node:n", consumers, awaited_seconds=awaited)])


def run(failed: int, ended: int) -> Facts:
    return Facts(runs=[RunSign("t", "News", "r", failed, ended)])


def account(health: str) -> Facts:
    return Facts(publishing=PublishSign([AccountSign("a", "Ana", "zhihu", health, "a captcha", 50)]))


def unconfirmed(count: int, hours: float) -> Facts:
    return Facts(publishing=PublishSign((), count, "t", hours * 3600))


# By rule: facts by which it holds just so, and facts by which it just does not.
CASES: dict[str, tuple[list[Facts], list[Facts]]] = {
    "alert_work_long": (
        [Facts(running=[replace(WORK, seconds=300.1)])],
        [Facts(running=[replace(WORK, seconds=300.0)]), Facts(running=[])],
    ),
    "alert_work_slow": (
        [
            Facts(running=[replace(WORK, seconds=60.1)], usual_seconds={"update": 20.0}),
            Facts(running=[replace(WORK, seconds=30.1)], usual_seconds={"update": 0.1}),
        ],
        [
            Facts(running=[replace(WORK, seconds=60.0)], usual_seconds={"update": 20.0}),
            Facts(running=[replace(WORK, seconds=29.0)], usual_seconds={"update": 0.1}),
            Facts(running=[replace(WORK, seconds=299.0)], usual_seconds={"deliver": 0.1}),
        ],
    ),
    "alert_node_offline": (
        [node(silent_seconds=180.0)],
        [node(silent_seconds=179.9), node(silent_seconds=None)],
    ),
    "alert_queue_unserved": (
        [
            queue(unserved_seconds=60.0, oldest_pending_seconds=1.0),
            queue("default", unserved_seconds=60.0),
        ],
        [
            queue(unserved_seconds=59.0, oldest_pending_seconds=1.0),
            queue(unserved_seconds=9999.0),
            queue(consumers=1, unserved_seconds=60.0, oldest_pending_seconds=1.0),
            queue("default", consumers=1, unserved_seconds=60.0),
        ],
    ),
    "alert_queue_late": (
        [queue(consumers=1, oldest_pending_seconds=300.0)],
        [queue(consumers=1, oldest_pending_seconds=299.0), queue(consumers=1)],
    ),
    "alert_queue_stopped": ([flow(300.0)], [flow(299.0), flow(9999.0, consumers=0)]),
    "alert_outbox_stuck": (
        [node(outbox_entries=1, outbox_oldest_seconds=300.0)],
        [node(outbox_entries=1, outbox_oldest_seconds=299.0), node(outbox_oldest_seconds=999.0)],
    ),
    "alert_outbox_dead": ([node(outbox_dead=1)], [node(outbox_dead=0)]),
    "alert_pool_full": (
        [Facts(pools=[PoolSign("beat[1] on m", 13, 15)])],
        [Facts(pools=[PoolSign("beat[1] on m", 12, 15), PoolSign("b", 0, 0)])],
    ),
    "alert_run_failing": ([run(5, 10), run(500, 1000)], [run(4, 10), run(9, 9)]),
    "alert_beat_missing": ([Facts(beat_silent_seconds=60.0)], [Facts(beat_silent_seconds=59.0)]),
    "alert_sweeper_missing": ([Facts(sweep_silent_seconds=60.0)], [Facts(sweep_silent_seconds=59.0)]),
    "alert_account_login": (
        [account("expired"), account("needs_login")],
        [account("expiring"), Facts(publishing=PublishSign())],
    ),
    "alert_account_expiring": ([account("expiring")], [account("expired"), account("needs_login")]),
    "alert_publish_unconfirmed": ([unconfirmed(1, 1.0)], [unconfirmed(1, 0.99), unconfirmed(0, 9.0)]),
    "alert_disk_low": (
        [
            Facts(disks=[DiskSign("m", 99, 1000)]),
            Facts(disks=[DiskSign("m", 90, 100), DiskSign("m", 1, 100)]),
        ],
        [Facts(disks=[DiskSign("m", 100, 1000), DiskSign("k", 0, 0)])],
    ),
}


def rules_of(facts: Facts, limits: Thresholds = LIMITS) -> set[str]:
    return {one.rule for one in judge(facts, limits).findings}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_holds_beyond_its_threshold_and_not_below(rule: str) -> None:
    true, false = CASES[rule]
    assert [rule in rules_of(facts) for facts in true] == [True] * len(true)
    assert [rule in rules_of(facts) for facts in false] == [False] * len(false)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_that_is_switched_off_is_judged_and_never_holds(rule: str) -> None:
    threshold = next(one.threshold for one in RULES if one.code == rule)
    off = replace(LIMITS, **{threshold: 0})
    verdicts = [judge(facts, off) for facts in CASES[rule][0]]
    assert all(rule in verdict.judged for verdict in verdicts)
    assert not any(rule in {one.rule for one in verdict.findings} for verdict in verdicts)


def test_every_rule_has_its_cases() -> None:
    assert {one.code for one in RULES} == CASES.keys()


def test_what_is_not_known_is_not_judged() -> None:
    verdict = judge(Facts(), LIMITS)
    assert (verdict.findings, verdict.judged) == ((), frozenset())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rule", CASES)
def test_a_finding_says_everything_that_its_sentence_names(rule: str, language: str) -> None:
    for facts in CASES[rule][0]:
        for one in judge(facts, LIMITS).findings:
            said = render(one.rule, language, one.params)
            assert "?" not in said
            assert "{" not in said


def test_several_long_works_of_a_queue_are_one_finding_about_the_oldest() -> None:
    works = [replace(WORK, allocation_id=f"a-{age}", seconds=float(age)) for age in (400, 900, 301)]
    [found] = judge(Facts(running=works), LIMITS).findings
    assert (found.subject, found.params["count"], found.params["allocation_id"]) == ("node:n", 3, "a-900")


SECONDS = st.one_of(st.none(), st.floats(0, 1e6))
COUNTS = st.integers(0, 1000)
NAMES = st.text(min_size=1, max_size=100)
QUEUES = st.builds(
    QueueSign,
    st.sampled_from(("default", "node:a", "node:b")),
    st.integers(0, 3),
    st.floats(0, 1e6),
    SECONDS,
    SECONDS,
)
FACTS = st.builds(
    Facts,
    running=st.none() | st.lists(st.builds(RunningWork, NAMES, st.sampled_from(("update", "deliver")), st.sampled_from(("default", "node:a")), st.floats(0, 1e6)), max_size=5),
    usual_seconds=st.dictionaries(st.sampled_from(("update", "deliver")), st.floats(0, 1000)),
    nodes=st.none() | st.lists(st.builds(NodeSign, NAMES, st.sampled_from("abcdef"), SECONDS, COUNTS, SECONDS, COUNTS), max_size=5, unique_by=lambda one: one.slug),
    queues=st.none() | st.lists(QUEUES, max_size=3, unique_by=lambda one: one.name),
    flows=st.none() | st.lists(QUEUES, max_size=3, unique_by=lambda one: one.name),
    pools=st.none() | st.lists(st.builds(PoolSign, NAMES, COUNTS, COUNTS), max_size=3, unique_by=lambda one: one.process),
    runs=st.none() | st.lists(st.builds(RunSign, st.sampled_from("abc"), NAMES, NAMES, COUNTS, COUNTS), max_size=3, unique_by=lambda one: one.task_id),
    disks=st.none() | st.lists(st.builds(DiskSign, NAMES, COUNTS, COUNTS), max_size=4),
    publishing=st.none() | st.builds(PublishSign, st.lists(st.builds(AccountSign, st.sampled_from("abc"), NAMES, NAMES, st.sampled_from(("expired", "expiring"))), max_size=3, unique_by=lambda one: one.account_id), COUNTS, NAMES, st.floats(0, 1e6)),
    beat_silent_seconds=SECONDS,
    sweep_silent_seconds=SECONDS,
)  # fmt: skip
LIMITING = st.builds(
    Thresholds,
    **{name: st.floats(0, 1000) for name in Thresholds.__dataclass_fields__ if name not in {"failed_items", "outbox_dead"}},
    failed_items=st.integers(1, 100),
    outbox_dead=st.integers(0, 10),
)  # fmt: skip


@given(FACTS, LIMITING)
def test_whatever_is_known_findings_are_judged_unique_and_fit_their_columns(
    facts: Facts, limits: Thresholds
) -> None:
    verdict = judge(facts, limits)
    keys = [(one.rule, one.subject) for one in verdict.findings]
    assert len(keys) == len(set(keys))
    assert {rule for rule, _ in keys} <= verdict.judged
    assert all(subject.isascii() and 0 < len(subject) <= 64 for _, subject in keys)
    off = {one.code for one in RULES if not getattr(limits, one.threshold)}
    assert not off & {rule for rule, _ in keys}


@given(FACTS, LIMITING)
def test_one_rule_less_changes_nothing_about_the_others(facts: Facts, limits: Thresholds) -> None:
    everything = judge(facts, limits)
    for rule in RULES:
        others = judge(facts, limits, [one for one in RULES if one is not rule])
        assert others.judged == everything.judged - {rule.code}
        assert others.findings == tuple(one for one in everything.findings if one.rule != rule.code)


@given(st.lists(st.floats(0, 1e6), max_size=300))
def test_nearly_all_values_are_at_or_below_the_percentile_which_is_one_of_them(values: list[float]) -> None:
    found = percentile(values)
    if len(values) < 20:
        assert found is None
        return
    assert found in values
    assert sum(one <= found for one in values) >= 0.98 * len(values) - 1


def test_a_notice_is_tried_again_later_and_later_and_not_for_ever() -> None:
    waits = [tell_wait(attempt) for attempt in range(1, 13)]
    assert waits[:3] == [10.0, 20.0, 40.0]
    assert waits[-2:] == [600.0, None]


def test_a_receiver_is_called_by_its_scheme_and_nothing_that_is_secret() -> None:
    label = receiver_label("tgram://123:SECRET/chat")
    assert label.startswith("tgram:")
    assert "SECRET" not in label
    assert label != receiver_label("tgram://123:OTHER/chat")
