"""Failures that differ in numbers, ids and hosts only are one group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.failures import FailedWork, grouped, pattern_of

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("a.example.com answers with HTTP status 503.", "<host> answers with HTTP status 503."),
        ("b.example.org:8443 answers with HTTP status 404.", "<host> answers with HTTP status 404."),
        ("feeds.example.com 返回 HTTP 状态 503。", "<host> 返回 HTTP 状态 503。"),
        ("the server answered 410", "the server answered 410"),
        ("status code: 502", "status code: 502"),
        ("the server answered 4100 times", "the server answered <n> times"),
        ("localhost:8001 did not answer in time", "<host> did not answer in time"),
        ("10.1.2.3 leads to 10.0.0.0/8", "<address> leads to <address>"),
        ("host leads to fe80::1 (link-local)", "host leads to <address> (link-local)"),
        ("at 10:30 it ended", "at <n>:<n> it ended"),
        ("larger than 10485760 bytes", "larger than <n> bytes"),
        ("its limit of 119.5 s", "its limit of <n> s"),
        ("see https://a.example/x?y=1 for more", "see <url> for more"),
        ("see https://a.example/x。", "see <url>。"),
        ("no feed 01934f3e-7c1a-7bbb-8c33-0a1b2c3d4e5f here", "no feed <id> here"),
        ("token 5d41402abc4b2a76b9719d911017c592 refused", "token <id> refused"),
        ("not before 2026-03-01 09:05:00 UTC", "not before <time> UTC"),
        ("not before 2026-03-01T09:05:00.123Z", "not before <time>"),
        ("mail bob@example.com bounced", "mail <mail> bounced"),
        ("two\n  lines", "two lines"),
        ("the facade was added", "the facade was added"),
        ("", ""),
    ],
)
def test_what_varies_is_folded_and_the_trouble_stays(message: str, pattern: str) -> None:
    assert pattern_of(message) == pattern


@given(st.text(max_size=200))
def test_folding_is_bounded_and_never_grows_back(message: str) -> None:
    pattern = pattern_of(message)
    assert len(pattern) <= 300
    assert "\n" not in pattern


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_never_tell_two_failures_apart(first: int, second: int) -> None:
    texts = [f"broke off after {number} bytes, line {number + 1}" for number in (first, second)]
    assert pattern_of(texts[0]) == pattern_of(texts[1])


def failed(minute: int, message: str, code: str = "timed_out", noun: str = "item") -> FailedWork:
    feed_id = f"f{minute % 2}"
    return FailedWork(
        noun, f"{noun}{minute}", code, message, NOON + timedelta(minutes=minute), feed_id=feed_id
    )


def test_a_group_counts_and_knows_when_it_began_and_its_newest_examples() -> None:
    groups = grouped(
        [failed(minute, f"h{minute}.example.com did not answer in time") for minute in (3, 1, 5, 2)]
        + [failed(9, "x.example.com did not answer in time", noun="delivery")]
        + [failed(8, "y.example.com did not answer in time", code="connect_failed")]
    )
    assert [(one.noun, one.error_code, one.count) for one in groups] == [
        ("item", "timed_out", 4),
        ("delivery", "timed_out", 1),
        ("item", "connect_failed", 1),
    ]
    largest = groups[0]
    assert largest.pattern == "<host> did not answer in time"
    assert (largest.first_seen, largest.last_seen) == (
        NOON + timedelta(minutes=1),
        NOON + timedelta(minutes=5),
    )
    assert [one.id for one in largest.examples] == ["item5", "item3", "item2"]
    assert largest.feeds == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["a", "b 1", "b 2", "c"])), max_size=40))
def test_every_failure_is_in_exactly_one_group(made: list[tuple[int, str]]) -> None:
    groups = grouped(failed(minute, message) for minute, message in made)
    assert sum(one.count for one in groups) == len(made)
    assert len({(one.noun, one.error_code, one.pattern) for one in groups}) == len(groups)
