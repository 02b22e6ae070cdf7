"""Hosts get at most their share, and broken feeds wait longer each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.politeness import admit, host_of_feed, next_check_seconds


@dataclass(frozen=True)
class Item:
    """A work item on a host."""

    number: int
    host: str


HOSTS = st.sampled_from(["", "a", "b", "c"])


@given(
    st.lists(HOSTS, max_size=60),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 9)),
    st.integers(1, 6),
)
def test_no_host_gets_more_than_its_share_and_no_room_is_wasted(
    names: list[str], in_flight: dict[str, int], concurrency: int
) -> None:
    items = [Item(number, host) for number, host in enumerate(names)]
    admitted = admit(items, in_flight, concurrency)
    assert [item for item in items if item in admitted] == admitted, "the oldest first"
    got, asked = Counter(item.host for item in admitted), Counter(names)
    assert got[""] == asked[""], "what lives nowhere is not limited"
    for host in "abc":
        assert got[host] == min(asked[host], max(0, concurrency - in_flight.get(host, 0)))


def test_without_a_limit_everything_is_admitted() -> None:
    items = [Item(number, "a") for number in range(5)]
    assert admit(items, {"a": 100}, 0) == items


@pytest.mark.parametrize(
    ("kind", "url", "host"),
    [
        ("rss", "https://Example.com/feed", "example.com"),
        ("rss", "https://example.com:8443/feed", "example.com:8443"),
        ("rss", "https://user:secret@example.com/feed", "example.com"),
        ("rss", "http://[::1]:80/x", "[::1]:80"),
        ("rss", "https://例子.测试/feed", "&#20363;&#23376;.&#27979;&#35797;"),
        ("rss", f"https://{'a' * 400}.example/feed", "a" * 255),
        ("wechat", "https://mp.weixin.qq.com/s?__biz=x", ""),
    ],
)
def test_the_host_of_a_feed_is_a_short_ascii_key_without_its_user(kind: str, url: str, host: str) -> None:
    assert host_of_feed(kind, url) == host


@pytest.mark.parametrize(
    ("failures", "asked", "seconds"),
    [
        (1, None, 900),  # 15 min
        (2, None, 1800),  # 15 min * 2
        (4, None, 7200),  # 15 min * 2^3
        (8, None, 86400),  # 15 min * 2^7 = 32 h, at most a day
        (10_000, None, 86400),
        (1, 4000.0, 4000),  # never sooner than the other side asked for
        (8, 10.0, 86400),
    ],
)
def test_a_broken_feed_waits_longer_after_each_failed_run(
    failures: int, asked: float | None, seconds: float
) -> None:
    assert next_check_seconds(failures, asked) == seconds
